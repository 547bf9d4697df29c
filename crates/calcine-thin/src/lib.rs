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
//! | [`ChannelSelection`], [`Aggregation`] | the weakest channels, by one score of all that make them |
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
mod host;
mod in_place;
mod kept;
mod measure;
mod options;
mod report;
mod survey;
mod thin;
mod zero_out;

pub use calcine_graph as graph;
pub use carry::apply;
pub use choose::{Aggregation, ChannelSelection};
pub use in_place::in_place;
pub use kept::zeros_that_stay;
pub use options::{PaddingEffect, ThinOptions};
pub use report::{Difference, Folded, Into, Kept, NarrowedNorm, Removed, Size, ThinningReport};
pub use thin::{Thinned, thin, thin_with};
pub use zero_out::zero_out_channels;

/// Why a network cannot be thinned.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ThinError {
    /// The graph contradicts itself.
    #[error(transparent)]
    Graph(#[from] calcine_graph::GraphError),
    /// A unit that the axes do not have.
    #[error("there is no unit {} of group {}", .0.unit, .0.group)]
    Unit(calcine_graph::UnitId),
    /// Axes of another network.
    #[error("`{path}` is not as the axes say: they are another network's")]
    Axes {
        /// The parameter.
        path: String,
    },
    /// A plan's parameter is not in the model.
    #[error("the model has no `{path}`, from which the plan takes something")]
    Absent {
        /// The parameter.
        path: String,
    },
    /// A plan's parameter has another length in the model.
    #[error("`{path}` is {found:?}; the plan cuts its axis {axis} of length {expected}")]
    Length {
        /// The parameter.
        path: String,
        /// The axis.
        axis: usize,
        /// The parameter's shape.
        found: Vec<usize>,
        /// The axis's length, as the plan has it.
        expected: usize,
    },
    /// A layer of a plain model that keeps its widths in fields.
    #[error(
        "`{path}` belongs to a `{layer}` (groups: {groups}), which keeps its widths where no plan reaches them: \
         thin the traced network"
    )]
    Layer {
        /// The parameter.
        path: String,
        /// The layer's type.
        layer: String,
        /// Its groups, as far as they are known.
        groups: calcine_params::Groups,
    },
    /// The plan does not fit the network.
    #[error(transparent)]
    Plan(#[from] calcine_graph::PlanError),
    /// The inputs do not fit the network.
    #[error(transparent)]
    Inputs(#[from] calcine_trace::ForwardError),
    /// The tensors do not fit the graph.
    #[error(transparent)]
    Rewrite(#[from] calcine_trace::RewriteError),
}
