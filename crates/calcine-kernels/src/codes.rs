//! Layers of 8-bit integers.

use crate::buffer::Buffer;
use crate::isa::Isa;
use crate::packed::{
    BLOCK, CodeTile, DepthwiseCodeTile, Done, Filters, NibbleTile, Number, Packed, Scratch, Sums,
    TILE, to_nibbles,
};
use crate::plane::Plane;
use crate::portable;
use crate::zeros::ZeroSteps;
#[cfg(target_arch = "x86_64")]
use crate::{avx2, avx512};

/// A convolution or a linear layer of 8-bit integers with 32-bit sums.
///
/// ```text
/// acc = Σ (x − zero) · w + bias        exact modulo 2³²
/// ```
///
/// Inputs are integers `0 … 255`, weights `−128 … 127`. Beyond the edge, windows read the border of the input, which
/// must contain the zero point, so that it contributes nothing.
#[derive(Debug, Clone)]
pub struct CodeLayer {
    packed: Packed,
    /// Whether the weights are stored in 4 bits, two in a byte.
    nibbles: bool,
    /// The bias, minus the contribution of the zero point.
    bias: Vec<i32>,
    zeros: ZeroSteps,
}

/// How 32-bit sums are converted to 8-bit integers.
///
/// ```text
/// y = clamp(rint(float32(float32(acc) · factor)), ends) + zero
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Rescale {
    factor: Vec<f32>,
    /// The smallest and the largest integer minus the zero point; both are integers.
    pub ends: [f32; 2],
    /// The zero point of the output.
    pub zero: i32,
}

impl Rescale {
    /// Creates the conversion with a factor for each output, the smallest and the largest integer minus the zero point,
    /// and the zero point.
    #[must_use]
    pub fn new(factor: &[f32], ends: [f32; 2], zero: i32) -> Self {
        let mut factor = factor.to_vec();
        factor.resize(factor.len() + BLOCK, 0.0);
        Self { factor, ends, zero }
    }
}

/// A second operand that is added to the 8-bit results `y` of a layer:
///
/// ```text
/// clamp(rint(float32(float32(y − zero) · factors[0]) + float32((other − other_zero) · factors[1])), ends) + zero
/// ```
#[derive(Debug, Clone, Copy)]
pub struct AddCodes<'a> {
    /// The numbers that are added.
    pub other: &'a [u8],
    /// Their layout in memory.
    pub plane: &'a Plane,
    /// Their zero point.
    pub other_zero: i32,
    /// The factors of both operands, the result of the layer first.
    pub factors: [f32; 2],
    /// The smallest and the largest result minus the zero point.
    pub ends: [f32; 2],
    /// The zero point of the result.
    pub zero: i32,
}

/// Converts the sums of a tile to integers.
pub(crate) struct FinishCodes<'a> {
    pub(crate) sums: *const i32,
    pub(crate) blocks: usize,
    pub(crate) positions: usize,
    pub(crate) count: usize,
    pub(crate) bias: *const i32,
    pub(crate) factor: *const f32,
    pub(crate) ends: [f32; 2],
    pub(crate) zero: i32,
    pub(crate) y: *mut u8,
    pub(crate) y_step: usize,
    pub(crate) other: *const u8,
    pub(crate) other_step: usize,
    pub(crate) add: Option<&'a AddCodes<'a>>,
}

/// Converts the sums of a tile to floats.
pub(crate) struct FinishSums {
    pub(crate) sums: *const i32,
    pub(crate) blocks: usize,
    pub(crate) positions: usize,
    pub(crate) count: usize,
    pub(crate) bias: *const i32,
    pub(crate) factor: *const f32,
    pub(crate) y: *mut f32,
    pub(crate) y_step: usize,
}

