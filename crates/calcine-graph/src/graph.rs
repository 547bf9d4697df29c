use serde::{Deserialize, Serialize};

use crate::extent::Extent;
use crate::op::Op;

/// A tensor of a graph, by its position in [`Graph::values`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ValueId(pub usize);

/// What the elements of a tensor are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names say it")]
pub enum ElementKind {
    Float,
    Int,
    Bool,
}

/// Where a tensor comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The caller.
    Input,
    /// A parameter of the model, running statistics included. The value's name is its path.
    Parameter,
    /// A tensor that the model makes of nothing, the same in every pass.
    Constant,
    /// The node at this position.
    Node(usize),
}

/// A tensor: what it is called, how large it is and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Value {
    /// The path of a parameter, else the name of the node that makes it, or of the input.
    pub name: String,
    /// The length of each axis.
    pub shape: Vec<Extent>,
    /// What its elements are.
    pub kind: ElementKind,
    /// Where it comes from.
    pub source: Source,
}

impl Value {
    /// The shape for a batch of this size.
    #[must_use]
    pub fn shape_at(&self, batch: usize) -> Vec<usize> {
        self.shape.iter().map(|extent| extent.at(batch)).collect()
    }

    /// The number of elements for a batch of this size.
    #[must_use]
    pub fn numel_at(&self, batch: usize) -> usize {
        self.shape.iter().map(|extent| extent.at(batch)).product()
    }
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Unique in the graph: the layer's path (`layer1.0.conv1`), or for what has no parameters its
    /// producer's name and the op's (`layer1.0.bn1.relu`).
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// Its operands, in the order that [`Op`] says.
    pub inputs: Vec<ValueId>,
    /// Its result.
    pub output: ValueId,
}

/// A network as data: tensors, and the operations between them in an order in which they can run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Graph {
    /// All tensors.
    pub values: Vec<Value>,
    /// All operations; each comes after those whose results it uses.
    pub nodes: Vec<Node>,
    /// What the caller gives.
    pub inputs: Vec<ValueId>,
    /// What the caller gets.
    pub outputs: Vec<ValueId>,
}

impl Graph {
    /// The tensor of this id.
    ///
    /// # Panics
    ///
    /// If the id is another graph's.
    #[must_use]
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.0]
    }

    /// The node that makes the tensor; `None` for inputs, parameters and constants.
    #[must_use]
    pub fn producer(&self, id: ValueId) -> Option<&Node> {
        match self.value(id).source {
            Source::Node(node) => Some(&self.nodes[node]),
            _ => None,
        }
    }

    /// The nodes that use the tensor, in order.
    pub fn consumers(&self, id: ValueId) -> impl Iterator<Item = &Node> {
        self.nodes
            .iter()
            .filter(move |node| node.inputs.contains(&id))
    }

    /// The parameter of this path.
    #[must_use]
    pub fn parameter(&self, path: &str) -> Option<ValueId> {
        self.parameters()
            .find(|(_, value)| value.name == path)
            .map(|(id, _)| id)
    }

    /// All parameters, in the order of [`values`](Self::values).
    pub fn parameters(&self) -> impl Iterator<Item = (ValueId, &Value)> {
        self.values
            .iter()
            .enumerate()
            .filter(|(_, value)| value.source == Source::Parameter)
            .map(|(index, value)| (ValueId(index), value))
    }

    /// The node of this name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == name)
    }
}
