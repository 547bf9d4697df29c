//! How a value lies in memory while a network runs.

use calcine_format::Quantizer;
use calcine_kernels::Plane;

/// How a value lies in memory, and what its numbers stand for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Form {
    pub(crate) layout: Layout,
    /// What its integers stand for, if they are: 8-bit ones less the smallest in a [`Layout::Codes`], `q − zero_point` as floats in
    /// the others.
    pub(crate) quantizer: Option<Quantizer>,
}

/// Where the numbers of a value are.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Layout {
    /// Floats in row-major order, as the graph has the shape.
    Plain,
    /// Floats, channels last.
    Floats(Image),
    /// 8-bit integers, channels last.
    Codes(Image),
}

/// A value as images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) plane: Plane,
    /// Whether the graph has the channels last, too, as the rows of a linear layer.
    pub(crate) rows: bool,
}

impl Image {
    /// A value `[samples, channels, …]` of up to two more axes, or `[samples, …, channels]`.
    pub(crate) fn of(shape: &[usize], rows: bool) -> Option<Self> {
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

    /// Integers fill groups of four channels.
    pub(crate) fn of_codes(mut self) -> Self {
        self.plane.pitch = self.plane.channels.next_multiple_of(4);
        self
    }

    pub(crate) fn with_border(mut self, border: [[usize; 2]; 2]) -> Self {
        self.plane.border = border;
        self
    }

    /// Numbers of so many samples.
    pub(crate) fn length(&self, samples: usize) -> usize {
        samples * self.plane.sample()
    }

    /// Writes row-major numbers into images, and converts each of them.
    pub(crate) fn copy_from_plain<X: Copy, Y>(
        &self,
        samples: usize,
        plain: &[X],
        images: &mut [Y],
        convert: impl Fn(X) -> Y,
    ) {
        self.each_line(samples, |line| {
            let [from, to] = line.steps;
            for at in 0..line.length {
                images[line.image + at * to] = convert(plain[line.plain + at * from]);
            }
        });
    }

    /// Writes the numbers of images in row-major order, and converts each of them.
    pub(crate) fn copy_to_plain<X: Copy, Y>(
        &self,
        samples: usize,
        images: &[X],
        plain: &mut [Y],
        convert: impl Fn(X) -> Y,
    ) {
        self.each_line(samples, |line| {
            let [to, from] = line.steps;
            for at in 0..line.length {
                plain[line.plain + at * to] = convert(images[line.image + at * from]);
            }
        });
    }

    /// Calls a function for each channel of each row of the images.
    fn each_line(&self, samples: usize, mut visit: impl FnMut(Line)) {
        let plane = &self.plane;
        let Plane {
            height,
            width,
            channels,
            pitch,
            ..
        } = *plane;
        for sample in 0..samples {
            for row in 0..height {
                let image = plane.at(sample, row, 0);
                if self.rows {
                    // Both have the channels of a position next to each other.
                    for column in 0..width {
                        visit(Line {
                            plain: ((sample * height + row) * width + column) * channels,
                            image: image + column * pitch,
                            steps: [1, 1],
                            length: channels,
                        });
                    }
                } else if width == 1 {
                    // The channels of a position, which lie a plane apart.
                    visit(Line {
                        plain: sample * channels * height + row,
                        image,
                        steps: [height, 1],
                        length: channels,
                    });
                } else {
                    for channel in 0..channels {
                        visit(Line {
                            plain: ((sample * channels + channel) * height + row) * width,
                            image: image + channel,
                            steps: [1, pitch],
                            length: width,
                        });
                    }
                }
            }
        }
    }
}

/// Numbers at equal distances, both in row-major order and in images.
#[derive(Debug, Clone, Copy)]
struct Line {
    /// The position of the first number in row-major order.
    plain: usize,
    /// The position of the first number in the images.
    image: usize,
    /// The distance of neighbours in row-major order, and in the images.
    steps: [usize; 2],
    length: usize,
}

/// The integers of an 8-bit quantizer. They are stored less the smallest one, so that a stored integer is `0 … 255`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CodeRange {
    /// The smallest and the largest integer, less the zero point.
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

    /// The stored integer that is nearest to a multiple of the scale.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole numbers of 8 bits"
    )]
    pub(crate) fn encode(self, multiple: f32) -> u8 {
        (nearest(multiple, self.ends) as i32 + self.zero) as u8
    }
}

/// The multiple of the scale that a stored integer represents, if `zero` represents zero.
#[allow(clippy::cast_precision_loss, reason = "of 9 bits")]
pub(crate) fn decode(code: u8, zero: i32) -> f32 {
    (i32::from(code) - zero) as f32
}

/// The stored integer that represents zero.
pub(crate) fn zero_code(quantizer: Quantizer) -> i32 {
    quantizer.zero_point - quantizer.low
}

/// The nearest whole number between the ends, as the simulation computes it.
pub(crate) fn nearest(x: f32, [low, high]: [f32; 2]) -> f32 {
    const ROUNDER: f32 = 12_582_912.0;
    let x = if x < low { low } else { x };
    let x = if x > high { high } else { x };
    (x + ROUNDER) - ROUNDER
}
