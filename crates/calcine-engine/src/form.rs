//! The layouts of values in memory while a network runs.

use calcine_format::Quantizer;
use calcine_kernels::{Isa, Plane};

/// The layout of a value in memory, and the quantizer of its numbers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Form {
    pub(crate) layout: Layout,
    /// The quantizer, if the numbers are integers: `q − low` in 8 bits for [`Layout::Codes`], and `q − zero_point` as
    /// floats for the other layouts.
    pub(crate) quantizer: Option<Quantizer>,
}

/// The order and type of the numbers of a value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Layout {
    /// Floats in row-major order, with the shape of the graph's value.
    Plain,
    /// Floats, channels last.
    Floats(Image),
    /// 8-bit integers, channels last.
    Codes(Image),
}

/// The layout of a value as images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) plane: Plane,
    /// Whether the channels are the last axis in the graph, too, as for the rows of a linear layer.
    pub(crate) rows: bool,
}

impl Image {
    /// The images of a value `[samples, channels, …]` with up to two more axes or, for `rows`, `[samples, …,
    /// channels]`.
    pub(crate) fn from_shape(shape: &[usize], rows: bool) -> Option<Self> {
        let plane = match (shape, rows) {
            (&[_, channels], _) => Plane::new(1, 1, channels),
            (&[_, channels, width], false) => Plane::new(1, width, channels),
            (&[_, channels, height, width], false) => Plane::new(height, width, channels),
            (&[_, ref places @ .., channels], true) => {
                Plane::new(1, places.iter().product(), channels)
            }
            _ => return None,
        };
        let rows = rows && shape.len() > 2;
        Some(Self { plane, rows })
    }

    /// The layout of 8-bit integers, which are padded to groups of four channels.
    pub(crate) fn of_codes(mut self) -> Self {
        self.plane.pitch = self.plane.channels.next_multiple_of(4);
        self
    }

    pub(crate) fn with_border(mut self, border: [[usize; 2]; 2]) -> Self {
        self.plane.border = border;
        self
    }

    /// The length of the memory of a number of samples.
    pub(crate) fn length(&self, samples: usize) -> usize {
        samples * self.plane.sample_len()
    }

    /// Writes row-major numbers into images, converting each of them. The padding between the channels of neighbouring
    /// positions has unspecified contents.
    #[inline(always)]
    pub(crate) fn copy_from_plain<X: Copy, Y: Copy + Default>(
        &self,
        isa: Isa,
        samples: usize,
        plain: &[X],
        images: &mut [Y],
        convert: impl Fn(X) -> Y + Copy,
    ) {
        let lines = self.lines(samples);
        isa.vectorize(
            #[inline(always)]
            move || match self.order() {
                Order::ChannelsLast => {
                    for [from, to] in lines {
                        let images = images[to..][..self.line_length()].iter_mut();
                        for (image, plain) in images.zip(&plain[from..]) {
                            *image = convert(*plain);
                        }
                    }
                }
                Order::ChannelsFirst { channel } => {
                    for [from, to] in lines {
                        self.interleave(&plain[from..], channel, &mut images[to..], convert);
                    }
                }
            },
        );
    }

    /// Writes the numbers of images in row-major order, converting each of them.
    #[inline(always)]
    pub(crate) fn copy_to_plain<X: Copy, Y>(
        &self,
        isa: Isa,
        samples: usize,
        images: &[X],
        plain: &mut [Y],
        convert: impl Fn(X) -> Y,
    ) {
        let Plane {
            width,
            channels,
            pitch,
            ..
        } = self.plane;
        let lines = self.lines(samples);
        isa.vectorize(
            #[inline(always)]
            move || match self.order() {
                Order::ChannelsLast => {
                    for [to, from] in lines {
                        let plain = plain[to..][..self.line_length()].iter_mut();
                        for (plain, image) in plain.zip(&images[from..]) {
                            *plain = convert(*image);
                        }
                    }
                }
                Order::ChannelsFirst { channel } => {
                    for [to, from] in lines {
                        for at in 0..channels {
                            let plain = &mut plain[to + at * channel..][..width];
                            let images = images[from + at..].iter().step_by(pitch);
                            for (plain, image) in plain.iter_mut().zip(images) {
                                *plain = convert(*image);
                            }
                        }
                    }
                }
            },
        );
    }

