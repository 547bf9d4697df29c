//! Matrix transposition.

use std::mem::MaybeUninit;

use crate::isa::Isa;

/// The size of a matrix: rows, columns, and the distance between rows in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Matrix {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) pitch: usize,
}

/// Writes the columns of `from` as rows that are `pitch` numbers apart. The numbers between the rows are not changed.
///
/// # Panics
///
/// If a slice is too short.
pub(crate) fn transpose(
    isa: Isa,
    from: &[f32],
    matrix: Matrix,
    to: &mut [MaybeUninit<f32>],
    pitch: usize,
) {
    let Matrix { rows, columns, .. } = matrix;
    if rows == 0 || columns == 0 {
        return;
    }
    assert!(
        from.len() >= (rows - 1) * matrix.pitch + columns
            && to.len() >= (columns - 1) * pitch + rows
            && matrix.pitch >= columns
            && pitch >= rows,
        "the slices must contain {matrix:?}"
    );
    let eights = match isa {
        Isa::Portable => [0, 0],
        _ => [rows / 8 * 8, columns / 8 * 8],
    };
    #[cfg(target_arch = "x86_64")]
    if isa != Isa::Portable {
        for row in (0..eights[0]).step_by(8) {
            for column in (0..eights[1]).step_by(8) {
                // SAFETY: the caller has checked that the CPU has the instruction set, and the square is within both
                // slices.
                unsafe {
                    let from = from.as_ptr().add(row * matrix.pitch + column);
                    eight_by_eight(
                        from,
                        matrix.pitch,
                        to.as_mut_ptr().cast::<f32>().add(column * pitch + row),
                        pitch,
                    );
                }
            }
        }
    }
    for row in 0..rows {
        let first = if row < eights[0] { eights[1] } else { 0 };
        for column in first..columns {
            to[column * pitch + row].write(from[row * matrix.pitch + column]);
        }
    }
}

/// # Safety
///
/// The CPU must have AVX2, and both pointers must be valid for eight rows of eight numbers.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn eight_by_eight(from: *const f32, from_pitch: usize, to: *mut f32, pitch: usize) {
    use std::arch::x86_64::*;
    // SAFETY: the caller guarantees the conditions.
    unsafe {
        let row = |at: usize| _mm256_loadu_ps(from.add(at * from_pitch));
        // Rows in pairs, then in fours, and then their halves.
        let pairs = [0, 2, 4, 6].map(|at| {
            let (a, b) = (row(at), row(at + 1));
            [_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b)]
        });
        let four = |first: [__m256; 2], second: [__m256; 2]| {
            let [a, b] = [first[0], second[0]];
            let [c, d] = [first[1], second[1]];
            [
                _mm256_shuffle_ps::<0x44>(a, b),
                _mm256_shuffle_ps::<0xee>(a, b),
                _mm256_shuffle_ps::<0x44>(c, d),
                _mm256_shuffle_ps::<0xee>(c, d),
            ]
        };
        let (upper, lower) = (four(pairs[0], pairs[1]), four(pairs[2], pairs[3]));
        for at in 0..4 {
            let (a, b) = (upper[at], lower[at]);
            _mm256_storeu_ps(to.add(at * pitch), _mm256_permute2f128_ps::<0x20>(a, b));
            let second = _mm256_permute2f128_ps::<0x31>(a, b);
            _mm256_storeu_ps(to.add((at + 4) * pitch), second);
        }
    }
}
