//! The constant slices of the results of operations.

use super::ConstantSlices;
use super::element;
use super::stored::Stored;
use crate::graph::{ElementKind, Graph, Node, ValueId};
use crate::op::{Arithmetic, Interpolation, Op, Padding, Reduction};

pub(super) struct Transfer<'a, 's> {
    pub(super) graph: &'a Graph,
    pub(super) node: &'a Node,
    pub(super) known: &'a [ConstantSlices],
    pub(super) stored: &'a dyn Fn(ValueId) -> Option<&'s Stored>,
}

impl Transfer<'_, '_> {
    pub(super) fn result(&self) -> ConstantSlices {
        let rank = self.rank(self.node.output);
        let properties = self.node.op.properties();
        // A function of one tensor is unknown if the tensor is.
        let of_one =
            properties.most_operands == 1 || matches!(self.node.op, Op::Select(_) | Op::Gather(_));
        if of_one && self.x(0).is_unknown() {
            return self.unknown();
        }
        match &self.node.op {
            Op::Convolution(options) => self.convolution(options),
            Op::TransposedConvolution { convolution, .. } => self.transposed(convolution.groups),
            Op::Linear => self.linear(),
            Op::Embedding => {
                let weight = self.x(0);
                let features = self.indices(self.node.output, rank - 1);
                ConstantSlices::along(rank, rank - 1, weight.numbers(1, features))
            }
            Op::BatchNorm { epsilon, .. } => self.batch_norm(*epsilon),
            Op::LayerNorm { epsilon } => self.layer_norm(*epsilon),
            Op::Matmul => self.product(&[(0, 2), (1, 1)]),
            Op::Attention { .. } => self.product(&[(2, 1)]),
            Op::Zip(arithmetic) => {
                self.broadcast(&|values| element::zip(*arithmetic, values[0], values[1]))
            }
            Op::Compare(comparison) => self
                .broadcast(&|values| Some(element::compare(*comparison, values[0]?, values[1]?))),
            Op::Where => self.broadcast(&|values| match values {
                [_, Some(mask), other] if *mask != 0.0 => *other,
                [x, Some(_), _] => *x,
                [x, None, other] if x == other => *x,
                _ => None,
            }),
            Op::Fill(number) => self.broadcast(&|values| match values {
                [_, Some(mask)] if *mask != 0.0 => Some(*number),
                [x, Some(_)] => *x,
                [x, None] => x.filter(|x| x == number),
                _ => None,
            }),
            Op::Constant(number) => ConstantSlices::uniform(rank, *number),
            Op::Concat(axis) => self.concat(*axis),
            Op::Map(map) => self.x(0).each(|value| element::map(*map, value)),
            Op::Scalar(arithmetic, number) => self
                .x(0)
                .each(|value| element::zip(*arithmetic, Some(value), Some(*number))),
            Op::CompareScalar(comparison, number) => self
                .x(0)
                .each(|value| Some(element::compare(*comparison, value, *number))),
            Op::MaxPool(_) | Op::AdaptiveAveragePool => self.windows(self.x(0), Some),
            Op::AveragePool {
                pool,
                count_padding,
            } => {
                let padded = pool.ceil || pool.padding.iter().any(|&padding| padding > 0);
                let whole = !count_padding || !padded;
                self.windows(self.x(0), |value| (whole || value == 0.0).then_some(value))
            }
            Op::Interpolate { mode, .. } => {
                let exact = *mode != Interpolation::Lanczos3;
                self.windows(self.x(0), |value| (exact || value == 0.0).then_some(value))
            }
            Op::Pad { padding, with } => self.pad(self.x(0), padding, *with),
            Op::Softmax(axis) => self.normalised(self.x(0), *axis, |length| 1.0 / length),
            Op::LogSoftmax(axis) => self.normalised(self.x(0), *axis, |length| -length.ln()),
            Op::Reduce(reduction, axis) => self.reduce(self.x(0), *reduction, *axis),
            Op::ReduceAll(reduction) => self.reduce_all(self.x(0), *reduction),
            // Running sums of zeros are zero at every position.
            Op::CumulativeSum(axis) => {
                let zero = self.x(0).each(|value| (value == 0.0).then_some(value));
                self.without(&zero, *axis)
            }
            Op::Slice(ranges) => self.slice(self.x(0), ranges),
            Op::Select(axis) | Op::Gather(axis) => {
                self.picked(self.x(0), self.node.inputs[0], *axis)
            }
            Op::Permute(axes) => self.permute(self.x(0), axes),
            Op::Flip(axes) => self.flip(self.x(0), axes),
            Op::Repeat { axis, times } => self.repeat(self.x(0), *axis, *times),
            Op::Expand => self.broadcast(&|values| values[0]),
            Op::Reshape => self.reshape(self.x(0)),
            Op::Cast if self.graph.value(self.node.output).kind == ElementKind::Float => {
                self.x(0).clone()
            }
            Op::Cast | Op::ArgMax(_) | Op::ArgSort { .. } | Op::Scatter(..) | Op::ScatterNd(_) => {
                self.unknown()
            }
        }
    }