    /// Writes one row of each channel into a row of an image. Neighbours in a row of the source are contiguous, and
    /// `step` is the distance between channels.
    #[inline(always)]
    fn interleave<X: Copy, Y: Copy + Default>(
        &self,
        plain: &[X],
        channel: usize,
        image: &mut [Y],
        convert: impl Fn(X) -> Y + Copy,
    ) {
        /// The number of positions that are converted together.
        const BLOCK: usize = 64;
        let Plane {
            width,
            channels,
            pitch,
            ..
        } = self.plane;
        let mut columns = [[Y::default(); BLOCK]; 4];
        let mut together = [[Y::default(); 4]; BLOCK];
        for first in (0..width).step_by(BLOCK) {
            let count = BLOCK.min(width - first);
            for group in (0..channels).step_by(4) {
                let own = 4.min(channels - group);
                for (at, column) in columns.iter_mut().enumerate().take(own) {
                    let plain = &plain[(group + at) * channel + first..][..count];
                    match <&[X; BLOCK]>::try_from(plain) {
                        Ok(plain) => *column = plain.map(convert),
                        Err(_) => {
                            for (converted, plain) in column.iter_mut().zip(plain) {
                                *converted = convert(*plain);
                            }
                        }
                    }
                }
                for (at, together) in together.iter_mut().enumerate() {
                    *together = [
                        columns[0][at],
                        columns[1][at],
                        columns[2][at],
                        columns[3][at],
                    ];
                }
                let positions = image[first * pitch + group..].chunks_mut(pitch);
                let positions = positions.zip(&together[..count]);
                if group + 4 <= pitch {
                    for (image, together) in positions {
                        image[..4].copy_from_slice(together);
                    }
                } else {
                    for (image, together) in positions {
                        image[..own].copy_from_slice(&together[..own]);
                    }
                }
            }
        }
    }

    /// The order of the channels in row-major numbers.
    fn order(&self) -> Order {
        let Plane { height, width, .. } = self.plane;
        match self.rows || height * width == 1 {
            true => Order::ChannelsLast,
            false => Order::ChannelsFirst {
                channel: height * width,
            },
        }
    }

    /// The number of contiguous numbers in a line of [`Order::ChannelsLast`]: those of all positions that follow each
    /// other without padding.
    fn line_length(&self) -> usize {
        let Plane {
            height,
            width,
            channels,
            ..
        } = self.plane;
        match self.is_dense() {
            true => height * width * channels,
            false => channels,
        }
    }

    /// Whether the numbers of an image are contiguous, without padding or border.
    fn is_dense(&self) -> bool {
        self.plane.is_borderless() && self.plane.pitch == self.plane.channels
    }

    /// The offsets of lines in row-major numbers and in images. A line is a row of all channels, or as many numbers as
    /// [`line_length`](Self::line_length) says.
    fn lines(&self, samples: usize) -> impl Iterator<Item = [usize; 2]> + '_ {
        let Plane {
            height,
            width,
            channels,
            ..
        } = self.plane;
        let [rows, columns] = match self.order() {
            Order::ChannelsFirst { .. } => [height, 1],
            Order::ChannelsLast if self.is_dense() => [1, 1],
            Order::ChannelsLast => [height, width],
        };
        let last = matches!(self.order(), Order::ChannelsLast);
        (0..samples).flat_map(move |sample| {
            (0..rows).flat_map(move |row| {
                (0..columns).map(move |column| {
                    let plain = match last {
                        true => (row * width + column) * channels,
                        false => row * width,
                    };
                    let plain = sample * height * width * channels + plain;
                    [plain, self.plane.index(sample, row, column)]
                })
            })
        })
    }
}

/// The order of channels and positions in row-major numbers.
#[derive(Debug, Clone, Copy)]
enum Order {
    /// The channels of a position are contiguous.
    ChannelsLast,
    /// The positions of a channel are contiguous; contains the distance between channels.
    ChannelsFirst { channel: usize },
}

/// The integers of an 8-bit quantizer. They are stored as `q − low`, so that a stored integer is in `0 … 255`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CodeRange {
    /// The smallest and the largest integer minus the zero point.
    pub(crate) ends: [f32; 2],
    /// The stored integer that represents zero.
    pub(crate) zero: i32,
}

impl CodeRange {
    pub(crate) fn new(quantizer: Quantizer) -> Self {
        Self {
            ends: quantizer.centred(),
            zero: zero_code(quantizer),
        }
    }

    /// The stored integer that is nearest to a multiple of the scale, ties to even; the one that represents zero for
    /// NaN.
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation, reason = "modulo 256")]
    pub(crate) fn encode(self, multiple: f32) -> u8 {
        let multiple = if multiple.is_nan() { 0.0 } else { multiple };
        // The lowest bits of the sum with the rounder are those of the integer.
        let whole = within(multiple, self.ends) + ROUNDER;
        whole.to_bits().wrapping_add_signed(self.zero) as u8
    }
}

/// The multiple of the scale that a stored integer represents, where `zero` is the stored integer that represents zero.
#[inline(always)]
#[allow(clippy::cast_precision_loss, reason = "of 9 bits")]
pub(crate) fn decode(code: u8, zero: i32) -> f32 {
    (i32::from(code) - zero) as f32
}

/// The stored integer that represents zero.
pub(crate) fn zero_code(quantizer: Quantizer) -> i32 {
    quantizer.zero_point - quantizer.low
}

/// `1.5 · 2²³`: the sum of this and a number up to 2²² in magnitude has the nearest integer (ties to even) in its
/// lowest bits.
const ROUNDER: f32 = 12_582_912.0;

/// The nearest integer, ties to even, after clamping `x` to a range; computed like the simulation in
/// `calcine-quantize`.
#[inline(always)]
pub(crate) fn nearest(x: f32, ends: [f32; 2]) -> f32 {
    (within(x, ends) + ROUNDER) - ROUNDER
}

/// Clamps `x` to a range. NaN stays NaN.
#[inline(always)]
fn within(x: f32, [low, high]: [f32; 2]) -> f32 {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}
