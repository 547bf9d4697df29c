//! Matrix products of floats, of which both operands are activations.

use crate::floats::tile_sums;
use crate::isa::Isa;
use crate::packed::{BLOCK, FloatTile, Number, Scratch, TILE, tiling};

/// The number of floats that [`pack_matrix`] writes.
#[must_use]
pub const fn packed_matrix_len(inner: usize, columns: usize) -> usize {
    inner * columns.next_multiple_of(BLOCK)
}

/// Packs a matrix `[inner, columns]` as the right operand of [`multiply_matrices`]: blocks of sixteen columns, row by row. The last block
/// is filled with zeros.
///
/// # Panics
///
/// If a slice is too short.
pub fn pack_matrix(inner: usize, columns: usize, matrix: &[f32], packed: &mut [f32]) {
    let packed = &mut packed[..packed_matrix_len(inner, columns)];
    for (block, packed) in packed.chunks_exact_mut((inner * BLOCK).max(1)).enumerate() {
        let first = block * BLOCK;
        let count = BLOCK.min(columns - first);
        for (row, packed) in packed.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
            let from = &matrix[row * columns + first..][..count];
            packed[..count].copy_from_slice(from);
            packed[count..].fill(0.0);
        }
    }
}

/// How the sums of products are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatrixSums {
    /// In floats. The last bits depend on the instruction set.
    Floats,
    /// Exactly, for matrices of integers: partial sums of `part` products are computed in floats and added in 32-bit
    /// integers, and the result is converted to `f32` once. Partial sums must not exceed 2²⁴ in magnitude.
    Whole {
        /// The number of products in a partial sum, at least 1.
        part: usize,
    },
}

/// Multiplies a matrix `[rows, inner]` with a packed matrix `[inner, columns]`. The result is `[rows, columns]`.
///
/// # Panics
///
/// If a slice is too short, if the packed matrix is not aligned to 64 bytes, or if the CPU does not have the instruction set.
pub fn multiply_matrices(
    isa: Isa,
    [rows, inner, columns]: [usize; 3],
    sums: MatrixSums,
    x: &[f32],
    packed: &[f32],
    y: &mut [f32],
) {
    assert!(
        isa.is_available(),
        "this CPU does not have the instruction set {isa}"
    );
    assert!(
        x.len() >= rows * inner
            && packed.len() >= packed_matrix_len(inner, columns)
            && y.len() >= rows * columns,
        "slices of {}, {} and {} floats hold matrices of {rows} × {inner} × {columns}",
        x.len(),
        packed.len(),
        y.len()
    );
    assert!(
        packed.as_ptr().addr().is_multiple_of(64),
        "the packed matrix must be aligned to 64 bytes"
    );
    if rows == 0 || columns == 0 {
        return;
    }
    let part = match sums {
        MatrixSums::Floats => inner,
        MatrixSums::Whole { part } => part.min(inner),
    };
    let part = part.max(1);
    let mut scratch = Scratch([[0_f32; BLOCK]; TILE]);
    let blocks = columns.div_ceil(BLOCK);
    let mut block = 0;
    while block < blocks {
        let (together, positions) = tiling(Number::Floats, isa, false, blocks - block, rows);
        let mut row = 0;
        loop {
            // The last tile overlaps with the tile before it, and computes the same results again.
            row = row.min(rows - positions);
            let mut whole = Scratch([[0_i32; BLOCK]; TILE]);
            let mut first = 0;
            while first < inner || first == 0 {
                let steps = part.min(inner - first);
                // SAFETY: the slices contain all rows and blocks, as checked above, and the scratch memory holds the largest tile.
                unsafe {
                    let tile = FloatTile {
                        x: x.as_ptr().add(row * inner + first),
                        step: inner,
                        runs: &[0],
                        steps,
                        weights: packed.as_ptr().add((block * inner + first) * BLOCK),
                        block: inner * BLOCK,
                    };
                    let sums = scratch.0.as_mut_ptr().cast();
                    tile_sums(isa, &tile, together, positions, sums);
                }
                if part < inner {
                    add_whole(&scratch.0[..together * positions], &mut whole.0);
                }
                first += steps.max(1);
            }
            if part < inner {
                to_floats(&whole.0[..together * positions], &mut scratch.0);
            }
            for (position, sums) in scratch.0[..together * positions]
                .chunks_exact(together)
                .enumerate()
            {
                let y = &mut y[(row + position) * columns..][..columns];
                for (y, sums) in y[block * BLOCK..].chunks_mut(BLOCK).zip(sums) {
                    y.copy_from_slice(&sums[..y.len()]);
                }
            }
            row += positions;
            if row >= rows {
                break;
            }
        }
        block += together;
    }
}

/// Adds integers up to 2²⁴ in magnitude.
fn add_whole(floats: &[[f32; BLOCK]], sums: &mut [[i32; BLOCK]]) {
    for (floats, sums) in floats.iter().zip(sums) {
        for (float, sum) in floats.iter().zip(sums) {
            #[allow(clippy::cast_possible_truncation, reason = "whole numbers of 25 bits")]
            let whole = *float as i32;
            *sum = sum.wrapping_add(whole);
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "sums are rounded once")]
fn to_floats(sums: &[[i32; BLOCK]], floats: &mut [[f32; BLOCK]]) {
    for (sums, floats) in sums.iter().zip(floats) {
        for (sum, float) in sums.iter().zip(floats) {
            *float = *sum as f32;
        }
    }
}
