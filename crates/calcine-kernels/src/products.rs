//! Sums over positions of the products of two images' channels, which are the gradient of a convolution's weight.

use crate::isa::Isa;
use crate::packed::BLOCK;

/// The sizes of a tile: the number of blocks of 16 outputs, and the number of inputs of each.
pub(crate) const WAYS: [(usize, &[usize]); 2] = [(1, &[16, 8, 4, 2, 1]), (2, &[12, 8, 4, 2, 1])];

/// A tile: `sums[block][input][lane] += Σ x[position][input] · dy[position][block][lane]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Products {
    /// The number of rows, and of positions in a row.
    pub(crate) positions: [usize; 2],
    /// The first input, and the distances between rows and between positions.
    pub(crate) x: *const f32,
    pub(crate) x_steps: [usize; 2],
    /// The gradient of the first output, and the distances between rows and between positions.
    pub(crate) dy: *const f32,
    pub(crate) dy_steps: [usize; 2],
    /// The sums, and the distance between blocks.
    pub(crate) sums: *mut f32,
    pub(crate) block: usize,
}

/// The tile of an instruction set for a number of blocks and inputs.
pub(crate) fn tiling(isa: Isa, blocks: usize, inputs: usize) -> (usize, usize) {
    let fitting = |all: &[usize]| all.iter().copied().find(|&all| all <= inputs).unwrap_or(1);
    match isa {
        Isa::Avx512Vnni if blocks > 1 => {
            // Twelve at once, if that does not need more tiles than eight at once.
            let wide = inputs.div_ceil(12) < inputs.div_ceil(8) || inputs.is_multiple_of(12);
            let most = if wide { 0 } else { 1 };
            (2, fitting(&WAYS[1].1[most..]))
        }
        Isa::Avx512Vnni => (1, fitting(WAYS[0].1)),
        Isa::Avx2 | Isa::AvxVnni => (1, fitting(&[4, 2, 1])),
        Isa::Portable => (1, fitting(&[2, 1])),
    }
}

/// Adds the products of a tile.
///
/// # Safety
///
/// The CPU must have the instruction set, `tiling` must have chosen the numbers, and the pointers must be valid for all that is read and
/// written: vectors of 16 outputs, also where fewer mean something.
pub(crate) unsafe fn add(isa: Isa, tile: &Products, blocks: usize, inputs: usize) {
    // SAFETY: the caller guarantees the conditions.
    unsafe {
        match (isa, blocks, inputs) {
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx512Vnni, ..) => avx512::add(tile, blocks, inputs),
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx2 | Isa::AvxVnni, _, 4) => avx2::add::<4>(tile),
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx2 | Isa::AvxVnni, _, 2) => avx2::add::<2>(tile),
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx2 | Isa::AvxVnni, ..) => avx2::add::<1>(tile),
            (_, _, 2) => of_any::<2>(tile),
            _ => of_any::<1>(tile),
        }
    }
}

/// Adds the products of 16 channels with themselves: `sums[lane] += Σ x[position][lane] · dy[position][lane]`.
///
/// # Safety
///
/// Like [`add`].
pub(crate) unsafe fn add_depthwise(isa: Isa, tile: &Products) {
    // SAFETY: the caller guarantees the conditions.
    unsafe {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vnni => avx512::add_depthwise(tile),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 | Isa::AvxVnni => avx2::add_depthwise(tile),
            _ => depthwise_of_any(tile),
        }
    }
}

/// # Safety
///
/// Like [`add`].
#[inline(always)]
unsafe fn of_any<const P: usize>(tile: &Products) {
    // SAFETY: the caller guarantees the conditions.
    unsafe {
        let mut acc = [[0.0_f32; BLOCK]; P];
        let [rows, columns] = tile.positions;
        for row in 0..rows {
            let mut x = tile.x.add(row * tile.x_steps[0]);
            let mut dy = tile.dy.add(row * tile.dy_steps[0]);
            for _ in 0..columns {
                let own = dy.cast::<[f32; BLOCK]>().read_unaligned();
                for (p, acc) in acc.iter_mut().enumerate() {
                    let one = *x.add(p);
                    for (acc, own) in acc.iter_mut().zip(own) {
                        *acc += one * own;
                    }
                }
                x = x.wrapping_add(tile.x_steps[1]);
                dy = dy.wrapping_add(tile.dy_steps[1]);
            }
        }
        for (p, acc) in acc.into_iter().enumerate() {
            plus(tile.sums.add(p * BLOCK), acc);
        }
    }
}

/// # Safety
///
/// Like [`add`].
#[inline(always)]
unsafe fn depthwise_of_any(tile: &Products) {
    // SAFETY: the caller guarantees the conditions.
    unsafe {
        let mut acc = [0.0_f32; BLOCK];
        let [rows, columns] = tile.positions;
        for row in 0..rows {
            let mut x = tile.x.add(row * tile.x_steps[0]);
            let mut dy = tile.dy.add(row * tile.dy_steps[0]);
            for _ in 0..columns {
                let a = x.cast::<[f32; BLOCK]>().read_unaligned();
                let b = dy.cast::<[f32; BLOCK]>().read_unaligned();
                for (acc, (a, b)) in acc.iter_mut().zip(a.into_iter().zip(b)) {
                    *acc += a * b;
                }
                x = x.wrapping_add(tile.x_steps[1]);
                dy = dy.wrapping_add(tile.dy_steps[1]);
            }
        }
        plus(tile.sums, acc);
    }
}

