//! Layers of floats.

use crate::buffer::Buffer;
use crate::halves::HalfType;
use crate::isa::Isa;
use crate::packed::{
    BLOCK, Done, Filters, FloatTile, HalfTile, Number, Packed, Scratch, Sums, TILE, check, holds,
    origin,
};
use crate::plane::Plane;
use crate::portable;
use crate::winograd::Winograd;
use crate::zeros::ZeroSteps;
#[cfg(target_arch = "x86_64")]
use crate::{avx2, avx512};

/// A convolution or a linear layer of floats: `y = clamp(Σ x · w + bias + other, ends)`.
///
/// Beyond the edge, windows read the border of the input, which must contain zeros.
#[derive(Debug, Clone)]
pub struct FloatLayer {
    kind: Kind,
    bias: Vec<f32>,
    zeros: ZeroSteps,
}

/// The algorithm of a layer.
#[derive(Debug, Clone)]
enum Kind {
    Windows(Packed),
    /// Sums of products with weights of 16 bits.
    Halves(Packed, HalfType),
    /// Minimal filtering; contains the index of the first window in memory.
    Winograd(Winograd, usize),
}

/// A second operand that is added to the sums of a layer.
#[derive(Debug, Clone, Copy)]
pub struct AddFloats<'a> {
    /// The numbers that are added.
    pub other: &'a [f32],
    /// Their layout in memory.
    pub plane: &'a Plane,
}

/// Converts the sums of a tile to results.
pub(crate) struct FinishFloats {
    pub(crate) sums: *const f32,
    pub(crate) blocks: usize,
    pub(crate) positions: usize,
    pub(crate) count: usize,
    pub(crate) bias: *const f32,
    pub(crate) ends: [f32; 2],
    pub(crate) y: *mut f32,
    pub(crate) y_step: usize,
    /// Null if there is no operand to add.
    pub(crate) other: *const f32,
    pub(crate) other_step: usize,
}

impl FloatLayer {
    /// Packs weights `[outputs, inputs / groups, rows, columns]`, in the form that is fastest by
    /// `docs/engine.md`'s measurements: [`dense`](Self::dense), or [`sparse`](Self::sparse) if enough of the weights are zero.
    ///
    /// # Panics
    ///
    /// If the lengths and sizes are inconsistent, or if the border of the input is smaller than the windows need.
    #[must_use]
    pub fn new(weights: &[f32], bias: &[f32], filters: Filters, x: Plane, y: Plane) -> Self {
        let zeros = ZeroSteps::count(Number::Floats, &filters, &y, weights, |w| w == 0.0);
        match zeros.pays() {
            true => Self::sparse(weights, bias, filters, x, y),
            false => Self::dense(weights, bias, filters, x, y),
        }
    }

    /// A layer that computes all products. On CPUs with AVX-512, kernels of 3 × 3 with stride 1 and twelve or more channels
    /// are computed by Winograd's minimal filtering, whose rounding errors are slightly larger.
    ///
    /// # Panics
    ///
    /// Like [`new`](Self::new).
    #[must_use]
    pub fn dense(weights: &[f32], bias: &[f32], filters: Filters, x: Plane, y: Plane) -> Self {
        check(&filters, &x, &y);
        let zeros = ZeroSteps::count(Number::Floats, &filters, &y, weights, |w| w == 0.0);
        if !Winograd::suits(&filters, &y) {
            return Self {
                zeros,
                ..Self::of_windows(weights, bias, filters, x, y)
            };
        }
        assert_eq!(weights.len(), filters.weights(), "weights of {filters:?}");
        let winograd = Winograd::new(weights, &filters, x, y);
        Self {
            kind: Kind::Winograd(winograd, origin(&x, &filters.window)),
            bias: with_spare(bias, &filters),
            zeros,
        }
    }

    /// A layer that skips the products with zero weights, where the weights of an input and a block of 16 outputs are all
    /// zero. Depthwise layers skip nothing.
    ///
    /// Its sums are those of a layer that computes all products, bit for bit, unless that is by Winograd's minimal filtering, or
    /// inputs are not finite: an infinite input times a skipped zero is not NaN.
    ///
    /// # Panics
    ///
    /// Like [`new`](Self::new).
    #[must_use]
    pub fn sparse(weights: &[f32], bias: &[f32], filters: Filters, x: Plane, y: Plane) -> Self {
        let mut layer = Self::of_windows(weights, bias, filters, x, y);
        layer.zeros = ZeroSteps::count(Number::Floats, &filters, &y, weights, |w| w == 0.0);
        if let Kind::Windows(packed) = &mut layer.kind
            && !packed.depthwise
        {
            packed.skip_zeros(Number::Floats);
            layer.zeros.skipped = true;
        }
        layer
    }

