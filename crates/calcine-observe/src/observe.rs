use calcine_graph::{Graph, Node, Op};
use calcine_trace::{AnyTensor, ForwardError, Network, Tensors};

use crate::activity::{AtAddition, activations_of, layers_of};
use crate::error::ObserveError;
use crate::extrema::Extrema;
use crate::histogram::{BinCounts, Histogram};
use crate::observed::Observed;
use crate::pass::{run, run_by};
use crate::place::Place;
use crate::places::Places;
use crate::statistic::Statistics;

/// Computes statistics like [`observe`], but for another executor of a graph, such as a quantized network in integer
/// arithmetic.
///
/// `pass` computes one batch, and calls the given function with the result of each node.
///
/// # Errors
///
/// Those of [`observe`], and those of `pass`.
pub fn observe_passes<I: Tensors, S: Statistics>(
    graph: &Graph,
    batches: impl IntoIterator<Item = I>,
    places: &Places,
    statistics: &S,
    pass: impl FnMut(Vec<AnyTensor>, &mut dyn FnMut(&Node, &AnyTensor)) -> Result<(), ForwardError>,
) -> Result<Observed<S::Value>, ObserveError> {
    let places = places.find(graph)?;
    run_by(graph, batches, &places, statistics, pass)
}

/// Computes statistics of the results of nodes over all batches, in one pass.
///
/// The device is read once, after the last batch. See [the documentation of the crate](crate) about networks in
/// training mode.
///
/// # Errors
///
/// If no node matches the places, if a batch does not match the inputs of the network, or if there is no batch.
///
/// # Examples
///
/// ```
/// use burn::module::Module;
/// use burn::nn::Relu;
/// use burn::tensor::{Device, Tensor};
/// use calcine_observe::{Moments, Places, Zeros, observe};
/// use calcine_trace::trace;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let device = Device::flex();
/// let network = trace(&Relu::new(), Tensor::<2>::ones([1, 2], &device), |m, x| m.forward(x))?;
/// let batches = [
///     Tensor::<2>::from_data([[1.0, -1.0], [3.0, 2.0]], &device),
///     Tensor::<2>::from_data([[2.0, -4.0]], &device),
/// ];
/// let observed =
///     observe(&network.valid(), batches, &Places::activations(), &(Zeros, Moments))?;
/// let (zeros, moments) = observed.get("relu").expect("the only node");
/// assert_eq!(zeros.apoz(), [0.0, 2.0 / 3.0]);
/// assert_eq!(zeros.sparsity(), 1.0 / 3.0);
/// assert_eq!(moments.mean[0], 2.0);
/// # Ok(())
/// # }
/// ```
pub fn observe<I: Tensors, S: Statistics>(
    network: &Network,
    batches: impl IntoIterator<Item = I>,
    places: &Places,
    statistics: &S,
) -> Result<Observed<S::Value>, ObserveError> {
    let places = places.find(network.graph())?;
    run(network, batches, &places, statistics)
}

/// Computes statistics of the filters of layers after their activation function, by the paths of the weights of the
/// layers. APoZ and mean activation rank filters by these statistics.
///
/// It takes one pass and one device read, like [`observe`]. If a weight is used several times, the statistics are those
/// of all its uses together. [`activations_of`] defines where the activation of a filter is found.
///
/// # Errors
///
/// Those of [`observe`]; and if a path is not that of a layer's weight, or the filters have no activation function of
/// their own.
pub fn observe_filters<I: Tensors, S: Statistics>(
    network: &Network,
    batches: impl IntoIterator<Item = I>,
    weights: &[&str],
    at_addition: AtAddition,
    statistics: &S,
) -> Result<Observed<S::Value>, ObserveError> {
    let graph = network.graph();
    let place = |weight: &&str| {
        let nodes = activations_of(graph, weight, at_addition)?;
        let values: Vec<_> = nodes.iter().map(|node| node.output).collect();
        Ok(Place::of_node((*weight).to_owned(), &values))
    };
    let places: Vec<Place> = weights
        .iter()
        .map(place)
        .collect::<Result<_, ObserveError>>()?;
    run(network, batches, &places, statistics)
}

/// Computes statistics of the input activations of layers, by the paths of their weights. Wanda uses them.
///
/// A channel is an input of the layer: a feature of a linear layer, or an input channel of a convolution, including
/// those of all groups. Otherwise as [`observe_filters`].
///
/// # Errors
///
/// Those of [`observe`]; and if a path is not that of a layer's weight.
pub fn observe_inputs<I: Tensors, S: Statistics>(
    network: &Network,
    batches: impl IntoIterator<Item = I>,
    weights: &[&str],
    statistics: &S,
) -> Result<Observed<S::Value>, ObserveError> {
    let graph = network.graph();
    let place = |weight: &&str| {
        let layers = layers_of(graph, weight)?;
        let axis = layers.first().map(|layer| match layer.op == Op::Linear {
            true => graph.value(layer.inputs[0]).shape.len() - 1,
            false => 1,
        });
        Ok(Place {
            name: (*weight).to_owned(),
            values: layers.iter().map(|layer| layer.inputs[0]).collect(),
            axis,
        })
    };
    let places: Vec<Place> = weights
        .iter()
        .map(place)
        .collect::<Result<_, ObserveError>>()?;
    run(network, batches, &places, statistics)
}

/// Computes a histogram of each place between its smallest and its largest value.
///
/// It takes two passes, so `batches` is a function, which must return the same batches each time. The device is read
/// once in each pass. If all places share a known range, use [`Histogram`], which needs one pass.
///
/// # Errors
///
/// As [`observe`].
///
/// # Panics
///
/// If `bins` is 0.
pub fn histograms<I: Tensors, B: IntoIterator<Item = I>>(
    network: &Network,
    batches: impl Fn() -> B,
    places: &Places,
    bins: usize,
) -> Result<Observed<BinCounts>, ObserveError> {
    let places: Vec<Place> = places.find(network.graph())?;
    let extrema = run(network, batches(), &places, &Extrema)?;
    run(
        network,
        batches(),
        &places,
        &Histogram::between_extrema(&extrema, bins),
    )
}
