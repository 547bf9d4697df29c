//! Convolutions of floats in training.

use std::cell::RefCell;
use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::buffer::Buffer;
use crate::floats::FloatLayer;
use crate::images::{Frame, Images, Order, Size, unpack};
use crate::isa::Isa;
use crate::packed::{BLOCK, Filters};
use crate::plane::{Plane, Window};
use crate::products::{Products, add, add_depthwise, tiling};
use crate::unwritten;

/// Images of a part of a batch, at least: the sums of many small parts would take longer than the products.
const SAMPLES: usize = 4;

/// Parts of a batch whose sums are taken apart, at most: as many threads share the gradient of a weight.
const PARTS: usize = 16;

/// Numbers that the sums of all parts take, unless there are two parts only.
const ALL_SUMS: usize = 1 << 22;

/// Sums of which a task adds those of all parts.
const ADDED: usize = 1 << 12;

/// Positions whose products are added in registers before they are added to the sums in memory.
const POSITIONS: usize = 128;

thread_local! {
    /// An image as windows read it, and one that is computed.
    static SCRATCH: RefCell<[Buffer; 2]> = RefCell::default();
}

/// A convolution of images of floats, `y = x ∗ w + b`, and the gradients of a number that depends on `y`.
///
/// `x` has the shape `[samples, inputs, *input]`, `w` `[outputs, inputs / groups, *kernel]`, `b` `[outputs]`, and `y` `[samples, outputs,
/// *output]`; the images' numbers may be in either [`Order`]. What windows read beyond the edge is zero. The results
/// depend on the instruction set in their last bits, and on nothing else: neither on the number of threads nor on the order of the
/// images' numbers. `y` is a sum of products, exact where all of them are integers that floats hold; gradients of inputs may be computed
/// by Winograd's minimal filtering.
///
/// # Examples
///
/// ```
/// use calcine_kernels::{Convolution, Filters, Images, Isa, Order, Window};
///
/// // Sums of two neighbours: one channel, rows of one.
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
    /// A convolution of images of `input` rows and columns to images of `output` rows and columns.
    ///
    /// # Panics
    ///
    /// If the CPU does not have the instruction set, if channels are not split into equal groups, or if a size, stride or dilation
    /// is zero.
    #[must_use]
    pub fn new(isa: Isa, filters: Filters, input: [usize; 2], output: [usize; 2]) -> Self {
        assert!(isa.is_available(), "this CPU has no {isa}");
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
            "nothing is empty: {filters:?}, {input:?}, {output:?}"
        );
        assert!(
            groups > 0 && inputs.is_multiple_of(groups) && outputs.is_multiple_of(groups),
            "channels are split into equal groups: {filters:?}"
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
    /// If a slice has another length than the shapes say.
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
            with_scratch([from.sample(), self.y.numbers()], |[read, own]| {
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
        // SAFETY: tasks are whole images, which are zeroed or unpacked whole.
        unsafe { unwritten::filled(samples * self.y.numbers(), self.y.numbers(), write) }
    }

    /// Computes the gradient of `x` from that of `y`: each position of `x` reads the windows that it is part of.
    ///
    /// Where windows are further apart than one position, the positions of `x` that have the same remainder are a convolution each.
    ///
    /// # Panics
    ///
    /// If a slice has another length than the shapes say.
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
        // Whole numbers of strides, so that all phases have equally many positions.
        let whole = Size {
            height: self.x.height.next_multiple_of(stride[0]),
            width: self.x.width.next_multiple_of(stride[1]),
            channels: self.x.channels,
        };
        let row = whole.width * whole.channels;
        let read = phases.iter().map(|phase| phase.frame.size);
        let read = read.map(|[rows, columns]| rows * columns * self.y.channels);
        let read = read.max().unwrap_or(0);
        // A phase that begins late ends behind the last row.
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
        // SAFETY: tasks are whole images, which are unpacked whole.
        unsafe { unwritten::filled(samples * self.x.numbers(), self.x.numbers(), write) }
    }

    /// Computes the gradient of `w`, `dw[o][i][k] = Σ dy[o][p] · x[i][stride · p + dilation · k − padding]`, over all samples and
    /// positions.
    ///
    /// # Panics
    ///
    /// If a slice has another length than the shapes say.
    #[must_use]
    pub fn weight_gradient(&self, x: Images<'_>, dy: Images<'_>) -> Vec<f32> {
        let samples = self.samples(x.numbers, self.x);
        assert_eq!(samples, self.samples(dy.numbers, self.y), "images");
        let sums = SumsOfWeights::new(self);
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
        // The parts one after the other, whoever computed them.
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

    /// Computes the gradient of `b`: sums of that of `y`.
    ///
    /// # Panics
    ///
    /// If a slice has another length than the shapes say.
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

    /// How many images of this size these are.
    fn samples(&self, numbers: &[f32], size: Size) -> usize {
        assert!(
            numbers.len().is_multiple_of(size.numbers()),
            "{} numbers for whole images of {self:?}",
            numbers.len()
        );
        numbers.len() / size.numbers()
    }

    /// One of several images.
    fn image<'a>(&self, numbers: &'a [f32], size: Size, at: usize) -> &'a [f32] {
        &numbers[at * size.numbers()..][..size.numbers()]
    }

    /// What all windows read.
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

