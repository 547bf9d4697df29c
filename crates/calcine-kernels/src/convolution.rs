//! Convolutions of floats in training: the forward pass and the gradients.

mod phase;
mod weight_sums;

use std::cell::RefCell;
use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::buffer::Buffer;
use crate::floats::FloatLayer;
use crate::images::{Frame, Images, Order, Size, unpack};
use crate::isa::Isa;
use crate::packed::Filters;
use crate::plane::{Plane, Window};
use crate::unwritten;

use self::phase::Phase;
use self::weight_sums::WeightSums;

/// The minimum number of images in a part of a batch. With smaller parts, adding their sums would take longer than the
/// products.
const SAMPLES: usize = 4;

/// The maximum number of parts of a batch whose sums are computed separately, and so the maximum number of threads that
/// compute the gradient of a weight.
const PARTS: usize = 16;

/// The maximum number of sums of all parts together, unless there are only two parts.
const ALL_SUMS: usize = 1 << 22;

/// The number of sums that one task adds over all parts.
const ADDED: usize = 1 << 12;

thread_local! {
    /// An image with the border that windows read, and an image that is computed.
    static SCRATCH: RefCell<[Buffer; 2]> = RefCell::default();
}

/// A convolution of images of floats, `y = x ∗ w + b`, and the gradients of a number that depends on `y`.
///
/// The shapes are `x: [samples, inputs, *input]`, `w: [outputs, inputs / groups, *kernel]`, `b: [outputs]` and `y:
/// [samples, outputs, *output]`; images can have either [`Order`]. Beyond the edge, windows read zeros. The last bits
/// of the results depend on the instruction set, but neither on the number of threads nor on the order. `y` is a sum of
/// products, which is exact if all intermediate results are integers that `f32` represents. Gradients of inputs may be
/// computed by Winograd's minimal filtering.
///
/// # Examples
///
/// ```
/// use calcine_kernels::{Convolution, Filters, Images, Isa, Order, Window};
///
/// // The sums of two neighbours, in images of one channel and one row.
/// let window = Window { kernel: [1, 2], stride: [1; 2], dilation: [1; 2], padding: [0; 2] };
/// let filters = Filters { inputs: 1, outputs: 1, groups: 1, window };
/// let sums = Convolution::new(Isa::best(), filters, [1, 3], [1, 2]);
/// let images = |numbers| Images { numbers, order: Order::ChannelsLast };
/// let (x, w) = ([1.0, 2.0, 4.0], [1.0, 1.0]);
///
/// assert_eq!(sums.forward(images(&x), &w, None, Order::ChannelsLast), [3.0, 6.0]);
///
/// // The gradients of y₀ + 10 y₁.
/// let dy = [1.0, 10.0];
/// assert_eq!(sums.input_gradient(images(&dy), &w, Order::ChannelsLast), [1.0, 11.0, 10.0]);
/// assert_eq!(sums.weight_gradient(images(&x), images(&dy)), [21.0, 42.0]);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Convolution {
    isa: Isa,
    filters: Filters,
    x: Size,
    y: Size,
}

impl Convolution {
    /// Creates a convolution from images of `input` rows and columns to images of `output` rows and columns.
    ///
    /// # Panics
    ///
    /// If the CPU does not have the instruction set, if the groups do not divide the channels, or if a size, stride or
    /// dilation is zero.
    #[must_use]
    pub fn new(isa: Isa, filters: Filters, input: [usize; 2], output: [usize; 2]) -> Self {
        assert!(
            isa.is_available(),
            "this CPU does not have the instruction set {isa}"
        );
        let Window {
            kernel,
            stride,
            dilation,
            ..
        } = filters.window;
        let [inputs, outputs, groups] = [filters.inputs, filters.outputs, filters.groups];
        let sizes = [kernel, stride, dilation, input, output].concat();
        assert!(
            sizes.iter().all(|size| *size > 0) && inputs > 0 && outputs > 0,
            "sizes, strides and dilations must be at least 1: {filters:?}, {input:?}, {output:?}"
        );
        assert!(
            groups > 0 && inputs.is_multiple_of(groups) && outputs.is_multiple_of(groups),
            "the groups must divide the inputs and the outputs: {filters:?}"
        );
        let size = |[height, width]: [usize; 2], channels| Size {
            height,
            width,
            channels,
        };
        Self {
            isa,
            filters,
            x: size(input, inputs),
            y: size(output, outputs),
        }
    }

