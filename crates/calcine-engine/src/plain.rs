//! Every operation as plain loops over floats in row-major order, the last axis first: what has no kernel of its own.
//!
//! Integers and booleans are held in floats, as positions of axes and masks are.

use calcine_graph::{
    Arithmetic, Comparison, Convolution, Interpolation, Map, Op, Padding, Pool, Range, Reduction,
};

/// A tensor that an operation reads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operand<'a> {
    pub(crate) numbers: &'a [f32],
    pub(crate) shape: &'a [usize],
}

/// The distance of neighbours along each axis.
pub(crate) fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

/// Calls a function with each index of a shape, in order.
fn each(shape: &[usize], mut visit: impl FnMut(usize, &[usize])) {
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

/// Where an index is in an operand that is broadcast to it: axes of length 1 repeat, and leading ones may be missing.
fn broadcast(index: &[usize], operand: Operand<'_>) -> usize {
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

/// Lines along an axis: how many are before it, its length, how many numbers are behind it.
fn lines(shape: &[usize], axis: usize) -> [usize; 3] {
    [
        shape[..axis].iter().product(),
        shape[axis],
        shape[axis + 1..].iter().product(),
    ]
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
        Op::Matmul => matmul(x[0], x[1], y, shape, |sum| sum),
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

/// A position of an axis that is held in a float; the nearest one if it is beyond the ends.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast saturates"
)]
fn position(number: f32, length: usize) -> usize {
    (number as usize).min(length.saturating_sub(1))
}

/// The products of the last two axes; leading ones are broadcast.
pub(crate) fn matmul(
    a: Operand<'_>,
    b: Operand<'_>,
    y: &mut [f32],
    shape: &[usize],
    finish: impl Fn(f32) -> f32,
) {
    let rank = shape.len();
    let [rows, columns] = [shape[rank - 2], shape[rank - 1]];
    let inner = a.shape[a.shape.len() - 1];
    let matrix = |of: Operand<'_>, index: &[usize]| {
        let leading = Operand {
            numbers: of.numbers,
            shape: &of.shape[..of.shape.len() - 2],
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
            for y in y {
                *y = finish(*y);
            }
        }
    });
}

