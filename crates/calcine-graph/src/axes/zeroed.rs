//! Follows what a channel that is set to zero in its producers becomes in its consumers.

use std::collections::HashMap;

use super::group::Role;
use super::norm_features::NormFeatures;
use super::walk::Walk;
use crate::constant::{ConstantSlices, constant_slices};
use crate::graph::{Node, Source, ValueId};
use crate::op::Op;
use crate::properties::Summation;

const NOT_ZERO: &str = "reads it, and where the channel is zeroed it does not read zeros";
const SHARED: &str =
    "reads it, where a zeroed channel is a constant that its bias cannot make up for";

impl Walk<'_> {
    /// Pins channels whose removal would change the result after all their producers have been set to zero.
    ///
    /// For each channel, the value that it has after it was set to zero is followed to its consumers: `sum(exp(x))`
    /// includes a one, and a convolution after a ReLU reads zeros. A constant that is not zero can be added to the bias
    /// of the layer that consumes it.
    pub(super) fn pin_missed(&mut self, norms: NormFeatures) {
        let graph = self.graph;
        let roles = std::mem::take(&mut self.roles);
        let known = constant_slices(graph, &|id| zeroed(self, &roles, id), &|_| None);
        self.roles = roles;
        for node in &graph.nodes {
            for operand in 0..node.inputs.len() {
                for axis in graph.read_axes(node, operand) {
                    self.pin_missed_by(node, operand, axis, &known, norms);
                }
            }
        }
    }

    fn pin_missed_by(
        &mut self,
        node: &Node,
        operand: usize,
        axis: usize,
        known: &[ConstantSlices],
        norms: NormFeatures,
    ) {
        let id = node.inputs[operand];
        let span = self.span(id, axis);
        let mut makes_up = None;
        let mut numbers: HashMap<&'static str, u32> = HashMap::new();
        for (index, label) in span.labels().enumerate() {
            if self.labels.pinned(label).is_some() {
                continue;
            }
            let phrase = match known[id.0].value_at(axis, index) {
                Some(0.0) if reads_nothing_of_zeros(&node.op, norms) => continue,
                // The other factor is removed with the channel, and may be the one that is zero.
                _ if self.other_factor_is_zero(node, operand, index, known) => continue,
                Some(_) if matches!(node.op, Op::Convolution(_) | Op::Linear) => {
                    if *makes_up.get_or_insert_with(|| self.graph.can_shift_bias(node)) {
                        continue;
                    }
                    SHARED
                }
                _ => NOT_ZERO,
            };
            let number = match numbers.get(phrase) {
                Some(&number) => number,
                None => {
                    let number = self.because(node, phrase);
                    numbers.insert(phrase, number);
                    number
                }
            };
            self.labels.pin(label, number);
        }
    }

    fn other_factor_is_zero(
        &self,
        node: &Node,
        operand: usize,
        index: usize,
        known: &[ConstantSlices],
    ) -> bool {
        let (other, behind) = match (&node.op, operand) {
            (Op::Matmul, 0) => (1, 2),
            (Op::Matmul, 1) => (0, 1),
            _ => return false,
        };
        let id = node.inputs[other];
        let axis = self.rank(id) - behind;
        known[id.0].value_at(axis, index) == Some(0.0)
    }
}

/// The slices of a parameter that are zero after its units have been set to zero.
fn zeroed(walk: &Walk<'_>, roles: &HashMap<(ValueId, usize), Role>, id: ValueId) -> ConstantSlices {
    let value = walk.graph.value(id);
    let mut slices = ConstantSlices::unknown(value.shape.len());
    if value.source == Source::Parameter {
        for axis in 0..value.shape.len() {
            let role = roles.get(&(id, axis)).copied().unwrap_or(Role::Elementwise);
            if role.is_zeroed() {
                slices.set(axis, vec![Some(0.0); walk.span(id, axis).length]);
            }
        }
    }
    slices
}

/// Whether the operation has the same result without an index at which it reads only zeros; for norms, approximately.
fn reads_nothing_of_zeros(op: &Op, norms: NormFeatures) -> bool {
    match op.properties().summation {
        Summation::Sum => true,
        Summation::Mean => norms == NormFeatures::Removable,
        Summation::Other => false,
    }
}