impl CodeLayer {
    /// Packs weights `[outputs, inputs / groups, rows, columns]`, in the form that is fastest by the measurements in
    /// `docs/engine.md`: [`dense`](Self::dense), or [`sparse`](Self::sparse) if enough of the weights are zero. If all weights
    /// are in `−8 … 7` and the layer is not depthwise, they are stored in 4 bits, which the kernels unpack.
    ///
    /// `bias` has a number for each output, `zero` is the zero point of the input, and `x` and `y` are the layouts of
    /// input and output.
    ///
    /// # Panics
    ///
    /// If the lengths and sizes are inconsistent, if the pitch of the input is not a multiple of four, or if its border
    /// is smaller than the windows need.
    #[must_use]
    pub fn new(
        weights: &[i8],
        bias: &[i32],
        zero: i32,
        filters: Filters,
        x: Plane,
        y: Plane,
    ) -> Self {
        let zeros = ZeroSteps::count(Number::Codes, &filters, &y, weights, |w| w == 0);
        match zeros.pays() {
            true => Self::sparse(weights, bias, zero, filters, x, y),
            false => Self::dense(weights, bias, zero, filters, x, y),
        }
    }

    /// A layer that computes all products.
    ///
    /// # Panics
    ///
    /// Like [`new`](Self::new).
    #[must_use]
    pub fn dense(
        weights: &[i8],
        bias: &[i32],
        zero: i32,
        filters: Filters,
        x: Plane,
        y: Plane,
    ) -> Self {
        Self::packed(weights, bias, zero, filters, [x, y], false)
    }

    /// A layer that skips the products with zero weights, where the weights of four inputs and a block of 16 outputs are all
    /// zero. Depthwise layers skip nothing. The sums are the same.
    ///
    /// # Panics
    ///
    /// Like [`new`](Self::new).
    #[must_use]
    pub fn sparse(
        weights: &[i8],
        bias: &[i32],
        zero: i32,
        filters: Filters,
        x: Plane,
        y: Plane,
    ) -> Self {
        Self::packed(weights, bias, zero, filters, [x, y], true)
    }

    /// A layer with weights `−255 … 255`: those of 8 bits minus a zero point. The sums are exact as those of [`new`](Self::new).
    ///
    /// Weights are stored as sums of 8-bit integers, which are multiplied one after the other; zero ones are skipped. The layer takes
    /// up to about twice the time and memory of one with 8-bit weights.
    ///
    /// # Panics
    ///
    /// Like [`new`](Self::new), or if a weight is not in the range.
    #[must_use]
    pub fn wide(
        weights: &[i16],
        bias: &[i32],
        zero: i32,
        filters: Filters,
        x: Plane,
        y: Plane,
    ) -> Self {
        let largest = weights.iter().map(|weight| weight.unsigned_abs()).max();
        assert!(
            largest.unwrap_or(0) <= 255,
            "weights must be in −255 … 255, one has the magnitude {largest:?}"
        );
        check_sizes(weights.len(), bias, &filters, &x);
        let mut zeros = ZeroSteps::count(Number::Codes, &filters, &y, weights, |w| w == 0);
        let packed = if filters.is_depthwise() {
            pack(weights, filters, x, y)
        } else {
            // What 8 bits cannot represent is left for the next part.
            let mut rest = weights.to_vec();
            let mut parts = Vec::new();
            while parts.is_empty() || rest.iter().any(|rest| *rest != 0) {
                let part: Vec<i16> = rest.iter().map(|rest| (*rest).clamp(-128, 127)).collect();
                for (rest, part) in rest.iter_mut().zip(&part) {
                    *rest -= part;
                }
                let mut part = pack(&part, filters, x, y);
                part.skip_zeros(Number::Codes);
                parts.push(part);
            }
            (zeros.skipped, zeros.pays_from) = (true, None);
            Packed::joined(parts, Number::Codes)
        };
        Self {
            packed,
            nibbles: false,
            bias: corrected(weights, bias, zero),
            zeros,
        }
    }

    fn packed(
        weights: &[i8],
        bias: &[i32],
        zero: i32,
        filters: Filters,
        [x, y]: [Plane; 2],
        skip: bool,
    ) -> Self {
        check_sizes(weights.len(), bias, &filters, &x);
        let depthwise = filters.is_depthwise();
        let mut packed = pack(weights, filters, x, y);
        let mut zeros = ZeroSteps::count(Number::Codes, &filters, &y, weights, |w| w == 0);
        if skip && !depthwise {
            packed.skip_zeros(Number::Codes);
            zeros.skipped = true;
        }
        let nibbles = !depthwise && weights.iter().all(|weight| (-8..8).contains(weight));
        if nibbles {
            packed.weights = to_nibbles(&packed.weights);
        }
        Self {
            packed,
            nibbles,
            bias: corrected(weights, bias, zero),
            zeros,
        }
    }

