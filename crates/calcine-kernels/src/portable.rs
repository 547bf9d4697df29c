//! Portable loops, for every CPU. Compilers turn sixteen neighbouring sums into vector instructions.

use crate::codes::{FinishCodes, FinishSums};
use crate::floats::FinishFloats;
use crate::halves::HalfType;
use crate::packed::{
    BLOCK, CodeTile, DepthwiseCodeTile, FloatTile, HalfTile, NIBBLES, NibbleTile, Tile,
    from_nibbles,
};

/// `1.5 · 2²³`: the sum of this and a number up to 2²² in magnitude has the nearest integer (ties to even) in its
/// lowest bits.
const ROUNDER: f32 = 12_582_912.0;

/// The nearest integer, ties to even, of a number up to 2²² in magnitude.
#[inline(always)]
pub(crate) fn nearest(x: f32) -> f32 {
    (x + ROUNDER) - ROUNDER
}

/// Clamps `x` to a range. NaN stays NaN.
#[inline(always)]
pub(crate) fn within(x: f32, [low, high]: [f32; 2]) -> f32 {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

/// The sum of an integer up to 2²² in magnitude and another one, modulo 256.
#[inline(always)]
#[allow(clippy::cast_possible_truncation, reason = "modulo 256")]
pub(crate) fn low_byte(whole: f32, plus: i32) -> u8 {
    // The lowest bits of the sum are those of the integer, because those of the rounder are zero.
    (whole + ROUNDER).to_bits().wrapping_add_signed(plus) as u8
}

/// # Safety
///
/// All pointers must be valid for what a tile of this size reads and writes; this also holds for the other functions.
pub(crate) unsafe fn code_sums(tile: &CodeTile<'_>, positions: usize, sums: *mut i32) {
    // SAFETY: the caller guarantees the conditions.
    unsafe {
        dense_sums(tile, positions, sums, 4 * BLOCK, |weights| {
            weights.cast::<[i8; 4 * BLOCK]>().read()
        });
    }
}

/// # Safety
///
/// Like [`code_sums`].
pub(crate) unsafe fn nibble_sums(tile: &NibbleTile<'_>, positions: usize, sums: *mut i32) {
    // SAFETY: the caller guarantees the conditions.
    unsafe {
        dense_sums(tile, positions, sums, NIBBLES, |weights| {
            from_nibbles(&*weights.cast())
        });
    }
}

/// Sums of products. `read` unpacks the weights of a step, which has `step` stored elements.
///
/// # Safety
///
/// Like [`code_sums`].
#[inline(always)]
unsafe fn dense_sums<W>(
    tile: &Tile<'_, u8, W>,
    positions: usize,
    sums: *mut i32,
    step: usize,
    read: impl Fn(*const W) -> [i8; 4 * BLOCK],
) {
    // SAFETY: the caller guarantees the conditions.
    unsafe {
        for position in 0..positions {
            let mut acc = [0_i32; BLOCK];
            let mut weights = tile.weights;
            for run in tile.runs {
                let mut x = tile.x.add(position * tile.step + run);
                for _ in 0..tile.steps {
                    let four = x.cast::<[u8; 4]>().read().map(i32::from);
                    let own = read(weights);
                    for (acc, own) in acc.iter_mut().zip(own.as_chunks::<4>().0) {
                        let own = own.map(i32::from);
                        let sum = four[0] * own[0]
                            + four[1] * own[1]
                            + four[2] * own[2]
                            + four[3] * own[3];
                        *acc = acc.wrapping_add(sum);
                    }
                    x = x.add(4);
                    weights = weights.add(step);
                }
            }
            sums.add(position * BLOCK).cast::<[i32; BLOCK]>().write(acc);
        }
    }
}

/// # Safety
///
/// Like [`code_sums`].
#[inline(always)]
pub(crate) unsafe fn depthwise_code_sums(
    tile: &DepthwiseCodeTile<'_>,
    positions: usize,
    sums: *mut i32,
) {
    let add = |sum: i32, x: u8, weight: i32| sum.wrapping_add(i32::from(x) * weight);
    // SAFETY: the caller guarantees the conditions.
    unsafe { depthwise_sums(tile, positions, sums, add) }
}

/// # Safety
///
/// Like [`code_sums`].
#[inline(always)]
unsafe fn depthwise_sums<X: Copy, W: Copy, S: Copy + Default>(
    tile: &Tile<'_, X, W>,
    positions: usize,
    sums: *mut S,
    add: impl Fn(S, X, W) -> S,
) {
    // SAFETY: the caller guarantees the conditions.
    unsafe {
        for position in 0..positions {
            let mut acc = [S::default(); BLOCK];
            let mut weights = tile.weights;
            for run in tile.runs {
                let x = tile.x.add(position * tile.step + run);
                let x = x.cast::<[X; BLOCK]>().read_unaligned();
                let own = &*weights.cast::<[W; BLOCK]>();
                for (acc, (x, own)) in acc.iter_mut().zip(x.iter().zip(own)) {
                    *acc = add(*acc, *x, *own);
                }
                weights = weights.add(tile.block);
            }
            sums.add(position * BLOCK).cast::<[S; BLOCK]>().write(acc);
        }
    }
}

/// # Safety
///
/// Like [`code_sums`].
#[inline(always)]
#[allow(
    clippy::cast_precision_loss,
    reason = "sums are rounded once, as a conversion does"
)]
pub(crate) unsafe fn finish_codes(f: &FinishCodes<'_>) {
    // SAFETY: the caller guarantees the conditions.
    unsafe {
        for position in 0..f.positions {
            for block in 0..f.blocks {
                let first = block * BLOCK;
                let sums = &*f
                    .sums
                    .add((position * f.blocks + block) * BLOCK)
                    .cast::<[i32; BLOCK]>();
                let bias = &*f.bias.add(first).cast::<[i32; BLOCK]>();
                let factor = &*f.factor.add(first).cast::<[f32; BLOCK]>();
                let mut codes = [0_u8; BLOCK];
                let count = BLOCK.min(f.count - first);
                let y = f.y.add(position * f.y_step + first);
                match f.add {
                    None => {
                        for at in 0..BLOCK {
                            let scaled = sums[at].wrapping_add(bias[at]) as f32 * factor[at];
                            codes[at] = low_byte(nearest(within(scaled, f.ends)), f.zero);
                        }
                    }
                    Some(add) => {
                        let other = f.other.add(position * f.other_step + first);
                        let other = other.cast::<[u8; BLOCK]>().read();
                        for at in 0..BLOCK {
                            let scaled = sums[at].wrapping_add(bias[at]) as f32 * factor[at];
                            let own = nearest(within(scaled, f.ends)) * add.factors[0];
                            let other = (i32::from(other[at]) - add.other_zero) as f32;
                            let sum = own + other * add.factors[1];
                            codes[at] = low_byte(nearest(within(sum, add.ends)), add.zero);
                        }
                    }
                }
                std::ptr::copy_nonoverlapping(codes.as_ptr(), y, count);
            }
        }
    }
}

