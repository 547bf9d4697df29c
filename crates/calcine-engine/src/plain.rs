//! Every operation as plain loops over floats in row-major order, the last axis first: what has no kernel of its own.
//!
//! Integers and booleans are held in floats, as positions of axes and masks are.

mod index;
mod moves;
mod scalar;
mod windows;

use calcine_graph::{Interpolation, Op};

use index::{broadcast, each, lines, position, strides};
use moves::{pad, slice};
use scalar::{combined, compared, mapped, reduced};
use windows::{adaptive, convolve, pooled, transposed};

/// A tensor that an operation reads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operand<'a> {
    pub(crate) numbers: &'a [f32],
    pub(crate) shape: &'a [usize],
}

/// Whether [`evaluate`] computes an operation.
pub(crate) fn is_supported(op: &Op) -> bool {
    !matches!(
        op,
        Op::Attention { .. }
            | Op::CumulativeSum(_)
            | Op::ArgSort { .. }
            | Op::Scatter(..)
            | Op::ScatterNd(_)
            | Op::Interpolate {
                mode: Interpolation::Bicubic | Interpolation::Lanczos3 | Interpolation::Bilinear,
                ..
            }
    )
}

/// Computes an operation of [`is_supported`] ones.
#[allow(clippy::too_many_lines, reason = "an operation each")]
pub(crate) fn evaluate(op: &Op, x: &[Operand<'_>], y: &mut [f32], shape: &[usize], batch: usize) {
    match op {
        Op::Convolution(options) => convolve(options, x, y, shape),
        Op::TransposedConvolution { convolution, .. } => transposed(convolution, x, y, shape),
        Op::Linear => {
            let [inputs, outputs] = [x[1].shape[0], x[1].shape[1]];
            for (x_row, y) in x[0].numbers.chunks(inputs).zip(y.chunks_mut(outputs)) {
                match x.get(2) {
                    Some(bias) => y.copy_from_slice(bias.numbers),
                    None => y.fill(0.0),
                }
                for (x, weights) in x_row.iter().zip(x[1].numbers.chunks(outputs)) {
                    for (y, weight) in y.iter_mut().zip(weights) {
                        *y += x * weight;
                    }
                }
            }
        }
        Op::Matmul => matmul(x[0], x[1], y, shape),
        Op::Embedding => {
            let features = x[0].shape[1];
            for (y, row) in y.chunks_mut(features).zip(x[1].numbers) {
                let row = position(*row, x[0].shape[0]);
                y.copy_from_slice(&x[0].numbers[row * features..(row + 1) * features]);
            }
        }
        Op::BatchNorm { epsilon, .. } => {
            let [_, channels, places] = lines(shape, 1);
            let [gamma, beta, mean, variance] = [1, 2, 3, 4].map(|at: usize| x[at].numbers);
            for (at, (y, x)) in y.iter_mut().zip(x[0].numbers).enumerate() {
                let channel = at / places % channels;
                #[allow(clippy::cast_possible_truncation, reason = "floats are f32")]
                let deviation = (variance[channel] + *epsilon as f32).sqrt();
                *y = (x - mean[channel]) / deviation * gamma[channel] + beta[channel];
            }
        }
        Op::LayerNorm { epsilon } => {
            let features = x[1].numbers.len();
            for (y, x_row) in y.chunks_mut(features).zip(x[0].numbers.chunks(features)) {
                #[allow(clippy::cast_precision_loss, reason = "lengths of axes")]
                let count = features as f64;
                let mean = x_row.iter().map(|x| f64::from(*x)).sum::<f64>() / count;
                let squares = x_row.iter().map(|x| (f64::from(*x) - mean).powi(2));
                let deviation = (squares.sum::<f64>() / count + epsilon).sqrt();
                for (at, (y, x_own)) in y.iter_mut().zip(x_row).enumerate() {
                    #[allow(clippy::cast_possible_truncation, reason = "floats are f32")]
                    let normal = ((f64::from(*x_own) - mean) / deviation) as f32;
                    let beta = x.get(2).map_or(0.0, |beta| beta.numbers[at]);
                    *y = normal * x[1].numbers[at] + beta;
                }
            }
        }
        Op::MaxPool(pool) => pooled(pool, x[0], y, shape, |window, _| {
            window.fold(f32::NEG_INFINITY, f32::max)
        }),
        Op::AveragePool {
            pool,
            count_padding,
        } => {
            #[allow(clippy::cast_precision_loss, reason = "sizes of windows")]
            let all = pool.kernel.iter().product::<usize>() as f32;
            pooled(pool, x[0], y, shape, |window, count| {
                window.sum::<f32>() / if *count_padding { all } else { count }
            });
        }
        Op::AdaptiveAveragePool => adaptive(x[0], y, shape),
        Op::Interpolate { .. } => each(shape, |at, index| {
            let own = index.iter().zip(shape).zip(x[0].shape);
            let own = own.fold(0, |from, ((index, to), length)| {
                from * length + index * length / to
            });
            y[at] = x[0].numbers[own];
        }),
        Op::Pad { padding, with } => pad(padding, *with, x[0], y, shape),
        Op::Map(map) => {
            for (y, x) in y.iter_mut().zip(x[0].numbers) {
                *y = mapped(*map, *x);
            }
        }
        Op::Scalar(arithmetic, number) => {
            #[allow(clippy::cast_possible_truncation, reason = "floats are f32")]
            let number = *number as f32;
            for (y, x) in y.iter_mut().zip(x[0].numbers) {
                *y = combined(*arithmetic, *x, number);
            }
        }
        Op::Zip(arithmetic) => each(shape, |at, index| {
            let [a, b] = [x[0], x[1]].map(|x| x.numbers[broadcast(index, x)]);
            y[at] = combined(*arithmetic, a, b);
        }),
        Op::CompareScalar(comparison, number) => {
            #[allow(clippy::cast_possible_truncation, reason = "floats are f32")]
            let number = *number as f32;
            for (y, x) in y.iter_mut().zip(x[0].numbers) {
                *y = compared(*comparison, *x, number);
            }
        }
        Op::Compare(comparison) => each(shape, |at, index| {
            let [a, b] = [x[0], x[1]].map(|x| x.numbers[broadcast(index, x)]);
            y[at] = compared(*comparison, a, b);
        }),
        Op::Where => each(shape, |at, index| {
            let [x, mask, other] = [x[0], x[1], x[2]].map(|x| x.numbers[broadcast(index, x)]);
            y[at] = if mask != 0.0 { other } else { x };
        }),
        Op::Fill(number) => each(shape, |at, index| {
            let [x, mask] = [x[0], x[1]].map(|x| x.numbers[broadcast(index, x)]);
            #[allow(clippy::cast_possible_truncation, reason = "floats are f32")]
            let number = *number as f32;
            y[at] = if mask != 0.0 { number } else { x };
        }),
        Op::Softmax(axis) | Op::LogSoftmax(axis) => {
            let is_log = matches!(op, Op::LogSoftmax(_));
            let [before, length, behind] = lines(shape, *axis);
            for line in 0..before * behind {
                let first = line / behind * length * behind + line % behind;
                let own = (0..length).map(|at| first + at * behind);
                let largest = own.clone().map(|at| x[0].numbers[at]);
                let largest = largest.fold(f32::NEG_INFINITY, f32::max);
                let sum: f32 = own
                    .clone()
                    .map(|at| libm::expf(x[0].numbers[at] - largest))
                    .sum();
                for at in own {
                    let shifted = x[0].numbers[at] - largest;
                    y[at] = match is_log {
                        true => shifted - libm::logf(sum),
                        false => libm::expf(shifted) / sum,
                    };
                }
            }
        }
        Op::Reduce(reduction, axis) => {
            let [_, length, behind] = lines(x[0].shape, *axis);
            for (line, y) in y.iter_mut().enumerate() {
                let first = line / behind * length * behind + line % behind;
                let own = (0..length).map(|at| x[0].numbers[first + at * behind]);
                *y = reduced(*reduction, own, length);
            }
        }
        Op::ReduceAll(reduction) => {
            let all = x[0].numbers.iter().copied();
            y[0] = reduced(*reduction, all, x[0].numbers.len());
        }
        Op::ArgMax(axis) => {
            let [_, length, behind] = lines(x[0].shape, *axis);
            for (line, y) in y.iter_mut().enumerate() {
                let first = line / behind * length * behind + line % behind;
                let mut best = 0;
                for at in 1..length {
                    if x[0].numbers[first + at * behind] > x[0].numbers[first + best * behind] {
                        best = at;
                    }
                }
                #[allow(clippy::cast_precision_loss, reason = "positions of axes")]
                let best = best as f32;
                *y = best;
            }
        }
        Op::Concat(axis) => {
            let [before, length, behind] = lines(shape, *axis);
            let mut first = 0;
            for x in x {
                let own = x.shape[*axis] * behind;
                for line in 0..before {
                    let to = line * length * behind + first;
                    y[to..to + own].copy_from_slice(&x.numbers[line * own..(line + 1) * own]);
                }
                first += own;
            }
        }
        Op::Slice(ranges) => slice(ranges, x[0], y, shape, batch),
        Op::Select(axis) => {
            let [_, length, behind] = lines(shape, *axis);
            let from = x[0].shape[*axis];
            for (at, y) in y.iter_mut().enumerate() {
                let (line, rest) = (at / (length * behind), at % behind);
                let own = position(x[1].numbers[at / behind % length], from);
                *y = x[0].numbers[(line * from + own) * behind + rest];
            }
        }
        Op::Gather(axis) => {
            let own = strides(x[0].shape);
            each(shape, |at, index| {
                let chosen = position(x[1].numbers[at], x[0].shape[*axis]);
                let from = index.iter().enumerate().zip(&own);
                let from = from
                    .map(|((i, index), stride)| stride * if i == *axis { chosen } else { *index });
                y[at] = x[0].numbers[from.sum::<usize>()];
            });
        }
        Op::Reshape => y.copy_from_slice(x[0].numbers),
        Op::Expand => each(shape, |at, index| {
            y[at] = x[0].numbers[broadcast(index, x[0])];
        }),
        Op::Permute(axes) => {
            let own = strides(x[0].shape);
            let own: Vec<usize> = axes.iter().map(|axis| own[*axis]).collect();
            each(shape, |at, index| {
                let from = index.iter().zip(&own).map(|(index, stride)| index * stride);
                y[at] = x[0].numbers[from.sum::<usize>()];
            });
        }
        Op::Flip(axes) => {
            let own = strides(shape);
            each(shape, |at, index| {
                let from =
                    index
                        .iter()
                        .enumerate()
                        .map(|(axis, index)| match axes.contains(&axis) {
                            true => (shape[axis] - 1 - index) * own[axis],
                            false => index * own[axis],
                        });
                y[at] = x[0].numbers[from.sum::<usize>()];
            });
        }
        Op::Repeat { axis, .. } => {
            let [_, _, behind] = lines(shape, *axis);
            let own = x[0].shape[*axis] * behind;
            let line = shape[*axis] * behind;
            for (at, y) in y.iter_mut().enumerate() {
                *y = x[0].numbers[at / line * own + at % line % own];
            }
        }
        #[allow(clippy::cast_possible_truncation, reason = "floats are f32")]
        Op::Constant(number) => y.fill(*number as f32),
        Op::Cast => y.copy_from_slice(x[0].numbers),
        Op::Attention { .. }
        | Op::CumulativeSum(_)
        | Op::ArgSort { .. }
        | Op::Scatter(..)
        | Op::ScatterNd(_) => {
            unreachable!("`is_supported` is asked first")
        }
    }
}

/// The products of the last two axes; leading ones are broadcast.
fn matmul(a: Operand<'_>, b: Operand<'_>, y: &mut [f32], shape: &[usize]) {
    let rank = shape.len();
    let [rows, columns] = [shape[rank - 2], shape[rank - 1]];
    let inner = a.shape[a.shape.len() - 1];
    let matrix = |operand: Operand<'_>, index: &[usize]| {
        let leading = Operand {
            numbers: operand.numbers,
            shape: &operand.shape[..operand.shape.len() - 2],
        };
        broadcast(index, leading)
    };
    each(&shape[..rank - 2], |at, index| {
        let a = &a.numbers[matrix(a, index) * rows * inner..][..rows * inner];
        let b = &b.numbers[matrix(b, index) * inner * columns..][..inner * columns];
        let y = &mut y[at * rows * columns..][..rows * columns];
        for (a, y) in a.chunks(inner).zip(y.chunks_mut(columns)) {
            y.fill(0.0);
            for (a, b) in a.iter().zip(b.chunks(columns)) {
                for (y, b) in y.iter_mut().zip(b) {
                    *y += a * b;
                }
            }
        }
    });
}