    /// How many steps have zero weights, and whether they are skipped.
    #[must_use]
    pub const fn zeros(&self) -> ZeroSteps {
        self.zeros
    }

    /// The layout of the inputs.
    #[must_use]
    pub const fn input(&self) -> &Plane {
        &self.packed.x
    }

    /// The layout of the outputs.
    #[must_use]
    pub const fn output(&self) -> &Plane {
        &self.packed.y
    }

    /// The number of bytes of the packed weights.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.packed.bytes()
    }

    /// Computes the layer for `samples` images, with results of 8 bits.
    ///
    /// # Panics
    ///
    /// If a slice is shorter than `samples` images plus [`Buffer::SPARE`] bytes, if the number of factors is not the
    /// number of outputs, or if the CPU does not have the instruction set.
    pub fn run_codes(
        &self,
        isa: Isa,
        samples: usize,
        x: &[u8],
        rescale: &Rescale,
        add: Option<AddCodes<'_>>,
        y: &mut [u8],
    ) {
        assert_eq!(
            rescale.factor.len(),
            self.bias.len(),
            "there must be a factor for each output"
        );
        let other = add.as_ref().map_or(y.len(), |add| add.other.len());
        let plane = add.as_ref().map(|add| add.plane);
        let walk = self.packed.walk(samples, plane, [x.len(), y.len(), other]);
        let mut scratch = Scratch([[0_i32; BLOCK]; TILE]);
        let sums = scratch.0.as_mut_ptr().cast::<i32>();
        let tile = self.tile(isa, x);
        let finish = |done: &Done| {
            // SAFETY: `walk` has checked that the slices hold all positions, and arrays have spare numbers for whole
            // blocks.
            let finish = unsafe {
                FinishCodes {
                    sums,
                    blocks: done.blocks,
                    positions: done.positions,
                    count: done.count,
                    bias: self.bias.as_ptr().add(done.channel),
                    factor: rescale.factor.as_ptr().add(done.channel),
                    ends: rescale.ends,
                    zero: rescale.zero,
                    y: y.as_mut_ptr().add(done.y),
                    y_step: done.y_step,
                    other: add
                        .as_ref()
                        .map_or(std::ptr::null(), |add| add.other.as_ptr().add(done.other)),
                    other_step: done.other_step,
                    add: add.as_ref(),
                }
            };
            // SAFETY: as above; `tile` has asked whether the CPU has the instruction set.
            unsafe {
                match isa {
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx512Vnni => avx512::finish_codes(&finish),
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx2 | Isa::AvxVnni => avx2::finish_codes(&finish),
                    _ => portable::finish_codes(&finish),
                }
            }
        };
        self.packed
            .each_tile(Number::Codes, isa, &walk, |at| tile(at, sums), finish);
    }

    /// Computes the layer for `samples` images, with float results `float32(float32(acc) · factor)`.
    ///
    /// # Panics
    ///
    /// Like [`run_codes`](Self::run_codes).
    pub fn run_floats(&self, isa: Isa, samples: usize, x: &[u8], rescale: &Rescale, y: &mut [f32]) {
        assert_eq!(
            rescale.factor.len(),
            self.bias.len(),
            "there must be a factor for each output"
        );
        let walk = self.packed.walk(samples, None, [x.len(), y.len(), y.len()]);
        let mut scratch = Scratch([[0_i32; BLOCK]; TILE]);
        let sums = scratch.0.as_mut_ptr().cast::<i32>();
        let tile = self.tile(isa, x);
        let finish = |done: &Done| {
            // SAFETY: as in `run_codes`.
            unsafe {
                portable::finish_sums(&FinishSums {
                    sums,
                    blocks: done.blocks,
                    positions: done.positions,
                    count: done.count,
                    bias: self.bias.as_ptr().add(done.channel),
                    factor: rescale.factor.as_ptr().add(done.channel),
                    y: y.as_mut_ptr().add(done.y),
                    y_step: done.y_step,
                });
            }
        };
        self.packed
            .each_tile(Number::Codes, isa, &walk, |at| tile(at, sums), finish);
    }

    /// The kernel that computes the sums of a tile.
    fn tile(&self, isa: Isa, x: &[u8]) -> impl Fn(&Sums<'_>, *mut i32) {
        assert!(
            isa.is_available(),
            "this CPU does not have the instruction set {isa}"
        );
        let (x, weights) = (x.as_ptr(), self.packed.weights.bytes().as_ptr());
        let (depthwise, nibbles) = (self.packed.depthwise, self.nibbles);
        move |at: &Sums<'_>, sums: *mut i32| {
            // SAFETY: `walk` has checked that the windows of all positions are within the slice, and weights were packed for
            // them.
            unsafe {
                if depthwise {
                    let tile: DepthwiseCodeTile<'_> = at.tile(x, weights.cast());
                    match isa {
                        #[cfg(target_arch = "x86_64")]
                        Isa::Avx512Vnni => avx512::depthwise_code_sums(&tile, at.positions, sums),
                        #[cfg(target_arch = "x86_64")]
                        Isa::Avx2 | Isa::AvxVnni => {
                            avx2::depthwise_code_sums(&tile, at.positions, sums);
                        }
                        _ => portable::depthwise_code_sums(&tile, at.positions, sums),
                    }
                    return;
                }
                if nibbles {
                    let tile: NibbleTile<'_> = at.half_tile(x, weights);
                    match isa {
                        #[cfg(target_arch = "x86_64")]
                        Isa::Avx512Vnni => {
                            avx512::nibble_sums(&tile, at.blocks, at.positions, sums);
                        }
                        #[cfg(target_arch = "x86_64")]
                        Isa::AvxVnni => avx2::vnni_nibble_sums(&tile, at.positions, sums),
                        #[cfg(target_arch = "x86_64")]
                        Isa::Avx2 => avx2::nibble_sums(&tile, at.positions, sums),
                        _ => portable::nibble_sums(&tile, at.positions, sums),
                    }
                    return;
                }
                let tile: CodeTile<'_> = at.tile(x, weights.cast());
                match isa {
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx512Vnni => avx512::code_sums(&tile, at.blocks, at.positions, sums),
                    #[cfg(target_arch = "x86_64")]
                    Isa::AvxVnni => avx2::vnni_code_sums(&tile, at.positions, sums),
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx2 => avx2::code_sums(&tile, at.positions, sums),
                    _ => portable::code_sums(&tile, at.positions, sums),
                }
            }
        }
    }
}

