use serde::{Deserialize, Serialize};

use crate::extent::Extent;
use crate::op::Op;

/// A tensor of a graph, by its position in [`Graph::values`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ValueId(pub usize);

/// The type of the elements of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names say it")]
pub enum ElementKind {
    Float,
    Int,
    Bool,
}

/// The origin of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// An input of the network.
    Input,
    /// A parameter of the model, or a running statistic. The name of the value is its path.
    Parameter,
    /// A tensor that the model creates itself, which is the same in every pass.
    Constant,
    /// The result of the node at this position.
    Node(usize),
}

/// A tensor: its name, shape, element type and origin.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Value {
    /// The path of a parameter; otherwise the name of the node that produces it, or of the input.
    pub name: String,
    /// The length of each axis.
    pub shape: Vec<Extent>,
    /// The type of its elements.
    pub kind: ElementKind,
    /// The origin.
    pub source: Source,
}

impl Value {
    /// The shape for a batch of this size.
    #[must_use]
    pub fn shape_at(&self, batch: usize) -> Vec<usize> {
        self.shape
            .iter()
            .map(|extent| extent.length_for(batch))
            .collect()
    }

    /// The number of elements for a batch of this size.
    #[must_use]
    pub fn numel_at(&self, batch: usize) -> usize {
        self.shape
            .iter()
            .map(|extent| extent.length_for(batch))
            .product()
    }
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// The name, unique in the graph: the path of the layer (`layer1.0.conv1`), or, for a node without parameters, the
    /// name of its producer and of its operation (`layer1.0.bn1.relu`).
    pub name: String,
    /// The operation.
    pub op: Op,
    /// The operands, in the order that [`Op`] documents.
    pub inputs: Vec<ValueId>,
    /// The result.
    pub output: ValueId,
}

/// A network as data: tensors, and the operations between them in execution order.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Graph {
    /// All tensors.
    pub values: Vec<Value>,
    /// All operations; each comes after those whose results it uses.
    pub nodes: Vec<Node>,
    /// The inputs of the network.
    pub inputs: Vec<ValueId>,
    /// The outputs of the network.
    pub outputs: Vec<ValueId>,
}

impl Graph {
    /// The tensor with this id.
    ///
    /// # Panics
    ///
    /// If the id belongs to another graph.
    #[must_use]
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.0]
    }

    /// The node that produces the tensor; `None` for inputs, parameters and constants.
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

    /// The parameter with this path.
    #[must_use]
    pub fn parameter(&self, path: &str) -> Option<ValueId> {
        self.parameters()
            .find(|(_, value)| value.name == path)
            .map(|(id, _)| id)
    }

    /// The name of the weight of each convolution, transposed or not, and the number of its groups, in the order of the nodes.
    pub fn convolution_groups(&self) -> impl Iterator<Item = (&str, usize)> {
        self.nodes.iter().filter_map(|node| match &node.op {
            Op::Convolution(convolution) | Op::TransposedConvolution { convolution, .. } => {
                let weight = self.value(*node.inputs.get(1)?);
                Some((weight.name.as_str(), convolution.groups))
            }
            _ => None,
        })
    }

    /// All parameters, in the order of [`values`](Self::values).
    pub fn parameters(&self) -> impl Iterator<Item = (ValueId, &Value)> {
        self.values
            .iter()
            .enumerate()
            .filter(|(_, value)| value.source == Source::Parameter)
            .map(|(index, value)| (ValueId(index), value))
    }

    /// The node with this name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == name)
    }
}