    /// Computes `y`.
    ///
    /// # Panics
    ///
    /// If the length of a slice does not match its shape.
    #[must_use]
    pub fn forward(
        &self,
        x: Images<'_>,
        weights: &[f32],
        bias: Option<&[f32]>,
        order: Order,
    ) -> Vec<f32> {
        let samples = self.samples(x.numbers, self.x);
        let frame = self.frame();
        let zeros;
        let bias = match bias {
            Some(bias) => bias,
            None => {
                zeros = vec![0.0; self.y.channels];
                &zeros
            }
        };
        let from = Plane::new(frame.size[0], frame.size[1], self.x.channels);
        let to = Plane::new(self.y.height, self.y.width, self.y.channels);
        let mut filters = self.filters;
        filters.window.padding = [0; 2];
        let layer = FloatLayer::of_windows(weights, bias, filters, from, to);
        let all = [f32::NEG_INFINITY, f32::INFINITY];
        let write = |start: usize, y: &mut [MaybeUninit<f32>]| {
            let image = self.image(x.numbers, self.x, start / self.y.numbers());
            with_scratch([from.sample_len(), self.y.numbers()], |[read, own]| {
                frame.fill(self.isa, image, self.x, x.order, read);
                match order {
                    Order::ChannelsLast => {
                        layer.run(self.isa, 1, read, all, None, unwritten::zeros(y));
                    }
                    Order::ChannelsFirst => {
                        layer.run(self.isa, 1, read, all, None, own);
                        let row = self.y.width * self.y.channels;
                        unpack(self.isa, own, row, self.y, order, y);
                    }
                }
            });
        };
        // SAFETY: tasks are whole images, all numbers of which are zeroed or unpacked.
        unsafe { unwritten::filled(samples * self.y.numbers(), self.y.numbers(), write) }
    }

    /// Computes the gradient of `x` from the gradient of `y`, in the given order. Each position of `x` reads the
    /// windows that contain it.
    ///
    /// With a stride above 1, the positions of `x` that have the same remainder modulo the stride are computed by one
    /// convolution.
    ///
    /// # Panics
    ///
    /// If the length of a slice does not match its shape.
    #[must_use]
    pub fn input_gradient(&self, dy: Images<'_>, weights: &[f32], order: Order) -> Vec<f32> {
        let samples = self.samples(dy.numbers, self.y);
        assert_eq!(weights.len(), self.filters.weights(), "weights");
        let stride = self.filters.window.stride;
        let heights = 0..stride[0].min(self.x.height);
        let phases: Vec<Phase> = heights
            .flat_map(|row| (0..stride[1].min(self.x.width)).map(move |column| [row, column]))
            .map(|first| Phase::new(self, weights, first))
            .collect();
        // Rounded up to multiples of the stride, so that all phases have the same number of positions.
        let whole = Size {
            height: self.x.height.next_multiple_of(stride[0]),
            width: self.x.width.next_multiple_of(stride[1]),
            channels: self.x.channels,
        };
        let row = whole.width * whole.channels;
        let read = phases.iter().map(|phase| phase.frame.size);
        let read = read.map(|[rows, columns]| rows * columns * self.y.channels);
        let read = read.max().unwrap_or(0);
        // The last phases end behind the last row.
        let written = whole.numbers() + stride[0] * row;
        let write = |start: usize, dx: &mut [MaybeUninit<f32>]| {
            let image = self.image(dy.numbers, self.y, start / self.x.numbers());
            with_scratch([read, written], |[read, own]| {
                for phase in &phases {
                    phase.run(self, image, dy.order, read, own);
                }
                unpack(self.isa, own, row, self.x, order, dx);
            });
        };
        // SAFETY: tasks are whole images, all numbers of which are unpacked.
        unsafe { unwritten::filled(samples * self.x.numbers(), self.x.numbers(), write) }
    }

