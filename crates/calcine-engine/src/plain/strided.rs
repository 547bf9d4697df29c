//! Operations that read their operands with strides: copies to other positions, and functions of two tensors that are
//! broadcast.

use calcine_kernels::Isa;

use super::Operand;
use super::index::strides;

/// The axes of a result, with the strides of each operand. Neighbouring axes are merged where the strides of all
/// operands allow it.
struct Axes<const N: usize> {
    lengths: Vec<usize>,
    strides: Vec<[isize; N]>,
}

impl<const N: usize> Axes<N> {
    fn new(shape: &[usize], operands: [&[isize]; N]) -> Self {
        let mut axes = Self {
            lengths: Vec::with_capacity(shape.len()),
            strides: Vec::with_capacity(shape.len()),
        };
        for (axis, length) in shape.iter().enumerate() {
            if *length == 1 {
                continue;
            }
            let own = operands.map(|operand| operand[axis]);
            match (axes.lengths.last_mut(), axes.strides.last_mut()) {
                (Some(outer), Some(strides)) if *strides == own.map(|s| s * to_isize(*length)) => {
                    *outer *= length;
                    *strides = own;
                }
                _ => {
                    axes.lengths.push(*length);
                    axes.strides.push(own);
                }
            }
        }
        if axes.lengths.is_empty() {
            axes.lengths.push(1);
            axes.strides.push([1; N]);
        }
        axes
    }

    /// Calls a function for each row along the last axis, with the position of its first element in the operands and in
    /// the result.
    #[inline(always)]
    fn each_row(
        &self,
        mut first: [isize; N],
        y: &mut [f32],
        mut visit: impl FnMut([isize; N], [isize; N], &mut [f32]),
    ) {
        let outer = self.lengths.len() - 1;
        let mut index = vec![0; outer];
        for y in y.chunks_exact_mut(self.lengths[outer].max(1)) {
            visit(first, self.strides[outer], y);
            for axis in (0..outer).rev() {
                let strides = &self.strides[axis];
                index[axis] += 1;
                let back = if index[axis] < self.lengths[axis] {
                    -1
                } else {
                    to_isize(self.lengths[axis]) - 1
                };
                for (first, stride) in first.iter_mut().zip(strides) {
                    *first -= back * stride;
                }
                if back == -1 {
                    break;
                }
                index[axis] = 0;
            }
        }
    }
}

/// Copies the numbers that are read with strides from a first position on.
pub(crate) fn gather(
    isa: Isa,
    x: &[f32],
    first: isize,
    strides: &[isize],
    y: &mut [f32],
    shape: &[usize],
) {
    let axes = Axes::new(shape, [strides]);
    isa.vectorize(
        #[inline(always)]
        move || {
            axes.each_row([first], y, |[first], [stride], y| match stride {
                1 => y.copy_from_slice(&x[to_usize(first)..][..y.len()]),
                0 => y.fill(x[to_usize(first)]),
                stride if stride > 0 => {
                    let x = x[to_usize(first)..].iter().step_by(to_usize(stride));
                    for (y, x) in y.iter_mut().zip(x) {
                        *y = *x;
                    }
                }
                stride => {
                    for (at, y) in y.iter_mut().enumerate() {
                        *y = x[to_usize(first + stride * to_isize(at))];
                    }
                }
            });
        },
    );
}

