//! Operations that copy numbers to other positions.

use calcine_graph::{Padding, Range};

use super::Operand;
use super::index::{each, strides};
use super::strided::to_isize;

pub(super) fn pad(
    padding: &[[usize; 2]],
    with: Padding,
    x: Operand<'_>,
    y: &mut [f32],
    shape: &[usize],
) {
    let own = strides(x.shape);
    each(shape, |at, index| {
        let mut from = Some(0);
        for axis in 0..shape.len() {
            let (length, before) = (x.shape[axis], padding[axis][0]);
            let here = index[axis].wrapping_sub(before);
            let here = match with {
                _ if here < length => Some(here),
                Padding::Constant(_) => None,
                Padding::Edge if index[axis] < before => Some(0),
                Padding::Edge => Some(length - 1),
                Padding::Reflect if index[axis] < before => Some(before - index[axis]),
                Padding::Reflect => (2 * (length - 1)).checked_sub(here),
            };
            from = from.zip(here).map(|(from, here)| from + here * own[axis]);
        }
        #[allow(clippy::cast_possible_truncation, reason = "floats are f32")]
        let number = match with {
            Padding::Constant(number) => number as f32,
            Padding::Reflect | Padding::Edge => 0.0,
        };
        y[at] = from.map_or(number, |from| x.numbers[from]);
    });
}

/// The first position of a slice, and its strides.
pub(super) fn slice(ranges: &[Range], x: Operand<'_>, batch: usize) -> (isize, Vec<isize>) {
    let mut first = 0;
    let own = ranges.iter().zip(strides(x.shape));
    let strides = own.map(|(range, stride)| {
        let stride = to_isize(stride);
        let start = match range.step > 0 {
            true => range.start.length_for(batch),
            false => range.end.length_for(batch).wrapping_sub(1),
        };
        first += to_isize(start) * stride;
        range.step * stride
    });
    let strides = strides.collect();
    (first, strides)
}
