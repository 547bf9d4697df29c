//! Computes the shape and element type of the result of an operation from those of its operands.

mod kinds;
mod shape;

use self::kinds::kinds;
use self::shape::{expanded, ordered, reshaped, resized, shape};
use crate::graph::ElementKind;
use crate::op::{Arithmetic, Convolution, Map, Op};

/// A tensor for one batch size.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tensor<'a> {
    pub(crate) shape: &'a [usize],
    pub(crate) kind: ElementKind,
}

/// Why an operation and its tensors do not match.
pub(crate) enum Misfit {
    /// Two axes must have the same length but do not: for each, the operand and the axis.
    Lengths([(usize, usize); 2]),
    /// Any other problem, as the end of a sentence.
    Other(String),
}

impl From<String> for Misfit {
    fn from(problem: String) -> Self {
        Self::Other(problem)
    }
}

/// Checks that the operation produces such an output from such operands, whose number is valid, for a batch of this
/// size.
pub(crate) fn fits(op: &Op, x: &[Tensor], out: Tensor, batch: usize) -> Result<(), Misfit> {
    settings(op, x)?;
    kinds(op, x, out.kind)?;
    if let Some(axes) = summed(op, x)
        && axes
            .iter()
            .map(|&(operand, axis)| x[operand].shape[axis])
            .min()
            != axes
                .iter()
                .map(|&(operand, axis)| x[operand].shape[axis])
                .max()
    {
        return Err(Misfit::Lengths(axes));
    }
    let shape = match op {
        Op::Constant(_) => return Ok(()),
        Op::Reshape => return Ok(reshaped(x[0].shape, out.shape)?),
        Op::Expand => return Ok(expanded(x[0].shape, out.shape)?),
        Op::AdaptiveAveragePool | Op::Interpolate { .. } => resized(x[0].shape, out.shape)?,
        Op::ArgSort { axis, .. } => ordered(x[0].shape, out.shape, *axis)?,
        op => shape(op, x, batch)?,
    };
    if shape == out.shape {
        return Ok(());
    }
    Err(Misfit::Other(format!(
        "its operands give the shape {shape:?}, and its output has {:?}",
        out.shape
    )))
}

/// The axes of two operands over which the operation sums, each as an operand and an axis.
fn summed(op: &Op, x: &[Tensor]) -> Option<[(usize, usize); 2]> {
    let rank = x.first()?.shape.len();
    match op {
        Op::Linear => Some([(1, 0), (0, rank - 1)]),
        Op::Matmul => Some([(1, rank - 2), (0, rank - 1)]),
        Op::TransposedConvolution { .. } => Some([(1, 0), (0, 1)]),
        Op::Convolution(_)
        | Op::Embedding
        | Op::BatchNorm { .. }
        | Op::LayerNorm { .. }
        | Op::Attention { .. }
        | Op::MaxPool(_)
        | Op::AveragePool { .. }
        | Op::AdaptiveAveragePool
        | Op::Interpolate { .. }
        | Op::Pad { .. }
        | Op::Map(_)
        | Op::Scalar(..)
        | Op::Zip(_)
        | Op::CompareScalar(..)
        | Op::Compare(_)
        | Op::Where
        | Op::Fill(_)
        | Op::Softmax(_)
        | Op::LogSoftmax(_)
        | Op::Reduce(..)
        | Op::ReduceAll(_)
        | Op::ArgMax(_)
        | Op::CumulativeSum(_)
        | Op::ArgSort { .. }
        | Op::Concat(_)
        | Op::Slice(_)
        | Op::Select(_)
        | Op::Gather(_)
        | Op::Scatter(..)
        | Op::ScatterNd(_)
        | Op::Reshape
        | Op::Expand
        | Op::Permute(_)
        | Op::Flip(_)
        | Op::Repeat { .. }
        | Op::Constant(_)
        | Op::Cast => None,
    }
}

