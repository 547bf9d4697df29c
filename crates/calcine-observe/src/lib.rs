//! Statistics of the activations of a network: sparsity, means, norms, ranges, histograms.
//!
//! # Should I use this crate?
//!
//! Use it to measure the results of the nodes of a model over data: how sparse they are, which range they have, which
//! filters are rarely active. The model is traced with `calcine-trace` first. `calcine-quantize` uses these statistics
//! for calibration, and pruners use them for ranking.
//!
//! [`observe`] runs batches through a network and passes the result of each node to a [`Statistic`], or to a tuple of
//! them. One pass serves all nodes and all statistics. Intermediate results stay on the device and are read once, after
//! the last batch.
//!
//!  statistic | value of a node |
//! |---|---|
//! | [`Zeros`] | [`ZeroCounts`]: sparsity, and APoZ of each channel |
//! | [`Moments`] | [`ChannelMoments`]: mean and standard deviation |
//!  [`Extrema`] | [`ChannelExtrema`]: the smallest and the largest value |
//!  [`Norms`] | [`ChannelNorms`]: L1 and L2 norms, of a sample and of all samples |
//! | [`Histogram`] | [`BinCounts`]: counts in bins, percentiles |
//!
//! [`Places`] selects the nodes that are observed; the usual choice, which is also Distiller's, is the results of
//! activation functions. [`observe_filters`] and [`observe_inputs`] find the places that belong to weights: the outputs
//! of the filters of a layer after their activation function, and the input activations of a layer.
//!
//! # Refitting
//!
//! [`sample_layers`] collects rows of the inputs and outputs of layers, and [`LayerSamples::refit`] finds the weight
//! that best reproduces the outputs with fewer inputs (feature-map reconstruction).
//!
//! # In training
//!
//! A policy of `calcine-train` whose score needs activations gets them from an [activation source](ActivationSource).
//! [`NetworkActivations`] is the activation source for a traced network.
//!
//! # Channels
//!
//! A result is viewed as `[samples, channels, positions]`: the first axis contains samples, one axis contains channels,
//! and all other axes are positions. Layers define the channel axis: it is the second one after convolutions, and the
//! last one after linear layers and embeddings. Operations between them pass it on.
//! # Training and evaluation
//!
//! A network is observed in the mode in which it is. You usually want the evaluation mode,
//! [`network.valid()`](burn::module::Module::valid). On an autodiff device, batch norms are in training mode: they
//! normalise with the statistics of the batch, so means and deviations are those of training, **and every batch changes
//! the running statistics**. Gradients are not recorded in either case.

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
pub use activity::{AtAddition, activations_of, inputs_of};
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
pub use source::{ActivationRequest, ActivationSource, Reconstruction};
pub use statistic::{Statistic, Statistics};
pub use zeros::{ZeroCounts, Zeros};
