//! Statistics of what the nodes of a network give: sparsity, means, norms, ranges, histograms.
//!
//! [`Network::watch`] runs batches through a network and shows each node's result to a [`Statistic`], or to
//! a tuple of them. All nodes and all statistics are served in one pass; what they remember stays on the
//! device and is read once, after the last batch.
//!
//! | statistic | a node's value |
//! |---|---|
//! | [`Zeros`] | [`ZeroCounts`]: sparsity, and APoZ of each channel |
//! | [`Moments`] | [`ChannelMoments`]: mean and standard deviation |
//! | [`Extrema`] | [`ChannelExtrema`]: smallest and largest |
//! | [`Norms`] | [`ChannelNorms`]: L1 and L2, a sample's and all samples' |
//! | [`Histogram`] | [`BinCounts`]: counts in bins, percentiles |
//!
//! Which nodes is said by [`Places`]; by default those that Distiller watches, the results of activation
//! functions. [`Network::watch_filters`] and [`Network::watch_inputs`] find the places that belong to
//! weights: what a layer's filters come to after their activation function, and what a layer is fed.
//!
//! # Refitting
//!
//! [`Network::sample_layers`] keeps rows of what layers are fed and give, and [`LayerSamples::refit`] finds the
//! weight that comes nearest to those outputs with fewer inputs: feature-map reconstruction.
//!
//! # Channels
//!
//! A result is seen as `[samples, channels, positions]`: the first axis counts samples, one axis counts
//! channels, all others are positions. The channel axis is the one that the layers give it: the second after
//! convolutions, the last after linear layers and embeddings, and operations between them carry it along.
//!
//! # Training and evaluation
//!
//! A network is watched as it is. What is wanted nearly always is the evaluation network,
//! [`network.valid()`](burn::module::Module::valid). On an autodiff device batch norms are in training:
//! they normalise with the batch's own statistics, so that means and deviations are those of training,
//! **and every batch changes their running statistics**. Gradients are not recorded either way.

mod activation;
mod channel;
mod count;
mod error;
mod extrema;
mod histogram;
mod layer_samples;
mod moments;
mod norms;
mod pass;
mod places;
mod refit;
mod sampling;
mod statistic;
mod watched;
mod zeros;

pub use crate::activity::{Sums, activations_of, inputs_of};
pub use activation::{Activation, Seen};
pub use error::WatchError;
pub use extrema::{ChannelExtrema, Extrema};
pub use histogram::{BinCounts, Histogram};
pub use layer_samples::{LayerSamples, Sampling};
pub use moments::{ChannelMoments, Moments};
pub use norms::{ChannelNorms, Norms};
pub use places::Places;
pub use refit::{Refit, RefitError, System};
pub use statistic::{Statistic, Statistics};
pub use watched::{Column, Columns, Per, Watched, WatchedNode};
pub use zeros::{ZeroCounts, Zeros};

use calcine_graph::{Graph, Node, Op};

use crate::activity::layers_of;
use crate::tensor::{AnyTensor, Tensors};
use crate::{ForwardError, Network};
use pass::{Place, run, run_by};

/// Statistics of what nodes give, as [`Network::watch`], of anything else that computes a graph: a network in integer
/// arithmetic, for one.
///
/// `pass` computes a batch and shows each node's result to the function that it is handed.
///
/// # Errors
///
/// As of [`Network::watch`], and of `pass`.
pub fn watch_passes<I: Tensors, S: Statistics>(
    graph: &Graph,
    batches: impl IntoIterator<Item = I>,
    places: &Places,
    statistics: &S,
    pass: impl FnMut(Vec<AnyTensor>, &mut dyn FnMut(&Node, &AnyTensor)) -> Result<(), ForwardError>,
) -> Result<Watched<S::Value>, WatchError> {
    let places = places.find(graph)?;
    run_by(graph, batches, &places, statistics, pass)
}

