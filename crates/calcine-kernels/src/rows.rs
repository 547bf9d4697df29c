//! Sums, softmax and layer norms of rows of floats.
//!
//! Each sum consists of sixteen partial sums, one for each remainder of the position modulo 16, which are added in
//! pairs. Therefore, the results are the same on every instruction set.

use crate::functions::exp;
use crate::isa::Isa;

/// The number of partial results.
const LANES: usize = 16;

/// Combines all numbers of a row: each number with the partial result of its lane, and then the partial results in
/// pairs.
#[inline(always)]
fn reduced<T: Copy>(
    row: &[f32],
    start: T,
    convert: impl Fn(f32) -> T,
    combine: impl Fn(T, T) -> T,
) -> T {
    let mut lanes = [start; LANES];
    let (blocks, rest) = row.as_chunks::<LANES>();
    for block in blocks {
        for (lane, x) in lanes.iter_mut().zip(block) {
            *lane = combine(*lane, convert(*x));
        }
    }
    for (lane, x) in lanes.iter_mut().zip(rest) {
        *lane = combine(*lane, convert(*x));
    }
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] = combine(lanes[lane], lanes[lane + half]);
        }
        half /= 2;
    }
    lanes[0]
}

/// The sum of each row: `x` has the shape `[rows, length]`, and `y` the shape `[rows]`.
///
/// # Panics
///
/// If `length` is 0, or if the CPU does not have the instruction set.
pub fn sum_rows(isa: Isa, length: usize, x: &[f32], y: &mut [f32]) {
    isa.vectorize(
        #[inline(always)]
        || {
            for (x, y) in x.chunks_exact(length).zip(y) {
                *y = reduced(x, 0.0, |x| x, |a, b| a + b);
            }
        },
    );
}

/// The softmax of each row, `eˣ / Σ eˣ`. The largest number of the row is subtracted from `x` first.
///
/// # Panics
///
/// If `length` is 0, or if the CPU does not have the instruction set.
pub fn softmax_rows(isa: Isa, length: usize, x: &[f32], y: &mut [f32]) {
    isa.vectorize(
        #[inline(always)]
        || {
            for (x, y) in x.chunks_exact(length).zip(y.chunks_exact_mut(length)) {
                let (_, sum) = exponentials(x, y);
                for y in y {
                    *y /= sum;
                }
            }
        },
    );
}

/// The logarithm of the softmax of each row, `x − ln Σ eˣ`, as in [`softmax_rows`].
///
/// # Panics
///
/// Like [`softmax_rows`].
pub fn log_softmax_rows(isa: Isa, length: usize, x: &[f32], y: &mut [f32]) {
    isa.vectorize(
        #[inline(always)]
        || {
            for (x, y) in x.chunks_exact(length).zip(y.chunks_exact_mut(length)) {
                let (largest, sum) = exponentials(x, y);
                let logarithm = libm::logf(sum);
                for (x, y) in x.iter().zip(y) {
                    *y = (*x - largest) - logarithm;
                }
            }
        },
    );
}

/// Computes `y = exp(x − largest)` for a row. Returns the largest number of `x`, and the sum of `y`.
#[inline(always)]
fn exponentials(x: &[f32], y: &mut [f32]) -> (f32, f32) {
    let largest = largest(x);
    for (x, y) in x.iter().zip(&mut *y) {
        *y = exp(*x - largest);
    }
    (largest, reduced(y, 0.0, |x| x, |a, b| a + b))
}

/// The largest number of a row; NaN is ignored.
#[inline(always)]
fn largest(row: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    reduced(row, f32::NEG_INFINITY, |x| x, larger)
}

/// The layer norm of each row: `(x − mean) / √(variance + epsilon) · gamma + beta`, with mean and variance in `f64`.
/// `gamma` has the length of a row, and `beta` may be empty.
///
/// # Panics
///
/// If `gamma` is empty, if `beta` has another length and is not empty, or if the CPU does not have the instruction set.
pub fn layer_norm_rows(
    isa: Isa,
    gamma: &[f32],
    beta: &[f32],
    epsilon: f64,
    x: &[f32],
    y: &mut [f32],
) {
    let length = gamma.len();
    assert!(
        beta.is_empty() || beta.len() == length,
        "{} shifts of {length} features",
        beta.len()
    );
    #[allow(clippy::cast_precision_loss, reason = "lengths of rows")]
    let count = length as f64;
    isa.vectorize(
        #[inline(always)]
        || {
            for (x, y) in x.chunks_exact(length).zip(y.chunks_exact_mut(length)) {
                let mean = reduced(x, 0.0, f64::from, |a, b| a + b) / count;
                let squares = reduced(
                    x,
                    0.0,
                    |x| (f64::from(x) - mean) * (f64::from(x) - mean),
                    |a, b| a + b,
                );
                let factor = 1.0 / (squares / count + epsilon).sqrt();
                for ((x, y), gamma) in x.iter().zip(&mut *y).zip(gamma) {
                    #[allow(clippy::cast_possible_truncation, reason = "floats are f32")]
                    let normal = ((f64::from(*x) - mean) * factor) as f32;
                    *y = normal * gamma;
                }
                for (y, beta) in y.iter_mut().zip(beta) {
                    *y += beta;
                }
            }
        },
    );
}
