//! Why a file cannot be read, or a network cannot be written.

use std::fmt;

/// What is wrong with the bytes of a file, as the end of a message that begins with "the file is not an ONNX model: ".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

/// A node that cannot be imported or exported.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnsupportedNode {
    /// The node's name; without one, the name of its first output.
    pub node: String,
    /// The operator: that of ONNX for an import, the graph's operation for an export.
    pub operator: String,
    /// The opset of the file.
    pub opset: i64,
    /// The nearest layer with parameters before the node; empty if there is none.
    pub layer: String,
    /// What is not supported, and what would be valid.
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

/// Why a network cannot be written as an ONNX file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// Nodes that cannot be expressed in the form or the opset. All of them are listed.
    #[error("{} nodes cannot be exported:{}", .0.len(), listed(.0))]
    Nodes(Vec<UnsupportedNode>),
    /// The opset is not supported.
    #[error("opset {0} cannot be written: valid are 13 to 25")]
    Opset(i64),
    /// The network cannot be written in this form.
    #[error("the form `{form}` {problem}")]
    Form {
        /// The name.
        form: &'static str,
        /// The reason, and what would be valid.
        problem: &'static str,
    },
    /// The file would exceed 2 GiB, the limit of protobuf.
    #[error(
        "the model has {0} bytes, and one file holds at most 2^31: write it with external data"
    )]
    Large(usize),
    /// The file cannot be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Why a file cannot be read as a network.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The bytes are not an ONNX model.
    #[error("the file is not an ONNX model: {0}")]
    Malformed(&'static str),
    /// The opset of the model is not supported.
    #[error("the file has opset {0}: valid are 7 to 28")]
    Opset(i64),
    /// The elements of a tensor do not fit its type and shape, or the tensor is missing.
    #[error("the tensor `{name}` {problem}")]
    Tensor {
        /// The name.
        name: String,
        /// What is wrong with the tensor.
        problem: String,
    },
    /// A network cannot have this input or output.
    #[error("`{name}` {problem}")]
    Value {
        /// The name.
        name: String,
        /// What is wrong, and what would be valid.
        problem: String,
    },
    /// Nodes that cannot be expressed as operations of a network. All of them are listed.
    #[error("{} nodes are not supported:{}", .0.len(), listed(.0))]
    Nodes(Vec<UnsupportedNode>),
    /// The constants that the file computes exceed the memory limit, which is proportional to the size of the file.
    #[error(
        "constant `{name}` would have {elements} elements, more than a file of this size may make"
    )]
    Large {
        /// The name of the value.
        name: String,
        /// The number of elements.
        elements: u128,
    },
    /// The graph is inconsistent, for example in its shapes.
    #[error(transparent)]
    Graph(#[from] calcine_graph::GraphError),
    /// The parameters do not match the graph.
    #[error(transparent)]
    Network(#[from] calcine_trace::RewriteError),
    /// The file cannot be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl From<Malformed> for ImportError {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed.0)
    }
}
