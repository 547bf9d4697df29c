//! Convolutions of 3 × 3 in float by Winograd's minimal filtering, F(2 × 2, 3 × 3) (Lavin and Gray, 2015): 16 products for four
//! outputs instead of 36.
//!
//! Tiles of 4 × 4 inputs become 16 points, `V = Bᵀ d B`; at each point, channels are multiplied with weights, `U = G g Gᵀ`; and
//! `Aᵀ M A` are 2 × 2 outputs.

#![allow(
    clippy::needless_range_loop,
    reason = "rows and columns of a tile are positions of several arrays"
)]

use std::cell::RefCell;

use crate::buffer::Buffer;
use crate::floats::AddFloats;
use crate::isa::Isa;
use crate::packed::{BLOCK, Filters, FloatTile, Scratch};
use crate::plane::{Plane, Window};
use crate::portable::{self, within};
#[cfg(target_arch = "x86_64")]
use crate::{avx2, avx512};

/// The number of tiles that are computed together.
const TILES: usize = 16;

/// The number of points of a tile.
const POINTS: usize = 16;

/// The maximum number of blocks of outputs that are computed together.
const BLOCKS: usize = 2;

/// Sums of a point.
const POINT_SUMS: usize = TILES * BLOCKS * BLOCK;

type Vector = [f32; BLOCK];

/// The transformed weights, in the order `[points, blocks, inputs]`.
#[derive(Debug, Clone)]
pub(crate) struct Winograd {
    pub(crate) x: Plane,
    pub(crate) y: Plane,
    pub(crate) weights: Buffer,
    blocks: usize,
}

thread_local! {
    /// The transformed inputs and the sums at the points, of the tiles that are computed together.
    static POINTS_OF_INPUT: RefCell<Buffer> = RefCell::default();
}

impl Winograd {
    /// Whether minimal filtering is faster than sums of products. Measured with AVX-512, it is 1.2 times as fast with
    /// 16 channels, and 1.8 times with 64; with AVX2, it is not faster.
    pub(crate) fn suits(filters: &Filters, y: &Plane) -> bool {
        let Window {
            kernel,
            stride,
            dilation,
            ..
        } = filters.window;
        let small = filters.inputs < 12 || filters.outputs < 12;
        Isa::best() == Isa::Avx512Vnni
            && kernel == [3; 2]
            && stride == [1; 2]
            && dilation == [1; 2]
            && filters.groups == 1
            && !small
            && y.height > 1
            && y.width > 1
    }

    /// Transforms weights `[outputs, inputs, 3, 3]`.
    pub(crate) fn new(weights: &[f32], filters: &Filters, x: Plane, y: Plane) -> Self {
        let Filters {
            inputs, outputs, ..
        } = *filters;
        let blocks = outputs.div_ceil(BLOCK);
        let mut packed = Buffer::zeros(4 * POINTS * blocks * inputs * BLOCK);
        let to = packed.floats_mut();
        for output in 0..outputs {
            for input in 0..inputs {
                let own = &weights[(output * inputs + input) * 9..][..9];
                // G = [1 0 0; ½ ½ ½; ½ −½ ½; 0 0 1], from both sides.
                let along = |a: f64, b: f64, c: f64| [a, 0.5 * (a + b + c), 0.5 * (a - b + c), c];
                let at = |row: usize, column: usize| f64::from(own[3 * row + column]);
                let columns =
                    [0, 1, 2].map(|column| along(at(0, column), at(1, column), at(2, column)));
                for row in 0..4 {
                    let points = along(columns[0][row], columns[1][row], columns[2][row]);
                    for (column, number) in points.into_iter().enumerate() {
                        let block = (4 * row + column) * blocks + output / BLOCK;
                        #[allow(clippy::cast_possible_truncation, reason = "weights are f32")]
                        let number = number as f32;
                        to[(block * inputs + input) * BLOCK + output % BLOCK] = number;
                    }
                }
            }
        }
        Self {
            x,
            y,
            weights: packed,
            blocks,
        }
    }

