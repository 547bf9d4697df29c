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
    /// A share of channels that is none.
    #[error("the share of channels to remove is {level}: expected a number from 0 to 1")]
    Level {
        /// The share.
        level: f64,
    },
    /// A criterion that weights alone do not answer.
    #[error("the criterion needs {needs:?}: channels of a network are ranked by weights alone")]
    Criterion {
        /// What it needs.
        needs: calcine_criteria::Needs,
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
