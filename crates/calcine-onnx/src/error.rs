//! What can be wrong with a file, or with a network that is to become one.

use std::fmt;

/// What is wrong with the bytes of a file, in words that go on "the file is no ONNX model: ".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

/// A node that has no counterpart on the other side.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnsupportedNode {
    /// The node's name; without one, the name of its first output.
    pub node: String,
    /// Its operator: ONNX's in a file, the graph's in a network.
    pub operator: String,
    /// The file's opset.
    pub opset: i64,
    /// The nearest layer with parameters before it; empty if there is none.
    pub layer: String,
    /// What is not supported, and what would be.
    pub reason: String,
}

impl fmt::Display for UnsupportedNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            node,
            operator,
            opset,
            layer,
            reason,
        } = self;
        write!(f, "`{operator}` (opset {opset}) at {node}")?;
        if !layer.is_empty() {
            write!(f, ", behind {layer}")?;
        }
        write!(f, ": {reason}")
    }
}

fn listed(nodes: &[UnsupportedNode]) -> String {
    let lines = nodes.iter().map(|node| format!("\n  {node}"));
    lines.collect()
}

/// Why a network could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// Nodes that the form or the opset has no counterpart for; all of them.
    #[error("{} nodes cannot be exported:{}", .0.len(), listed(.0))]
    Nodes(Vec<UnsupportedNode>),
    /// An opset that is not written.
    #[error("opset {0} is not written: valid are 13 to 25")]
    Opset(i64),
    /// A form that the network does not have.
    #[error("the form `{form}` {problem}")]
    Form {
        /// Its name.
        form: &'static str,
        /// Why not, and what would be valid.
        problem: &'static str,
    },
    /// A file of more than 2 GiB, which protobuf cannot hold.
    #[error(
        "the model has {0} bytes, and one file holds at most 2^31: write it with external data"
    )]
    Large(usize),
    /// The file system.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Why a file could not be read as a network.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The bytes are no ONNX model.
    #[error("the file is no ONNX model: {0}")]
    Malformed(&'static str),
    /// A model of another opset.
    #[error("the file is of opset {0}: valid are 7 to 28")]
    Opset(i64),
    /// A tensor whose elements do not fit its type and shape, or that is not there.
    #[error("the tensor `{name}` {problem}")]
    Tensor {
        /// Its name.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// An input or output that a network cannot have.
    #[error("`{name}` {problem}")]
    Value {
        /// Its name.
        name: String,
        /// What is wrong with it, and what would be valid.
        problem: String,
    },
    /// Nodes that a network has no counterpart for; all of them.
    #[error("{} nodes are not supported:{}", .0.len(), listed(.0))]
    Nodes(Vec<UnsupportedNode>),
    /// Constants that the file computes would take more memory than it has bytes for.
    #[error(
        "constant `{name}` would have {elements} elements, more than a file of this size may make"
    )]
    Large {
        /// The value.
        name: String,
        /// How many elements.
        elements: u128,
    },
    /// The network contradicts itself: shapes that do not fit.
    #[error(transparent)]
    Graph(#[from] calcine_graph::GraphError),
    /// The parameters do not fit the graph.
    #[error(transparent)]
    Network(#[from] calcine_trace::RewriteError),
    /// The file system.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl From<Malformed> for ImportError {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed.0)
    }
}