    /// Each slice of the result from the slices of the operands at the same position; an operand that is broadcast
    /// along the axis is known if all its elements are equal.
    fn broadcast(&self, combine: &dyn Fn(&[Option<f64>]) -> Option<f64>) -> ConstantSlices {
        let rank = self.rank(self.node.output);
        let operands: Vec<&ConstantSlices> =
            (0..self.node.inputs.len()).map(|at| self.x(at)).collect();
        let mut result = self.unknown();
        let all: Vec<Option<f64>> = operands.iter().map(|x| x.uniform).collect();
        result.uniform = combine(&all).filter(|number| number.is_finite());
        if operands.iter().all(|x| x.is_unknown()) {
            return result;
        }
        for axis in 0..rank {
            let length = self.indices(self.node.output, axis);
            let own = |at: usize| {
                let id = self.node.inputs[at];
                let axis = (axis + self.rank(id)).checked_sub(rank)?;
                (self.indices(id, axis) == length).then_some(axis)
            };
            let places: Vec<Option<usize>> = (0..operands.len()).map(own).collect();
            let known = |(at, place): (usize, &Option<usize>)| {
                place.is_some_and(|axis| !operands[at].axes[axis].is_empty())
            };
            if !places.iter().enumerate().any(known) {
                continue;
            }
            let numbers = (0..length).map(|index| {
                let each = operands.iter().zip(&places);
                let each = each.map(|(x, place)| match place {
                    Some(axis) => x.value_at(*axis, index),
                    None => x.uniform,
                });
                combine(&each.collect::<Vec<_>>()).filter(|number| number.is_finite())
            });
            result.set(axis, numbers.collect());
        }
        result
    }

    /// Preserves batch and channels of an operation whose windows slide along the other axes.
    fn windows(&self, x: &ConstantSlices, change: impl Fn(f64) -> Option<f64>) -> ConstantSlices {
        let changed = x.each(change);
        let mut result = self.unknown();
        result.uniform = changed.uniform;
        for axis in 0..2.min(changed.axes.len()) {
            self.pass(&changed, axis, &mut result, axis);
        }
        result
    }

    /// The value of a slice of equal numbers after division by their sum along another axis.
    fn normalised(
        &self,
        x: &ConstantSlices,
        axis: usize,
        share: impl Fn(f64) -> f64,
    ) -> ConstantSlices {
        let length = self.graph.value(self.node.inputs[0]).shape.get(axis);
        let Some(length) = length.filter(|length| length.is_fixed() && length.fixed > 0) else {
            return self.unknown();
        };
        #[allow(clippy::cast_precision_loss, reason = "axes are short")]
        let shares = x.each(|_| Some(share(length.fixed as f64)));
        self.without(&shares, axis)
    }