/// # Safety
///
/// The pointer must be valid for 16 numbers.
#[inline(always)]
unsafe fn plus(sums: *mut f32, own: [f32; BLOCK]) {
    // SAFETY: the caller guarantees the conditions.
    unsafe {
        for (at, own) in own.into_iter().enumerate() {
            *sums.add(at) += own;
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    use super::{BLOCK, Products, depthwise_of_any};

    /// # Safety
    ///
    /// Like [`super::add`].
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn add<const P: usize>(tile: &Products) {
        // SAFETY: the caller guarantees the conditions.
        unsafe {
            let mut acc = [[_mm256_setzero_ps(); 2]; P];
            let [rows, columns] = tile.positions;
            for row in 0..rows {
                let mut x = tile.x.add(row * tile.x_steps[0]);
                let mut dy = tile.dy.add(row * tile.dy_steps[0]);
                for _ in 0..columns {
                    let own = [_mm256_loadu_ps(dy), _mm256_loadu_ps(dy.add(8))];
                    for (p, acc) in acc.iter_mut().enumerate() {
                        let one = _mm256_set1_ps(*x.add(p));
                        for half in 0..2 {
                            acc[half] = _mm256_fmadd_ps(one, own[half], acc[half]);
                        }
                    }
                    x = x.wrapping_add(tile.x_steps[1]);
                    dy = dy.wrapping_add(tile.dy_steps[1]);
                }
            }
            for (p, acc) in acc.into_iter().enumerate() {
                for (half, acc) in acc.into_iter().enumerate() {
                    let to = tile.sums.add(p * BLOCK + 8 * half);
                    _mm256_storeu_ps(to, _mm256_add_ps(_mm256_loadu_ps(to), acc));
                }
            }
        }
    }

    /// # Safety
    ///
    /// Like [`super::add`].
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn add_depthwise(tile: &Products) {
        // SAFETY: the caller guarantees the conditions.
        unsafe { depthwise_of_any(tile) }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    #![allow(
        clippy::needless_range_loop,
        reason = "sums are registers, which constant positions name"
    )]

    use std::arch::x86_64::*;

    use super::{BLOCK, Products, depthwise_of_any};

    /// # Safety
    ///
    /// Like [`super::add`].
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    pub(super) unsafe fn add(tile: &Products, blocks: usize, inputs: usize) {
        // SAFETY: the caller guarantees the conditions.
        unsafe {
            match (blocks, inputs) {
                (1, 16) => of::<1, 16>(tile),
                (1, 8) => of::<1, 8>(tile),
                (1, 4) => of::<1, 4>(tile),
                (1, 2) => of::<1, 2>(tile),
                (1, 1) => of::<1, 1>(tile),
                (2, 12) => of::<2, 12>(tile),
                (2, 8) => of::<2, 8>(tile),
                (2, 4) => of::<2, 4>(tile),
                (2, 2) => of::<2, 2>(tile),
                (2, 1) => of::<2, 1>(tile),
                (blocks, inputs) => unreachable!("no tile of {blocks} × {inputs}"),
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn of<const B: usize, const P: usize>(tile: &Products) {
        // SAFETY: the caller guarantees the conditions.
        unsafe {
            let mut acc = [[_mm512_setzero_ps(); B]; P];
            let [rows, columns] = tile.positions;
            let (x_step, dy_step) = (tile.x_steps[1], tile.dy_steps[1]);
            for row in 0..rows {
                let mut x = tile.x.add(row * tile.x_steps[0]);
                let mut dy = tile.dy.add(row * tile.dy_steps[0]);
                for _ in 0..columns {
                    let mut own = [_mm512_setzero_ps(); B];
                    for b in 0..B {
                        own[b] = _mm512_loadu_ps(dy.add(b * BLOCK));
                    }
                    for p in 0..P {
                        let one = _mm512_set1_ps(*x.add(p));
                        for b in 0..B {
                            acc[p][b] = _mm512_fmadd_ps(one, own[b], acc[p][b]);
                        }
                    }
                    x = x.wrapping_add(x_step);
                    dy = dy.wrapping_add(dy_step);
                }
            }
            for p in 0..P {
                for b in 0..B {
                    let to = tile.sums.add(b * tile.block + p * BLOCK);
                    _mm512_storeu_ps(to, _mm512_add_ps(_mm512_loadu_ps(to), acc[p][b]));
                }
            }
        }
    }

    /// # Safety
    ///
    /// Like [`super::add`].
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    pub(super) unsafe fn add_depthwise(tile: &Products) {
        // SAFETY: the caller guarantees the conditions.
        unsafe { depthwise_of_any(tile) }
    }
}