/// Checks the settings of an operation that do not depend on its operands.
fn settings(op: &Op, x: &[Tensor]) -> Result<(), String> {
    let positive = |what: &str, numbers: &[usize]| match numbers.contains(&0) {
        true => Err(format!(
            "a {what} of 0 in {numbers:?}; valid are 1 and more"
        )),
        false => Ok(()),
    };
    let count = |what: &str, found: usize, axes: usize| match found == axes {
        true => Ok(()),
        false => Err(format!("{found} numbers of {what} for {axes} spatial axes")),
    };
    let windows = |convolution: &Convolution| {
        let axes = convolution.stride.len();
        if !(1..=3).contains(&axes) {
            return Err(format!("{axes} spatial axes; valid are 1 to 3"));
        }
        count("padding", convolution.padding.len(), axes)?;
        count("dilation", convolution.dilation.len(), axes)?;
        positive("stride", &convolution.stride)?;
        positive("dilation", &convolution.dilation)?;
        positive("number of groups", &[convolution.groups])
    };
    match op {
        Op::Convolution(convolution) => windows(convolution),
        Op::TransposedConvolution {
            convolution,
            output_padding,
        } => {
            windows(convolution)?;
            let padding = &convolution.padding;
            if let Some(uneven) = padding.iter().find(|[before, after]| before != after) {
                return Err(format!(
                    "padding {uneven:?}, which must be equal before and after"
                ));
            }
            count(
                "output padding",
                output_padding.len(),
                convolution.stride.len(),
            )
        }
        Op::MaxPool(pool) | Op::AveragePool { pool, .. } => {
            let axes = pool.kernel.len();
            if !(1..=2).contains(&axes) {
                return Err(format!("{axes} spatial axes; valid are 1 and 2"));
            }
            count("stride", pool.stride.len(), axes)?;
            count("padding", pool.padding.len(), axes)?;
            count("dilation", pool.dilation.len(), axes)?;
            positive("kernel", &pool.kernel)?;
            positive("stride", &pool.stride)?;
            positive("dilation", &pool.dilation)?;
            match op {
                Op::AveragePool { .. } if pool.dilation.iter().any(|&d| d != 1) => {
                    Err(format!("a dilation of {:?}; valid is 1", pool.dilation))
                }
                _ => Ok(()),
            }
        }
        Op::AdaptiveAveragePool if !(3..=5).contains(&x[0].shape.len()) => Err(format!(
            "an operand of {} axes; valid are 3 to 5",
            x[0].shape.len()
        )),
        Op::Scalar(Arithmetic::Divide | Arithmetic::Remainder, number)
            if x[0].kind == ElementKind::Int && (*number == 0.0 || number.fract() != 0.0) =>
        {
            Err(format!("integers are divided by {number}"))
        }
        Op::Map(Map::Clamp { low, high }) if low.is_nan() || high.is_nan() || low > high => {
            Err(format!("no number is from {low} to {high}"))
        }
        Op::Repeat { times: 0, .. } => Err("an axis is repeated 0 times".to_owned()),
        Op::Linear
        | Op::Matmul
        | Op::Embedding
        | Op::BatchNorm { .. }
        | Op::LayerNorm { .. }
        | Op::Attention { .. }
        | Op::AdaptiveAveragePool
        | Op::Interpolate { .. }
        | Op::Pad { .. }
        | Op::Map(_)
        | Op::Scalar(..)
        | Op::Zip(_)
        | Op::CompareScalar(..)
        | Op::Compare(_)
        | Op::Where
        | Op::Fill(_)
        | Op::Softmax(_)
        | Op::LogSoftmax(_)
        | Op::Reduce(..)
        | Op::ReduceAll(_)
        | Op::ArgMax(_)
        | Op::CumulativeSum(_)
        | Op::ArgSort { .. }
        | Op::Concat(_)
        | Op::Slice(_)
        | Op::Select(_)
        | Op::Gather(_)
        | Op::Scatter(..)
        | Op::ScatterNd(_)
        | Op::Reshape
        | Op::Expand
        | Op::Permute(_)
        | Op::Flip(_)
        | Op::Repeat { .. }
        | Op::Constant(_)
        | Op::Cast => Ok(()),
    }
}
