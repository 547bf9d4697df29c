//! Removes channels that are zero from a network (structural pruning), without changing its outputs.
//!
//! # Should I use this crate?
//!
//! Use it when filters, channels or neurons of a traced network are zero and should no longer cost anything. It does
//! not help with zeros that are scattered over weights, because dense kernels do not become faster through them.
//!
//! # Contents
//!
//! | item | purpose |
//! |---|---|
//! | [`thin`], [`PaddingEffect`], [`Thinned`] | removes channels that are not needed, and compensates their constant outputs |
//! | [`thin_with`], [`ThinOptions`] | the same, optionally with features of norms, and with a measured difference |
//! | [`ThinningReport`] | what was removed and compensated, the error at padded borders, and zeros that remain |
//! | [`prune_channels`] | the short form: selects, zeroes out and removes a share of the channels of each group |
//! | [`ChannelSelection`] | selects the weakest channels, by the combined score of everything that produces them |
//! | [`zero_out_channels`] | zeroes channels with their biases, scales and shifts |
//! | [`apply`] | applies a saved plan to another copy of the network |
//! | [`in_place`] | applies a plan to a plain Burn model, and keeps its type |
//! | [`ThinError`] | the reason why a network cannot be thinned |
//!
//! # Examples
//!
//! ```
//! use burn::module::Module;
//! use burn::nn::{Linear, LinearConfig};
//! use burn::tensor::{Device, Tensor};
//! use burn::tensor::activation::relu;
//! use calcine_criteria::Norm;
//! use calcine_thin::{PaddingEffect, ChannelSelection, zero_out_channels, thin};
//! use calcine_trace::trace;
//!
//! #[derive(Module, Debug)]
//! struct Mlp {
//!     hidden: Linear,
//!     head: Linear,
//! }
//!
//! let device = Device::flex();
//! let model = Mlp {
//!     hidden: LinearConfig::new(8, 16).init(&device),
//!     head: LinearConfig::new(16, 4).init(&device),
//! };
//! let sample = Tensor::<2>::zeros([1, 8], &device);
//! let network = trace(&model, sample, |m, x| m.head.forward(relu(m.hidden.forward(x))))?;
//!
//! let axes = network.graph().axes()?;
//! let weakest = ChannelSelection::new(0.5).units(&network, &axes, &Norm::L1, |_| true);
//! let thinned = thin(zero_out_channels(network, &axes, weakest)?, PaddingEffect::KeepBorder)?;
//! assert_eq!(thinned.report.removed[0].removed, 8);
//! assert_eq!(thinned.network.num_params(), 8 * 8 + 8 + 8 * 4 + 4);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod carry;
mod choose;
mod error;
mod host;
mod in_place;
mod kept;
mod measure;
mod options;
mod prune;
mod report;
mod survey;
mod thin;
mod zero_out;

pub use calcine_graph as graph;
pub use carry::apply;
pub use choose::ChannelSelection;
pub use error::ThinError;
pub use in_place::in_place;
pub use kept::zeros_that_stay;
pub use options::{PaddingEffect, ThinOptions};
pub use prune::prune_channels;
pub use report::{
    ConstantTarget, Difference, FoldedConstants, KeptZeros, NarrowedNorm, NetworkSize, Removed,
    ThinningReport,
};
pub use thin::{Thinned, thin, thin_with};
pub use zero_out::zero_out_channels;