    /// A layer that stores its weights in 16 bits, which the kernels convert while they compute: half of the memory. It skips
    /// zero weights as [`new`](Self::new) does.
    ///
    /// Its sums are those of the products with the same weights in `f32`, in the same order. They are never computed by
    /// Winograd's minimal filtering. Depthwise layers store their weights in `f32`.
    ///
    /// # Panics
    ///
    /// Like [`new`](Self::new).
    #[must_use]
    pub fn of_halves(
        weights: &[u16],
        of: HalfType,
        bias: &[f32],
        filters: Filters,
        x: Plane,
        y: Plane,
    ) -> Self {
        if filters.is_depthwise() {
            let weights: Vec<f32> = weights.iter().map(|bits| of.to_float(*bits)).collect();
            return Self::of_windows(&weights, bias, filters, x, y);
        }
        assert_eq!(weights.len(), filters.weights(), "weights of {filters:?}");
        let number = Number::Halves(of);
        let put = |buffer: &mut Buffer, to: usize, from: usize| {
            buffer.bytes_mut()[2 * to..2 * to + 2].copy_from_slice(&weights[from].to_ne_bytes());
        };
        let mut packed = Packed::new(number, filters, x, y, put);
        let is_zero = |bits: u16| bits & 0x7fff == 0;
        let mut zeros = ZeroSteps::count(number, &filters, &y, weights, is_zero);
        if zeros.pays() {
            packed.skip_zeros(number);
            zeros.skipped = true;
        }
        Self {
            kind: Kind::Halves(packed, of),
            bias: with_spare(bias, &filters),
            zeros,
        }
    }

    /// Like [`new`](Self::new), but without Winograd's minimal filtering: sums of products, which are exact if all
    /// intermediate results are integers that `f32` represents.
    pub(crate) fn of_windows(
        weights: &[f32],
        bias: &[f32],
        filters: Filters,
        x: Plane,
        y: Plane,
    ) -> Self {
        assert_eq!(weights.len(), filters.weights(), "weights of {filters:?}");
        let put = |buffer: &mut Buffer, to, from| buffer.floats_mut()[to] = weights[from];
        Self {
            kind: Kind::Windows(Packed::new(Number::Floats, filters, x, y, put)),
            bias: with_spare(bias, &filters),
            zeros: ZeroSteps::default(),
        }
    }

    /// The layout of the inputs.
    #[must_use]
    pub const fn input(&self) -> &Plane {
        match &self.kind {
            Kind::Windows(packed) | Kind::Halves(packed, _) => &packed.x,
            Kind::Winograd(winograd, _) => &winograd.x,
        }
    }

    /// The layout of the outputs.
    #[must_use]
    pub const fn output(&self) -> &Plane {
        match &self.kind {
            Kind::Windows(packed) | Kind::Halves(packed, _) => &packed.y,
            Kind::Winograd(winograd, _) => &winograd.y,
        }
    }

