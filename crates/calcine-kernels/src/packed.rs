//! Weights in the order in which kernels read them, and the iteration over the positions of the output.

use crate::buffer::Buffer;
use crate::halves::HalfType;
use crate::isa::Isa;
use crate::plane::{Plane, Window};
use crate::zeros::KeptSteps;

/// The number of outputs in a block: the 32-bit sums of one vector.
pub(crate) const BLOCK: usize = 16;

/// The maximum number of blocks times positions in a tile.
pub(crate) const TILE: usize = 32;

/// The sizes of a convolution or a linear layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Filters {
    /// The number of input channels.
    pub inputs: usize,
    /// The number of output channels.
    pub outputs: usize,
    /// The number of groups. Inputs and outputs are divided into this number of equal parts; each output reads the
    /// inputs of its own group.
    pub groups: usize,
    /// The windows that outputs read.
    pub window: Window,
}

impl Filters {
    /// The number of weights: `outputs · inputs / groups · rows · columns` of the kernel.
    #[must_use]
    pub const fn weights(&self) -> usize {
        let [height, width] = self.window.kernel;
        self.outputs * (self.inputs / self.groups) * height * width
    }

    /// Whether each channel is a group of its own, with one output.
    #[must_use]
    pub const fn is_depthwise(&self) -> bool {
        self.groups == self.inputs && self.outputs == self.inputs && self.inputs > 1
    }
}

/// Outputs that read the same input channels.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    /// The first output, and the number of outputs.
    pub(crate) first: usize,
    pub(crate) outputs: usize,
    /// The offsets of the runs of a window, relative to its first position. Each run has the same number of steps.
    pub(crate) runs: Vec<usize>,
    /// The number of steps in a run.
    pub(crate) steps: usize,
    /// The offset of the weights, and the number of weights in a block.
    pub(crate) weights: usize,
    pub(crate) block: usize,
}

/// How many inputs one step reads, and how the weights are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Number {
    /// Four 8-bit integers per step.
    Codes,
    /// One float per step.
    Floats,
    /// One float per step, with weights of 16 bits.
    Halves(HalfType),
}

impl Number {
    /// The number of inputs of a step.
    pub(crate) const fn step(self) -> usize {
        match self {
            Self::Codes => 4,
            Self::Floats | Self::Halves(_) => 1,
        }
    }

    /// The number of bytes of a weight.
    const fn bytes(self) -> usize {
        match self {
            Self::Codes => 1,
            Self::Floats => 4,
            Self::Halves(_) => 2,
        }
    }

    /// The number of bytes of the weights of a step.
    pub(crate) const fn step_bytes(self) -> usize {
        self.step() * BLOCK * self.bytes()
    }
}

/// Packed weights for inputs and outputs with these layouts.
#[derive(Debug, Clone)]
pub(crate) struct Packed {
    pub(crate) filters: Filters,
    pub(crate) x: Plane,
    pub(crate) y: Plane,
    pub(crate) groups: Vec<Group>,
    pub(crate) depthwise: bool,
    pub(crate) weights: Buffer,
    /// The steps that blocks have, if those whose weights are all zero are skipped.
    pub(crate) kept: Option<Vec<KeptSteps>>,
}