impl Network {
    /// Statistics of what nodes give, over all batches, in one pass.
    ///
    /// The device is read once, after the last batch. See [the module](self) for what is watched of a
    /// network in training.
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
    /// use calcine_trace::trace;
    /// use calcine_trace::watch::{Moments, Places, Zeros};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let device = Device::flex();
    /// let network = trace(&Relu::new(), Tensor::<2>::ones([1, 2], &device), |m, x| m.forward(x))?;
    /// let batches = [
    ///     Tensor::<2>::from_data([[1.0, -1.0], [3.0, 2.0]], &device),
    ///     Tensor::<2>::from_data([[2.0, -4.0]], &device),
    /// ];
    /// let watched =
    ///     network.valid().watch(batches, &Places::activations(), &(Zeros, Moments))?;
    /// let (zeros, moments) = watched.get("relu").expect("the only node");
    /// assert_eq!(zeros.apoz(), [0.0, 2.0 / 3.0]);
    /// assert_eq!(zeros.sparsity(), 1.0 / 3.0);
    /// assert_eq!(moments.mean[0], 2.0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn watch<I: Tensors, S: Statistics>(
        &self,
        batches: impl IntoIterator<Item = I>,
        places: &Places,
        statistics: &S,
    ) -> Result<Watched<S::Value>, WatchError> {
        let places = places.find(self.graph())?;
        run(self, batches, &places, statistics)
    }

    /// Statistics of the filters of layers after their activation function, by the paths of the layers'
    /// weights: what APoZ and mean activation rank filters by.
    ///
    /// One pass and one read, as [`watch`](Self::watch). A weight that is used several times has the
    /// statistics of all its uses together. [`activations_of`] says where a filter's activation is looked
    /// for.
    ///
    /// # Errors
    ///
    /// As [`watch`](Self::watch), and if a path is no layer's weight, or its filters have no activation
    /// function of their own.
    pub fn watch_filters<I: Tensors, S: Statistics>(
        &self,
        batches: impl IntoIterator<Item = I>,
        weights: &[&str],
        sums: Sums,
        statistics: &S,
    ) -> Result<Watched<S::Value>, WatchError> {
        let graph = self.graph();
        let place = |weight: &&str| {
            let nodes = activations_of(graph, weight, sums)?;
            let values: Vec<_> = nodes.iter().map(|node| node.output).collect();
            Ok(Place::of_node((*weight).to_owned(), &values))
        };
        let places: Vec<Place> = weights
            .iter()
            .map(place)
            .collect::<Result<_, WatchError>>()?;
        run(self, batches, &places, statistics)
    }

    /// Statistics of what layers are fed, by the paths of their weights: what Wanda weighs weights by.
    ///
    /// A channel is an input of the layer: of a linear layer a feature, of a convolution an input channel,
    /// those of all groups. Otherwise as [`watch_filters`](Self::watch_filters).
    ///
    /// # Errors
    ///
    /// As [`watch`](Self::watch), and if a path is no layer's weight.
    pub fn watch_inputs<I: Tensors, S: Statistics>(
        &self,
        batches: impl IntoIterator<Item = I>,
        weights: &[&str],
        statistics: &S,
    ) -> Result<Watched<S::Value>, WatchError> {
        let graph = self.graph();
        let place = |weight: &&str| {
            let layers = layers_of(graph, weight)?;
            let axis = layers.first().map(|layer| match layer.op {
                Op::Linear => graph.value(layer.inputs[0]).shape.len() - 1,
                _ => 1,
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
            .collect::<Result<_, WatchError>>()?;
        run(self, batches, &places, statistics)
    }

    /// Rows of what layers are fed and of what they give for it, by the paths of their weights: what a weight
    /// is [refitted](LayerSamples::refit) to.
    ///
    /// Of each batch and layer some output positions are drawn, and taken of all the batch's samples: a
    /// convolution's receptive field there, or a row of a linear layer's input. One pass and one read. A
    /// weight that is used several times has the rows of all its uses.
    ///
    /// # Errors
    ///
    /// As [`watch`](Self::watch), and if a path is no layer's weight, or a transposed convolution's.
    pub fn sample_layers<I: Tensors>(
        &self,
        batches: impl IntoIterator<Item = I>,
        weights: &[&str],
        sampling: &Sampling,
    ) -> Result<Watched<LayerSamples>, WatchError> {
        sampling::run(self, batches, weights, sampling)
    }

    /// A histogram of each place between the smallest and the largest value that it takes.
    ///
    /// Two passes, hence a function that gives the batches, the same ones each time; the device is read
    /// once in each. Where all places share a range that is known, [`Histogram`] needs one pass.
    ///
    /// # Errors
    ///
    /// As [`watch`](Self::watch).
    ///
    /// # Panics
    ///
    /// If `bins` is 0.
    pub fn histograms<I: Tensors, B: IntoIterator<Item = I>>(
        &self,
        batches: impl Fn() -> B,
        places: &Places,
        bins: usize,
    ) -> Result<Watched<BinCounts>, WatchError> {
        let places: Vec<Place> = places.find(self.graph())?;
        let extrema = run(self, batches(), &places, &Extrema)?;
        run(self, batches(), &places, &Histogram::over(&extrema, bins))
    }
}
