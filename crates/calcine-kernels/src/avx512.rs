//! Kernels for AVX-512 with VNNI.

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

/// Calls a kernel with the numbers of blocks and of positions as constants: those that `tiling` chooses.
macro_rules! by_dense_size {
    ($kernel:ident, $tile:expr, $sums:expr, $blocks:expr, $positions:expr) => {
        by_dense_size!($kernel, $tile, $sums, $blocks, $positions,
            (1, 16), (1, 14), (1, 8), (1, 7), (1, 4), (1, 2), (1, 1),
            (2, 14), (2, 8), (2, 7), (2, 4), (2, 2), (2, 1),
            (4, 7), (4, 4), (4, 2), (4, 1))
    };
    ($kernel:ident, $tile:expr, $sums:expr, $blocks:expr, $positions:expr, $(($b:literal, $p:literal)),*) => {
        match ($blocks, $positions) {
            $(($b, $p) => $kernel::<$b, $p>($tile, $sums),)*
            (blocks, positions) => unreachable!("no tile of {blocks} × {positions}"),
        }
    };
}

/// Calls a depthwise kernel with the number of positions as a constant.
macro_rules! by_depthwise_size {
    ($kernel:ident, $tile:expr, $sums:expr, $positions:expr) => {
        match $positions {
            8 => $kernel::<8>($tile, $sums),
            4 => $kernel::<4>($tile, $sums),
            2 => $kernel::<2>($tile, $sums),
            1 => $kernel::<1>($tile, $sums),
            positions => unreachable!("no tile of {positions}"),
        }
    };
}

