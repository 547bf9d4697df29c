use calcine_graph::GraphError;

/// Why what a network computes cannot be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ComputeError {
    /// The graph is no network, or too large for the batch.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A parameter of the graph that the model does not have.
    #[error(
        "the graph's `{node}` multiplies with the parameter `{parameter}`, which the model does not have: \
         is it the graph of another model?"
    )]
    Parameter {
        /// The node that uses it.
        node: String,
        /// Its path.
        parameter: String,
    },
    /// A parameter that has another size in the model than in the graph.
    #[error(
        "the parameter `{parameter}` has {model} elements in the model and {graph} in the graph: \
         trace the model again after its shapes have changed"
    )]
    Size {
        /// Its path.
        parameter: String,
        /// Its elements in the graph.
        graph: u64,
        /// Its elements in the model.
        model: u64,
    },
}
