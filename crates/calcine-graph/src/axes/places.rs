//! Operations that move elements along an axis.

use super::walk::Walk;
use crate::error::GraphError;
use crate::extent::Extent;
use crate::graph::{Node, ValueId};
use crate::op::Range;

const BATCH: &str = "moves it within the batch";
const POSITION: &str = "takes it by its position";

impl Walk<'_> {
    fn extent(&self, value: ValueId, axis: usize) -> Extent {
        self.graph.value(value).shape[axis]
    }

    pub(super) fn concat(&mut self, node: &Node, axis: usize) -> Result<(), GraphError> {
        let y = node.output;
        let all = node.inputs.iter().map(|&x| self.extent(x, axis)).fold(
            Extent::fixed(0),
            |sum, part| Extent {
                fixed: sum.fixed + part.fixed,
                per_sample: sum.per_sample + part.per_sample,
            },
        );
        if all != self.extent(y, axis) {
            return Err(self.setting(
                node,
                format!(
                    "the operands are {all} long in all, the result {}",
                    self.extent(y, axis)
                ),
            ));
        }
        let number = self.because(node, if all.is_fixed() { POSITION } else { BATCH });
        let whole = self.span(y, axis);
        let mut start = 0;
        for &x in &node.inputs {
            let rank = self.rank(x);
            for other in (0..rank).filter(|&other| other != axis) {
                self.same(node, (x, other), (y, other))?;
            }
            let (part, length) = (self.span(x, axis), self.extent(x, axis).fixed);
            if !all.is_fixed() {
                self.pin_span(part, number);
                self.pin_span(whole, number);
            } else if part.length == 0 {
                (start..start + length.min(whole.length))
                    .for_each(|index| self.labels.pin(whole.label(index), number));
            } else {
                for index in 0..part.length {
                    self.labels
                        .join(part.label(index), whole.label(start + index));
                }
            }
            start += length;
        }
        Ok(())
    }

    pub(super) fn slice(&mut self, node: &Node, ranges: &[Range]) -> Result<(), GraphError> {
        let (x, y) = (node.inputs[0], node.output);
        for (axis, range) in ranges.iter().enumerate() {
            let (whole, part) = (self.extent(x, axis), self.extent(y, axis));
            let forwards = range.step == 1;
            if forwards && range.start == Extent::fixed(0) && range.end == whole {
                self.pass(node, [axis])?;
            } else if forwards && whole.is_fixed() {
                let length = range.end.fixed.checked_sub(range.start.fixed);
                let inside = range.end.is_fixed() && range.end.fixed <= whole.fixed;
                if !inside || !range.start.is_fixed() || length.map(Extent::fixed) != Some(part) {
                    return Err(self.setting(
                        node,
                        format!(
                            "{} to {} of axis {axis} of length {whole} do not make {part}",
                            range.start, range.end
                        ),
                    ));
                }
                self.slice_axis(node, axis, range.start.fixed);
            } else {
                let phrase = if forwards { BATCH } else { "steps along it" };
                self.pin_axis(node, x, axis, phrase);
                self.pin_axis(node, y, axis, phrase);
            }
        }
        Ok(())
    }

    fn slice_axis(&mut self, node: &Node, axis: usize, start: usize) {
        let (whole, part) = (
            self.span(node.inputs[0], axis),
            self.span(node.output, axis),
        );
        if part.length == 0 {
            // One index is taken and must be kept; an empty slice takes none.
            if self.extent(node.output, axis) == 1.into() && whole.length > 0 {
                let number = self.because(node, POSITION);
                self.labels.pin(whole.label(start), number);
            }
            return;
        }
        for index in 0..part.length {
            self.labels
                .join(part.label(index), whole.label(start + index));
        }
    }

    pub(super) fn select(&mut self, node: &Node, axis: usize) -> Result<(), GraphError> {
        let (x, indices, y) = (node.inputs[0], node.inputs[1], node.output);
        self.pin_axis(node, x, axis, POSITION);
        self.same(node, (indices, 0), (y, axis))?;
        self.pass(node, (0..self.rank(x)).filter(|&other| other != axis))
    }

    pub(super) fn gather(&mut self, node: &Node, axis: usize) -> Result<(), GraphError> {
        let (x, indices, y) = (node.inputs[0], node.inputs[1], node.output);
        self.pin_axis(node, x, axis, POSITION);
        for other in 0..self.rank(x) {
            self.same(node, (indices, other), (y, other))?;
            if other == axis {
                continue;
            }
            if self.extent(x, other) == self.extent(y, other) {
                self.pass(node, [other])?;
            } else {
                self.pin_axis(node, x, other, POSITION);
                self.pin_axis(node, y, other, POSITION);
            }
        }
        Ok(())
    }

    /// What lies along the axis is named by its position; the other axes are those of all operands.
    pub(super) fn scatter(&mut self, node: &Node, axis: usize) -> Result<(), GraphError> {
        let y = node.output;
        for &operand in &node.inputs {
            self.pin_axis(node, operand, axis, POSITION);
            for other in (0..self.rank(y)).filter(|&other| other != axis) {
                self.same(node, (operand, other), (y, other))?;
            }
        }
        self.pass(node, [axis])
    }

    /// The first axes are named by their positions; the rest goes through, from both operands.
    pub(super) fn scatter_nd(&mut self, node: &Node) -> Result<(), GraphError> {
        let (x, indices, values) = (node.inputs[0], node.inputs[1], node.inputs[2]);
        let places = self.rank(indices) - 1;
        let depth = (self.rank(x) + places).saturating_sub(self.rank(values));
        self.pin_from(node, indices, 0, POSITION);
        for axis in 0..places {
            self.pin_axis(node, values, axis, POSITION);
        }
        for axis in 0..self.rank(x) {
            match axis.checked_sub(depth) {
                None => self.pin_axis(node, x, axis, POSITION),
                Some(rest) => self.same(node, (values, places + rest), (x, axis))?,
            }
            self.pass(node, [axis])?;
        }
        Ok(())
    }

    pub(super) fn flip(&mut self, node: &Node, axes: &[usize]) -> Result<(), GraphError> {
        let (x, y) = (node.inputs[0], node.output);
        for axis in 0..self.rank(x) {
            if !axes.contains(&axis) {
                self.pass(node, [axis])?;
                continue;
            }
            if self.extent(x, axis) != self.extent(y, axis) {
                return Err(self.unequal(node, (x, axis), (y, axis)));
            }
            if !self.extent(x, axis).is_fixed() {
                self.pin_axis(node, x, axis, BATCH);
                self.pin_axis(node, y, axis, BATCH);
                continue;
            }
            let (from, to) = (self.span(x, axis), self.span(y, axis));
            for index in 0..from.length {
                self.labels
                    .join(from.label(index), to.label(from.length - 1 - index));
            }
        }
        Ok(())
    }

    pub(super) fn repeat(
        &mut self,
        node: &Node,
        axis: usize,
        times: usize,
    ) -> Result<(), GraphError> {
        let (x, y) = (node.inputs[0], node.output);
        self.pass(node, (0..self.rank(x)).filter(|&other| other != axis))?;
        let (one, all) = (self.extent(x, axis), self.extent(y, axis));
        if all.fixed != one.fixed * times || all.per_sample != one.per_sample * times {
            return Err(self.setting(
                node,
                format!("{one} repeated {times} times do not make {all}"),
            ));
        }
        if !one.is_fixed() {
            self.pin_axis(node, x, axis, BATCH);
            self.pin_axis(node, y, axis, BATCH);
            return Ok(());
        }
        let (one, all) = (self.span(x, axis), self.span(y, axis));
        for index in (0..all.length).filter(|_| one.length > 0) {
            self.labels
                .join(one.label(index % one.length), all.label(index));
        }
        Ok(())
    }
}