/// # Safety
///
/// The CPU must have the instruction set, and all pointers must be valid for what a tile of this size reads and writes;
/// this also holds for the other functions.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(crate) unsafe fn code_sums(
    tile: &CodeTile<'_>,
    blocks: usize,
    positions: usize,
    sums: *mut i32,
) {
    // SAFETY: the caller guarantees the conditions.
    unsafe {
        by_dense_size!(code_dense, tile, sums, blocks, positions);
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn code_dense<const B: usize, const P: usize>(tile: &CodeTile<'_>, sums: *mut i32) {
    // SAFETY: the caller guarantees the conditions.
    unsafe {
        let read = |weights: *const i8| _mm512_load_si512(weights.cast());
        dense::<B, P, i8>(tile, sums, 4 * BLOCK, read);
    }
}

/// # Safety
///
/// Like [`code_sums`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(crate) unsafe fn nibble_sums(
    tile: &NibbleTile<'_>,
    blocks: usize,
    positions: usize,
    sums: *mut i32,
) {
    // SAFETY: the caller guarantees the conditions.
    unsafe {
        by_dense_size!(nibble_dense, tile, sums, blocks, positions);
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn nibble_dense<const B: usize, const P: usize>(tile: &NibbleTile<'_>, sums: *mut i32) {
    // SAFETY: the caller guarantees the conditions.
    unsafe {
        let (mask, eight) = (_mm256_set1_epi8(15), _mm512_set1_epi8(8));
        let read = |weights: *const u8| {
            let both = _mm256_load_si256(weights.cast());
            let low = _mm256_and_si256(both, mask);
            let high = _mm256_and_si256(_mm256_srli_epi16::<4>(both), mask);
            let all = _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high);
            _mm512_sub_epi8(all, eight)
        };
        dense::<B, P, u8>(tile, sums, NIBBLES, read);
    }
}

/// Sums of products. `read` unpacks the weights of a step, which has `weight_step` stored elements.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn dense<const B: usize, const P: usize, W>(
    tile: &Tile<'_, u8, W>,
    sums: *mut i32,
    weight_step: usize,
    read: impl Fn(*const W) -> __m512i,
) {
    // SAFETY: the caller guarantees the conditions.
    unsafe {
        let mut acc = [[_mm512_setzero_si512(); B]; P];
        let (mut weights, step) = (tile.weights, tile.step);
        for run in tile.runs {
            let mut x = tile.x.add(*run);
            for _ in 0..tile.steps {
                let mut own = [_mm512_setzero_si512(); B];
                for b in 0..B {
                    own[b] = read(weights.add(b * tile.block));
                }
                for p in 0..P {
                    let four = x.add(p * step).cast::<i32>().read_unaligned();
                    let four = _mm512_set1_epi32(four);
                    for b in 0..B {
                        acc[p][b] = _mm512_dpbusd_epi32(acc[p][b], four, own[b]);
                    }
                }
                weights = weights.add(weight_step);
                x = x.add(4);
            }
        }
        for p in 0..P {
            for b in 0..B {
                _mm512_store_si512(sums.add((p * B + b) * BLOCK).cast(), acc[p][b]);
            }
        }
    }
}

/// # Safety
///
/// Like [`code_sums`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(crate) unsafe fn depthwise_code_sums(
    tile: &DepthwiseCodeTile<'_>,
    positions: usize,
    sums: *mut i32,
) {
    // SAFETY: the caller guarantees the conditions.
    unsafe {
        by_depthwise_size!(depthwise, tile, sums, positions);
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn depthwise<const P: usize>(tile: &DepthwiseCodeTile<'_>, sums: *mut i32) {
    // SAFETY: the caller guarantees the conditions.
    unsafe {
        let mut acc = [_mm512_setzero_si512(); P];
        let mut weights = tile.weights;
        for run in tile.runs {
            let own = _mm512_load_si512(weights.cast());
            for p in 0..P {
                let x = _mm_loadu_si128(tile.x.add(run + p * tile.step).cast());
                // The upper half of each pair is zero, so that the sum of a pair's products is one product.
                acc[p] = _mm512_dpwssd_epi32(acc[p], _mm512_cvtepu8_epi32(x), own);
            }
            weights = weights.add(tile.block);
        }
        for p in 0..P {
            _mm512_store_si512(sums.add(p * BLOCK).cast(), acc[p]);
        }
    }
}

/// # Safety
///
/// Like [`code_sums`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(crate) unsafe fn finish_codes(f: &FinishCodes<'_>) {
    // SAFETY: the caller guarantees the conditions.
    unsafe {
        let [low, high] = f.ends.map(|end| _mm512_set1_ps(end));
        for block in 0..f.blocks {
            let first = block * BLOCK;
            let count = BLOCK.min(f.count - first);
            let mask: __mmask16 = u16::MAX >> (BLOCK - count);
            let bias = _mm512_loadu_si512(f.bias.add(first).cast());
            let factor = _mm512_loadu_ps(f.factor.add(first));
            let (mut sums, mut y) = (f.sums.add(first), f.y.add(first));
            match f.add {
                None => {
                    let zero = _mm512_set1_epi32(f.zero);
                    for _ in 0..f.positions {
                        let sum = _mm512_add_epi32(_mm512_load_si512(sums.cast()), bias);
                        let scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), factor);
                        let scaled = _mm512_min_ps(_mm512_max_ps(scaled, low), high);
                        let codes = _mm512_add_epi32(_mm512_cvtps_epi32(scaled), zero);
                        _mm_mask_storeu_epi8(y.cast(), mask, _mm512_cvtepi32_epi8(codes));
                        sums = sums.add(f.blocks * BLOCK);
                        y = y.add(f.y_step);
                    }
                }
                Some(add) => {
                    let zero = _mm512_set1_epi32(add.zero);
                    let other_zero = _mm512_set1_epi32(add.other_zero);
                    let [own_factor, other_factor] = add.factors.map(|end| _mm512_set1_ps(end));
                    let [sum_low, sum_high] = add.ends.map(|end| _mm512_set1_ps(end));
                    let mut other = f.other.add(first);
                    for _ in 0..f.positions {
                        let sum = _mm512_add_epi32(_mm512_load_si512(sums.cast()), bias);
                        let scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), factor);
                        let scaled = _mm512_min_ps(_mm512_max_ps(scaled, low), high);
                        let own = _mm512_roundscale_ps::<8>(scaled);
                        let codes = _mm512_cvtepu8_epi32(_mm_loadu_si128(other.cast()));
                        let codes = _mm512_cvtepi32_ps(_mm512_sub_epi32(codes, other_zero));
                        let sum = _mm512_add_ps(
                            _mm512_mul_ps(own, own_factor),
                            _mm512_mul_ps(codes, other_factor),
                        );
                        let sum = _mm512_min_ps(_mm512_max_ps(sum, sum_low), sum_high);
                        let codes = _mm512_add_epi32(_mm512_cvtps_epi32(sum), zero);
                        _mm_mask_storeu_epi8(y.cast(), mask, _mm512_cvtepi32_epi8(codes));
                        sums = sums.add(f.blocks * BLOCK);
                        y = y.add(f.y_step);
                        other = other.add(f.other_step);
                    }
                }
            }
        }
    }
}

