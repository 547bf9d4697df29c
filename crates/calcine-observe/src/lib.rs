//! Statistics of the activations of a network: sparsity, means, norms, ranges, histograms.
//!
//! # Should I use this crate?
//!
//! Use it to measure the results of a model's nodes over data: how sparse they are, which range they have, which filters
//! are rarely active. The model is traced with `calcine-trace` first. `calcine-quantize` calibrates by these statistics, and
//! pruners rank by them.
//!
//! [`observe`] runs batches through a network and shows the result of each node to a [`Statistic`], or to a tuple of
//! them. One pass serves all nodes and all statistics; their intermediate results stay on the device and are read once,
//! after the last batch.
//!
//! | statistic | a node's value |
//! |---|---|
//! | [`Zeros`] | [`ZeroCounts`]: sparsity, and APoZ of each channel |
//! | [`Moments`] | [`ChannelMoments`]: mean and standard deviation |
//! | [`Extrema`] | [`ChannelExtrema`]: smallest and largest |
//! | [`Norms`] | [`ChannelNorms`]: L1 and L2, a sample's and all samples' |
//! | [`Histogram`] | [`BinCounts`]: counts in bins, percentiles |
//!
//! [`Places`] says which nodes are observed; by default those that Distiller observes, the results of activation
//! functions. [`observe_filters`] and [`observe_inputs`] find the places that belong to weights: the results of a
//! layer's filters after their activation function, and a layer's input activations.
//!
//! # Refitting
//!
//! [`sample_layers`] keeps rows of the inputs and outputs of layers, and [`LayerSamples::refit`] finds the weight that
//! comes nearest to those outputs with fewer inputs: feature-map reconstruction.
//!
//! # In training
//!
//! A policy of `calcine-train` whose score looks at activations asks an [activation source](ActivationSource), of which
//! [`NetworkActivations`] is the one over a traced network.
//!
//! # Channels
//!
//! A result is seen as `[samples, channels, positions]`: the first axis counts samples, one axis counts
//! channels, all others are positions. The channel axis is the one that the layers give it: the second after
//! convolutions, the last after linear layers and embeddings, and operations between them carry it along.
//!
//! # Training and evaluation
//!
//! A network is observed as it is. The evaluation network is the right one nearly always,
//! [`network.valid()`](burn::module::Module::valid). On an autodiff device batch norms are in training:
//! they normalise with the batch's own statistics, so that means and deviations are those of training,
//! **and every batch changes their running statistics**. Gradients are not recorded either way.

mod activation;
mod activity;
mod channel;
mod count;
mod error;
mod extrema;
mod histogram;
mod layer_samples;
mod moments;
mod network_activations;
mod norms;
mod observe;
mod observed;
mod pass;
mod place;
mod places;
mod refit;
mod sampling;
mod source;
mod statistic;
mod zeros;

pub use activation::{Activation, SampleCounts};
pub use activity::{Sums, activations_of, inputs_of};
pub use error::ObserveError;
pub use extrema::{ChannelExtrema, Extrema};
pub use histogram::{BinCounts, Histogram};
pub use layer_samples::{LayerSamples, Sampling};
pub use moments::{ChannelMoments, Moments};
pub use network_activations::NetworkActivations;
pub use norms::{ChannelNorms, Norms};
pub use observe::{histograms, observe, observe_filters, observe_inputs, observe_passes};
pub use observed::{Column, Columns, Observed, ObservedNode, Per};
pub use places::Places;
pub use refit::{Refit, RefitError, System};
pub use sampling::sample_layers;
pub use source::{ActivationSource, Reconstruction, Wanted};
pub use statistic::{Statistic, Statistics};
pub use zeros::{ZeroCounts, Zeros};
