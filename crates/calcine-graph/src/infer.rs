//! Computes the shape and element type of the result of an operation from those of its operands.

mod kinds;
mod shape;

use self::kinds::kinds;
use self::shape::shape;
use crate::graph::ElementKind;
use crate::op::Op;

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
    kinds(op, x, out.kind)?;
    let shape = shape(op, x, out.shape, batch)?;
    if shape == out.shape {
        return Ok(());
    }
    Err(Misfit::Other(format!(
        "its operands give the shape {shape:?}, and its output has {:?}",
        out.shape
    )))
}
