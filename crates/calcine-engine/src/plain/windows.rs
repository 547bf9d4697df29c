//! Convolutions and pools, over any number of axes.

use calcine_graph::{Convolution, Pool};

use super::Operand;
use super::index::{each, strides};

/// A convolution over any number of axes.
pub(super) fn convolve(options: &Convolution, x: &[Operand<'_>], y: &mut [f32], shape: &[usize]) {
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

/// A transposed convolution over any number of axes: the gradient of a convolution.
pub(super) fn transposed(options: &Convolution, x: &[Operand<'_>], y: &mut [f32], shape: &[usize]) {
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

/// The result of a function for each window, from the numbers within the image and the number of window positions.
pub(super) fn pooled(
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

/// Adaptive average pooling: the means of windows, one for each position of the result.
pub(super) fn adaptive(x: Operand<'_>, y: &mut [f32], shape: &[usize]) {
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
