//! The sums of products that are the gradient of a convolution's weights.

use super::Convolution;
use crate::images::Frame;
use crate::packed::{BLOCK, Filters};
use crate::products::{Products, add, add_depthwise, tiling};

/// The number of positions whose products are added in registers before they are added to the sums in memory.
const POSITIONS: usize = 128;

/// The layout of the sums of a weight's gradient.
pub(super) struct WeightSums<'a> {
    of: &'a Convolution,
    pub(super) frame: Frame,
    /// The offsets of the runs of a window in the first group. Each run has the same number of inputs.
    runs: Vec<usize>,
    inputs: usize,
    /// The number of blocks of outputs in a group.
    blocks: usize,
    /// The number of sums, including the padding of blocks.
    pub(super) length: usize,
}

impl<'a> WeightSums<'a> {
    pub(super) fn new(of: &'a Convolution) -> Self {
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

    /// The distance from the sums of a block to those of the next block.
    fn block(&self) -> usize {
        self.runs.len() * self.inputs * BLOCK
    }

    /// The index of the sum of a weight of an output.
    pub(super) fn place(&self, output: usize, weight: usize) -> usize {
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
        // A run is a row of the kernel, or an element.
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

    /// Adds the products of an image to the sums.
    pub(super) fn add(&self, x: &[f32], dy: &[f32], sums: &mut [f32]) {
        let Convolution { filters, y, .. } = self.of;
        let x_row = self.frame.size[1] * filters.inputs;
        let dy_row = y.width * y.channels;
        assert!(
            x.len() >= self.frame.size[0] * x_row + BLOCK
                && dy.len() >= y.height * dy_row + BLOCK
                && sums.len() >= self.length,
            "the slices must contain an image and spare numbers"
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
                        // SAFETY: `add` has checked that the slices contain all rows and spare numbers, and the sums
                        // all blocks.
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
