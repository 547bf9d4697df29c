//! Convolutions and pools, over any number of axes.

use calcine_graph::{Convolution, Pool};

use super::Operand;
use super::index::{each, strides};

/// The windows of a convolution or a pool, by axis.
struct Windows<'a> {
    stride: &'a [usize],
    dilation: &'a [usize],
    /// The number of positions before the first one of the image at which the first window begins.
    padding: Vec<usize>,
}

impl Windows<'_> {
    /// The offset of the element `within` of the window `index[2..]`, in an image with these lengths and strides (batch and channels
    /// first); `None` if the element is beyond the edge.
    fn offset(
        &self,
        index: &[usize],
        within: &[usize],
        lengths: &[usize],
        strides: &[usize],
    ) -> Option<usize> {
        let mut offset = 0;
        for (axis, within) in within.iter().enumerate() {
            let place = index[axis + 2] * self.stride[axis] + within * self.dilation[axis];
            let place = place.checked_sub(self.padding[axis])?;
            if place >= lengths[axis + 2] {
                return None;
            }
            offset += place * strides[axis + 2];
        }
        Some(offset)
    }
}

/// A convolution over any number of axes.
pub(super) fn convolve(options: &Convolution, x: &[Operand<'_>], y: &mut [f32], shape: &[usize]) {
    let (input, weight) = (x[0], x[1]);
    let [channels_in, channels_out] = [weight.shape[1], shape[1] / options.groups];
    let (from, kernel) = (strides(input.shape), &weight.shape[2..]);
    let windows = Windows {
        stride: &options.stride,
        dilation: &options.dilation,
        padding: options.padding.iter().map(|[before, _]| *before).collect(),
    };
    let places: usize = kernel.iter().product();
    each(shape, |at, index| {
        let mut sum = x.get(2).map_or(0.0, |bias| bias.numbers[index[1]]);
        let group = index[1] / channels_out;
        each(kernel, |place, within| {
            let Some(place_offset) = windows.offset(index, within, input.shape, &from) else {
                return;
            };
            let first = index[0] * from[0] + group * channels_in * from[1] + place_offset;
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
    let windows = Windows {
        stride: &options.stride,
        dilation: &options.dilation,
        padding: options.padding.iter().map(|[before, _]| *before).collect(),
    };
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
            let Some(place_offset) = windows.offset(index, within, shape, &to) else {
                return;
            };
            let first = index[0] * to[0] + group * channels_out * to[1] + place_offset;
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
    let windows = Windows {
        stride: &pool.stride,
        dilation: &pool.dilation,
        padding: pool.padding.clone(),
    };
    each(shape, |at, index| {
        let mut window = Vec::new();
        each(&pool.kernel, |_, within| {
            if let Some(place_offset) = windows.offset(index, within, x.shape, &own) {
                window.push(x.numbers[index[0] * own[0] + index[1] * own[1] + place_offset]);
            }
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
