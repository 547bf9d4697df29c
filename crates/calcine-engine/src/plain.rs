//! Operations on floats in row-major order, for everything that is not computed on images.
//!
//! Integers and booleans, such as indices and masks, are stored as floats.

mod index;
mod moves;
mod scalar;
mod strided;
mod windows;

use calcine_graph::{Arithmetic, Interpolation, Op};
use calcine_kernels::{Isa, functions, layer_norm_rows, log_softmax_rows, softmax_rows};

use index::{broadcast, each, lines, position, strides};
use moves::{pad, slice};
use scalar::{combine, compare, map, reduce};
use strided::{broadcast_strides, to_isize};
pub(crate) use strided::{gather, zip};
use windows::{adaptive, convolve, pooled, transposed};

/// An operand: the numbers and the shape of a tensor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operand<'a> {
    pub(crate) numbers: &'a [f32],
    pub(crate) shape: &'a [usize],
}

/// Whether [`evaluate`] supports an operation.
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

/// Computes an operation that [`is_supported`].
#[allow(clippy::too_many_lines, reason = "an operation each")]
pub(crate) fn evaluate(
    isa: Isa,
    op: &Op,
    x: &[Operand<'_>],
    y: &mut [f32],
    shape: &[usize],
    batch: usize,
) {
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
            let both = y
                .chunks_mut(places.max(1))
                .zip(x[0].numbers.chunks(places.max(1)));
            for (at, (y, x)) in both.enumerate() {
                let channel = at % channels;
                #[allow(clippy::cast_possible_truncation, reason = "floats are f32")]
                let deviation = (variance[channel] + *epsilon as f32).sqrt();
                for (y, x) in y.iter_mut().zip(x) {
                    *y = (x - mean[channel]) / deviation * gamma[channel] + beta[channel];
                }
            }
        }
        Op::LayerNorm { epsilon } => {
            let beta = x.get(2).map_or(&[][..], |beta| beta.numbers);
            layer_norm_rows(isa, x[1].numbers, beta, *epsilon, x[0].numbers, y);
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
        Op::Interpolate { mode, .. } => each(shape, |at, index| {
            let own = index.iter().zip(shape).zip(x[0].shape);
            let own = own.fold(0, |from, ((index, to), length)| {
                let nearest = match mode {
                    // The position of the centre.
                    Interpolation::NearestExact => (2 * index + 1) * length / (2 * to),
                    _ => index * length / to,
                };
                from * length + nearest
            });
            y[at] = x[0].numbers[own];
        }),
        Op::Pad { padding, with } => pad(padding, *with, x[0], y, shape),
        Op::Map(function) => map(isa, *function, x[0].numbers, y),
        #[allow(clippy::cast_possible_truncation, reason = "floats are f32")]
        Op::Scalar(arithmetic, number) => {
            combine(
                isa,
                *arithmetic,
                [x[0], single(&[*number as f32])],
                y,
                shape,
            );
        }
        Op::Zip(Arithmetic::PRelu) => {
            // One slope, or one for each index of the second axis.
            let mut slopes = vec![1; shape.len()];
            if let Some(channels) = slopes.get_mut(1) {
                *channels = x[1].numbers.len();
            }
            let slopes = Operand {
                numbers: x[1].numbers,
                shape: &slopes,
            };
            combine(isa, Arithmetic::PRelu, [x[0], slopes], y, shape);
        }
        Op::Zip(arithmetic) => combine(isa, *arithmetic, [x[0], x[1]], y, shape),
        #[allow(clippy::cast_possible_truncation, reason = "floats are f32")]
        Op::CompareScalar(comparison, number) => {
            compare(
                isa,
                *comparison,
                [x[0], single(&[*number as f32])],
                y,
                shape,
            );
        }
        Op::Compare(comparison) => compare(isa, *comparison, [x[0], x[1]], y, shape),
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
        Op::Softmax(axis) if axis + 1 == shape.len() => {
            softmax_rows(isa, shape[*axis], x[0].numbers, y);
        }
        Op::LogSoftmax(axis) if axis + 1 == shape.len() => {
            log_softmax_rows(isa, shape[*axis], x[0].numbers, y);
        }
        Op::Softmax(axis) | Op::LogSoftmax(axis) => {
            let is_log = matches!(op, Op::LogSoftmax(_));
            let [before, length, behind] = lines(shape, *axis);
            for line in 0..before * behind {
                let first = line / behind * length * behind + line % behind;
                let own = (0..length).map(|at| first + at * behind);
                let largest = own.clone().map(|at| x[0].numbers[at]);
                let largest = largest.fold(f32::NEG_INFINITY, f32::max);
                let mut sum = 0.0;
                for at in own.clone() {
                    y[at] = functions::exp(x[0].numbers[at] - largest);
                    sum += y[at];
                }
                for at in own {
                    y[at] = match is_log {
                        true => x[0].numbers[at] - largest - libm::logf(sum),
                        false => y[at] / sum,
                    };
                }
            }
        }
        Op::Reduce(reduction, axis) => {
            reduce(isa, *reduction, x[0].numbers, lines(x[0].shape, *axis), y);
        }
        Op::ReduceAll(reduction) => {
            let all = x[0].numbers;
            reduce(isa, *reduction, all, [1, all.len(), 1], y);
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
        Op::Slice(ranges) => {
            let (first, strides) = slice(ranges, x[0], batch);
            gather(isa, x[0].numbers, first, &strides, y, shape);
        }
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
        Op::Expand => {
            let strides = broadcast_strides(x[0].shape, shape);
            gather(isa, x[0].numbers, 0, &strides, y, shape);
        }
        Op::Permute(axes) => {
            let own = strides(x[0].shape);
            let own: Vec<isize> = axes.iter().map(|axis| to_isize(own[*axis])).collect();
            gather(isa, x[0].numbers, 0, &own, y, shape);
        }
        Op::Flip(axes) => {
            let mut own: Vec<isize> = strides(shape).into_iter().map(to_isize).collect();
            let mut first = 0;
            for axis in axes {
                first += (to_isize(shape[*axis]) - 1).max(0) * own[*axis];
                own[*axis] = -own[*axis];
            }
            gather(isa, x[0].numbers, first, &own, y, shape);
        }
        Op::Repeat { axis, .. } => {
            let [before, length, behind] = lines(shape, *axis);
            let own = x[0].shape[*axis] * behind;
            let repeated = [before, length * behind / own.max(1), own];
            gather(isa, x[0].numbers, 0, &[to_isize(own), 0, 1], y, &repeated);
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

/// An operand with a single number.
fn single(number: &[f32; 1]) -> Operand<'_> {
    Operand {
        numbers: number,
        shape: &[],
    }
}

/// The indices of the left and the right matrix of each product. Matrices are the last two axes; the leading axes are
/// broadcast.
pub(crate) fn matrix_pairs(a: &[usize], b: &[usize], shape: &[usize]) -> Vec<(usize, usize)> {
    let leading = |shape: &[usize]| shape[..shape.len() - 2].to_vec();
    let [a, b, shape] = [a, b, shape].map(leading);
    let operand = |shape| Operand {
        numbers: &[],
        shape,
    };
    let mut pairs = Vec::new();
    each(&shape, |_, index| {
        pairs.push((broadcast(index, operand(&a)), broadcast(index, operand(&b))));
    });
    pairs
}

/// The matrix products of constants, over the last two axes.
fn matmul(a: Operand<'_>, b: Operand<'_>, y: &mut [f32], shape: &[usize]) {
    let rank = shape.len();
    let [rows, columns] = [shape[rank - 2], shape[rank - 1]];
    let inner = a.shape[a.shape.len() - 1];
    let pairs = matrix_pairs(a.shape, b.shape, shape);
    for ((left, right), y) in pairs.into_iter().zip(y.chunks_mut((rows * columns).max(1))) {
        let a = &a.numbers[left * rows * inner..][..rows * inner];
        let b = &b.numbers[right * inner * columns..][..inner * columns];
        for (a, y) in a.chunks(inner.max(1)).zip(y.chunks_mut(columns)) {
            y.fill(0.0);
            for (a, b) in a.iter().zip(b.chunks(columns)) {
                for (y, b) in y.iter_mut().zip(b) {
                    *y += a * b;
                }
            }
        }
    }
}
