/// The reason why a network cannot be thinned.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ThinError {
    /// The graph is not valid.
    #[error(transparent)]
    Graph(#[from] calcine_graph::GraphError),
    /// The axes do not have this unit.
    #[error("there is no unit {} of group {}", .0.unit, .0.group)]
    Unit(calcine_graph::UnitId),
    /// The axes belong to another network.
    #[error("`{path}` is not as the axes say: they are another network's")]
    Axes {
        /// The parameter.
        path: String,
    },
    /// A parameter of the plan does not exist in the model.
    #[error("the model has no `{path}`, from which the plan takes something")]
    Absent {
        /// The parameter.
        path: String,
    },
    /// A parameter of the plan has another length in the model.
    #[error("`{path}` is {found:?}; the plan cuts its axis {axis} of length {expected}")]
    Length {
        /// The parameter.
        path: String,
        /// The axis.
        axis: usize,
        /// The shape of the parameter.
        found: Vec<usize>,
        /// The length of the axis in the plan.
        expected: usize,
    },
    /// A layer of a plain model stores its widths in fields.
    #[error(
        "`{path}` belongs to a `{layer}` (groups: {groups}), which keeps its widths where no plan reaches them: \
         thin the traced network"
    )]
    Layer {
        /// The parameter.
        path: String,
        /// The type of the layer.
        layer: String,
        /// The groups of the layer, if they are known.
        groups: calcine_params::Groups,
    },
    /// The plan changes a number that is in the code of a plain model.
    #[error(
        "the plan changes the {operation} `{value}`, whose size is in the code of the model, where no plan reaches it: \
         thin the traced network"
    )]
    Code {
        /// The kind of the operation.
        operation: &'static str,
        /// The name of its result in the graph.
        value: String,
    },
    /// The share of channels is invalid.
    #[error("the share of channels to remove is {level}: expected a number from 0 to 1")]
    Level {
        /// The share.
        level: f64,
    },
    /// The criterion needs more than weights.
    #[error("the criterion needs {needs:?}: channels of a network are ranked by weights alone")]
    Criterion {
        /// The required inputs.
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