    fn reduce(&self, x: &ConstantSlices, reduction: Reduction, axis: usize) -> ConstantSlices {
        let length = self.graph.value(self.node.inputs[0]).shape.get(axis);
        let Some(&length) = length else {
            return self.unknown();
        };
        #[allow(clippy::cast_precision_loss, reason = "axes are short")]
        let count = length.is_fixed().then_some(length.fixed as f64);
        let reduced = x.each(|value| reduced(reduction, value, count));
        self.without(&reduced, axis)
    }

    fn reduce_all(&self, x: &ConstantSlices, reduction: Reduction) -> ConstantSlices {
        let mut result = self.unknown();
        result.uniform = x.uniform.and_then(|value| reduced(reduction, value, None));
        result
    }

    /// All known slices except those along one axis.
    fn without(&self, x: &ConstantSlices, axis: usize) -> ConstantSlices {
        let mut result = self.unknown();
        result.uniform = x.uniform;
        for other in (0..x.axes.len()).filter(|&other| other != axis) {
            self.pass(x, other, &mut result, other);
        }
        result
    }

    /// What is known along an axis of the operand is known along an axis of the result, if both have the same length.
    pub(super) fn pass(
        &self,
        x: &ConstantSlices,
        from: usize,
        result: &mut ConstantSlices,
        to: usize,
    ) {
        let numbers = x.axes.get(from).filter(|numbers| !numbers.is_empty());
        if let Some(numbers) = numbers
            && to < result.axes.len()
            && numbers.len() == self.indices(self.node.output, to)
        {
            result.set(to, numbers.clone());
        }
    }

    fn pad(&self, x: &ConstantSlices, padding: &[[usize; 2]], with: Padding) -> ConstantSlices {
        let number = match with {
            Padding::Constant(number) => Some(number),
            Padding::Reflect | Padding::Edge => None,
        };
        let mut result = self.unknown();
        let same = |value: &f64| number.is_none_or(|number| number == *value);
        result.uniform = x.uniform.filter(same);
        for (axis, &[before, after]) in padding.iter().enumerate() {
            let elsewhere = padding
                .iter()
                .enumerate()
                .any(|(other, sides)| other != axis && *sides != [0, 0]);
            if number.is_none() && before + after > 0 {
                continue;
            }
            let length = self.indices(self.node.inputs[0], axis);
            let inner = x.numbers(axis, length).into_iter();
            let inner = inner.map(|value| value.filter(|value| !elsewhere || same(value)));
            let border = |count: usize| std::iter::repeat_n(number, count);
            let numbers: Vec<_> = border(before).chain(inner).chain(border(after)).collect();
            if numbers.len() == self.indices(self.node.output, axis) {
                result.set(axis, numbers);
            }
        }
        result
    }

    pub(super) fn unknown(&self) -> ConstantSlices {
        ConstantSlices::unknown(self.rank(self.node.output))
    }

    pub(super) fn x(&self, operand: usize) -> &ConstantSlices {
        &self.known[self.node.inputs[operand].0]
    }

    pub(super) fn rank(&self, id: ValueId) -> usize {
        self.graph.value(id).shape.len()
    }

    /// The number of slices along an axis; 0 if they are not distinguished.
    pub(super) fn indices(&self, id: ValueId, axis: usize) -> usize {
        self.graph.value(id).shape[axis].indices()
    }
}

/// The reduction of equal numbers, if it does not depend on their count, or the count is known.
fn reduced(reduction: Reduction, value: f64, count: Option<f64>) -> Option<f64> {
    match reduction {
        Reduction::Mean | Reduction::Max | Reduction::Min => Some(value),
        Reduction::MaxAbs => Some(value.abs()),
        Reduction::Sum if value == 0.0 => Some(0.0),
        Reduction::Sum => count.map(|count| value * count),
        Reduction::Product if value == 0.0 || value == 1.0 => Some(value),
        Reduction::Product => count.map(|count| value.powf(count)),
    }
}

/// The sum of two values.
pub(super) fn add(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    element::zip(Arithmetic::Add, a, b)
}