impl Packed {
    /// Packs weights `[outputs, inputs / groups, rows, columns]`. `put` stores one weight at a position of the buffer.
    pub(crate) fn new(
        number: Number,
        filters: Filters,
        x: Plane,
        y: Plane,
        mut put: impl FnMut(&mut Buffer, usize, usize),
    ) -> Self {
        check(&filters, &x, &y);
        let window = filters.window;
        let [kernel_rows, kernel_columns] = window.kernel;
        let places = kernel_rows * kernel_columns;
        let place = |row: usize, column: usize| {
            row * window.dilation[0] * x.row_len() + column * window.dilation[1] * x.pitch
        };
        if filters.is_depthwise() {
            let block = filters.outputs.next_multiple_of(BLOCK);
            let mut weights = Buffer::zeros(4 * block * places);
            for output in 0..filters.outputs {
                for tap in 0..places {
                    put(&mut weights, tap * block + output, output * places + tap);
                }
            }
            let rows = 0..kernel_rows;
            let runs = rows.flat_map(|row| (0..kernel_columns).map(move |column| (row, column)));
            let group = Group {
                first: 0,
                outputs: filters.outputs,
                runs: runs.map(|(row, column)| place(row, column)).collect(),
                steps: 1,
                weights: 0,
                block,
            };
            return Self {
                filters,
                x,
                y,
                groups: vec![group],
                depthwise: true,
                weights,
                kept: None,
            };
        }
        let unit = number.step();
        let (inputs, outputs) = (
            filters.inputs / filters.groups,
            filters.outputs / filters.groups,
        );
        let mut groups = Vec::new();
        let mut total = 0;
        // Neighbouring columns of a kernel are contiguous in memory, if all channels are read.
        let joined = filters.groups == 1 && window.dilation[1] == 1;
        for group in 0..filters.groups {
            let first = group * inputs / unit * unit;
            let end = ((group + 1) * inputs).next_multiple_of(unit).min(x.pitch);
            let (runs, length) = match joined {
                true => (
                    (0..kernel_rows).map(|row| place(row, 0)).collect(),
                    // The last column's channels end where they end.
                    (kernel_columns - 1) * x.pitch + end,
                ),
                false => {
                    let rows = 0..kernel_rows;
                    let runs =
                        rows.flat_map(|row| (0..kernel_columns).map(move |column| (row, column)));
                    let runs = runs.map(|(row, column)| place(row, column) + first);
                    (runs.collect::<Vec<_>>(), end - first)
                }
            };
            let steps = length / unit;
            let block = runs.len() * steps * unit * BLOCK;
            groups.push(Group {
                first: group * outputs,
                outputs,
                runs,
                steps,
                weights: total,
                block,
            });
            total += outputs.div_ceil(BLOCK) * block;
        }
        let mut weights = Buffer::zeros(total * number.bytes());
        for (index, group) in groups.iter().enumerate() {
            let skipped = index * inputs - index * inputs / unit * unit;
            let length = group.steps * unit;
            for output in 0..outputs {
                for input in 0..inputs {
                    for place in 0..places {
                        let (row, column) = (place / kernel_columns, place % kernel_columns);
                        let (run, within) = match joined {
                            true => (row, column * x.pitch + input),
                            false => (place, skipped + input),
                        };
                        let step = (run * length + within) / unit;
                        let to = group.weights
                            + output / BLOCK * group.block
                            + (step * BLOCK + output % BLOCK) * unit
                            + within % unit;
                        let from = ((group.first + output) * inputs + input) * places + place;
                        put(&mut weights, to, from);
                    }
                }
            }
        }
        Self {
            filters,
            x,
            y,
            groups,
            depthwise: false,
            weights,
            kept: None,
        }
    }

    /// The positions of the output, after checking the lengths of the slices.
    pub(crate) fn walk(&self, samples: usize, other: Option<&Plane>, lengths: [usize; 3]) -> Walk {
        let (x, y, window) = (&self.x, &self.y, &self.filters.window);
        let other = other.unwrap_or(y);
        holds([x, y, other], samples, lengths);
        let flat =
            *window == Window::POINT && [x, y, other].iter().all(|plane| plane.is_borderless());
        let origin = origin(x, window);
        let of = |plane: &Plane| Way {
            sample: plane.sample_len(),
            row: plane.row_len(),
            step: plane.pitch,
            origin: plane.index(0, 0, 0),
        };
        let read = Way {
            sample: x.sample_len(),
            row: window.stride[0] * x.row_len(),
            step: window.stride[1] * x.pitch,
            origin,
        };
        let [samples, height, width] = match flat {
            true => [1, 1, samples * y.height * y.width],
            false => [samples, y.height, y.width],
        };
        Walk {
            samples,
            height,
            width,
            x: read,
            y: of(y),
            other: of(other),
        }
    }

