/// Why a model could not be traced.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// The sample has another number of tensors, or tensors of another rank or kind, than the forward
    /// pass takes, or none along its batch axis.
    #[error(
        "the sample does not fit: the forward pass takes {expected}, at least one along the first axis"
    )]
    Sample {
        /// What would fit.
        expected: String,
    },
    /// Burn could not record the forward pass.
    #[error("the forward pass cannot be recorded: {0}")]
    Capture(String),
    /// An operation that no graph has a counterpart for.
    #[error("{op} at `{layer}`, of shape {shape:?}, cannot be traced")]
    Operation {
        /// What Burn calls it, in backticks.
        op: String,
        /// The nearest layer before it.
        layer: String,
        /// The shape of its result.
        shape: Vec<usize>,
    },
    /// The forward pass does another thing for another batch.
    #[error(
        "at `{layer}` the forward pass does one thing for a batch of 2 and another for a batch of 3: {what}"
    )]
    Batch {
        /// The nearest layer before it.
        layer: String,
        /// The difference.
        what: String,
    },
    /// A parameter that Burn shows to no visitor of floats.
    #[error("the parameter `{path}` has rank {rank}; a network holds ranks 1 to 6")]
    Parameter {
        /// Its path.
        path: String,
        /// Its rank.
        rank: usize,
    },
}

/// Why a network cannot take these inputs, or give these outputs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForwardError {
    /// Another number of tensors.
    #[error("the network takes {expected} tensors, not {given}")]
    Inputs {
        /// How many it takes.
        expected: usize,
        /// How many were given.
        given: usize,
    },
    /// A tensor of another shape or kind.
    #[error("`{input}` is {given}; the network takes {expected}, where B is the batch")]
    Input {
        /// The input's name.
        input: String,
        /// Kind and shape that were given.
        given: String,
        /// Kind and shape that would fit.
        expected: String,
    },
    /// The caller asked for other tensors than the network gives.
    #[error("the network gives {given}, not {asked}")]
    Outputs {
        /// Kinds and shapes.
        given: String,
        /// What was asked for.
        asked: String,
    },
}

/// Why a network cannot have another graph.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RewriteError {
    /// The graph contradicts itself.
    #[error(transparent)]
    Graph(#[from] calcine_graph::GraphError),
    /// A tensor of a rank that no network computes with.
    #[error("`{path}` has rank {rank}; a network computes with ranks 1 to 6")]
    Rank {
        /// The value's name.
        path: String,
        /// Its rank.
        rank: usize,
    },
    /// A tensor of another kind than the graph says.
    #[error("`{path}` is not of the kind that the graph says; parameters are floats")]
    Kind {
        /// The parameter's path, or the constant's name.
        path: String,
    },
    /// The graph has a parameter that the network has not.
    #[error("the graph has a parameter `{path}`, and the network has none of that path")]
    Missing {
        /// The parameter's path.
        path: String,
    },
    /// A tensor has another shape than the graph says.
    #[error("`{path}` has shape {found:?}; the graph says {expected:?}")]
    Shape {
        /// The parameter's path, or the constant's name.
        path: String,
        /// What the tensor has.
        found: Vec<usize>,
        /// What the graph says.
        expected: Vec<usize>,
    },
}
