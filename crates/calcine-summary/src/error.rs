use calcine_graph::GraphError;

/// Why a compute table cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ComputeError {
    /// The graph is not a valid network, or is too large for the batch size.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The graph has a parameter that the model does not have.
    #[error(
        "the graph's `{node}` multiplies with the parameter `{parameter}`, which the model does not have: \
         is it the graph of another model?"
    )]
    Parameter {
        /// The node that uses the parameter.
        node: String,
        /// The path of the parameter.
        parameter: String,
    },
    /// A parameter has another size in the model than in the graph.
    #[error(
        "the parameter `{parameter}` has {model} elements in the model and {graph} in the graph: \
         trace the model again after its shapes have changed"
    )]
    Size {
        /// The path of the parameter.
        parameter: String,
        /// The number of its elements in the graph.
        graph: u64,
        /// The number of its elements in the model.
        model: u64,
    },
}