    /// Computes the layer. The caller has checked that the CPU has the instruction set, and that the slices contain all
    /// samples and spare numbers.
    #[allow(clippy::too_many_arguments, reason = "those of the layer, and its own")]
    pub(crate) fn run(
        &self,
        isa: Isa,
        origin: usize,
        samples: usize,
        x: &[f32],
        bias: &[f32],
        ends: [f32; 2],
        add: Option<AddFloats<'_>>,
        y: &mut [f32],
    ) {
        let job = Job {
            layer: self,
            isa,
            origin,
            tiles: [self.y.height.div_ceil(2), self.y.width.div_ceil(2)],
            x,
            bias,
            ends,
            add,
        };
        POINTS_OF_INPUT.with_borrow_mut(|points| {
            let needed = POINTS * TILES * (job.pitch() + BLOCKS * BLOCK);
            if points.floats().len() < needed + Buffer::SPARE / 4 {
                *points = Buffer::zeros(4 * needed);
            }
            let all = samples * job.tiles[0] * job.tiles[1];
            for first in (0..all).step_by(TILES) {
                let count = TILES.min(all - first);
                job.tiles_from(first, count, points.floats_mut(), y);
            }
        });
    }
}

/// The state of a computation.
struct Job<'a> {
    layer: &'a Winograd,
    isa: Isa,
    /// The index of the first window in memory.
    origin: usize,
    /// The number of tiles of an image: vertically and horizontally.
    tiles: [usize; 2],
    x: &'a [f32],
    bias: &'a [f32],
    ends: [f32; 2],
    add: Option<AddFloats<'a>>,
}