    /// Calls `sums` and then `finish` for each tile of the output.
    pub(crate) fn each_tile(
        &self,
        number: Number,
        isa: Isa,
        walk: &Walk,
        mut sums: impl FnMut(&Sums<'_>),
        mut finish: impl FnMut(&Done),
    ) {
        if walk.width == 0 {
            return;
        }
        let mut kept = self.kept.iter().flatten();
        for group in &self.groups {
            let blocks = group.outputs.div_ceil(BLOCK);
            let mut block = 0;
            while block < blocks {
                let own = kept.next();
                let most = if own.is_some() { 1 } else { blocks - block };
                let (together, positions) = tiling(number, isa, self.depthwise, most, walk.width);
                let channel = group.first + block * BLOCK;
                let count = (group.outputs - block * BLOCK).min(together * BLOCK);
                let (weights, shift) = match (self.depthwise, own) {
                    (true, _) => (block * BLOCK, block * BLOCK),
                    (false, Some(own)) => (own.weights, 0),
                    (false, None) => (group.weights + block * group.block, 0),
                };
                let (runs, steps) = match own {
                    Some(own) => (&own.runs, 1),
                    None => (&group.runs, group.steps),
                };
                for sample in 0..walk.samples {
                    for row in 0..walk.height {
                        let mut column = 0;
                        loop {
                            // The last tile of a row overlaps with the tile before it, and computes the same results
                            // again.
                            column = column.min(walk.width - positions);
                            sums(&Sums {
                                x: walk.x.index(sample, row, column) + shift,
                                step: walk.x.step,
                                runs,
                                steps,
                                weights,
                                block: group.block,
                                blocks: together,
                                positions,
                            });
                            finish(&Done {
                                blocks: together,
                                positions,
                                channel,
                                count,
                                y: walk.y.index(sample, row, column) + channel,
                                y_step: walk.y.step,
                                other: walk.other.index(sample, row, column) + channel,
                                other_step: walk.other.step,
                            });
                            column += positions;
                            if column >= walk.width {
                                break;
                            }
                        }
                    }
                }
                block += together;
            }
        }
    }
}

/// The positions of a batch in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    sample: usize,
    row: usize,
    step: usize,
    origin: usize,
}

impl Way {
    fn index(&self, sample: usize, row: usize, column: usize) -> usize {
        self.origin + sample * self.sample + row * self.row + column * self.step
    }
}

/// The positions of an output in memory, and the windows that they read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Walk {
    samples: usize,
    height: usize,
    width: usize,
    x: Way,
    y: Way,
    other: Way,
}

/// A tile whose sums are to be computed.
pub(crate) struct Sums<'a> {
    /// The index of the window of the first position, and the distance to the window of the next position.
    pub(crate) x: usize,
    pub(crate) step: usize,
    /// The runs of a window, and the steps of each run.
    pub(crate) runs: &'a [usize],
    pub(crate) steps: usize,
    /// The index of the weights of the first block, and the distance to those of the next block.
    pub(crate) weights: usize,
    pub(crate) block: usize,
    #[cfg_attr(
        not(target_arch = "x86_64"),
        allow(dead_code, reason = "plain loops compute one block at a time")
    )]
    pub(crate) blocks: usize,
    pub(crate) positions: usize,
}

impl<'a> Sums<'a> {
    /// The tile with pointers into these inputs and weights.
    ///
    /// # Safety
    ///
    /// The slices must contain all inputs and weights of the tile.
    pub(crate) unsafe fn tile<X, W>(&self, x: *const X, weights: *const W) -> Tile<'a, X, W> {
        // SAFETY: the caller guarantees the conditions.
        unsafe {
            Tile {
                x: x.add(self.x),
                step: self.step,
                runs: self.runs,
                steps: self.steps,
                weights: weights.add(self.weights),
                block: self.block,
            }
        }
    }
}

