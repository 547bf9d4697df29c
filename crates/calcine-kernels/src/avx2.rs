//! Kernels for AVX2, with and without VNNI.

#![allow(
    clippy::needless_range_loop,
    reason = "sums are registers, which constant positions name"
)]

use std::arch::x86_64::*;

use crate::codes::FinishCodes;
use crate::floats::FinishFloats;
use crate::halves::HalfType;
use crate::packed::{
    BLOCK, CodeTile, DepthwiseCodeTile, FloatTile, HalfTile, NIBBLES, NibbleTile, Tile,
};
use crate::portable;

macro_rules! by_size {
    ($kernel:ident, $tile:expr, $sums:expr, $positions:expr, [$($p:literal),*]) => {
        match $positions {
            $($p => $kernel::<$p>($tile, $sums),)*
            positions => unreachable!("no tile of {positions}"),
        }
    };
}

/// # Safety
///
/// The CPU must have the instruction set, and all pointers must be valid for what a tile of this size reads and writes;
/// this also holds for the other functions.
#[target_feature(enable = "avx2,fma")]
pub(crate) unsafe fn code_sums(tile: &CodeTile<'_>, positions: usize, sums: *mut i32) {
    // SAFETY: the caller guarantees the conditions.
    unsafe { by_size!(code_dense, tile, sums, positions, [4, 2, 1]) }
}

#[target_feature(enable = "avx2,fma")]
unsafe fn code_dense<const P: usize>(tile: &CodeTile<'_>, sums: *mut i32) {
    // SAFETY: the caller guarantees the conditions.
    unsafe { dense::<P, i8>(tile, sums, 4 * BLOCK, |weights| code_weights(weights)) }
}

/// # Safety
///
/// Like [`code_sums`].
#[target_feature(enable = "avx2,fma")]
pub(crate) unsafe fn nibble_sums(tile: &NibbleTile<'_>, positions: usize, sums: *mut i32) {
    // SAFETY: the caller guarantees the conditions.
    unsafe { by_size!(nibble_dense, tile, sums, positions, [4, 2, 1]) }
}

#[target_feature(enable = "avx2,fma")]
unsafe fn nibble_dense<const P: usize>(tile: &NibbleTile<'_>, sums: *mut i32) {
    // SAFETY: the caller guarantees the conditions.
    unsafe { dense::<P, u8>(tile, sums, NIBBLES, |weights| nibble_weights(weights)) }
}

/// The 8-bit weights of a step.
///
/// # Safety
///
/// Like [`code_sums`].
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn code_weights(weights: *const i8) -> [__m256i; 2] {
    // SAFETY: the caller guarantees the conditions.
    unsafe {
        [
            _mm256_load_si256(weights.cast()),
            _mm256_load_si256(weights.add(32).cast()),
        ]
    }
}