/// # Safety
///
/// Like [`code_sums`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(crate) unsafe fn float_sums(
    tile: &FloatTile<'_>,
    blocks: usize,
    positions: usize,
    sums: *mut f32,
) {
    // SAFETY: the caller guarantees the conditions.
    unsafe {
        by_dense_size!(float_dense, tile, sums, blocks, positions);
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn float_dense<const B: usize, const P: usize>(tile: &FloatTile<'_>, sums: *mut f32) {
    // SAFETY: the caller guarantees the conditions.
    unsafe { dense_floats::<B, P, f32>(tile, sums, |weights| _mm512_load_ps(weights)) }
}

/// # Safety
///
/// Like [`code_sums`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(crate) unsafe fn half_sums(
    of: HalfType,
    tile: &HalfTile<'_>,
    blocks: usize,
    positions: usize,
    sums: *mut f32,
) {
    // SAFETY: the caller guarantees the conditions.
    unsafe {
        match of {
            HalfType::F16 => by_dense_size!(f16_dense, tile, sums, blocks, positions),
            HalfType::Bf16 => by_dense_size!(bf16_dense, tile, sums, blocks, positions),
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn f16_dense<const B: usize, const P: usize>(tile: &HalfTile<'_>, sums: *mut f32) {
    // SAFETY: the caller guarantees the conditions.
    unsafe {
        let read = |weights: *const u16| _mm512_cvtph_ps(_mm256_load_si256(weights.cast()));
        dense_floats::<B, P, u16>(tile, sums, read);
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn bf16_dense<const B: usize, const P: usize>(tile: &HalfTile<'_>, sums: *mut f32) {
    // SAFETY: the caller guarantees the conditions.
    unsafe {
        let read = |weights: *const u16| {
            let wide = _mm512_cvtepu16_epi32(_mm256_load_si256(weights.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        };
        dense_floats::<B, P, u16>(tile, sums, read);
    }
}

/// Sums of products. `read` converts the weights of a step.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn dense_floats<const B: usize, const P: usize, W>(
    tile: &Tile<'_, f32, W>,
    sums: *mut f32,
    read: impl Fn(*const W) -> __m512,
) {
    // SAFETY: the caller guarantees the conditions.
    unsafe {
        let mut acc = [[_mm512_setzero_ps(); B]; P];
        let (mut weights, step) = (tile.weights, tile.step);
        for run in tile.runs {
            let mut x = tile.x.add(*run);
            for _ in 0..tile.steps {
                let mut own = [_mm512_setzero_ps(); B];
                for b in 0..B {
                    own[b] = read(weights.add(b * tile.block));
                }
                for p in 0..P {
                    let one = _mm512_set1_ps(*x.add(p * step));
                    for b in 0..B {
                        acc[p][b] = _mm512_fmadd_ps(one, own[b], acc[p][b]);
                    }
                }
                weights = weights.add(BLOCK);
                x = x.add(1);
            }
        }
        for p in 0..P {
            for b in 0..B {
                _mm512_store_ps(sums.add((p * B + b) * BLOCK), acc[p][b]);
            }
        }
    }
}

/// # Safety
///
/// Like [`code_sums`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(crate) unsafe fn depthwise_float_sums(tile: &FloatTile<'_>, positions: usize, sums: *mut f32) {
    // SAFETY: the caller guarantees the conditions.
    unsafe {
        by_depthwise_size!(float_depthwise, tile, sums, positions);
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn float_depthwise<const P: usize>(tile: &FloatTile<'_>, sums: *mut f32) {
    // SAFETY: the caller guarantees the conditions.
    unsafe {
        let mut acc = [_mm512_setzero_ps(); P];
        let mut weights = tile.weights;
        for run in tile.runs {
            let own = _mm512_load_ps(weights);
            for p in 0..P {
                let x = _mm512_loadu_ps(tile.x.add(run + p * tile.step));
                acc[p] = _mm512_fmadd_ps(x, own, acc[p]);
            }
            weights = weights.add(tile.block);
        }
        for p in 0..P {
            _mm512_store_ps(sums.add(p * BLOCK), acc[p]);
        }
    }
}

/// # Safety
///
/// Like [`code_sums`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(crate) unsafe fn finish_floats(f: &FinishFloats) {
    // SAFETY: the caller guarantees the conditions.
    unsafe {
        let [low, high] = f.ends.map(|end| _mm512_set1_ps(end));
        for block in 0..f.blocks {
            let first = block * BLOCK;
            let count = BLOCK.min(f.count - first);
            let mask: __mmask16 = u16::MAX >> (BLOCK - count);
            let bias = _mm512_loadu_ps(f.bias.add(first));
            for p in 0..f.positions {
                let sums = _mm512_load_ps(f.sums.add((p * f.blocks + block) * BLOCK));
                let mut result = _mm512_add_ps(sums, bias);
                if !f.other.is_null() {
                    let other = _mm512_loadu_ps(f.other.add(p * f.other_step + first));
                    result = _mm512_add_ps(result, other);
                }
                // The result is the second operand if the first one is NaN.
                let result = _mm512_min_ps(high, _mm512_max_ps(low, result));
                _mm512_mask_storeu_ps(f.y.add(p * f.y_step + first), mask, result);
            }
        }
    }
}

/// Transforms the inputs of a tile of Winograd's minimal filtering, sixteen channels at once.
///
/// # Safety
///
/// Like [`code_sums`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(crate) unsafe fn winograd_input(
    x: *const f32,
    rows: [usize; 4],
    columns: [usize; 4],
    channels: usize,
    points: *mut f32,
    next: usize,
) {
    // SAFETY: the caller guarantees the conditions.
    unsafe {
        let mut channel = 0;
        while channel < channels {
            let mut down = [[_mm512_setzero_ps(); 4]; 4];
            for column in 0..4 {
                let from = x.add(columns[column] + channel);
                let a = _mm512_loadu_ps(from.add(rows[0]));
                let b = _mm512_loadu_ps(from.add(rows[1]));
                let c = _mm512_loadu_ps(from.add(rows[2]));
                let d = _mm512_loadu_ps(from.add(rows[3]));
                down[0][column] = _mm512_sub_ps(a, c);
                down[1][column] = _mm512_add_ps(b, c);
                down[2][column] = _mm512_sub_ps(c, b);
                down[3][column] = _mm512_sub_ps(b, d);
            }
            for row in 0..4 {
                let [a, b, c, d] = down[row];
                let to = points.add(4 * row * next + channel);
                _mm512_storeu_ps(to, _mm512_sub_ps(a, c));
                _mm512_storeu_ps(to.add(next), _mm512_add_ps(b, c));
                _mm512_storeu_ps(to.add(2 * next), _mm512_sub_ps(c, b));
                _mm512_storeu_ps(to.add(3 * next), _mm512_sub_ps(b, d));
            }
            channel += BLOCK;
        }
    }
}

/// Transforms the sums of a tile to the outputs that are inside of the image, and converts them to results.
///
/// # Safety
///
/// Like [`code_sums`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[allow(clippy::too_many_arguments, reason = "pointers and their distances")]
pub(crate) unsafe fn winograd_output(
    sums: *const f32,
    next: usize,
    bias: *const f32,
    other: Option<(*const f32, [usize; 2])>,
    ends: [f32; 2],
    count: usize,
    inside: [usize; 2],
    y: *mut f32,
    steps: [usize; 2],
) {
    // SAFETY: the caller guarantees the conditions.
    unsafe {
        let mask: __mmask16 = u16::MAX >> (BLOCK - count);
        let [low, high] = ends.map(|end| _mm512_set1_ps(end));
        let bias = _mm512_loadu_ps(bias);
        let mut down = [[_mm512_setzero_ps(); 4]; 2];
        for column in 0..4 {
            let a = _mm512_loadu_ps(sums.add(column * next));
            let b = _mm512_loadu_ps(sums.add((4 + column) * next));
            let c = _mm512_loadu_ps(sums.add((8 + column) * next));
            let d = _mm512_loadu_ps(sums.add((12 + column) * next));
            down[0][column] = _mm512_add_ps(_mm512_add_ps(a, b), c);
            down[1][column] = _mm512_sub_ps(_mm512_sub_ps(b, c), d);
        }
        for row in 0..inside[0] {
            let [a, b, c, d] = down[row];
            let own = [
                _mm512_add_ps(_mm512_add_ps(a, b), c),
                _mm512_sub_ps(_mm512_sub_ps(b, c), d),
            ];
            for column in 0..inside[1] {
                let mut result = _mm512_add_ps(own[column], bias);
                if let Some((other, steps)) = other {
                    let other = _mm512_loadu_ps(other.add(row * steps[0] + column * steps[1]));
                    result = _mm512_add_ps(result, other);
                }
                let result = _mm512_min_ps(high, _mm512_max_ps(low, result));
                let to = y.add(row * steps[0] + column * steps[1]);
                _mm512_mask_storeu_ps(to, mask, result);
            }
        }
    }
}

/// Looks up 64 bytes in a table.
///
/// # Safety
///
/// Like [`code_sums`]; the CPU must also have AVX-512 VBMI.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
pub(crate) unsafe fn look_up(table: &[u8; 256], x: *const u8, y: *mut u8) {
    // SAFETY: the caller guarantees the conditions.
    unsafe {
        let quarters = table.as_ptr().cast::<__m512i>();
        let x = _mm512_loadu_si512(x.cast());
        let [a, b] = [quarters, quarters.add(1)];
        let low = _mm512_permutex2var_epi8(_mm512_loadu_si512(a), x, _mm512_loadu_si512(b));
        let [a, b] = [quarters.add(2), quarters.add(3)];
        let high = _mm512_permutex2var_epi8(_mm512_loadu_si512(a), x, _mm512_loadu_si512(b));
        // The highest bit chooses the half of the table.
        let bytes = _mm512_mask_blend_epi8(_mm512_movepi8_mask(x), low, high);
        _mm512_storeu_si512(y.cast(), bytes);
    }
}