/// A convolution over any number of axes.
fn convolve(options: &Convolution, x: &[Operand<'_>], y: &mut [f32], shape: &[usize]) {
    let (input, weight) = (x[0], x[1]);
    let [channels_in, channels_out] = [weight.shape[1], shape[1] / options.groups];
    let (from, kernel) = (strides(input.shape), &weight.shape[2..]);
    let places: usize = kernel.iter().product();
    each(shape, |at, index| {
        let mut sum = x.get(2).map_or(0.0, |bias| bias.numbers[index[1]]);
        let group = index[1] / channels_out;
        each(kernel, |place, within| {
            let mut first = index[0] * from[0] + group * channels_in * from[1];
            for axis in 0..kernel.len() {
                let here =
                    index[axis + 2] * options.stride[axis] + within[axis] * options.dilation[axis];
                let here = here.wrapping_sub(options.padding[axis][0]);
                if here >= input.shape[axis + 2] {
                    return;
                }
                first += here * from[axis + 2];
            }
            for channel in 0..channels_in {
                let weight = weight.numbers[(index[1] * channels_in + channel) * places + place];
                sum += input.numbers[first + channel * from[1]] * weight;
            }
        });
        y[at] = sum;
    });
}

/// The convolution whose gradient is this one, over any number of axes.
fn transposed(options: &Convolution, x: &[Operand<'_>], y: &mut [f32], shape: &[usize]) {
    let (input, weight) = (x[0], x[1]);
    let channels_out = weight.shape[1];
    let channels_in = input.shape[1] / options.groups;
    let (to, kernel) = (strides(shape), &weight.shape[2..]);
    let places: usize = kernel.iter().product();
    let places_out: usize = shape[2..].iter().product();
    for (at, y) in y.iter_mut().enumerate() {
        *y = x
            .get(2)
            .map_or(0.0, |bias| bias.numbers[at / places_out % shape[1]]);
    }
    each(input.shape, |at, index| {
        let group = index[1] / channels_in;
        each(kernel, |place, within| {
            let mut first = index[0] * to[0] + group * channels_out * to[1];
            for axis in 0..kernel.len() {
                let here =
                    index[axis + 2] * options.stride[axis] + within[axis] * options.dilation[axis];
                let here = here.wrapping_sub(options.padding[axis][0]);
                if here >= shape[axis + 2] {
                    return;
                }
                first += here * to[axis + 2];
            }
            for channel in 0..channels_out {
                let weight = weight.numbers[(index[1] * channels_out + channel) * places + place];
                y[first + channel * to[1]] += input.numbers[at] * weight;
            }
        });
    });
}

/// What a function makes of the numbers of each window, and of how many there are.
fn pooled(
    pool: &Pool,
    x: Operand<'_>,
    y: &mut [f32],
    shape: &[usize],
    of: impl Fn(&mut dyn Iterator<Item = f32>, f32) -> f32,
) {
    let own = strides(x.shape);
    each(shape, |at, index| {
        let mut window = Vec::new();
        each(&pool.kernel, |_, within| {
            let mut from = index[0] * own[0] + index[1] * own[1];
            for axis in 0..within.len() {
                let here = index[axis + 2] * pool.stride[axis] + within[axis] * pool.dilation[axis];
                let here = here.wrapping_sub(pool.padding[axis]);
                if here >= x.shape[axis + 2] {
                    return;
                }
                from += here * own[axis + 2];
            }
            window.push(x.numbers[from]);
        });
        #[allow(clippy::cast_precision_loss, reason = "sizes of windows")]
        let count = window.len() as f32;
        y[at] = of(&mut window.into_iter(), count);
    });
}

/// The means of as many windows as there are places.
fn adaptive(x: Operand<'_>, y: &mut [f32], shape: &[usize]) {
    let own = strides(x.shape);
    each(shape, |at, index| {
        let ends: Vec<[usize; 2]> = (2..shape.len())
            .map(|axis| {
                let (length, count) = (x.shape[axis], shape[axis]);
                [
                    index[axis] * length / count,
                    ((index[axis] + 1) * length).div_ceil(count),
                ]
            })
            .collect();
        let sizes: Vec<usize> = ends.iter().map(|[start, end]| end - start).collect();
        let mut sum = 0.0_f32;
        each(&sizes, |_, within| {
            let mut from = index[0] * own[0] + index[1] * own[1];
            for (axis, within) in within.iter().enumerate() {
                from += (ends[axis][0] + within) * own[axis + 2];
            }
            sum += x.numbers[from];
        });
        #[allow(clippy::cast_precision_loss, reason = "sizes of windows")]
        let count = sizes.iter().product::<usize>() as f32;
        y[at] = sum / count;
    });
}

fn pad(padding: &[[usize; 2]], with: Padding, x: Operand<'_>, y: &mut [f32], shape: &[usize]) {
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

fn slice(ranges: &[Range], x: Operand<'_>, y: &mut [f32], shape: &[usize], batch: usize) {
    let own = strides(x.shape);
    each(shape, |at, index| {
        let from = index.iter().zip(ranges).zip(&own);
        let from = from.map(|((index, range), stride)| {
            let by = range.step.unsigned_abs();
            let here = match range.step > 0 {
                true => range.start.length_for(batch) + index * by,
                false => range.end.length_for(batch) - 1 - index * by,
            };
            here * stride
        });
        y[at] = x.numbers[from.sum::<usize>()];
    });
}

fn reduced(reduction: Reduction, numbers: impl Iterator<Item = f32>, count: usize) -> f32 {
    match reduction {
        Reduction::Sum => numbers.sum(),
        #[allow(clippy::cast_precision_loss, reason = "lengths of axes")]
        Reduction::Mean => numbers.sum::<f32>() / count as f32,
        Reduction::Product => numbers.product(),
        Reduction::Max => numbers.fold(f32::NEG_INFINITY, f32::max),
        Reduction::Min => numbers.fold(f32::INFINITY, f32::min),
        Reduction::MaxAbs => numbers.map(f32::abs).fold(0.0, f32::max),
    }
}

fn combined(arithmetic: Arithmetic, a: f32, b: f32) -> f32 {
    match arithmetic {
        Arithmetic::Add => a + b,
        Arithmetic::Subtract => a - b,
        Arithmetic::Multiply => a * b,
        Arithmetic::Divide => a / b,
        // With the sign of the divisor.
        Arithmetic::Remainder => a - (a / b).floor() * b,
        Arithmetic::Power => libm::powf(a, b),
        Arithmetic::PRelu => {
            if a > 0.0 {
                a
            } else {
                a * b
            }
        }
        Arithmetic::ArcTan2 => libm::atan2f(a, b),
        Arithmetic::Hypot => libm::hypotf(a, b),
        Arithmetic::And => f32::from(u8::from(a != 0.0 && b != 0.0)),
        Arithmetic::Or => f32::from(u8::from(a != 0.0 || b != 0.0)),
    }
}

#[allow(clippy::float_cmp, reason = "the operation compares")]
fn compared(comparison: Comparison, a: f32, b: f32) -> f32 {
    f32::from(u8::from(match comparison {
        Comparison::Equal => a == b,
        Comparison::NotEqual => a != b,
        Comparison::Greater => a > b,
        Comparison::GreaterEqual => a >= b,
        Comparison::Less => a < b,
        Comparison::LessEqual => a <= b,
    }))
}

#[allow(clippy::cast_possible_truncation, reason = "floats are f32")]
fn mapped(map: Map, x: f32) -> f32 {
    match map {
        Map::Relu => x.max(0.0),
        Map::LeakyRelu(slope) => {
            if x < 0.0 {
                x * slope as f32
            } else {
                x
            }
        }
        Map::Gelu => x * 0.5 * (1.0 + libm::erff(x * std::f32::consts::FRAC_1_SQRT_2)),
        Map::Sigmoid => 1.0 / (1.0 + libm::expf(-x)),
        Map::LogSigmoid => -libm::log1pf(libm::expf(-x.abs())) + x.min(0.0),
        Map::HardSigmoid { alpha, beta } => (x * alpha as f32 + beta as f32).clamp(0.0, 1.0),
        Map::Tanh => libm::tanhf(x),
        Map::Abs => x.abs(),
        Map::Negate => -x,
        Map::Sign if x == 0.0 => 0.0,
        Map::Sign => x.signum(),
        Map::Exp => libm::expf(x),
        Map::Log => libm::logf(x),
        Map::Log1p => libm::log1pf(x),
        Map::Sqrt => x.sqrt(),
        Map::Reciprocal => 1.0 / x,
        Map::Erf => libm::erff(x),
        Map::Sin => libm::sinf(x),
        Map::Cos => libm::cosf(x),
        Map::Tan => libm::tanf(x),
        Map::Sinh => libm::sinhf(x),
        Map::Cosh => libm::coshf(x),
        Map::ArcSin => libm::asinf(x),
        Map::ArcCos => libm::acosf(x),
        Map::ArcTan => libm::atanf(x),
        Map::ArcSinh => libm::asinhf(x),
        Map::ArcCosh => libm::acoshf(x),
        Map::ArcTanh => libm::atanhf(x),
        Map::Floor => x.floor(),
        Map::Ceil => x.ceil(),
        Map::Truncate => x.trunc(),
        Map::Round => x.round_ties_even(),
        Map::Clamp { low, high } => x.max(low as f32).min(high as f32),
        Map::ClampMin(low) => x.max(low as f32),
        Map::ClampMax(high) => x.min(high as f32),
        Map::Not => f32::from(u8::from(x == 0.0)),
    }
}