    /// The number of bytes of the packed weights.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &self.kind {
            Kind::Windows(packed) | Kind::Halves(packed, _) => packed.bytes(),
            Kind::Winograd(winograd, _) => winograd.weights.bytes().len(),
        }
    }

    /// How many steps have zero weights, and whether they are skipped.
    #[must_use]
    pub const fn zeros(&self) -> ZeroSteps {
        self.zeros
    }

    /// Computes the layer for `samples` images.
    ///
    /// # Panics
    ///
    /// If a slice is shorter than `samples` images, plus [`Buffer::SPARE`] bytes if it is read, or if the CPU does not
    /// have the instruction set.
    pub fn run(
        &self,
        isa: Isa,
        samples: usize,
        x: &[f32],
        ends: [f32; 2],
        add: Option<AddFloats<'_>>,
        y: &mut [f32],
    ) {
        assert!(
            isa.is_available(),
            "this CPU does not have the instruction set {isa}"
        );
        let other = add.as_ref().map_or(usize::MAX, |add| add.other.len());
        let plane = add.as_ref().map(|add| add.plane);
        let lengths = [x.len(), y.len(), other];
        let (packed, number) = match &self.kind {
            Kind::Windows(packed) => (packed, Number::Floats),
            Kind::Halves(packed, of) => (packed, Number::Halves(*of)),
            Kind::Winograd(winograd, origin) => {
                let planes = [&winograd.x, &winograd.y, plane.unwrap_or(&winograd.y)];
                holds(planes, samples, lengths);
                winograd.run(isa, *origin, samples, x, &self.bias, ends, add, y);
                return;
            }
        };
        let walk = packed.walk(samples, plane, lengths);
        let mut scratch = Scratch([[0_f32; BLOCK]; TILE]);
        let sums = scratch.0.as_mut_ptr().cast::<f32>();
        let (from, weights) = (x.as_ptr(), packed.weights.bytes().as_ptr());
        let depthwise = packed.depthwise;
        let tile = |at: &Sums<'_>| {
            // SAFETY: `walk` has checked that the windows of all positions are within the slice, and weights were packed for
            // them.
            unsafe {
                if let Number::Halves(of) = number {
                    let tile: HalfTile<'_> = at.tile(from, weights.cast());
                    half_tile_sums(isa, of, &tile, at.blocks, at.positions, sums);
                    return;
                }
                let tile: FloatTile<'_> = at.tile(from, weights.cast());
                match depthwise {
                    true => depthwise_tile_sums(isa, &tile, at.positions, sums),
                    false => tile_sums(isa, &tile, at.blocks, at.positions, sums),
                }
            }
        };
        let finish = |done: &Done| {
            // SAFETY: `walk` has checked that the slices hold all positions, and the bias has spare numbers for whole blocks.
            unsafe {
                let finish = FinishFloats {
                    sums,
                    blocks: done.blocks,
                    positions: done.positions,
                    count: done.count,
                    bias: self.bias.as_ptr().add(done.channel),
                    ends,
                    y: y.as_mut_ptr().add(done.y),
                    y_step: done.y_step,
                    other: add
                        .as_ref()
                        .map_or(std::ptr::null(), |add| add.other.as_ptr().add(done.other)),
                    other_step: done.other_step,
                };
                match isa {
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx512Vnni => avx512::finish_floats(&finish),
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx2 | Isa::AvxVnni => avx2::finish_floats(&finish),
                    _ => portable::finish_floats(&finish),
                }
            }
        };
        packed.each_tile(number, isa, &walk, tile, finish);
    }
}

/// Computes the sums of a tile.
///
/// # Safety
///
/// The CPU must have the instruction set, and all pointers must be valid for what a tile of this size reads and writes.
#[cfg_attr(
    not(target_arch = "x86_64"),
    allow(unused_variables, reason = "plain loops compute one block at a time")
)]
pub(crate) unsafe fn tile_sums(
    isa: Isa,
    tile: &FloatTile<'_>,
    blocks: usize,
    positions: usize,
    sums: *mut f32,
) {
    // SAFETY: the caller guarantees the conditions.
    unsafe {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vnni => avx512::float_sums(tile, blocks, positions, sums),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 | Isa::AvxVnni => avx2::float_sums(tile, positions, sums),
            _ => portable::float_sums(tile, positions, sums),
        }
    }
}

/// Computes the sums of a tile with weights of 16 bits.
///
/// # Safety
///
/// Like [`tile_sums`].
#[cfg_attr(
    not(target_arch = "x86_64"),
    allow(unused_variables, reason = "plain loops compute one block at a time")
)]
unsafe fn half_tile_sums(
    isa: Isa,
    of: HalfType,
    tile: &HalfTile<'_>,
    blocks: usize,
    positions: usize,
    sums: *mut f32,
) {
    // SAFETY: the caller guarantees the conditions.
    unsafe {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vnni => avx512::half_sums(of, tile, blocks, positions, sums),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 | Isa::AvxVnni => avx2::half_sums(of, tile, positions, sums),
            _ => portable::half_sums(of, tile, positions, sums),
        }
    }
}

/// Computes the sums of a tile of a depthwise layer.
///
/// # Safety
///
/// Like [`tile_sums`].
unsafe fn depthwise_tile_sums(isa: Isa, tile: &FloatTile<'_>, positions: usize, sums: *mut f32) {
    // SAFETY: the caller guarantees the conditions.
    unsafe {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vnni => avx512::depthwise_float_sums(tile, positions, sums),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 | Isa::AvxVnni => avx2::depthwise_float_sums(tile, positions, sums),
            _ => portable::depthwise_float_sums(tile, positions, sums),
        }
    }
}

/// The biases, padded to whole blocks.
fn with_spare(bias: &[f32], filters: &Filters) -> Vec<f32> {
    assert_eq!(
        bias.len(),
        filters.outputs,
        "there must be a bias for each output"
    );
    let mut bias = bias.to_vec();
    bias.resize(bias.len() + BLOCK, 0.0);
    bias
}

const _: () = assert!(
    Buffer::SPARE >= 4 * BLOCK,
    "vectors of 16 floats read beyond the last"
);