impl<'a> Sums<'a> {
    /// The tile with pointers into these inputs and weights, of which two share a byte.
    ///
    /// # Safety
    ///
    /// The slices must contain all inputs and weights of the tile.
    pub(crate) unsafe fn half_tile(&self, x: *const u8, weights: *const u8) -> NibbleTile<'a> {
        // SAFETY: the caller guarantees the conditions.
        unsafe {
            NibbleTile {
                x: x.add(self.x),
                step: self.step,
                runs: self.runs,
                steps: self.steps,
                weights: weights.add(self.weights / 2),
                block: self.block / 2,
            }
        }
    }
}

/// The inputs and weights of a tile.
pub(crate) struct Tile<'a, X, W> {
    /// The input at which the window of the first position begins, and the distance to the window of the next position.
    pub(crate) x: *const X,
    pub(crate) step: usize,
    /// The runs of a window, by their distance from its beginning, and the steps of each run.
    pub(crate) runs: &'a [usize],
    pub(crate) steps: usize,
    /// The weights of the first block, and the distance to the weights of the next block; in a depthwise layer, the distance
    /// to the next element of the window.
    pub(crate) weights: *const W,
    pub(crate) block: usize,
}

/// A tile of 8-bit products.
pub(crate) type CodeTile<'a> = Tile<'a, u8, i8>;

/// A tile of products of 8-bit inputs with weights of 4 bits, of which 32 bytes hold those of a step.
pub(crate) type NibbleTile<'a> = Tile<'a, u8, u8>;

/// The number of bytes of the 4-bit weights of a step: four weights for each output of a block.
pub(crate) const NIBBLES: usize = 2 * BLOCK;

/// Stores weights `−8 … 7` in half of the bytes: byte `i` of the 32 of a step holds weight `i`, plus 8, in its low half and weight `i + 32`
/// in its high half.
pub(crate) fn to_nibbles(weights: &Buffer) -> Buffer {
    let all = weights.bytes();
    let (steps, _) = all[..all.len() - Buffer::SPARE].as_chunks::<{ 2 * NIBBLES }>();
    let mut packed = Buffer::zeros(NIBBLES * steps.len());
    let (halves, _) = packed.bytes_mut().as_chunks_mut::<NIBBLES>();
    for (half, step) in halves.iter_mut().zip(steps) {
        let (low, high) = step.split_at(NIBBLES);
        for (half, (low, high)) in half.iter_mut().zip(low.iter().zip(high)) {
            *half = low.wrapping_add(8) & 15 | high.wrapping_add(8) << 4;
        }
    }
    packed
}

/// The weights of a step.
#[inline(always)]
pub(crate) fn from_nibbles(halves: &[u8; NIBBLES]) -> [i8; 2 * NIBBLES] {
    let mut weights = [0; 2 * NIBBLES];
    let (low, high) = weights.split_at_mut(NIBBLES);
    for (half, (low, high)) in halves.iter().zip(low.iter_mut().zip(high)) {
        *low = (half & 15).cast_signed() - 8;
        *high = (half >> 4).cast_signed() - 8;
    }
    weights
}

/// A tile of 8-bit products of a depthwise layer, whose weights are stored in 32 bits.
pub(crate) type DepthwiseCodeTile<'a> = Tile<'a, u8, i32>;

/// A tile of float products.
pub(crate) type FloatTile<'a> = Tile<'a, f32, f32>;

/// A tile of float products with weights of 16 bits.
pub(crate) type HalfTile<'a> = Tile<'a, f32, u16>;

/// A tile of sums on the stack.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Scratch<T>(pub(crate) [[T; BLOCK]; TILE]);

/// A tile whose sums are computed: `positions · blocks · 16` of them.
pub(crate) struct Done {
    pub(crate) blocks: usize,
    pub(crate) positions: usize,
    /// The first output, and the number of outputs.
    pub(crate) channel: usize,
    pub(crate) count: usize,
    pub(crate) y: usize,
    pub(crate) y_step: usize,
    pub(crate) other: usize,
    pub(crate) other_step: usize,
}

