use std::collections::HashMap;

use super::block::Block;
use super::group::Role;
use super::labels::{Labels, Span};
use super::norm_features::NormFeatures;
use super::reason::Reason;
use crate::error::GraphError;
use crate::graph::{Graph, Node, Source, ValueId};
use crate::properties::Arrangement;

/// One pass over a graph that finds which labels are equal and which are pinned.
pub(super) struct Walk<'g> {
    pub(super) graph: &'g Graph,
    pub(super) labels: Labels,
    pub(super) pins: Vec<Pin>,
    pub(super) roles: HashMap<(ValueId, usize), Role>,
    /// The reshapes that merge or split axes.
    pub(super) blocks: Vec<Block>,
    /// The factor that each block follows; the outermost one if there is no entry.
    pub(super) follows: &'g HashMap<(usize, usize), usize>,
    /// Whether features that means include are pinned.
    pub(super) norms: NormFeatures,
}

/// Why labels are pinned, in a short form.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pin {
    node: Option<usize>,
    op: &'static str,
    phrase: &'static str,
}

/// Pins of reshapes have numbers from here on, so that all other reasons take precedence.
pub(super) const SOFT: u32 = 1 << 31;

impl<'g> Walk<'g> {
    pub(super) fn new(
        graph: &'g Graph,
        follows: &'g HashMap<(usize, usize), usize>,
        norms: NormFeatures,
    ) -> Result<Self, GraphError> {
        let mut walk = Self {
            graph,
            labels: Labels::new(graph),
            pins: Vec::new(),
            roles: HashMap::new(),
            blocks: Vec::new(),
            follows,
            norms,
        };
        walk.pin_ends("output", "it is the network's output", &graph.outputs);
        walk.pin_ends("input", "it is the network's input", &graph.inputs);
        walk.pin_unread();
        for (position, node) in graph.nodes.iter().enumerate() {
            walk.node(position, node)?;
        }
        walk.pin_missed(norms);
        Ok(walk)
    }

    pub(super) fn reason(&self, number: u32) -> Reason {
        let pin = self.pins[(number & !SOFT) as usize];
        Reason {
            node: pin.node.map(|node| self.graph.nodes[node].name.clone()),
            op: pin.op,
            phrase: pin.phrase,
        }
    }

    fn pin_ends(&mut self, op: &'static str, phrase: &'static str, values: &[ValueId]) {
        let number = self.number(None, op, phrase);
        for &value in values {
            self.pin_value(value, number);
        }
    }

    fn pin_unread(&mut self) {
        let number = self.number(None, "parameter", "nothing reads it");
        let mut read = vec![false; self.graph.values.len()];
        for node in &self.graph.nodes {
            node.inputs.iter().for_each(|id| read[id.0] = true);
        }
        for (id, _) in self.graph.parameters() {
            if !read[id.0] {
                self.pin_value(id, number);
            }
        }
    }

    fn pin_value(&mut self, value: ValueId, number: u32) {
        for axis in 0..self.rank(value) {
            self.pin_span(self.labels.span(value, axis), number);
        }
    }

    fn number(&mut self, node: Option<usize>, op: &'static str, phrase: &'static str) -> u32 {
        self.pins.push(Pin { node, op, phrase });
        (self.pins.len() - 1) as u32
    }

    pub(super) fn rank(&self, value: ValueId) -> usize {
        self.graph.value(value).shape.len()
    }

    pub(super) fn span(&self, value: ValueId, axis: usize) -> Span {
        self.labels.span(value, axis)
    }

    /// Registers a reason why this node pins labels.
    pub(super) fn because(&mut self, node: &Node, phrase: &'static str) -> u32 {
        let position = match self.graph.value(node.output).source {
            Source::Node(position) => Some(position),
            _ => None,
        };
        self.number(position, node.op.name(), phrase)
    }

    pub(super) fn pin_span(&mut self, span: Span, number: u32) {
        for label in span.labels() {
            self.labels.pin(label, number);
        }
    }

    pub(super) fn pin_axis(
        &mut self,
        node: &Node,
        value: ValueId,
        axis: usize,
        phrase: &'static str,
    ) {
        let number = self.because(node, phrase);
        self.pin_span(self.span(value, axis), number);
    }

    /// Pins all axes from this one on.
    pub(super) fn pin_from(
        &mut self,
        node: &Node,
        value: ValueId,
        axis: usize,
        phrase: &'static str,
    ) {
        let number = self.because(node, phrase);
        for axis in axis..self.rank(value) {
            self.pin_span(self.span(value, axis), number);
        }
    }

