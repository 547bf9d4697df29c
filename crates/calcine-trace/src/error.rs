use std::fmt;

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
    /// Operations that no graph has a counterpart for: all that the outputs depend on.
    #[error("{}", listed(.0))]
    Operations(Vec<Untraceable>),
    /// The forward pass does another thing for another batch.
    #[error(
        "at `{layer}` the forward pass does one thing for a batch of {} and another for a batch of {}: {what}",
        .batches.first().copied().unwrap_or_default(),
        rest(.batches)
    )]
    Batch {
        /// The nearest layer before it; empty before the first.
        layer: String,
        /// The sizes of the batches that were recorded.
        batches: Vec<usize>,
        /// The difference.
        what: String,
    },
    /// The model's own code panicked.
    #[error("the forward pass panicked: {message}{}", advice(.message))]
    Panic {
        /// What it said.
        message: String,
    },
    /// The network does not compute what the model computes of the sample: its code does something that no recording shows.
    #[error(
        "the network does not compute what the model computes of the sample: output {output} {what}; what Rust \
         decides or draws in the forward pass must be the same in every pass"
    )]
    SampleDiffers {
        /// Which of the outputs, from 0.
        output: usize,
        /// The difference.
        what: String,
    },
    /// The network that came of the recordings contradicts itself.
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
        /// Why.
        problem: String,
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

/// An operation that no graph has a counterpart for, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untraceable {
    /// What Burn calls it, in backticks.
    pub op: String,
    /// The nearest layer before it; empty before the first.
    pub layer: String,
    /// The shape of its result.
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

/// What may help against a panic of the model's own code.
fn advice(message: &str) -> &'static str {
    if message.contains("no concrete value") || message.contains("no initialized value") {
        return "; a recording has no values: what depends on one is `mask_where`, or is traced for each case alone";
    }
    if message.contains("device") || message.contains("backend") || message.contains("Cannot move")
    {
        return "; if the model keeps a device in a field, `trace_made` makes it on the device that records";
    }
    ""
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
    /// An operation failed on the given values: an index beyond the end, or a tensor on another device.
    #[error("`{node}` cannot be computed: {message}")]
    Operation {
        /// The node.
        node: String,
        /// What Burn says.
        message: String,
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
    /// A parameter is added under the path of another.
    #[error("`{path}` is a parameter of the network already")]
    Taken {
        /// The path.
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