/// Calls a function with so many numbers of scratch memory, and spare ones.
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

/// The elements of a kernel's axis that positions of a remainder take part in, as those of a window over the gradients.
struct Taps {
    /// From the last element to the first, so that what they read ascends.
    elements: Vec<usize>,
    /// What the last element reads, of the first position, and how far the next one is.
    first: isize,
    step: usize,
}

impl Taps {
    /// `x[u]` is read by `y[(u + padding − dilation · k) / stride]` where the division has no remainder.
    fn new(window: &Window, axis: usize, remainder: usize) -> Self {
        let [stride, dilation] = [window.stride[axis], window.dilation[axis]];
        let place = |k: usize| {
            let at = remainder + window.padding[axis];
            at.cast_signed() - (dilation * k).cast_signed()
        };
        let mut elements: Vec<usize> = (0..window.kernel[axis])
            .filter(|&k| place(k).rem_euclid(stride.cast_signed()) == 0)
            .collect();
        elements.reverse();
        let read = |k: &usize| place(*k).div_euclid(stride.cast_signed());
        let first = elements.first().map_or(0, read);
        let step = match &elements[..] {
            [a, b, ..] => read(b).abs_diff(read(a)),
            _ => 1,
        };
        Self {
            elements,
            first,
            step,
        }
    }
}

/// The positions of `x` with the same remainder of the stride.
struct Phase {
    /// `None` if no window reads these positions.
    layer: Option<FloatLayer>,
    frame: Frame,
    /// From where on its positions are written, their plane among all.
    offset: usize,
    plane: Plane,
}

impl Phase {
    fn new(of: &Convolution, weights: &[f32], first: [usize; 2]) -> Self {
        let Filters {
            inputs,
            outputs,
            groups,
            window,
        } = of.filters;
        let [rows, columns] = [0, 1].map(|axis| Taps::new(&window, axis, first[axis]));
        let stride = window.stride;
        let positions = [
            of.x.height.div_ceil(stride[0]),
            of.x.width.div_ceil(stride[1]),
        ];
        let mut plane = Plane::new(positions[0], positions[1], inputs);
        plane.pitch = stride[1] * inputs;
        plane.border[1][1] = positions[1] * (stride[0] - 1);
        let offset = (first[0] * positions[1] * stride[1] + first[1]) * inputs;
        let size = |taps: &Taps, positions: usize| {
            positions - 1 + taps.elements.len().saturating_sub(1) * taps.step + 1
        };
        let frame = Frame {
            size: [size(&rows, positions[0]), size(&columns, positions[1])],
            before: [-rows.first, -columns.first],
        };
        let kernel = [rows.elements.len(), columns.elements.len()];
        let layer = (kernel[0] * kernel[1] > 0).then(|| {
            let (each_in, each_out) = (inputs / groups, outputs / groups);
            let mut own = Vec::with_capacity(inputs * each_out * kernel[0] * kernel[1]);
            for input in 0..inputs {
                let group = input / each_in;
                for output in group * each_out..(group + 1) * each_out {
                    let from = (output * each_in + input % each_in) * window.kernel[0];
                    for row in &rows.elements {
                        for column in &columns.elements {
                            own.push(weights[(from + row) * window.kernel[1] + column]);
                        }
                    }
                }
            }
            let filters = Filters {
                inputs: outputs,
                outputs: inputs,
                groups,
                window: Window {
                    kernel,
                    stride: [1; 2],
                    dilation: [rows.step, columns.step],
                    padding: [0; 2],
                },
            };
            let from = Plane::new(frame.size[0], frame.size[1], outputs);
            FloatLayer::new(&own, &vec![0.0; inputs], filters, from, plane)
        });
        Self {
            layer,
            frame,
            offset,
            plane,
        }
    }

    fn run(&self, of: &Convolution, image: &[f32], order: Order, read: &mut [f32], to: &mut [f32]) {
        let to = &mut to[self.offset..];
        let Some(layer) = &self.layer else {
            for row in 0..self.plane.height {
                for column in 0..self.plane.width {
                    to[self.plane.at(0, row, column)..][..self.plane.channels].fill(0.0);
                }
            }
            return;
        };
        self.frame.fill(of.isa, image, of.y, order, read);
        layer.run(
            of.isa,
            1,
            read,
            [f32::NEG_INFINITY, f32::INFINITY],
            None,
            to,
        );
    }
}

/// Where the sums of a weight's gradient are.
struct SumsOfWeights<'a> {
    of: &'a Convolution,
    frame: Frame,
    /// Where what a window reads is, of the first group: runs of equally many inputs.
    runs: Vec<usize>,
    inputs: usize,
    /// Blocks of outputs of a group.
    blocks: usize,
    /// Sums of all weights, and those between the first and the last that mean nothing.
    length: usize,
}

