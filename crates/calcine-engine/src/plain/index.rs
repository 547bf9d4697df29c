//! Indices and strides of tensors in row-major order.

use super::Operand;

/// The strides of a shape in row-major order.
pub(crate) fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

/// Calls a function with each index of a shape, in row-major order.
pub(super) fn each(shape: &[usize], mut visit: impl FnMut(usize, &[usize])) {
    let count: usize = shape.iter().product();
    let mut index = vec![0; shape.len()];
    for at in 0..count {
        visit(at, &index);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
}

/// The position of an index in an operand that is broadcast: axes of length 1 repeat, and leading axes may be missing.
pub(super) fn broadcast(index: &[usize], operand: Operand<'_>) -> usize {
    let skipped = index.len() - operand.shape.len();
    let mut at = 0;
    for (axis, length) in operand.shape.iter().enumerate() {
        let own = if *length == 1 {
            0
        } else {
            index[skipped + axis]
        };
        at = at * length + own;
    }
    at
}

/// The number of elements before an axis, the length of the axis, and the number of elements behind it.
pub(super) fn lines(shape: &[usize], axis: usize) -> [usize; 3] {
    [
        shape[..axis].iter().product(),
        shape[axis],
        shape[axis + 1..].iter().product(),
    ]
}

/// An index that is stored as a float, clamped to the axis.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast saturates"
)]
pub(super) fn position(number: f32, length: usize) -> usize {
    (number as usize).min(length.saturating_sub(1))
}
