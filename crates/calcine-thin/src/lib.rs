//! Removes what was pruned for real: zero channels go, and the network computes the same.

mod carry;
mod choose;
mod constants;
mod host;
mod report;
mod silence;
mod survey;
mod thin;

pub use calcine_graph as graph;
pub use carry::apply;
pub use choose::{Choice, Joint};
pub use report::{Folded, Into, Removed, Report, Size};
pub use silence::silence;
pub use thin::{Border, Thinned, thin};

/// Why a network cannot be thinned.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ThinError {
    /// The graph contradicts itself.
    #[error(transparent)]
    Graph(#[from] calcine_graph::GraphError),
    /// The plan does not fit the network.
    #[error(transparent)]
    Plan(#[from] calcine_graph::PlanError),
    /// The tensors do not fit the graph.
    #[error(transparent)]
    Rewrite(#[from] calcine_trace::RewriteError),
}
