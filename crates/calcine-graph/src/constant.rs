//! Slices of tensors that have the same value for every input of the network.

mod element;
mod layers;
mod moves;
mod stored;
mod transfer;

use crate::graph::{Graph, ValueId};
use crate::properties::{Arrangement, Reads};

pub use stored::Stored;

/// The slices of one tensor that are known to be constant: all their elements have the same value for every input.
///
/// A slice consists of all elements with one index along one axis: a channel along axis 1, a head, a feature. An axis
/// that grows with the batch has a slice for each index that a sample adds, with the batch outermost. Axes of length 1
/// have no slices.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ConstantSlices {
    /// The value of all elements, if they are equal.
    uniform: Option<f64>,
    /// For each axis, the value of each slice; empty if nothing is known along the axis.
    axes: Vec<Vec<Option<f64>>>,
}

impl ConstantSlices {
    /// A tensor about which nothing is known.
    #[must_use]
    pub fn unknown(rank: usize) -> Self {
        Self {
            uniform: None,
            axes: vec![Vec::new(); rank],
        }
    }

    /// A tensor whose elements all have this value.
    #[must_use]
    pub fn uniform(rank: usize, number: f64) -> Self {
        Self {
            uniform: Some(number).filter(|number| number.is_finite()),
            ..Self::unknown(rank)
        }
    }

    /// A tensor whose slices along one axis have these values; `None` where a value is not known.
    #[must_use]
    pub fn along(rank: usize, axis: usize, numbers: Vec<Option<f64>>) -> Self {
        let mut slices = Self::unknown(rank);
        slices.set(axis, numbers);
        slices
    }

    /// The value of the slice at this index of an axis, if it is constant and known.
    #[must_use]
    pub fn value_at(&self, axis: usize, index: usize) -> Option<f64> {
        let numbers = self.axes.get(axis);
        let own = numbers
            .and_then(|numbers| numbers.get(index).copied())
            .flatten();
        own.or(self.uniform)
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.uniform.is_none() && self.axes.iter().all(Vec::is_empty)
    }

    /// The values of the slices along an axis of this length.
    fn numbers(&self, axis: usize, length: usize) -> Vec<Option<f64>> {
        (0..length)
            .map(|index| self.value_at(axis, index))
            .collect()
    }

    pub(crate) fn set(&mut self, axis: usize, numbers: Vec<Option<f64>>) {
        if let Some(place) = self.axes.get_mut(axis)
            && numbers.len() > 1
            && numbers.iter().any(Option::is_some)
        {
            *place = numbers;
        }
    }

    /// Applies a function to all values.
    fn each(&self, change: impl Fn(f64) -> Option<f64>) -> Self {
        let change = |number: f64| change(number).filter(|number| number.is_finite());
        let mut changed = Self {
            uniform: self.uniform.and_then(change),
            axes: vec![Vec::new(); self.axes.len()],
        };
        for (axis, numbers) in self.axes.iter().enumerate() {
            let numbers = numbers.iter().map(|number| number.and_then(change));
            changed.set(axis, numbers.collect());
        }
        changed
    }
}

/// Computes the constant slices of every tensor of a graph, by value; `given` contains those of tensors that no node
/// produces.
///
/// Nodes are followed in evaluation mode: batch norms use their running statistics. `stored` returns the elements of
/// tensors if they are known; they are needed for weighted sums over constant channels. A node whose result is stored
/// is not followed: `given` contains its slices. Operations that are not supported give unknown slices.
///
/// Zero times an unknown number counts as zero, and so does zero divided by one.
#[must_use]
pub fn constant_slices<'s>(
    graph: &Graph,
    given: &dyn Fn(ValueId) -> ConstantSlices,
    stored: &dyn Fn(ValueId) -> Option<&'s Stored>,
) -> Vec<ConstantSlices> {
    let mut known: Vec<ConstantSlices> = (0..graph.values.len())
        .map(|id| given(ValueId(id)))
        .collect();
    for node in &graph.nodes {
        if stored(node.output).is_none() {
            let transfer = transfer::Transfer {
                graph,
                node,
                known: &known,
                stored,
            };
            known[node.output.0] = transfer.result();
        }
    }
    known
}

impl Graph {
    /// The axes of an operand along which the operation of a node sums or selects, so that removing an index is at best
    /// the same as reading a zero there; empty for operations that treat each index separately.
    ///
    /// # Panics
    ///
    /// If the node is not in this graph, or has no such operand.
    #[must_use]
    pub fn read_axes(&self, node: &crate::graph::Node, operand: usize) -> Vec<usize> {
        let x = node.inputs[operand];
        let rank = self.value(x).shape.len();
        let properties = node.op.properties();
        match (properties.reads, operand) {
            (Reads::Named, 0) => properties.axes.to_vec(),
            (Reads::Last | Reads::Matrices, 0) => vec![rank - 1],
            (Reads::Matrices, 1) => vec![rank - 2],
            (Reads::Everything, 0) => (0..rank).collect(),
            (Reads::Filters, 0) if self.is_channelwise(node) => Vec::new(),
            (Reads::Channels | Reads::Filters, 0) => vec![1],
            (Reads::Attention, 0) => vec![3],
            (Reads::Attention, 1) => vec![2, 3],
            (Reads::Attention, 2) => vec![2],
            (
                Reads::Nothing
                | Reads::Named
                | Reads::Last
                | Reads::Everything
                | Reads::Channels
                | Reads::Filters
                | Reads::Matrices
                | Reads::Attention,
                _,
            ) => Vec::new(),
        }
    }

    /// Whether each filter of a convolution has only one input channel.
    fn is_channelwise(&self, node: &crate::graph::Node) -> bool {
        let depth = self.value(node.inputs[1]).shape.get(1);
        depth.is_some_and(|depth| depth.length_for(1) == 1)
            && self.value(node.inputs[0]).shape[1].length_for(1) > 1
    }

    /// Whether a constant can be added to each output of a layer: it has no bias yet, or its own bias parameter, which
    /// is not computed and which no other node uses.
    #[must_use]
    pub fn can_shift_bias(&self, node: &crate::graph::Node) -> bool {
        let Some(&bias) = node.inputs.get(2) else {
            return self.parameter_behind(node.inputs[1]).is_some();
        };
        let uses = self.nodes.iter().flat_map(|node| &node.inputs);
        self.value(bias).source == crate::graph::Source::Parameter
            && uses.filter(|&&id| id == bias).count() == 1
    }

    /// The parameter that a tensor is, or from which it is only rearranged: transposed, cast, reshaped, or scaled by a
    /// number.
    #[must_use]
    pub fn parameter_behind(&self, id: ValueId) -> Option<ValueId> {
        let Some(node) = self.producer(id) else {
            return (self.value(id).source == crate::graph::Source::Parameter).then_some(id);
        };
        match node.op.properties().arrangement {
            Arrangement::Same
            | Arrangement::Permuted(_)
            | Arrangement::Reshaped
            | Arrangement::Expanded => self.parameter_behind(*node.inputs.first()?),
            Arrangement::Other => None,
        }
    }
}