impl<'a> SumsOfWeights<'a> {
    fn new(of: &'a Convolution) -> Self {
        let frame = of.frame();
        let Filters {
            inputs,
            outputs,
            groups,
            window,
        } = of.filters;
        let [rows, columns] = window.kernel;
        let place = |row: usize, column: usize| {
            (row * window.dilation[0] * frame.size[1] + column * window.dilation[1]) * inputs
        };
        let joined = groups == 1 && window.dilation[1] == 1;
        let (runs, length) = match joined {
            true => (
                (0..rows).map(|row| place(row, 0)).collect(),
                columns * inputs,
            ),
            false => {
                let all = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
                let all: Vec<usize> = all.map(|(row, column)| place(row, column)).collect();
                (all, inputs / groups)
            }
        };
        let blocks = match of.filters.is_depthwise() {
            true => outputs.div_ceil(BLOCK),
            false => (outputs / groups).div_ceil(BLOCK),
        };
        let groups = if of.filters.is_depthwise() { 1 } else { groups };
        Self {
            of,
            frame,
            blocks,
            length: groups * blocks * runs.len() * length * BLOCK,
            runs,
            inputs: length,
        }
    }

    /// From the sums of a block to those of the next.
    fn block(&self) -> usize {
        self.runs.len() * self.inputs * BLOCK
    }

    /// Where the sum of a weight of an output is.
    fn place(&self, output: usize, weight: usize) -> usize {
        let filters = &self.of.filters;
        let columns = filters.window.kernel[1];
        let elements = filters.window.kernel[0] * columns;
        let (input, element) = (weight / elements, weight % elements);
        let (group, within) = match filters.is_depthwise() {
            true => (0, output),
            false => {
                let each = filters.outputs / filters.groups;
                (output / each, output % each)
            }
        };
        // Runs are rows of the kernel, or its elements.
        let (run, at) = match self.runs.len() == elements {
            true => (element, input),
            false => (
                element / columns,
                element % columns * filters.inputs + input,
            ),
        };
        let block = group * self.blocks + within / BLOCK;
        block * self.block() + (run * self.inputs + at) * BLOCK + within % BLOCK
    }

    /// Adds the products of an image.
    fn add(&self, x: &[f32], dy: &[f32], sums: &mut [f32]) {
        let Convolution { filters, y, .. } = self.of;
        let x_row = self.frame.size[1] * filters.inputs;
        let dy_row = y.width * y.channels;
        assert!(
            x.len() >= self.frame.size[0] * x_row + BLOCK
                && dy.len() >= y.height * dy_row + BLOCK
                && sums.len() >= self.length,
            "the slices hold an image and spare numbers"
        );
        let stride = filters.window.stride;
        let rows = (POSITIONS / y.width).max(1);
        for first in (0..y.height).step_by(rows) {
            let tile = Products {
                positions: [rows.min(y.height - first), y.width],
                x: x[first * stride[0] * x_row..].as_ptr(),
                x_steps: [stride[0] * x_row, stride[1] * filters.inputs],
                dy: dy[first * dy_row..].as_ptr(),
                dy_steps: [dy_row, y.channels],
                sums: sums.as_mut_ptr(),
                block: self.block(),
            };
            match filters.is_depthwise() {
                true => self.add_depthwise(&tile),
                false => self.add_dense(&tile),
            }
        }
    }

    fn add_dense(&self, rows: &Products) {
        let Convolution { filters, isa, .. } = self.of;
        let (each_in, each_out) = (
            filters.inputs / filters.groups,
            filters.outputs / filters.groups,
        );
        for group in 0..filters.groups {
            let mut block = 0;
            while block < self.blocks {
                let (together, _) = tiling(*isa, self.blocks - block, 1);
                let own = group * self.blocks + block;
                for (run, offset) in self.runs.iter().enumerate() {
                    let mut input = 0;
                    while input < self.inputs {
                        let (_, count) = tiling(*isa, together, self.inputs - input);
                        let to = own * self.block() + (run * self.inputs + input) * BLOCK;
                        // SAFETY: `add` has checked that the slices hold all rows and spare numbers, and the sums all blocks.
                        unsafe {
                            let tile = Products {
                                x: rows.x.add(offset + group * each_in + input),
                                dy: rows.dy.add(group * each_out + block * BLOCK),
                                sums: rows.sums.add(to),
                                ..*rows
                            };
                            add(*isa, &tile, together, count);
                        }
                        input += count;
                    }
                }
                block += together;
            }
        }
    }

    fn add_depthwise(&self, rows: &Products) {
        for block in 0..self.blocks {
            for (run, offset) in self.runs.iter().enumerate() {
                // SAFETY: as above.
                unsafe {
                    let tile = Products {
                        x: rows.x.add(offset + block * BLOCK),
                        dy: rows.dy.add(block * BLOCK),
                        sums: rows.sums.add(block * self.block() + run * BLOCK),
                        ..*rows
                    };
                    add_depthwise(self.of.isa, &tile);
                }
            }
        }
    }
}
