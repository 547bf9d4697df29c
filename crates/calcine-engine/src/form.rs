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

    /// Calls a function for each channel of each row of the images: where its numbers are in row-major order, where in the
    /// images, and how far neighbours are in both.
    pub(crate) fn each_line(&self, samples: usize, mut visit: impl FnMut(Line)) {
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

/// Numbers that follow each other in row-major order and in images.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line {
    pub(crate) plain: usize,
    pub(crate) image: usize,
    /// How far neighbours are, in row-major order and in images.
    pub(crate) steps: [usize; 2],
    pub(crate) length: usize,
}

/// The nearest whole number between the ends, as the simulation computes it.
pub(crate) fn nearest(x: f32, [low, high]: [f32; 2]) -> f32 {
    const ROUNDER: f32 = 12_582_912.0;
    let x = if x < low { low } else { x };
    let x = if x > high { high } else { x };
    (x + ROUNDER) - ROUNDER
}
