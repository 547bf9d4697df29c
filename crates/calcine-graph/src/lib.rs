//! A network's op graph as data: shapes, multiply-accumulates, which channels go together, thinning
//! plans.

mod axes;
mod check;
mod compute;
mod draw;
mod error;
mod extent;
mod graph;
mod layers;
mod op;
mod plan;

pub use axes::{Axes, Group, Member, Reason, Role, Unit, UnitId};
pub use compute::{Compute, Row};
pub use draw::{Detail, Drawing};
pub use error::GraphError;
pub use extent::Extent;
pub use graph::{Graph, Kind, Node, Source, Value, ValueId};
pub use op::{
    Arithmetic, Comparison, Convolution, Interpolation, Map, Op, Padding, Pool, Range, Reduction,
};
pub use plan::{Cut, Plan, PlanError, Thinned, weakest};
