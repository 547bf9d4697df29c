//! The effect of each operation on the axes of its operands.

use super::group::Role;
use super::norm_features::NormFeatures;
use super::walk::Walk;
use crate::error::GraphError;
use crate::extent::Extent;
use crate::graph::{Node, ValueId};
use crate::op::{Arithmetic, Op, Padding, Reduction};

const WINDOWS: &str = "slides its windows along it";
const MEAN: &str = "takes the mean of it";

impl Walk<'_> {
    pub(super) fn node(&mut self, position: usize, node: &Node) -> Result<(), GraphError> {
        let (x, y) = (
            node.inputs.first().copied().unwrap_or(node.output),
            node.output,
        );
        let rank = self.rank(x);
        match &node.op {
            Op::Convolution(convolution) => self.convolution(node, convolution),
            Op::TransposedConvolution { convolution, .. } => self.transposed(node, convolution),
            Op::Linear => self.linear(node),
            Op::Matmul => self.matmul(node),
            Op::Embedding => self.embedding(node),
            Op::BatchNorm { .. } => self.batch_norm(node),
            Op::LayerNorm { .. } => self.layer_norm(node),
            Op::Attention { scale, causal, .. } => self.attention(node, scale.is_some(), *causal),
            Op::MaxPool(_) | Op::AveragePool { .. } | Op::AdaptiveAveragePool => {
                self.windows(node, WINDOWS)
            }
            Op::Interpolate { .. } => self.windows(node, "interpolates along it"),
            Op::Pad { padding, with } => self.pad(node, padding, *with),
            Op::Map(_) | Op::Scalar(..) | Op::CompareScalar(..) | Op::Cast => {
                self.pass(node, 0..rank)
            }
            Op::Zip(_) | Op::Compare(_) | Op::Where | Op::Fill(_) | Op::Expand => {
                if let Op::Zip(arithmetic) = node.op
                    && !matches!(
                        arithmetic,
                        Arithmetic::Add
                            | Arithmetic::Subtract
                            | Arithmetic::Multiply
                            | Arithmetic::PRelu
                    )
                {
                    self.operand(node.inputs[1]);
                }
                if let Op::Compare(_) = node.op {
                    node.inputs.iter().for_each(|&id| self.operand(id));
                }
                node.inputs
                    .iter()
                    .try_for_each(|&operand| self.broadcast_all(node, operand, 0))
            }
            Op::Softmax(axis) | Op::LogSoftmax(axis) => {
                self.pin_axis(node, x, *axis, "normalises it");
                self.pass(node, 0..rank)
            }
            Op::CumulativeSum(axis) => {
                self.pin_axis(node, x, *axis, "sums along it");
                self.pass(node, 0..rank)
            }
            Op::Reduce(reduction, axis) => self.reduce(node, *reduction, *axis),
            Op::ReduceAll(reduction) => {
                if let Some(phrase) = self.stops(*reduction) {
                    self.pin_from(node, x, 0, phrase);
                }
                Ok(())
            }
            Op::ArgMax(axis) => {
                self.pin_axis(node, x, *axis, "looks for the largest along it");
                self.pass(node, (0..rank).filter(|other| other != axis))
            }
            Op::ArgSort { axis, .. } => {
                self.pin_axis(node, x, *axis, "sorts along it");
                self.pin_axis(node, y, *axis, "sorts along it");
                self.pass(node, (0..rank).filter(|other| other != axis))
            }
            Op::Concat(axis) => self.concat(node, *axis),
            Op::Slice(ranges) => self.slice(node, ranges),
            Op::Select(axis) => self.select(node, *axis),
            Op::Gather(axis) => self.gather(node, *axis),
            Op::Scatter(axis, _) => self.scatter(node, *axis),
            Op::ScatterNd(_) => self.scatter_nd(node),
            Op::Reshape => self.reshape(position, node),
            Op::Permute(axes) => axes
                .iter()
                .enumerate()
                .try_for_each(|(to, &from)| self.same(node, (x, from), (y, to))),
            Op::Flip(axes) => self.flip(node, axes),
            Op::Repeat { axis, times } => self.repeat(node, *axis, *times),
            Op::Constant(_) => Ok(()),
        }
    }

    fn linear(&mut self, node: &Node) -> Result<(), GraphError> {
        let (x, weight, y) = (node.inputs[0], node.inputs[1], node.output);
        let last = self.rank(x) - 1;
        self.pass(node, 0..last)?;
        self.role(weight, 0, Role::Input);
        self.role(weight, 1, Role::Output);
        self.same(node, (weight, 0), (x, last))?;
        self.same(node, (weight, 1), (y, last))?;
        self.bias(node, last)
    }

    /// Handles the third operand, if there is one.
    pub(super) fn bias(&mut self, node: &Node, axis: usize) -> Result<(), GraphError> {
        let Some(&bias) = node.inputs.get(2) else {
            return Ok(());
        };
        self.role(bias, 0, Role::Bias);
        self.same(node, (bias, 0), (node.output, axis))
    }

    fn matmul(&mut self, node: &Node) -> Result<(), GraphError> {
        let (a, b, y) = (node.inputs[0], node.inputs[1], node.output);
        let (ranks, last) = ((self.rank(a), self.rank(b)), self.rank(y));
        if ranks.0 < 2 || ranks.1 < 2 || last < ranks.0.max(ranks.1) {
            return Err(self.setting(
                node,
                format!(
                    "operands of {} and {} axes and a result of {last}",
                    ranks.0, ranks.1
                ),
            ));
        }
        self.role(a, ranks.0 - 2, Role::Output);
        self.role(a, ranks.0 - 1, Role::Input);
        self.role(b, ranks.1 - 2, Role::Input);
        self.role(b, ranks.1 - 1, Role::Output);
        self.broadcast_all(node, a, 2)?;
        self.broadcast_all(node, b, 2)?;
        self.same(node, (a, ranks.0 - 2), (y, last - 2))?;
        self.same(node, (b, ranks.1 - 1), (y, last - 1))?;
        self.same(node, (a, ranks.0 - 1), (b, ranks.1 - 2))
    }

    fn embedding(&mut self, node: &Node) -> Result<(), GraphError> {
        let (weight, indices, y) = (node.inputs[0], node.inputs[1], node.output);
        let last = self.rank(indices);
        if self.rank(y) != last + 1 {
            return Err(self.setting(
                node,
                "the result needs one axis more than the indices".into(),
            ));
        }
        self.pin_axis(node, weight, 0, "looks its entries up");
        self.role(weight, 1, Role::Output);
        for axis in 0..last {
            self.same(node, (indices, axis), (y, axis))?;
        }
        self.same(node, (weight, 1), (y, last))
    }

    fn batch_norm(&mut self, node: &Node) -> Result<(), GraphError> {
        let x = node.inputs[0];
        for (position, &parameter) in node.inputs.iter().enumerate().skip(1) {
            self.role(
                parameter,
                0,
                if position < 3 {
                    Role::Norm
                } else {
                    Role::Statistics
                },
            );
            self.same(node, (parameter, 0), (x, 1))?;
        }
        self.pass(node, 0..self.rank(x))
    }

    fn layer_norm(&mut self, node: &Node) -> Result<(), GraphError> {
        let x = node.inputs[0];
        let last = self.rank(x) - 1;
        for &parameter in &node.inputs[1..] {
            self.role(parameter, 0, Role::Norm);
            self.same(node, (parameter, 0), (x, last))?;
        }
        if self.norms == NormFeatures::Pinned {
            self.pin_axis(node, x, last, MEAN);
        }
        self.pass(node, 0..=last)
    }

    fn attention(&mut self, node: &Node, scaled: bool, causal: bool) -> Result<(), GraphError> {
        let (query, key, value, y) = (node.inputs[0], node.inputs[1], node.inputs[2], node.output);
        for operand in [query, key, value] {
            self.broadcast(node, (operand, 0), (y, 0))?;
            self.broadcast(node, (operand, 1), (y, 1))?;
        }
        self.same(node, (query, 2), (y, 2))?;
        self.same(node, (query, 3), (key, 3))?;
        self.same(node, (key, 2), (value, 2))?;
        self.same(node, (value, 3), (y, 3))?;
        self.pin_axis(node, key, 2, "normalises over it");
        if !scaled {
            self.pin_axis(node, query, 3, "divides by the root of its length");
        }
        if causal {
            self.pin_axis(node, query, 2, "hides later positions of it");
        }
        for &mask in &node.inputs[3..] {
            self.mask(node, mask)?;
        }
        Ok(())
    }

    /// Handles a mask or a bias of attention: `[batch, heads, length, keys]`, where each length may be 1.
    fn mask(&mut self, node: &Node, mask: ValueId) -> Result<(), GraphError> {
        let key = (node.inputs[1], 2);
        let targets = [(node.output, 0), (node.output, 1), (node.output, 2), key];
        let rank = self.rank(mask);
        if rank > targets.len() {
            return Err(self.setting(node, format!("a mask of {rank} axes; at most 4 are valid")));
        }
        for (axis, &target) in targets[targets.len() - rank..].iter().enumerate() {
            self.broadcast(node, (mask, axis), target)?;
        }
        Ok(())
    }

    /// Batch and channels are preserved; windows slide along the other axes.
    fn windows(&mut self, node: &Node, phrase: &'static str) -> Result<(), GraphError> {
        self.pin_from(node, node.inputs[0], 2, phrase);
        self.pin_from(node, node.output, 2, phrase);
        self.pass(node, 0..2)
    }

    fn pad(
        &mut self,
        node: &Node,
        padding: &[[usize; 2]],
        with: Padding,
    ) -> Result<(), GraphError> {
        let (x, y) = (node.inputs[0], node.output);
        for (axis, &[before, after]) in padding.iter().enumerate() {
            if before + after == 0 {
                self.pass(node, [axis])?;
                continue;
            }
            let lengths = [x, y].map(|value| self.graph.value(value).shape[axis]);
            let padded = Extent {
                fixed: lengths[0].fixed + before + after,
                ..lengths[0]
            };
            if padded != lengths[1] {
                return Err(self.unequal(node, (x, axis), (y, axis)));
            }
            let inner = self.span(x, axis);
            if !lengths[0].is_fixed() || !matches!(with, Padding::Constant(_)) || inner.length == 0
            {
                self.pin_axis(node, x, axis, "continues its border");
                self.pin_axis(node, y, axis, "continues its border");
                continue;
            }
            let outer = self.span(y, axis);
            for index in 0..inner.length {
                self.labels
                    .join(inner.label(index), outer.label(index + before));
            }
        }
        Ok(())
    }

    fn reduce(&mut self, node: &Node, reduction: Reduction, axis: usize) -> Result<(), GraphError> {
        let x = node.inputs[0];
        if let Some(phrase) = self.stops(reduction) {
            self.pin_axis(node, x, axis, phrase);
        }
        self.pass(node, (0..self.rank(x)).filter(|&other| other != axis))
    }

    /// Why a reduction needs its whole axis: removing an index must be equivalent to a zero, which holds only for sums.
    fn stops(&self, reduction: Reduction) -> Option<&'static str> {
        match reduction {
            Reduction::Sum | Reduction::MaxAbs => None,
            Reduction::Mean => (self.norms == NormFeatures::Pinned).then_some(MEAN),
            Reduction::Product => Some("takes the product along it"),
            Reduction::Max | Reduction::Min => Some("takes an extreme of it"),
        }
    }

    /// Marks all axes of an operand that must not be set to zero.
    fn operand(&mut self, value: ValueId) {
        (0..self.rank(value)).for_each(|axis| self.role(value, axis, Role::Operand));
    }
}
