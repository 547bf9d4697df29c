//! A network's op graph as data: shapes, multiply-accumulates, which channels go together, thinning
//! plans, drawings; without tensors or a framework.
//!
//! # Should I use this crate?
//!
//! Yes, to count what a network computes, to ask what has to be removed together, or to make and store a
//! plan that does, for a graph from any source. If you have a Burn model, `calcine-trace` records its
//! graph.
//!
//! # The parts
//!
//! | type | answers |
//! |---|---|
//! | [`Graph`], [`Node`], [`Op`] | which operations a network consists of, in an order in which they can run |
//! | [`Properties`], [`Action`], [`Summation`] | what holds for each operator: the one table that all analyses ask |
//! | [`Value`], [`Extent`], [`Source`] | how large a tensor is, for any batch, and where it comes from |
//! | [`Compute`], [`Row`] | what each node computes, and how much memory is alive |
//! | [`Axes`], [`Group`], [`Unit`], [`Member`], [`Role`] | which indices of which parameters are removed together, and what they are to the channel |
//! | [`Reason`], [`NormFeatures`] | which operation needs an axis whole |
//! | [`ConstantSlices`], [`constant_slices`], [`Stored`] | which channels are one number whatever the input is |
//! | [`ThinningPlan`], [`Cut`], [`Thinned`] | what is removed, by the paths of parameters, and the graph without it |
//! | [`weakest`] | which units go, if their scores decide |
//! | [`Drawing`], [`Detail`] | what it looks like |
//! | [`GraphError`], [`PlanError`] | what was wrong, where, and what would be valid |
//!
//! # Examples
//!
//! Two linear layers with a ReLU between them: eight hidden features, three of which go.
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
pub use properties::{Action, Properties, ResultRank, Summation};
