//! Operations on integers that are stored as floats in row-major order, with the exact arithmetic of quantized
//! networks.

use calcine_graph::{Convolution, Op};
use calcine_kernels::{Isa, multiply_matrices, pack_matrix, packed_matrix_len};

use crate::form::nearest;
use crate::plain::{self, Operand};
use crate::step::{Matmul, Whole};

/// Computes an operation.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "sums are rounded to f32 once, and whole numbers are converted as they are"
)]
pub(crate) fn evaluate(isa: Isa, whole: &Whole, x: &[Operand<'_>], y: &mut [f32], shape: &[usize]) {
    match whole {
        Whole::Add { factors, ends } => {
            let ([a_factor, b_factor], ends) = (*factors, *ends);
            let add = move |a: f32, b: f32| nearest(a * a_factor + b * b_factor, ends);
            plain::zip(isa, [x[0], x[1]], y, shape, add);
        }
        Whole::Multiply { factor, ends } => {
            // The product of two floats is the exact product, rounded once.
            let (factor, ends) = (*factor, *ends);
            let multiply = move |a: f32, b: f32| nearest(a * b * factor, ends);
            plain::zip(isa, [x[0], x[1]], y, shape, multiply);
        }
        Whole::Matmul { factor, ends } => {
            // Products in `f64` are exact up to 2⁵³.
            let rank = shape.len();
            let [rows, columns] = [shape[rank - 2], shape[rank - 1]];
            let inner = x[0].shape[x[0].shape.len() - 1];
            let leading = |last: [usize; 2]| {
                let mut all = shape[..rank - 2].to_vec();
                all.extend(last);
                all
            };
            let a = expanded(isa, x[0], &leading([rows, inner]));
            let b = expanded(isa, x[1], &leading([inner, columns]));
            for (at, y) in y.iter_mut().enumerate() {
                let (matrix, row, column) =
                    (at / (rows * columns), at / columns % rows, at % columns);
                let a = &a[(matrix * rows + row) * inner..][..inner];
                let b = &b[matrix * inner * columns..][..inner * columns];
                let products = a.iter().zip(b[column..].iter().step_by(columns));
                let sum: f64 = products.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                *y = sum as f32;
            }
            round(isa, y, *factor, *ends);
        }
        Whole::Concat {
            axis,
            factors,
            ends,
        } => {
            let behind: usize = shape[axis + 1..].iter().product();
            let line = shape[*axis] * behind;
            let mut first = 0;
            for (x, factor) in x.iter().zip(factors) {
                let own = x.shape[*axis] * behind;
                for (y, x) in y.chunks_mut(line.max(1)).zip(x.numbers.chunks(own.max(1))) {
                    let y = &mut y[first..first + own];
                    y.copy_from_slice(x);
                    round(isa, y, *factor, *ends);
                }
                first += own;
            }
        }
        Whole::Mean {
            op,
            count,
            factor,
            ends,
        } => {
            // Sums up to 2³¹ in two parts, each of which can be computed exactly from a mean in `f32`.
            let part = |high: bool| -> Vec<f32> {
                let own = x[0].numbers.iter().map(|x| {
                    let above = (x / 64.0).round_ties_even();
                    if high { above } else { x - 64.0 * above }
                });
                own.collect()
            };
            let mut sums = vec![0.0_f64; y.len()];
            for (high, weight) in [(true, 64.0), (false, 1.0)] {
                let numbers = part(high);
                let operand = Operand {
                    numbers: &numbers,
                    shape: x[0].shape,
                };
                plain::evaluate(isa, op, &[operand], y, shape, 0);
                for (sum, mean) in sums.iter_mut().zip(y.iter()) {
                    *sum += weight * (f64::from(*mean) * *count as f64).round_ties_even();
                }
            }
            for (y, sum) in y.iter_mut().zip(sums) {
                *y = sum as f32;
            }
            round(isa, y, *factor, *ends);
        }
        &Whole::Clamp([low, high]) => {
            let x = x[0].numbers;
            isa.vectorize(
                #[inline(always)]
                move || {
                    for (y, x) in y.iter_mut().zip(x) {
                        *y = x.max(low).min(high);
                    }
                },
            );
        }
        Whole::Layer {
            op,
            weights,
            bias,
            factor,
            axis,
            ends,
        } => {
            let sums = sums(op, x[0], weights, shape);
            let behind: usize = shape[axis + 1..].iter().product();
            for (at, (y, sum)) in y.iter_mut().zip(sums).enumerate() {
                let output = at / behind % shape[*axis];
                let scaled = (sum + bias[output]) as f32 * factor[output];
                *y = ends.map_or(scaled, |ends| nearest(scaled, ends));
            }
        }
        Whole::Dynamic {
            op,
            weights,
            scales,
            bias,
            axis,
            bits,
            symmetric,
        } => {
            let (whole, scale) = dynamic(x[0].numbers, *bits, *symmetric);
            let operand = Operand {
                numbers: &whole,
                shape: x[0].shape,
            };
            let sums = sums(op, operand, weights, shape);
            let behind: usize = shape[axis + 1..].iter().product();
            for (at, (y, sum)) in y.iter_mut().zip(sums).enumerate() {
                let output = at / behind % shape[*axis];
                *y = sum as f32 * scales[output] * scale + bias[output];
            }
        }
    }
}

/// Multiplies numbers with a factor, and rounds them to the nearest integers.
fn round(isa: Isa, y: &mut [f32], factor: f32, ends: [f32; 2]) {
    isa.vectorize(
        #[inline(always)]
        move || {
            for y in y {
                *y = nearest(*y * factor, ends);
            }
        },
    );
}

/// Broadcasts an operand along its axes of length 1.
fn expanded(isa: Isa, x: Operand<'_>, shape: &[usize]) -> Vec<f32> {
    let mut all = vec![0.0; shape.iter().product()];
    plain::evaluate(isa, &Op::Expand, &[x], &mut all, shape, 0);
    all
}

/// Packs each matrix `[…, inner, columns]` for [`multiply`].
pub(crate) fn pack([inner, columns]: [usize; 2], x: &[f32], y: &mut [f32]) {
    let length = packed_matrix_len(inner, columns);
    let matrices = x.chunks_exact((inner * columns).max(1));
    for (x, y) in matrices.zip(y.chunks_exact_mut(length.max(1))) {
        pack_matrix(inner, columns, x, y);
    }
}

/// Multiplies matrices with packed matrices; the leading axes are broadcast.
pub(crate) fn multiply(isa: Isa, matmul: &Matmul, x: [&[f32]; 2], y: &mut [f32]) {
    let [rows, inner, columns] = matmul.sizes;
    let sizes = [rows * inner, packed_matrix_len(inner, columns)];
    for ((own, packed), y) in matmul
        .pairs
        .iter()
        .zip(y.chunks_exact_mut((rows * columns).max(1)))
    {
        let own = &x[0][own * sizes[0]..][..sizes[0]];
        let packed = &x[1][packed * sizes[1]..][..sizes[1]];
        multiply_matrices(isa, matmul.sizes, matmul.sums, own, packed, y);
    }
    if let Some((factor, ends)) = matmul.rescale {
        round(isa, y, factor, ends);
    }
}

/// Quantizes a batch with the quantizer for its own range. Returns `q − zero_point` and the scale.
fn dynamic(x: &[f32], bits: u8, symmetric: bool) -> (Vec<f32>, f32) {
    let low = x.iter().copied().fold(0.0_f32, f32::min);
    let high = x.iter().copied().fold(0.0_f32, f32::max);
    let (scale, ends) = match symmetric {
        true => {
            let top = f32::from((1_u16 << (bits - 1)) - 1);
            let scale = high.max(-low) / top;
            (if scale > 0.0 { scale } else { 1.0 }, [-top, top])
        }
        false => {
            let top = f32::from(((1_u32 << bits) - 1).min(65_535) as u16);
            let scale = (high - low) / top;
            let scale = if scale > 0.0 { scale } else { 1.0 };
            let zero = (-low / scale).round_ties_even().clamp(0.0, top);
            (scale, [-zero, top - zero])
        }
    };
    let whole = x.iter().map(|x| nearest(x / scale, ends));
    (whole.collect(), scale)
}

/// Exact sums of products of integers.
#[allow(clippy::cast_possible_truncation, reason = "whole numbers of 17 bits")]
fn sums(
    op: &Op,
    x: Operand<'_>,
    (weights, weight_shape): &(Vec<i32>, Vec<usize>),
    shape: &[usize],
) -> Vec<i64> {
    let whole: Vec<i64> = x.numbers.iter().map(|x| *x as i64).collect();
    let count = shape.iter().product();
    let mut sums = vec![0_i64; count];
    match op {
        Op::Linear => {
            let [inputs, outputs] = [weight_shape[0], weight_shape[1]];
            for (x, sums) in whole.chunks(inputs).zip(sums.chunks_mut(outputs)) {
                for (x, weights) in x.iter().zip(weights.chunks(outputs)) {
                    for (sum, weight) in sums.iter_mut().zip(weights) {
                        *sum += x * i64::from(*weight);
                    }
                }
            }
        }
        Op::Convolution(options) => {
            pairs(options, x.shape, shape, weight_shape, |x, weight, y| {
                sums[y] += whole[x] * i64::from(weights[weight]);
            });
        }
        Op::TransposedConvolution { convolution, .. } => {
            pairs(convolution, shape, x.shape, weight_shape, |y, weight, x| {
                sums[y] += whole[x] * i64::from(weights[weight]);
            });
        }
        _ => {}
    }
    sums
}

/// Calls a function for each product of a convolution from `large` to `small`, with the positions in the larger image,
/// in the weight and in the smaller image.
fn pairs(
    options: &Convolution,
    large: &[usize],
    small: &[usize],
    weight: &[usize],
    mut visit: impl FnMut(usize, usize, usize),
) {
    let axes = small.len() - 2;
    let kernel = &weight[2..];
    let places: usize = kernel.iter().product();
    let positions: usize = small[2..].iter().product();
    let [in_group, out_group] = [large[1] / options.groups, small[1] / options.groups];
    for sample in 0..small[0] {
        for position in 0..positions {
            for place in 0..places {
                let (mut rest, mut within, mut at) = (position, place, 0);
                let mut stride = 1;
                let mut inside = true;
                for axis in (0..axes).rev() {
                    let here = rest % small[axis + 2] * options.stride[axis]
                        + within % kernel[axis] * options.dilation[axis];
                    let here = here.wrapping_sub(options.padding[axis][0]);
                    inside &= here < large[axis + 2];
                    at = here.wrapping_mul(stride).wrapping_add(at);
                    stride *= large[axis + 2];
                    rest /= small[axis + 2];
                    within /= kernel[axis];
                }
                if !inside {
                    continue;
                }
                for output in 0..small[1] {
                    let group = output / out_group;
                    for input in 0..in_group {
                        let channel = group * in_group + input;
                        visit(
                            ((sample * large[1] + channel) * stride).wrapping_add(at),
                            (output * in_group + input) * places + place,
                            (sample * small[1] + output) * positions + position,
                        );
                    }
                }
            }
        }
    }
}