/// The 4-bit weights of a step.
///
/// # Safety
///
/// Like [`code_sums`].
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn nibble_weights(weights: *const u8) -> [__m256i; 2] {
    // SAFETY: the caller guarantees the conditions.
    unsafe {
        let (mask, eight) = (_mm256_set1_epi8(15), _mm256_set1_epi8(8));
        let both = _mm256_load_si256(weights.cast());
        let high = _mm256_and_si256(_mm256_srli_epi16::<4>(both), mask);
        [
            _mm256_sub_epi8(_mm256_and_si256(both, mask), eight),
            _mm256_sub_epi8(high, eight),
        ]
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn dense<const P: usize, W>(
    tile: &Tile<'_, u8, W>,
    sums: *mut i32,
    step: usize,
    read: impl Fn(*const W) -> [__m256i; 2],
) {
    // SAFETY: the caller guarantees the conditions.
    unsafe {
        let mut acc = [[_mm256_setzero_si256(); 2]; P];
        let low = _mm256_set1_epi16(0xff);
        let mut weights = tile.weights;
        for run in tile.runs {
            let mut x = tile.x.add(*run);
            for _ in 0..tile.steps {
                // The bytes at even and at odd positions, each as 16-bit integers: sums of two products fit 32 bits.
                let (mut even, mut odd) = ([low; 2], [low; 2]);
                let all = read(weights);
                for half in 0..2 {
                    let own = all[half];
                    even[half] = _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(own));
                    odd[half] = _mm256_srai_epi16::<8>(own);
                }
                for p in 0..P {
                    let four = x.add(p * tile.step).cast::<i32>().read_unaligned();
                    let four = _mm256_set1_epi32(four);
                    let (x_even, x_odd) =
                        (_mm256_and_si256(four, low), _mm256_srli_epi16::<8>(four));
                    for half in 0..2 {
                        let sum = _mm256_add_epi32(
                            _mm256_madd_epi16(x_even, even[half]),
                            _mm256_madd_epi16(x_odd, odd[half]),
                        );
                        acc[p][half] = _mm256_add_epi32(acc[p][half], sum);
                    }
                }
                weights = weights.add(step);
                x = x.add(4);
            }
        }
        for p in 0..P {
            for half in 0..2 {
                _mm256_store_si256(sums.add(p * BLOCK + 8 * half).cast(), acc[p][half]);
            }
        }
    }
}

/// # Safety
///
/// Like [`code_sums`].
#[target_feature(enable = "avx2,fma,avxvnni")]
pub(crate) unsafe fn vnni_code_sums(tile: &CodeTile<'_>, positions: usize, sums: *mut i32) {
    // SAFETY: the caller guarantees the conditions.
    unsafe { by_size!(vnni_code_dense, tile, sums, positions, [4, 2, 1]) }
}

#[target_feature(enable = "avx2,fma,avxvnni")]
unsafe fn vnni_code_dense<const P: usize>(tile: &CodeTile<'_>, sums: *mut i32) {
    // SAFETY: the caller guarantees the conditions.
    unsafe { vnni_dense::<P, i8>(tile, sums, 4 * BLOCK, |weights| code_weights(weights)) }
}

/// # Safety
///
/// Like [`code_sums`].
#[target_feature(enable = "avx2,fma,avxvnni")]
pub(crate) unsafe fn vnni_nibble_sums(tile: &NibbleTile<'_>, positions: usize, sums: *mut i32) {
    // SAFETY: the caller guarantees the conditions.
    unsafe { by_size!(vnni_nibble_dense, tile, sums, positions, [4, 2, 1]) }
}

#[target_feature(enable = "avx2,fma,avxvnni")]
unsafe fn vnni_nibble_dense<const P: usize>(tile: &NibbleTile<'_>, sums: *mut i32) {
    // SAFETY: the caller guarantees the conditions.
    unsafe { vnni_dense::<P, u8>(tile, sums, NIBBLES, |weights| nibble_weights(weights)) }
}

#[inline]
#[target_feature(enable = "avx2,fma,avxvnni")]
unsafe fn vnni_dense<const P: usize, W>(
    tile: &Tile<'_, u8, W>,
    sums: *mut i32,
    step: usize,
    read: impl Fn(*const W) -> [__m256i; 2],
) {
    // SAFETY: the caller guarantees the conditions.
    unsafe {
        let mut acc = [[_mm256_setzero_si256(); 2]; P];
        let mut weights = tile.weights;
        for run in tile.runs {
            let mut x = tile.x.add(*run);
            for _ in 0..tile.steps {
                let own = read(weights);
                for p in 0..P {
                    let four = x.add(p * tile.step).cast::<i32>().read_unaligned();
                    let four = _mm256_set1_epi32(four);
                    for half in 0..2 {
                        acc[p][half] = _mm256_dpbusd_avx_epi32(acc[p][half], four, own[half]);
                    }
                }
                weights = weights.add(step);
                x = x.add(4);
            }
        }
        for p in 0..P {
            for half in 0..2 {
                _mm256_store_si256(sums.add(p * BLOCK + 8 * half).cast(), acc[p][half]);
            }
        }
    }
}

/// # Safety
///
/// Like [`code_sums`].
#[target_feature(enable = "avx2,fma")]
pub(crate) unsafe fn depthwise_code_sums(
    tile: &DepthwiseCodeTile<'_>,
    positions: usize,
    sums: *mut i32,
) {
    // SAFETY: the caller guarantees the conditions.
    unsafe { portable::depthwise_code_sums(tile, positions, sums) }
}

/// # Safety
///
/// Like [`code_sums`].
#[target_feature(enable = "avx2,fma")]
pub(crate) unsafe fn finish_codes(f: &FinishCodes<'_>) {
    // SAFETY: the caller guarantees the conditions.
    unsafe { portable::finish_codes(f) }
}

/// # Safety
///
/// Like [`code_sums`].
#[target_feature(enable = "avx2,fma")]
pub(crate) unsafe fn float_sums(tile: &FloatTile<'_>, positions: usize, sums: *mut f32) {
    // SAFETY: the caller guarantees the conditions.
    unsafe { by_size!(float_dense, tile, sums, positions, [6, 4, 2, 1]) }
}

#[target_feature(enable = "avx2,fma")]
unsafe fn float_dense<const P: usize>(tile: &FloatTile<'_>, sums: *mut f32) {
    // SAFETY: the caller guarantees the conditions.
    unsafe {
        let read = |weights: *const f32| [_mm256_load_ps(weights), _mm256_load_ps(weights.add(8))];
        dense_floats::<P, f32>(tile, sums, read);
    }
}

/// # Safety
///
/// Like [`code_sums`].
#[target_feature(enable = "avx2,fma")]
pub(crate) unsafe fn half_sums(
    of: HalfType,
    tile: &HalfTile<'_>,
    positions: usize,
    sums: *mut f32,
) {
    // SAFETY: the caller guarantees the conditions, and that of `f16_sums` is asked for.
    unsafe {
        match of {
            HalfType::F16 if is_x86_feature_detected!("f16c") => f16_sums(tile, positions, sums),
            HalfType::F16 => by_size!(slow_f16_dense, tile, sums, positions, [6, 4, 2, 1]),
            HalfType::Bf16 => by_size!(bf16_dense, tile, sums, positions, [6, 4, 2, 1]),
        }
    }
}

/// # Safety
///
/// Like [`code_sums`]; the CPU must also have F16C.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn f16_sums(tile: &HalfTile<'_>, positions: usize, sums: *mut f32) {
    // SAFETY: the caller guarantees the conditions.
    unsafe { by_size!(f16_dense, tile, sums, positions, [6, 4, 2, 1]) }
}

