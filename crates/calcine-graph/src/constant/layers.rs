//! Layers with weights, and matrix products.

use super::ConstantSlices;
use super::stored::Stored;
use super::transfer::{Transfer, add};
use crate::graph::ValueId;
use crate::op::Convolution;

impl Transfer<'_, '_> {
    fn stored(&self, operand: usize) -> Option<&Stored> {
        let id: ValueId = *self.node.inputs.get(operand)?;
        (self.stored)(id)
    }

    /// The bias of an output; zero if there is no bias.
    fn bias(&self, output: usize) -> Option<f64> {
        match self.node.inputs.get(2) {
            Some(_) => self.x(2).value_at(0, output),
            None => Some(0.0),
        }
    }

    /// The sum of each filter over constant inputs, if it has no weights for the other inputs.
    pub(super) fn convolution(&self, options: &Convolution) -> ConstantSlices {
        let (x, weight, stored) = (self.x(0), self.x(1), self.stored(1));
        let filters = self.indices(self.node.output, 1);
        let padded = options.padding.iter().flatten().any(|&padding| padding > 0);
        let part = (filters / options.groups.max(1)).max(1);
        let sum = |filter: usize| {
            if weight.value_at(0, filter) == Some(0.0) {
                return Some(0.0);
            }
            let stored = stored?;
            let depth = stored.shape[1];
            let mut total = 0.0;
            for input in (0..depth).filter(|&input| !stored.is_zero(&[filter, input])) {
                let value = x.value_at(1, filter / part * depth + input)?;
                // At a padded border, fewer weights are used than in the middle.
                if value != 0.0 && padded {
                    return None;
                }
                total += value * stored.sum(&[filter, input]);
            }
            Some(total)
        };
        let numbers = (0..filters).map(|filter| add(sum(filter), self.bias(filter)));
        ConstantSlices::along(self.rank(self.node.output), 1, numbers.collect())
    }

    /// The bias of filters that have no weights, or have weights only for inputs that are zero.
    pub(super) fn transposed(&self, groups: usize) -> ConstantSlices {
        let (x, weight, stored) = (self.x(0), self.x(1), self.stored(1));
        let filters = self.indices(self.node.output, 1);
        let groups = groups.max(1);
        let part = (filters / groups).max(1);
        let inputs = self.graph.value(self.node.inputs[0]).shape[1].fixed / groups;
        let is_zero = |filter: usize| {
            if weight.value_at(1, filter % part) == Some(0.0) {
                return true;
            }
            // A depthwise convolution has an axis for its filters.
            if inputs == 1 && weight.value_at(0, filter / part) == Some(0.0) {
                return true;
            }
            let mut inputs = filter / part * inputs..(filter / part + 1) * inputs;
            inputs.all(|input| {
                let none = stored.is_some_and(|stored| stored.is_zero(&[input, filter % part]));
                none || x.value_at(1, input) == Some(0.0)
            })
        };
        let numbers = (0..filters).map(|filter| is_zero(filter).then(|| self.bias(filter))?);
        ConstantSlices::along(self.rank(self.node.output), 1, numbers.collect())
    }

    pub(super) fn linear(&self) -> ConstantSlices {
        let (x, weight, stored) = (self.x(0), self.x(1), self.stored(1));
        let last = self.rank(self.node.output) - 1;
        let outputs = self.indices(self.node.output, last);
        let sum = |output: usize| {
            if weight.value_at(1, output) == Some(0.0) {
                return Some(0.0);
            }
            let stored = stored?;
            let mut total = 0.0;
            for input in 0..stored.shape[0] {
                let weight = f64::from(stored.row(&[input, output])[0]);
                if weight != 0.0 {
                    total += x.value_at(last, input)? * weight;
                }
            }
            Some(total)
        };
        let numbers = (0..outputs).map(|output| add(sum(output), self.bias(output)));
        let mut result =
            ConstantSlices::along(self.rank(self.node.output), last, numbers.collect());
        // In other cases: only the bias, for rows that are zero.
        let bias = match self.node.inputs.get(2) {
            Some(_) => self.x(2).uniform,
            None => Some(0.0),
        };
        let rows = x.each(|value| bias.filter(|_| value == 0.0));
        for axis in 0..last {
            self.pass(&rows, axis, &mut result, axis);
        }
        result
    }

    pub(super) fn batch_norm(&self, epsilon: f64) -> ConstantSlices {
        let channels = self.indices(self.node.output, 1);
        let norm = |channel: usize| {
            let of = |operand: usize| self.x(operand).value_at(0, channel);
            let beta = of(2)?;
            if of(1) == Some(0.0) {
                return Some(beta);
            }
            let (x, gamma, mean, variance) =
                (self.x(0).value_at(1, channel)?, of(1)?, of(3)?, of(4)?);
            let number = (x - mean) / (variance + epsilon).sqrt() * gamma + beta;
            Some(number).filter(|number| number.is_finite())
        };
        let numbers = (0..channels).map(norm);
        ConstantSlices::along(self.rank(self.node.output), 1, numbers.collect())
    }

    /// Features without a scale are their shift; if all values of a slice are equal, they are all the shift.
    pub(super) fn layer_norm(&self, epsilon: f64) -> ConstantSlices {
        let last = self.rank(self.node.output) - 1;
        let features = self.indices(self.node.output, last);
        let gamma = self.x(1);
        let shift = |feature: usize| self.bias(feature);
        let numbers = (0..features).map(|feature| {
            let scaled = gamma.value_at(0, feature) != Some(0.0);
            shift(feature).filter(|_| !scaled)
        });
        let mut result =
            ConstantSlices::along(self.rank(self.node.output), last, numbers.collect());
        let bias = match self.node.inputs.get(2) {
            Some(_) => self.x(2).uniform,
            None => Some(0.0),
        };
        let rows = self.x(0).each(|_| bias.filter(|_| epsilon > 0.0));
        for axis in 0..last {
            self.pass(&rows, axis, &mut result, axis);
        }
        result
    }

    /// The zeros that a product preserves: all zeros of a factor along the axes in which matrices are stacked, and
    /// those along the axis that the result has from the factor. The factors come with that axis, counted from the
    /// last.
    pub(super) fn product(&self, factors: &[(usize, usize)]) -> ConstantSlices {
        let rank = self.rank(self.node.output);
        let mut result = self.unknown();
        for &(operand, own) in factors {
            let (id, x) = (self.node.inputs[operand], self.x(operand));
            if x.uniform == Some(0.0) {
                result.uniform = Some(0.0);
            }
            for axis in (0..rank).filter(|&axis| axis + 2 < rank || axis + own == rank) {
                let Some(from) = (axis + self.rank(id)).checked_sub(rank) else {
                    continue;
                };
                let length = self.indices(self.node.output, axis);
                if x.axes[from].len() != length {
                    continue;
                }
                let numbers = (0..length).map(|index| {
                    let zero = x.value_at(from, index).filter(|&value| value == 0.0);
                    zero.or(result.value_at(axis, index))
                });
                let numbers = numbers.collect();
                result.set(axis, numbers);
            }
        }
        result
    }
}
