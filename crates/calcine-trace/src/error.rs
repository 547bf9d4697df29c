use std::fmt;

/// Why a model could not be traced.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// The sample does not fit the forward pass: it has another number of tensors, tensors of another rank or kind, or
    /// no element along the batch axis.
    #[error(
        "the sample does not fit: the forward pass takes {expected}, at least one along the first axis"
    )]
    Sample {
        /// The tensors that the forward pass takes.
        expected: String,
    },
    /// Burn could not record the forward pass.
    #[error("the forward pass cannot be recorded: {0}")]
    Capture(String),
    /// Operations that outputs depend on and that a graph cannot represent; all of them are listed.
    #[error("{}", listed(.0))]
    Operations(Vec<Untraceable>),
    /// The forward pass does something else for another batch size.
    #[error(
        "at `{layer}` the forward pass does one thing for a batch of {} and another for a batch of {}: {what}",
        .batches.first().copied().unwrap_or_default(),
        rest(.batches)
    )]
    Batch {
        /// The nearest layer before the difference; empty if it is before the first layer.
        layer: String,
        /// The sizes of the batches that were recorded.
        batches: Vec<usize>,
        /// The difference.
        what: String,
    },
    /// The model's own code panicked.
    #[error("the forward pass panicked: {message}{}", advice(.message))]
    Panic {
        /// The message of the panic.
        message: String,
    },
    /// The outputs of network and model differ for the sample: the model's code does something that no recording shows.
    #[error(
        "the outputs of network and model differ for the sample: output {output} {what}; what Rust code \
         decides or draws in the forward pass must be the same in every pass"
    )]
    SampleDiffers {
        /// The index of the output, from 0.
        output: usize,
        /// The difference.
        what: String,
    },
    /// The recordings give a graph that is not valid.
    #[error("the recordings do not make a network: {0}")]
    Graph(#[from] calcine_graph::GraphError),
    /// The momentum of a batch norm cannot be measured.
    #[error(
        "the momentum of `{layer}` cannot be measured: {problem}. If the norm does not train, freeze it \
         (`Module::freeze_group`); if the model cannot run in training, freeze it whole (`Module::freeze`)"
    )]
    Momentum {
        /// The path of the norm.
        layer: String,
        /// The reason.
        problem: String,
    },
    /// A parameter of a rank that no network supports.
    #[error("the parameter `{path}` has rank {rank}; a network holds ranks 1 to 6")]
    Parameter {
        /// The path of the parameter.
        path: String,
        /// The rank of the parameter.
        rank: usize,
    },
}

/// An operation that a graph cannot represent, and its place in the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untraceable {
    /// Burn's name of the operation, in backticks.
    pub op: String,
    /// The nearest layer before the operation; empty if it is before the first layer.
    pub layer: String,
    /// The shape of the result.
    pub shape: Vec<usize>,
}

impl fmt::Display for Untraceable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { op, layer, shape } = self;
        match layer.as_str() {
            "" => write!(
                f,
                "{op} before the first layer, of shape {shape:?}, cannot be traced"
            ),
            layer => write!(f, "{op} at `{layer}`, of shape {shape:?}, cannot be traced"),
        }
    }
}

fn listed(operations: &[Untraceable]) -> String {
    let lines: Vec<String> = operations.iter().map(ToString::to_string).collect();
    lines.join("; ")
}

fn rest(batches: &[usize]) -> String {
    let others: Vec<String> = batches.iter().skip(1).map(ToString::to_string).collect();
    others.join(" or ")
}

/// Advice that may help against a panic of the model's own code.
fn advice(message: &str) -> &'static str {
    if message.contains("no concrete value") || message.contains("no initialized value") {
        return "; a recording has no values: use `mask_where` for what depends on a value, or trace each case separately";
    }
    if message.contains("device") || message.contains("backend") || message.contains("Cannot move")
    {
        return "; if the model keeps a device in a field, use `trace_made`, which creates the model on the device that records";
    }
    ""
}

/// Why a network cannot compute outputs for these inputs, or return them as the requested tensors.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForwardError {
    /// The number of tensors is wrong.
    #[error("the network takes {expected} tensors, not {given}")]
    Inputs {
        /// The number of inputs of the network.
        expected: usize,
        /// The number of tensors that were given.
        given: usize,
    },
    /// A tensor has the wrong shape or kind.
    #[error("`{input}` is {given}; the network takes {expected}, where B is the batch")]
    Input {
        /// The name of the input.
        input: String,
        /// The kind and the shape that were given.
        given: String,
        /// The kind and the shape that would fit.
        expected: String,
    },
    /// An operation failed for the given values: an index is out of range, or a tensor is on another device.
    #[error("`{node}` cannot be computed: {message}")]
    Operation {
        /// The name of the node.
        node: String,
        /// Burn's message.
        message: String,
    },
    /// The outputs of the network are not the tensors that the caller asked for.
    #[error("the network gives {given}, not {asked}")]
    Outputs {
        /// The kinds and shapes of the outputs.
        given: String,
        /// The kinds and ranks that the caller asked for.
        asked: String,
    },
}

/// Why a network cannot be rewritten with another graph.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RewriteError {
    /// The graph is not valid.
    #[error(transparent)]
    Graph(#[from] calcine_graph::GraphError),
    /// A tensor has a rank that no network supports.
    #[error("`{path}` has rank {rank}; a network computes with ranks 1 to 6")]
    Rank {
        /// The name of the value.
        path: String,
        /// The rank of the tensor.
        rank: usize,
    },
    /// A tensor has another kind than its value in the graph.
    #[error("`{path}` is not of the kind that the graph defines; parameters are floats")]
    Kind {
        /// The path of the parameter, or the name of the constant.
        path: String,
    },
    /// The graph has a parameter that the network does not have.
    #[error("the graph has the parameter `{path}`, which the network does not have")]
    Missing {
        /// The path of the parameter.
        path: String,
    },
    /// The path of an added parameter is already used.
    #[error("`{path}` is already a parameter of the network")]
    Taken {
        /// The path.
        path: String,
    },
    /// A tensor has another shape than its value in the graph.
    #[error("`{path}` has shape {found:?}, but {expected:?} in the graph")]
    Shape {
        /// The path of the parameter, or the name of the constant.
        path: String,
        /// The shape of the tensor.
        found: Vec<usize>,
        /// The shape in the graph.
        expected: Vec<usize>,
    },
}