/// The number of blocks and positions of a tile: as many as fit the registers, so that a row takes the least work.
pub(crate) fn tiling(
    number: Number,
    isa: Isa,
    depthwise: bool,
    blocks: usize,
    width: usize,
) -> (usize, usize) {
    /// The available numbers of blocks, each with the available numbers of positions.
    type Ways = &'static [(usize, &'static [usize])];
    const WIDE: Ways = &[
        (1, &[16, 14, 8, 7, 4, 2, 1]),
        (2, &[14, 8, 7, 4, 2, 1]),
        (4, &[7, 4, 2, 1]),
    ];
    const EIGHT: Ways = &[(1, &[8, 4, 2, 1])];
    const SIX: Ways = &[(1, &[6, 4, 2, 1])];
    const FOUR: Ways = &[(1, &[4, 2, 1])];
    let ways = match isa {
        Isa::Avx512Vnni if depthwise => EIGHT,
        Isa::Avx512Vnni => WIDE,
        Isa::Avx2 | Isa::AvxVnni if number != Number::Codes && !depthwise => SIX,
        Isa::Portable | Isa::Avx2 | Isa::AvxVnni => FOUR,
    };
    let all = ways.iter().flat_map(|(together, all)| {
        let fitting = all.iter().filter(|positions| **positions <= width);
        fitting.map(move |positions| (*together, *positions))
    });
    let all = all.filter(|(together, _)| *together <= blocks);
    let work = |&(together, positions): &(usize, usize)| {
        // A product takes as long as a load; with few sums, each waits for the previous product.
        let sums = (positions * together).max(4);
        let step = sums.max(positions + together);
        (
            step * width.div_ceil(positions) * 840 / together,
            usize::MAX - positions * together,
        )
    };
    all.min_by_key(work).unwrap_or((1, 1))
}

/// The index of the first window in memory.
pub(crate) fn origin(x: &Plane, window: &Window) -> usize {
    (x.border[0][0] - window.padding[0]) * x.row_len()
        + (x.border[1][0] - window.padding[1]) * x.pitch
}

/// Checks that slices of these lengths contain `samples` images of the input, the output and the operand that is added,
/// and that the slices that are read have spare numbers at the end.
pub(crate) fn holds(planes: [&Plane; 3], samples: usize, lengths: [usize; 3]) {
    let [_, y, other] = planes;
    assert!(
        (other.height, other.width, other.channels) == (y.height, y.width, y.channels),
        "the operand that is added must have the shape of the output"
    );
    let spare = Buffer::SPARE / 4;
    for ((plane, length), spare) in planes.into_iter().zip(lengths).zip([spare, 0, spare]) {
        let needed = samples * plane.sample_len();
        assert!(
            length >= needed + spare,
            "{length} numbers of {samples} × {plane:?}, and {spare} spare ones"
        );
    }
}

/// Checks that the layouts fit the filters.
pub(crate) fn check(filters: &Filters, x: &Plane, y: &Plane) {
    let window = &filters.window;
    assert!(
        filters.groups > 0
            && filters.inputs.is_multiple_of(filters.groups)
            && filters.outputs.is_multiple_of(filters.groups),
        "the groups must divide the inputs and the outputs: {filters:?}"
    );
    assert!(
        (x.channels, y.channels) == (filters.inputs, filters.outputs),
        "the layouts must have the channels of the filters: {filters:?}, {x:?}, {y:?}"
    );
    assert!(
        x.pitch >= x.channels && y.pitch >= y.channels,
        "the distance between positions must be at least the number of channels: {x:?}, {y:?}"
    );
    assert!(
        window
            .kernel
            .iter()
            .chain(&window.stride)
            .chain(&window.dilation)
            .all(|n| *n > 0),
        "kernel, stride and dilation must be at least 1: {window:?}"
    );
    let needed = window.border([x.height, x.width], [y.height, y.width]);
    let there = x.border.iter().zip(&needed);
    assert!(
        there
            .clone()
            .all(|(there, needed)| there[0] >= needed[0] && there[1] >= needed[1]),
        "the windows need a border of {needed:?}: {x:?}"
    );
}