fn check_sizes(weights: usize, bias: &[i32], filters: &Filters, x: &Plane) {
    assert_eq!(weights, filters.weights(), "weights of {filters:?}");
    assert_eq!(
        bias.len(),
        filters.outputs,
        "there must be a bias for each output"
    );
    assert!(
        x.pitch.is_multiple_of(4),
        "channels must be stored in groups of four: {x:?}"
    );
}

/// Packs weights: 8 bits of each, or 32 bits in a depthwise layer.
fn pack<T: Copy + Into<i32>>(weights: &[T], filters: Filters, x: Plane, y: Plane) -> Packed {
    let depthwise = filters.is_depthwise();
    Packed::new(Number::Codes, filters, x, y, |buffer, to, from| {
        let bytes = weights[from].into().to_le_bytes();
        if depthwise {
            let bytes = i32::from_le_bytes(bytes).to_ne_bytes();
            buffer.bytes_mut()[4 * to..4 * to + 4].copy_from_slice(&bytes);
        } else {
            buffer.bytes_mut()[to] = bytes[0];
        }
    })
}

/// The bias minus the contribution of the zero point, and spare numbers.
fn corrected<T: Copy + Into<i32>>(weights: &[T], bias: &[i32], zero: i32) -> Vec<i32> {
    let each = weights.len() / bias.len().max(1);
    let corrected = |(output, bias): (usize, &i32)| {
        let own = &weights[output * each..(output + 1) * each];
        let sum = own.iter().map(|&weight| weight.into());
        let sum = sum.fold(0_i32, i32::wrapping_add);
        bias.wrapping_sub(sum.wrapping_mul(zero))
    };
    let mut bias: Vec<i32> = bias.iter().enumerate().map(corrected).collect();
    bias.resize(bias.len() + BLOCK, 0);
    bias
}

const _: () = assert!(
    Buffer::SPARE >= BLOCK,
    "vectors of 16 bytes read beyond the last"
);
