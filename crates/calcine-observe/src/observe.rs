use calcine_graph::{Graph, Node, Op};
use calcine_trace::{AnyTensor, ForwardError, Network, Tensors};

use crate::activity::{Sums, activations_of, layers_of};
use crate::error::ObserveError;
use crate::extrema::Extrema;
use crate::histogram::{BinCounts, Histogram};
use crate::observed::Observed;
use crate::pass::{run, run_by};
use crate::place::Place;
use crate::places::Places;
use crate::statistic::Statistics;

/// Statistics of what nodes give, as [`observe`], of anything else that computes a graph: a network in integer
/// arithmetic, for one.
///
/// `pass` computes a batch and shows each node's result to the function that it is handed.
///
/// # Errors
///
/// As [`observe`], and those of `pass`.
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

/// Statistics of what nodes give, over all batches, in one pass.
///
/// The device is read once, after the last batch. See [the crate's page](crate) about networks in
/// training.
///
/// # Errors
///
/// If the places match no node, if a batch does not fit, or if there is none.
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

/// Statistics of the filters of layers after their activation function, by the paths of the layers'
/// weights: what APoZ and mean activation rank filters by.
///
/// One pass and one read, as [`observe`]. A weight that is used several times has the
/// statistics of all its uses together. [`activations_of`] says where a filter's activation is looked
/// for.
///
/// # Errors
///
/// As [`observe`], and if a path is no layer's weight, or its filters have no activation
/// function of their own.
pub fn observe_filters<I: Tensors, S: Statistics>(
    network: &Network,
    batches: impl IntoIterator<Item = I>,
    weights: &[&str],
    sums: Sums,
    statistics: &S,
) -> Result<Observed<S::Value>, ObserveError> {
    let graph = network.graph();
    let place = |weight: &&str| {
        let nodes = activations_of(graph, weight, sums)?;
        let values: Vec<_> = nodes.iter().map(|node| node.output).collect();
        Ok(Place::of_node((*weight).to_owned(), &values))
    };
    let places: Vec<Place> = weights
        .iter()
        .map(place)
        .collect::<Result<_, ObserveError>>()?;
    run(network, batches, &places, statistics)
}

/// Statistics of what layers are fed, by the paths of their weights: what Wanda weighs weights by.
///
/// A channel is an input of the layer: of a linear layer a feature, of a convolution an input channel,
/// those of all groups. Otherwise as [`observe_filters`].
///
/// # Errors
///
/// As [`observe`], and if a path is no layer's weight.
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

/// A histogram of each place between the smallest and the largest value that it takes.
///
/// Two passes, hence a function that gives the batches, the same ones each time; the device is read
/// once in each. Where all places share a range that is known, [`Histogram`] needs one pass.
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
        &Histogram::over(&extrema, bins),
    )
}
