//! The graph of a network as data: shapes, multiply-accumulates, dependency groups of channels, thinning plans and
//! drawings, without tensors or a framework.
//!
//! # Should I use this crate?
//!
//! Use it to compute the cost of a network, to find out which indices of which parameters can only be removed together,
//! or to create and store a plan that removes them, for a graph from any source. For a Burn model, `calcine-trace`
//! records the graph.
//!
//! # Contents
//!
//! | type | what it is |
//! |---|---|
//! | [`Graph`], [`Node`], [`Op`] | a network: its operations in execution order |
//! | [`Properties`], and [`Action`], [`Reads`], [`Kinds`] and others in it | the table of operators that all analyses use |
//! | [`Value`], [`Extent`], [`Source`] | a tensor: its shape for any batch size, and its origin |
//! | [`Compute`], [`Row`] | the multiply-accumulates of each node, and the memory |
//! | [`Axes`], [`Group`], [`Unit`], [`Member`], [`Role`] | dependency groups: indices of parameters that are removed together, and their roles |
//! | [`Reason`], [`NormFeatures`] | why an axis cannot be removed, and whether features of norms can be |
//! | [`ConstantSlices`], [`constant_slices`], [`Stored`] | channels that have the same value for every input |
//! | [`ThinningPlan`], [`Cut`], [`Thinned`] | the indices to remove, by parameter path, and the thinned graph |
//! | [`weakest`] | the units with the smallest scores |
//! | [`Drawing`], [`Detail`] | an image of the network |
//! | [`GraphError`], [`PlanError`] | what is wrong, where, and what would be valid |
//!
//! # Examples
//!
//! Two linear layers with a ReLU between them. Three of the eight hidden features are removed:
//!
//! ```
//! use calcine_graph::{Extent, Graph, ElementKind, Map, Node, Op, ThinningPlan, Source, UnitId, Value, ValueId, weakest};
//!
//! let value = |name: &str, shape: &[Extent], source| Value {
//!     name: name.into(),
//!     shape: shape.into(),
//!     kind: ElementKind::Float,
//!     source,
//! };
//! let rows = |features: usize| [Extent::BATCH, features.into()];
//! let node = |name: &str, op, inputs: &[usize], output| Node {
//!     name: name.into(),
//!     op,
//!     inputs: inputs.iter().map(|&id| ValueId(id)).collect(),
//!     output: ValueId(output),
//! };
//! let graph = Graph {
//!     values: vec![
//!         value("input", &rows(4), Source::Input),
//!         value("fc1.weight", &[4.into(), 8.into()], Source::Parameter),
//!         value("fc1", &rows(8), Source::Node(0)),
//!         value("fc1.relu", &rows(8), Source::Node(1)),
//!         value("fc2.weight", &[8.into(), 2.into()], Source::Parameter),
//!         value("fc2", &rows(2), Source::Node(2)),
//!     ],
//!     nodes: vec![
//!         node("fc1", Op::Linear, &[0, 1], 2),
//!         node("fc1.relu", Op::Map(Map::Relu), &[2], 3),
//!         node("fc2", Op::Linear, &[3, 4], 5),
//!     ],
//!     inputs: vec![ValueId(0)],
//!     outputs: vec![ValueId(5)],
//! };
//! assert_eq!(graph.compute()?.macs, 4 * 8 + 8 * 2);
//!
//! let axes = graph.axes()?;
//! let hidden = &axes.groups()[0];
//! assert_eq!((hidden.units.len(), hidden.members.len()), (8, 2));
//! assert_eq!(axes.pinned("fc2.weight", 1).unwrap().to_string(), "it is the network's output");
//!
//! let norms = [0.9, 0.1, 0.8, 0.7, 0.2, 0.6, 0.3, 0.5];
//! let gone = weakest(&norms, 3, 1);
//! let plan = ThinningPlan::removing(&axes, gone.into_iter().map(|unit| UnitId { group: 0, unit }))?;
//! assert_eq!(plan.cuts()[1].keep, [0, 2, 3, 5, 7]);
//! assert_eq!(plan.apply(&graph)?.compute()?.macs, 4 * 5 + 5 * 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![cfg_attr(doctest, doc = include_str!("../README.md"))]

mod axes;
mod check;
mod compute;
mod constant;
mod draw;
mod error;
mod extent;
mod graph;
mod infer;
mod layers;
mod number;
mod op;
mod plan;
mod properties;

pub use axes::{Axes, Group, Member, NormFeatures, Reason, Role, Unit, UnitId};
pub use compute::{Compute, Row};
pub use constant::{ConstantSlices, Stored, constant_slices};
pub use draw::{Detail, Drawing};
pub use error::GraphError;
pub use extent::Extent;
pub use graph::{ElementKind, Graph, Node, Source, Value, ValueId};
pub use op::{
    Arithmetic, Comparison, Convolution, Interpolation, Map, Op, Padding, Pool, Range, Reduction,
    Update,
};
pub use plan::{Cut, PlanError, Thinned, ThinningPlan, weakest};
pub use properties::{
    Action, Arrangement, Channels, Gives, Kinds, Products, Properties, Reads, ResultRank, Sizes,
    Summation, Takes, Windows,
};