/// Computes each number of the result from the numbers of two operands, which are broadcast.
#[inline(always)]
pub(crate) fn zip(
    isa: Isa,
    [a, b]: [Operand<'_>; 2],
    y: &mut [f32],
    shape: &[usize],
    result: impl Fn(f32, f32) -> f32,
) {
    let strides = [a, b].map(|operand| broadcast_strides(operand.shape, shape));
    let axes = Axes::new(shape, [&strides[0], &strides[1]]);
    let [a, b] = [a.numbers, b.numbers];
    isa.vectorize(
        #[inline(always)]
        move || {
            axes.each_row(
                [0; 2],
                y,
                #[inline(always)]
                |first, strides, y| {
                    let [a, b] = [&a[to_usize(first[0])..], &b[to_usize(first[1])..]];
                    match strides {
                        [1, 1] => {
                            for (y, (a, b)) in y.iter_mut().zip(a.iter().zip(b)) {
                                *y = result(*a, *b);
                            }
                        }
                        [1, 0] => {
                            for (y, a) in y.iter_mut().zip(a) {
                                *y = result(*a, b[0]);
                            }
                        }
                        [0, 1] => {
                            for (y, b) in y.iter_mut().zip(b) {
                                *y = result(a[0], *b);
                            }
                        }
                        strides => {
                            let strides = strides.map(to_usize);
                            for (at, y) in y.iter_mut().enumerate() {
                                *y = result(a[at * strides[0]], b[at * strides[1]]);
                            }
                        }
                    }
                },
            );
        },
    );
}

/// The strides of an operand that is broadcast to a shape: 0 for axes of length 1 and for missing leading axes.
pub(super) fn broadcast_strides(operand: &[usize], shape: &[usize]) -> Vec<isize> {
    let mut all = vec![0; shape.len() - operand.len()];
    let own = strides(operand).into_iter().zip(operand);
    all.extend(own.map(|(stride, length)| if *length == 1 { 0 } else { to_isize(stride) }));
    all
}

/// Sizes of tensors in memory are at most `isize::MAX`.
#[allow(clippy::cast_possible_wrap, reason = "as above")]
pub(super) const fn to_isize(size: usize) -> isize {
    size as isize
}

/// Positions in tensors are not negative.
#[allow(clippy::cast_sign_loss, reason = "as above")]
const fn to_usize(position: isize) -> usize {
    position as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plain::index::{broadcast, each};

    /// Shapes of a result and of an operand that is broadcast to it.
    const SHAPES: [(&[usize], &[usize]); 8] = [
        (&[], &[]),
        (&[5], &[1]),
        (&[2, 3], &[3]),
        (&[2, 3, 4], &[2, 1, 4]),
        (&[2, 3, 4], &[1, 3, 1]),
        (&[2, 1, 3, 5], &[2, 1, 1, 1]),
        (&[3, 4, 5], &[3, 4, 5]),
        (&[2, 0, 3], &[2, 1, 3]),
    ];

    #[allow(clippy::cast_precision_loss, reason = "small numbers")]
    fn numbers(shape: &[usize]) -> Vec<f32> {
        (0..shape.iter().product())
            .map(|at: usize| at as f32)
            .collect()
    }

    #[test]
    fn operands_are_broadcast_as_their_indices_say() {
        for (shape, other) in SHAPES {
            for [a, b] in [[shape, other], [other, shape]] {
                let all = [a, b].map(numbers);
                let operands = [0, 1].map(|at| Operand {
                    numbers: &all[at],
                    shape: [a, b][at],
                });
                let mut expected = numbers(shape);
                each(shape, |at, index| {
                    let [a, b] = operands.map(|x| x.numbers[broadcast(index, x)]);
                    expected[at] = 100.0 * a + b;
                });
                let mut y = vec![-1.0; expected.len()];
                zip(Isa::best(), operands, &mut y, shape, |a, b| 100.0 * a + b);
                assert_eq!(y, expected, "{a:?} and {b:?}");
            }
        }
    }

    #[test]
    fn copies_are_where_their_strides_say() {
        let x = numbers(&[120]);
        for (shape, first, own) in [
            (&[2, 3, 4][..], 0, &[12, 4, 1][..]),
            (&[4, 3, 2], 0, &[1, 4, 12]),
            (&[2, 3, 4], 23, &[-12, -4, -1]),
            (&[3, 1, 5], 7, &[2, 99, 20]),
            (&[2, 3, 4], 5, &[0, 1, 0]),
            (&[], 3, &[]),
        ] {
            let mut expected = numbers(shape);
            each(shape, |at, index| {
                let position = index.iter().zip(own).map(|(i, s)| to_isize(*i) * s);
                expected[at] = x[to_usize(first + position.sum::<isize>())];
            });
            let mut y = vec![-1.0; expected.len()];
            gather(Isa::best(), &x, first, own, &mut y, shape);
            assert_eq!(y, expected, "{shape:?} from {first} by {own:?}");
        }
    }
}