    /// Computes the gradient of `w`, `dw[o][i][k] = Σ dy[o][p] · x[i][stride · p + dilation · k − padding]`, over all samples and
    /// positions.
    ///
    /// # Panics
    ///
    /// If the length of a slice does not match its shape.
    #[must_use]
    pub fn weight_gradient(&self, x: Images<'_>, dy: Images<'_>) -> Vec<f32> {
        let samples = self.samples(x.numbers, self.x);
        assert_eq!(samples, self.samples(dy.numbers, self.y), "images");
        let sums = WeightSums::new(self);
        let parts = samples.div_ceil(SAMPLES).min(PARTS);
        let parts = (ALL_SUMS / sums.length).clamp(2, parts.max(2));
        let each = samples.div_ceil(parts).max(1);
        let mut all = vec![0.0; samples.div_ceil(each).max(1) * sums.length];
        let images = x.numbers.par_chunks(each * self.x.numbers());
        let gradients = dy.numbers.par_chunks(each * self.y.numbers());
        all.par_chunks_exact_mut(sums.length)
            .zip(images.zip(gradients))
            .for_each(|(own, (images, gradients))| {
                let images = images.chunks_exact(self.x.numbers());
                let gradients = gradients.chunks_exact(self.y.numbers());
                let [rows, columns] = sums.frame.size;
                let lengths = [rows * columns * self.x.channels, self.y.numbers()];
                with_scratch(lengths, |[read, gradient]| {
                    for (image, given) in images.zip(gradients) {
                        sums.frame.fill(self.isa, image, self.x, x.order, read);
                        let whole = Frame {
                            size: [self.y.height, self.y.width],
                            before: [0; 2],
                        };
                        whole.fill(self.isa, given, self.y, dy.order, gradient);
                        sums.add(read, gradient, own);
                    }
                });
            });
        // The parts are added in order, so that the result does not depend on the threads.
        let (sum, parts) = all.split_at_mut(sums.length);
        sum.par_chunks_mut(ADDED).enumerate().for_each(|(at, sum)| {
            for part in parts.chunks_exact(sums.length) {
                for (sum, own) in sum.iter_mut().zip(&part[at * ADDED..]) {
                    *sum += own;
                }
            }
        });
        let mut dw = vec![0.0; self.filters.weights()];
        let each = dw.len() / self.filters.outputs;
        dw.par_chunks_exact_mut(each)
            .enumerate()
            .for_each(|(output, dw)| {
                for (at, dw) in dw.iter_mut().enumerate() {
                    *dw = sum[sums.place(output, at)];
                }
            });
        dw
    }

    /// Computes the gradient of `b`: the sums of the gradient of `y` over samples and positions.
    ///
    /// # Panics
    ///
    /// If the length of a slice does not match its shape.
    #[must_use]
    pub fn bias_gradient(&self, dy: Images<'_>) -> Vec<f32> {
        self.samples(dy.numbers, self.y);
        let (numbers, channels) = (self.y.numbers(), self.y.channels);
        let of_images: Vec<Vec<f32>> = (dy.numbers.par_chunks_exact(numbers))
            .map(|image| {
                let mut sums = vec![0.0; channels];
                match dy.order {
                    Order::ChannelsLast => {
                        for position in image.chunks_exact(channels) {
                            for (sum, number) in sums.iter_mut().zip(position) {
                                *sum += number;
                            }
                        }
                    }
                    Order::ChannelsFirst => {
                        let planes = image.chunks_exact(numbers / channels);
                        for (sum, plane) in sums.iter_mut().zip(planes) {
                            *sum = plane.iter().sum();
                        }
                    }
                }
                sums
            })
            .collect();
        let mut all = vec![0.0; channels];
        for of_image in of_images {
            for (sum, own) in all.iter_mut().zip(of_image) {
                *sum += own;
            }
        }
        all
    }

    /// The number of images of this size in a slice.
    fn samples(&self, numbers: &[f32], size: Size) -> usize {
        assert!(
            numbers.len().is_multiple_of(size.numbers()),
            "{} numbers are not whole images of {self:?}",
            numbers.len()
        );
        numbers.len() / size.numbers()
    }

    /// One of several images.
    fn image<'a>(&self, numbers: &'a [f32], size: Size, at: usize) -> &'a [f32] {
        &numbers[at * size.numbers()..][..size.numbers()]
    }

    /// The rows and columns that all windows together read.
    fn frame(&self) -> Frame {
        let Window {
            kernel,
            stride,
            dilation,
            padding,
        } = self.filters.window;
        let output = [self.y.height, self.y.width];
        Frame {
            size: [0, 1].map(|axis| {
                (output[axis] - 1) * stride[axis] + (kernel[axis] - 1) * dilation[axis] + 1
            }),
            before: padding.map(usize::cast_signed),
        }
    }
}

/// Calls a function with scratch memory of these lengths, followed by spare numbers.
fn with_scratch(lengths: [usize; 2], call: impl FnOnce([&mut [f32]; 2])) {
    SCRATCH.with_borrow_mut(|buffers| {
        for (buffer, length) in buffers.iter_mut().zip(lengths) {
            if buffer.floats().len() < length + Buffer::SPARE / 4 {
                *buffer = Buffer::zeros(4 * length);
            }
        }
        call(buffers.each_mut().map(Buffer::floats_mut));
    });
}
