//! Batches of images of floats, channels first or last.

use std::mem::MaybeUninit;

use crate::isa::Isa;
use crate::transpose::{Matrix, transpose};
use crate::unwritten;

/// The order of the axes of images in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Order {
    /// `[samples, channels, height, width]`.
    ChannelsFirst,
    /// `[samples, height, width, channels]`.
    ChannelsLast,
}

/// A batch of contiguous images.
#[derive(Debug, Clone, Copy)]
pub struct Images<'a> {
    /// The numbers of all images.
    pub numbers: &'a [f32],
    /// The order of the axes.
    pub order: Order,
}

/// The size of an image: rows, columns and channels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) channels: usize,
}

impl Size {
    pub(crate) const fn numbers(&self) -> usize {
        self.height * self.width * self.channels
    }
}

/// The rectangle of positions that windows read: its number of rows and columns, and how many rows and columns it
/// begins before the image.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    pub(crate) size: [usize; 2],
    pub(crate) before: [isize; 2],
}

impl Frame {
    /// The overlap of image and frame along an axis: the first position in the frame, the first position in the image,
    /// and the number of positions.
    fn overlap(&self, axis: usize, length: usize) -> (usize, usize, usize) {
        let before = self.before[axis];
        let to = before.max(0).unsigned_abs().min(self.size[axis]);
        let from = (-before).max(0).unsigned_abs().min(length);
        (to, from, (length - from).min(self.size[axis] - to))
    }

    /// Writes the part of an image within the frame, channels last, and zeros around it.
    pub(crate) fn fill(&self, isa: Isa, image: &[f32], size: Size, order: Order, to: &mut [f32]) {
        let channels = size.channels;
        let row = self.size[1] * channels;
        let (top, first_row, rows) = self.overlap(0, size.height);
        let (left, first_column, columns) = self.overlap(1, size.width);
        to[..top * row].fill(0.0);
        to[(top + rows) * row..self.size[0] * row].fill(0.0);
        for (at, to) in to[top * row..]
            .chunks_exact_mut(row.max(1))
            .take(rows)
            .enumerate()
        {
            let y = first_row + at;
            let (before, inside) = to.split_at_mut(left * channels);
            let (inside, behind) = inside.split_at_mut(columns * channels);
            before.fill(0.0);
            behind.fill(0.0);
            let position = y * size.width + first_column;
            match order {
                Order::ChannelsLast => {
                    inside.copy_from_slice(&image[position * channels..][..inside.len()]);
                }
                Order::ChannelsFirst if columns > 0 => {
                    let planes = Matrix {
                        rows: channels,
                        columns,
                        pitch: size.height * size.width,
                    };
                    let inside = unwritten::forgotten(inside);
                    transpose(isa, &image[position..], planes, inside, channels);
                }
                Order::ChannelsFirst => {}
            }
        }
    }
}

/// Writes an image in the given order, from an image with channels last whose rows are `row` numbers apart.
pub(crate) fn unpack(
    isa: Isa,
    from: &[f32],
    row: usize,
    size: Size,
    order: Order,
    image: &mut [MaybeUninit<f32>],
) {
    let (channels, width) = (size.channels, size.width);
    let length = width * channels;
    for y in 0..size.height {
        let from = &from[y * row..][..length];
        match order {
            Order::ChannelsLast => {
                image[y * length..][..length].write_copy_of_slice(from);
            }
            Order::ChannelsFirst => {
                let positions = Matrix {
                    rows: width,
                    columns: channels,
                    pitch: channels,
                };
                let pitch = size.height * width;
                transpose(isa, from, positions, &mut image[y * width..], pitch);
            }
        }
    }
}