impl Job<'_> {
    /// The distance from the inputs of a tile to those of the next one.
    fn pitch(&self) -> usize {
        self.layer.x.channels.next_multiple_of(BLOCK)
    }

    /// The sample, row and column of the first output of a tile.
    fn place(&self, tile: usize) -> [usize; 3] {
        let [down, across] = self.tiles;
        [
            tile / (down * across),
            tile / across % down * 2,
            tile % across * 2,
        ]
    }

    fn tiles_from(&self, first: usize, count: usize, points: &mut [f32], y: &mut [f32]) {
        match self.isa {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the CPU has the instruction set.
            Isa::Avx512Vnni => unsafe { self.tiles_avx512(first, count, points, y) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the CPU has the instruction set.
            Isa::Avx2 | Isa::AvxVnni => unsafe { self.tiles_avx2(first, count, points, y) },
            _ => self.tiles_of_any(first, count, points, y),
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn tiles_avx512(&self, first: usize, count: usize, points: &mut [f32], y: &mut [f32]) {
        self.tiles_of_any(first, count, points, y);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn tiles_avx2(&self, first: usize, count: usize, points: &mut [f32], y: &mut [f32]) {
        self.tiles_of_any(first, count, points, y);
    }

    /// So many tiles, compiled for each instruction set.
    #[inline(always)]
    fn tiles_of_any(&self, first: usize, count: usize, points: &mut [f32], y: &mut [f32]) {
        let (points, sums) = points.split_at_mut(POINTS * TILES * self.pitch());
        for tile in 0..count {
            self.transform_input(first + tile, tile, points);
        }
        let mut block = 0;
        while block < self.layer.blocks {
            let together = BLOCKS.min(self.layer.blocks - block);
            for point in 0..POINTS {
                self.multiply(point, block, together, points, sums);
            }
            for tile in 0..count {
                for at in 0..together {
                    let from = tile * together + at;
                    self.transform_output(first + tile, from, block + at, sums, y);
                }
            }
            block += together;
        }
    }

    /// `V = Bᵀ d B`, sixteen channels at once.
    #[inline(always)]
    fn transform_input(&self, tile: usize, to: usize, points: &mut [f32]) {
        let (plane, pitch) = (&self.layer.x, self.pitch());
        let [sample, row, column] = self.place(tile);
        let [[above, below], [left, right]] = plane.border;
        // Only outputs beyond the edge read the rows and columns behind the last ones.
        let last_row = above + plane.height + below - 1;
        let last_column = left + plane.width + right - 1;
        let [first_row, first_column] = [
            self.origin / plane.row_len() + row,
            self.origin % plane.row_len() / plane.pitch + column,
        ];
        let image = sample * plane.sample_len();
        let rows = [0, 1, 2, 3].map(|at| image + (first_row + at).min(last_row) * plane.row_len());
        let columns = [0, 1, 2, 3].map(|at| (first_column + at).min(last_column) * plane.pitch);
        #[cfg(target_arch = "x86_64")]
        if self.isa == Isa::Avx512Vnni {
            let last = rows[3] + columns[3] + plane.channels.next_multiple_of(BLOCK);
            assert!(last <= self.x.len() && points.len() >= POINTS * TILES * pitch);
            // SAFETY: the CPU has the instruction set, and the slices are long enough.
            unsafe {
                let to = points.as_mut_ptr().add(to * pitch);
                let x = self.x.as_ptr();
                avx512::winograd_input(x, rows, columns, plane.channels, to, TILES * pitch);
            }
            return;
        }
        for channel in (0..plane.channels).step_by(BLOCK) {
            let at = |row: usize, column: usize| -> Vector {
                load(&self.x[rows[row] + columns[column] + channel..])
            };
            // Bᵀ = [1 0 −1 0; 0 1 1 0; 0 −1 1 0; 0 1 0 −1].
            let mut down = [[[0.0; BLOCK]; 4]; 4];
            for column in 0..4 {
                let [a, b, c, d] = [0, 1, 2, 3].map(|row| at(row, column));
                down[0][column] = minus(a, c);
                down[1][column] = plus(b, c);
                down[2][column] = minus(c, b);
                down[3][column] = minus(b, d);
            }
            for (row, [a, b, c, d]) in down.into_iter().enumerate() {
                let own = [minus(a, c), plus(b, c), minus(c, b), minus(b, d)];
                for (column, own) in own.into_iter().enumerate() {
                    let point = 4 * row + column;
                    let at = (point * TILES + to) * pitch + channel;
                    points[at..at + BLOCK].copy_from_slice(&own);
                }
            }
        }
    }

    /// The sums over the inputs at a point, of all tiles and some blocks of outputs.
    #[inline(always)]
    fn multiply(
        &self,
        point: usize,
        block: usize,
        together: usize,
        points: &[f32],
        sums: &mut [f32],
    ) {
        let (inputs, pitch) = (self.layer.x.channels, self.pitch());
        let x = &points[point * TILES * pitch..][..TILES * pitch];
        let weights =
            &self.layer.weights.floats()[(point * self.layer.blocks + block) * inputs * BLOCK..];
        let sums = sums[point * POINT_SUMS..][..POINT_SUMS].as_mut_ptr();
        let tile = |first: usize, block: usize| FloatTile {
            x: x[first * pitch..].as_ptr(),
            step: pitch,
            runs: &[0],
            steps: inputs,
            weights: weights[block * inputs * BLOCK..].as_ptr(),
            block: inputs * BLOCK,
        };
        // SAFETY: the slices hold all tiles and blocks, and so do the sums; the CPU has the instruction set.
        unsafe {
            match self.isa {
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512Vnni if together == 1 => {
                    avx512::float_sums(&tile(0, 0), 1, 16, sums);
                }
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512Vnni => {
                    for first in [0, 8] {
                        let sums = sums.add(first * together * BLOCK);
                        avx512::float_sums(&tile(first, 0), 2, 8, sums);
                    }
                }
                _ => {
                    for block in 0..together {
                        for first in (0..TILES).step_by(4) {
                            let mut own = Scratch([[0.0_f32; BLOCK]; 2 * TILES]);
                            let to = own.0.as_mut_ptr().cast::<f32>();
                            match self.isa {
                                #[cfg(target_arch = "x86_64")]
                                Isa::Avx2 | Isa::AvxVnni => {
                                    avx2::float_sums(&tile(first, block), 4, to);
                                }
                                _ => portable::float_sums(&tile(first, block), 4, to),
                            }
                            for (at, own) in own.0[..4].iter().enumerate() {
                                let at = (first + at) * together + block;
                                sums.add(at * BLOCK).cast::<Vector>().write(*own);
                            }
                        }
                    }
                }
            }
        }
    }

    /// Computes `Aᵀ M A` and converts it to results.
    #[inline(always)]
    fn transform_output(
        &self,
        tile: usize,
        from: usize,
        block: usize,
        sums: &[f32],
        y: &mut [f32],
    ) {
        let plane = &self.layer.y;
        let [sample, row, column] = self.place(tile);
        let first = block * BLOCK;
        let count = BLOCK.min(plane.channels - first);
        #[cfg(target_arch = "x86_64")]
        if self.isa == Isa::Avx512Vnni {
            let inside = [plane.height - row, plane.width - column].map(|rest| rest.min(2));
            let at = plane.index(sample, row, column) + first;
            let own = self.add.as_ref().map(|add| {
                let at = add.plane.index(sample, row, column) + first;
                let [rows, columns] = [inside[0] - 1, inside[1] - 1];
                let last = at + rows * add.plane.row_len() + columns * add.plane.pitch;
                assert!(last + BLOCK <= add.other.len());
                (
                    add.other[at..].as_ptr(),
                    [add.plane.row_len(), add.plane.pitch],
                )
            });
            let last = at + (inside[0] - 1) * plane.row_len() + (inside[1] - 1) * plane.pitch;
            assert!(last + count <= y.len() && sums.len() >= POINTS * POINT_SUMS);
            // SAFETY: the CPU has the instruction set, and the slices hold what is read and written: `holds` was asked for
            // all images.
            unsafe {
                avx512::winograd_output(
                    sums.as_ptr().add(from * BLOCK),
                    POINT_SUMS,
                    self.bias.as_ptr().add(first),
                    own,
                    self.ends,
                    count,
                    inside,
                    y.as_mut_ptr().add(at),
                    [plane.row_len(), plane.pitch],
                );
            }
            return;
        }
        // Aᵀ = [1 1 1 0; 0 1 −1 −1].
        let mut down = [[[0.0; BLOCK]; 4]; 2];
        for column in 0..4 {
            let [a, b, c, d] = [0, 1, 2, 3]
                .map(|row: usize| load(&sums[(4 * row + column) * POINT_SUMS + from * BLOCK..]));
            down[0][column] = plus(plus(a, b), c);
            down[1][column] = minus(minus(b, c), d);
        }
        let bias = load(&self.bias[first..]);
        for (under, [a, b, c, d]) in down.into_iter().enumerate() {
            let own = [plus(plus(a, b), c), minus(minus(b, c), d)];
            for (beside, own) in own.into_iter().enumerate() {
                let (row, column) = (row + under, column + beside);
                if row >= plane.height || column >= plane.width {
                    continue;
                }
                let mut result = plus(own, bias);
                if let Some(add) = &self.add {
                    let at = add.plane.index(sample, row, column) + first;
                    result = plus(result, load(&add.other[at..]));
                }
                for number in &mut result {
                    *number = within(*number, self.ends);
                }
                let at = plane.index(sample, row, column) + first;
                if count == BLOCK {
                    y[at..at + BLOCK].copy_from_slice(&result);
                } else {
                    y[at..at + count].copy_from_slice(&result[..count]);
                }
            }
        }
    }
}

#[inline(always)]
fn load(numbers: &[f32]) -> Vector {
    let mut vector = [0.0; BLOCK];
    vector.copy_from_slice(&numbers[..BLOCK]);
    vector
}

#[inline(always)]
fn plus(a: Vector, b: Vector) -> Vector {
    let mut sum = a;
    for (sum, b) in sum.iter_mut().zip(b) {
        *sum += b;
    }
    sum
}

#[inline(always)]
fn minus(a: Vector, b: Vector) -> Vector {
    let mut difference = a;
    for (difference, b) in difference.iter_mut().zip(b) {
        *difference -= b;
    }
    difference
}
