//! Removes what was pruned for real: channels that compute nothing go, and the network computes the same.
//!
//! # Should I use this crate?
//!
//! Yes, once filters, channels or neurons of a traced network are zero and should cost nothing any more. No,
//! for zeros scattered over weights: no dense kernel is faster for them.
//!
//! # The parts
//!
//! | item | what |
//! |---|---|
//! | [`thin`], [`PaddingEffect`], [`Thinned`] | removes what is not needed, and makes up for what it said |
//! | [`thin_with`], [`ThinOptions`] | the same, also features of norms, with a measured difference |
//! | [`ThinningReport`] | what went, what was made up for, how far padded borders are off, what is zero and stays |
//! | [`prune_channels`] | the short form: a share of each group's channels, chosen, zeroed out and removed |
//! | [`ChannelSelection`] | the weakest channels, by one score of all that make them |
//! | [`zero_out_channels`] | zeros channels with their biases, scales and shifts |
//! | [`apply`] | a saved plan, carried out on another copy of the network |
//! | [`in_place`] | the same on a plain Burn model, under its own type |
//! | [`ThinError`] | what does not fit |
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