#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn f16_dense<const P: usize>(tile: &HalfTile<'_>, sums: *mut f32) {
    // SAFETY: the caller guarantees the conditions.
    unsafe {
        let read = |weights: *const u16| {
            [0, 8].map(|first| _mm256_cvtph_ps(_mm_load_si128(weights.add(first).cast())))
        };
        dense_floats::<P, u16>(tile, sums, read);
    }
}

/// For CPUs with AVX2 and without F16C.
#[target_feature(enable = "avx2,fma")]
unsafe fn slow_f16_dense<const P: usize>(tile: &HalfTile<'_>, sums: *mut f32) {
    // SAFETY: the caller guarantees the conditions.
    unsafe {
        let read = |weights: *const u16| {
            let mut own = [0.0; BLOCK];
            for (at, own) in own.iter_mut().enumerate() {
                *own = HalfType::F16.to_float(*weights.add(at));
            }
            [
                _mm256_loadu_ps(own.as_ptr()),
                _mm256_loadu_ps(own.as_ptr().add(8)),
            ]
        };
        dense_floats::<P, u16>(tile, sums, read);
    }
}

#[target_feature(enable = "avx2,fma")]
unsafe fn bf16_dense<const P: usize>(tile: &HalfTile<'_>, sums: *mut f32) {
    // SAFETY: the caller guarantees the conditions.
    unsafe {
        let read = |weights: *const u16| {
            let wide = |first: usize| {
                let own = _mm256_cvtepu16_epi32(_mm_load_si128(weights.add(first).cast()));
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(own))
            };
            [wide(0), wide(8)]
        };
        dense_floats::<P, u16>(tile, sums, read);
    }
}

/// Sums of products. `read` converts the weights of a step.
#[inline(always)]
unsafe fn dense_floats<const P: usize, W>(
    tile: &Tile<'_, f32, W>,
    sums: *mut f32,
    read: impl Fn(*const W) -> [__m256; 2],
) {
    // SAFETY: the caller guarantees the conditions.
    unsafe {
        let mut acc = [[_mm256_setzero_ps(); 2]; P];
        let mut weights = tile.weights;
        for run in tile.runs {
            let mut x = tile.x.add(*run);
            for _ in 0..tile.steps {
                let own = read(weights);
                for p in 0..P {
                    let one = _mm256_set1_ps(*x.add(p * tile.step));
                    for half in 0..2 {
                        acc[p][half] = _mm256_fmadd_ps(one, own[half], acc[p][half]);
                    }
                }
                weights = weights.add(BLOCK);
                x = x.add(1);
            }
        }
        for p in 0..P {
            for half in 0..2 {
                _mm256_store_ps(sums.add(p * BLOCK + 8 * half), acc[p][half]);
            }
        }
    }
}

/// # Safety
///
/// Like [`code_sums`].
#[target_feature(enable = "avx2,fma")]
pub(crate) unsafe fn depthwise_float_sums(tile: &FloatTile<'_>, positions: usize, sums: *mut f32) {
    // SAFETY: the caller guarantees the conditions.
    unsafe { portable::depthwise_float_sums(tile, positions, sums) }
}

/// # Safety
///
/// Like [`code_sums`].
#[target_feature(enable = "avx2,fma")]
pub(crate) unsafe fn finish_floats(f: &FinishFloats) {
    // SAFETY: the caller guarantees the conditions.
    unsafe { portable::finish_floats(f) }
}