/// # Safety
///
/// Like [`code_sums`].
#[allow(
    clippy::cast_precision_loss,
    reason = "sums are rounded once, as a conversion does"
)]
pub(crate) unsafe fn finish_sums(f: &FinishSums) {
    // SAFETY: the caller guarantees the conditions.
    unsafe {
        for position in 0..f.positions {
            for channel in 0..f.count.min(f.blocks * BLOCK) {
                let sum = *f.sums.add(position * f.blocks * BLOCK + channel);
                let sum = sum.wrapping_add(*f.bias.add(channel)) as f32;
                *f.y.add(position * f.y_step + channel) = sum * *f.factor.add(channel);
            }
        }
    }
}

/// # Safety
///
/// Like [`code_sums`].
#[inline(always)]
pub(crate) unsafe fn float_sums(tile: &FloatTile<'_>, positions: usize, sums: *mut f32) {
    // SAFETY: the caller guarantees the conditions.
    unsafe { dense_floats(tile, positions, sums, |weight| weight) }
}

/// # Safety
///
/// Like [`code_sums`].
#[inline(always)]
pub(crate) unsafe fn half_sums(
    of: HalfType,
    tile: &HalfTile<'_>,
    positions: usize,
    sums: *mut f32,
) {
    // SAFETY: the caller guarantees the conditions.
    unsafe { dense_floats(tile, positions, sums, |weight| of.to_float(weight)) }
}

/// # Safety
///
/// Like [`code_sums`].
#[inline(always)]
unsafe fn dense_floats<W: Copy>(
    tile: &Tile<'_, f32, W>,
    positions: usize,
    sums: *mut f32,
    read: impl Fn(W) -> f32,
) {
    // SAFETY: the caller guarantees the conditions.
    unsafe {
        for position in 0..positions {
            let mut acc = [0_f32; BLOCK];
            let mut weights = tile.weights;
            for run in tile.runs {
                let mut x = tile.x.add(position * tile.step + run);
                for _ in 0..tile.steps {
                    let own = &*weights.cast::<[W; BLOCK]>();
                    for (acc, own) in acc.iter_mut().zip(own) {
                        *acc += *x * read(*own);
                    }
                    x = x.add(1);
                    weights = weights.add(BLOCK);
                }
            }
            sums.add(position * BLOCK).cast::<[f32; BLOCK]>().write(acc);
        }
    }
}

/// # Safety
///
/// Like [`code_sums`].
#[inline(always)]
pub(crate) unsafe fn depthwise_float_sums(tile: &FloatTile<'_>, positions: usize, sums: *mut f32) {
    // SAFETY: the caller guarantees the conditions.
    unsafe { depthwise_sums(tile, positions, sums, |sum, x, weight| sum + x * weight) }
}

/// # Safety
///
/// Like [`code_sums`].
#[inline(always)]
pub(crate) unsafe fn finish_floats(f: &FinishFloats) {
    // SAFETY: the caller guarantees the conditions.
    unsafe {
        for position in 0..f.positions {
            for block in 0..f.blocks {
                let first = block * BLOCK;
                let sums = &*f
                    .sums
                    .add((position * f.blocks + block) * BLOCK)
                    .cast::<[f32; BLOCK]>();
                let bias = &*f.bias.add(first).cast::<[f32; BLOCK]>();
                let count = BLOCK.min(f.count - first);
                let mut result = [0_f32; BLOCK];
                for at in 0..BLOCK {
                    result[at] = sums[at] + bias[at];
                }
                if !f.other.is_null() {
                    let other = f.other.add(position * f.other_step + first);
                    let other = other.cast::<[f32; BLOCK]>().read_unaligned();
                    for at in 0..BLOCK {
                        result[at] += other[at];
                    }
                }
                for result in &mut result {
                    *result = within(*result, f.ends);
                }
                let y = f.y.add(position * f.y_step + first);
                std::ptr::copy_nonoverlapping(result.as_ptr(), y, count);
            }
        }
    }
}