    /// Makes the labels of two axes equal.
    pub(super) fn same(
        &mut self,
        node: &Node,
        one: (ValueId, usize),
        other: (ValueId, usize),
    ) -> Result<(), GraphError> {
        let length = |(value, axis): (ValueId, usize)| self.graph.value(value).shape[axis];
        if length(one) != length(other) {
            return Err(self.unequal(node, one, other));
        }
        self.labels
            .join_spans(self.span(one.0, one.1), self.span(other.0, other.1));
        Ok(())
    }

    /// Makes the labels of an axis of an operand and of the result equal, unless the operand is broadcast along it.
    pub(super) fn broadcast(
        &mut self,
        node: &Node,
        operand: (ValueId, usize),
        result: (ValueId, usize),
    ) -> Result<(), GraphError> {
        if self.graph.value(operand.0).shape[operand.1] == 1.into() {
            return Ok(());
        }
        self.same(node, operand, result)
    }

    /// Does the same for all axes of an operand except the last few, aligned from the right.
    pub(super) fn broadcast_all(
        &mut self,
        node: &Node,
        operand: ValueId,
        last: usize,
    ) -> Result<(), GraphError> {
        let (rank, result) = (self.rank(operand), self.rank(node.output));
        if rank > result {
            return Err(GraphError::Rank {
                node: node.name.clone(),
                op: node.op.name(),
                value: self.graph.value(operand).name.clone(),
                found: rank,
                expected: result,
            });
        }
        for axis in 0..rank - last {
            self.broadcast(node, (operand, axis), (node.output, axis + result - rank))?;
        }
        Ok(())
    }

    /// Makes the labels of these axes of the first operand and of the result equal.
    pub(super) fn pass(
        &mut self,
        node: &Node,
        axes: impl IntoIterator<Item = usize>,
    ) -> Result<(), GraphError> {
        for axis in axes {
            self.same(node, (node.inputs[0], axis), (node.output, axis))?;
        }
        Ok(())
    }

    /// Sets the role of an axis of a parameter for the channels, also if the parameter is transposed, cast, scaled, or
    /// reshaped by adding or removing axes of length 1.
    pub(super) fn role(&mut self, value: ValueId, axis: usize, role: Role) {
        let Some(node) = self.graph.producer(value) else {
            let known = self.roles.entry((value, axis)).or_insert(role);
            // A parameter that one node consumes may produce channels in another.
            if *known == Role::Input {
                *known = role;
            }
            return;
        };
        let before = match node.op.properties().arrangement {
            Arrangement::Same => Some(axis),
            Arrangement::Permuted(axes) => Some(axes[axis]),
            Arrangement::Reshaped => self.same_long_axis(node, axis),
            Arrangement::Expanded | Arrangement::Other => None,
        };
        if let Some(before) = before {
            self.role(node.inputs[0], before, role);
        }
    }

    /// The axis of the operand of a reshape that becomes this one, if the reshape only adds or removes axes of length
    /// 1.
    fn same_long_axis(&self, node: &Node, axis: usize) -> Option<usize> {
        let long = |value: ValueId| {
            let shape = self.graph.value(value).shape.iter().enumerate();
            shape
                .filter(|(_, extent)| **extent != 1.into())
                .collect::<Vec<_>>()
        };
        let (before, after) = (long(node.inputs[0]), long(node.output));
        let same = before
            .iter()
            .map(|(_, extent)| extent)
            .eq(after.iter().map(|(_, extent)| extent));
        let position = after.iter().position(|(at, _)| *at == axis)?;
        same.then(|| before[position].0)
    }

    pub(super) fn unequal(
        &self,
        node: &Node,
        one: (ValueId, usize),
        other: (ValueId, usize),
    ) -> GraphError {
        let words = |(value, axis): (ValueId, usize)| {
            let value = self.graph.value(value);
            format!("axis {axis} of {} ({})", value.name, value.shape[axis])
        };
        GraphError::Lengths {
            node: node.name.clone(),
            op: node.op.name(),
            one: words(one),
            other: words(other),
        }
    }

    pub(super) fn setting(&self, node: &Node, problem: String) -> GraphError {
        GraphError::Setting {
            node: node.name.clone(),
            op: node.op.name(),
            problem,
        }
    }
}
