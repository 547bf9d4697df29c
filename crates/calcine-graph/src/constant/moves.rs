//! Operations that move slices.

use super::ConstantSlices;
use super::transfer::Transfer;
use crate::axes::{Run, runs};
use crate::graph::ValueId;
use crate::op::Range;

impl Transfer<'_, '_> {
    pub(super) fn concat(&self, along: usize) -> ConstantSlices {
        let inputs = &self.node.inputs;
        let mut result = self.unknown();
        let first = self.x(0).uniform;
        let uniform = (1..inputs.len()).all(|at| self.x(at).uniform == first);
        result.uniform = first.filter(|_| uniform);
        for axis in 0..self.rank(self.node.output) {
            let length = self.indices(self.node.output, axis);
            if axis == along {
                let fixed = |id: &ValueId| self.graph.value(*id).shape[axis].is_fixed();
                if !inputs.iter().all(fixed) {
                    continue;
                }
                let parts = inputs.iter().enumerate().flat_map(|(at, &id)| {
                    let length = self.graph.value(id).shape[axis].fixed;
                    self.x(at).numbers(axis, length)
                });
                let numbers: Vec<_> = parts.collect();
                if numbers.len() == length {
                    result.set(axis, numbers);
                }
                continue;
            }
            let same = |index: usize| {
                let value = self.x(0).value_at(axis, index)?;
                let equal = |at: usize| self.x(at).value_at(axis, index) == Some(value);
                (1..inputs.len()).all(equal).then_some(value)
            };
            result.set(axis, (0..length).map(same).collect());
        }
        result
    }

    pub(super) fn slice(&self, x: &ConstantSlices, ranges: &[Range]) -> ConstantSlices {
        let mut result = self.unknown();
        result.uniform = x.uniform;
        for (axis, range) in ranges.iter().enumerate() {
            let length = self.indices(self.node.output, axis);
            let numbers: Option<Vec<_>> = if length == self.indices(self.node.inputs[0], axis)
                && range.step == 1
            {
                Some(x.numbers(axis, length))
            } else {
                positions(range).map(|positions| positions.map(|at| x.value_at(axis, at)).collect())
            };
            if let Some(numbers) = numbers.filter(|numbers| numbers.len() == length) {
                result.set(axis, numbers);
            }
        }
        result
    }

    /// Elements at unknown positions along an axis.
    pub(super) fn picked(&self, x: &ConstantSlices, id: ValueId, axis: usize) -> ConstantSlices {
        let mut result = self.unknown();
        result.uniform = x.uniform;
        for other in (0..self.rank(id)).filter(|&other| other != axis) {
            self.pass(x, other, &mut result, other);
        }
        result
    }

    pub(super) fn permute(&self, x: &ConstantSlices, axes: &[usize]) -> ConstantSlices {
        let mut result = self.unknown();
        result.uniform = x.uniform;
        for (to, &from) in axes.iter().enumerate() {
            self.pass(x, from, &mut result, to);
        }
        result
    }

    pub(super) fn flip(&self, x: &ConstantSlices, axes: &[usize]) -> ConstantSlices {
        let mut result = x.clone();
        for &axis in axes {
            let fixed = self.graph.value(self.node.output).shape[axis].is_fixed();
            match result.axes.get_mut(axis) {
                Some(numbers) if fixed => numbers.reverse(),
                Some(numbers) => numbers.clear(),
                None => {}
            }
        }
        result
    }

    pub(super) fn repeat(&self, x: &ConstantSlices, axis: usize, times: usize) -> ConstantSlices {
        let mut result = self.unknown();
        result.uniform = x.uniform;
        for other in 0..self.rank(self.node.output) {
            if other != axis {
                self.pass(x, other, &mut result, other);
                continue;
            }
            let numbers = &x.axes[axis];
            let length = self.indices(self.node.output, axis);
            let fixed = self.graph.value(self.node.output).shape[axis].is_fixed();
            if fixed && numbers.len().checked_mul(times) == Some(length) {
                result.set(axis, numbers.repeat(times));
            }
        }
        result
    }

    /// An index of an axis covers the elements with its digits: it is constant if all slices of the operand with these
    /// digits have the same value.
    pub(super) fn reshape(&self, x: &ConstantSlices) -> ConstantSlices {
        let (from, to) = (self.node.inputs[0], self.node.output);
        let mut result = self.unknown();
        result.uniform = x.uniform;
        for block in runs(self.graph, from, to) {
            for after in &block.after {
                let found = block.before.iter().find_map(|before| {
                    let numbers = &x.axes[before.axis];
                    (!numbers.is_empty()).then(|| digits(numbers, before, after))?
                });
                if let Some(numbers) = found
                    && numbers.len() == self.indices(to, after.axis)
                {
                    result.set(after.axis, numbers);
                }
            }
        }
        result
    }
}

/// The known slices of the axis afterwards, from the digits that it shares with the axis before.
fn digits(numbers: &[Option<f64>], before: &Run, after: &Run) -> Option<Vec<Option<f64>>> {
    let (low, high) = (before.start.max(after.start), before.end.min(after.end));
    if low >= high || numbers.len() != before.end / before.start {
        return None;
    }
    let shared = |index: usize, run: &Run| index / (run.end / high) % (high / low);
    let mut common: Vec<Option<Option<f64>>> = vec![None; high / low];
    for (index, &number) in numbers.iter().enumerate() {
        let place = common.get_mut(shared(index, before))?;
        *place = match *place {
            None => Some(number),
            Some(known) if known == number => Some(known),
            Some(_) => Some(None),
        };
    }
    let length = after.end / after.start;
    let of = |index: usize| {
        common
            .get(shared(index, after))
            .copied()
            .flatten()
            .flatten()
    };
    Some((0..length).map(of).collect())
}

fn positions(range: &Range) -> Option<impl Iterator<Item = usize>> {
    let fixed = range.start.is_fixed() && range.end.is_fixed();
    let step = usize::try_from(range.step)
        .ok()
        .filter(|&step| step > 0 && fixed)?;
    Some((range.start.fixed..range.end.fixed).step_by(step))
}
