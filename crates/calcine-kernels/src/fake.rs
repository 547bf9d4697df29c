//! Fake-quantization of 32-bit floats in one pass over the numbers, and its gradients.
//!
//! The caller passes the function of a number, which is compiled into the loops of this module for each instruction
//! set. The results are the same on every instruction set and with any number of threads.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::isa::Isa;
use crate::unwritten::filled;

/// The numbers that one task processes.
const TASK: usize = 1 << 14;

/// The number of products that are added in 32 bits before their sum is added in 64 bits.
const BLOCK: usize = 1 << 10;

/// The number of partial sums, which are added in the same order on every instruction set.
const LANES: usize = 16;

/// The position of a number relative to a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Side {
    /// Within the range, its bounds included: the gradient passes.
    Inside = 0,
    /// Below the range.
    Below = 1,
    /// Above the range.
    Above = 2,
}

impl Side {
    /// The position of `x` relative to a range. NaN counts as inside.
    #[inline(always)]
    #[must_use]
    pub fn of(x: f32, [low, high]: [f32; 2]) -> Self {
        if x < low {
            Self::Below
        } else if x > high {
            Self::Above
        } else {
            Self::Inside
        }
    }
}

/// Computes a function of each number.
///
/// # Examples
///
/// ```
/// use calcine_kernels::{Isa, fake};
///
/// assert_eq!(fake::map(Isa::best(), &[1.0, 2.0], |x| x + 0.5), [1.5, 2.5]);
/// ```
#[must_use]
pub fn map(isa: Isa, x: &[f32], function: impl Fn(f32) -> f32 + Sync) -> Vec<f32> {
    let write = |start: usize, y: &mut [MaybeUninit<f32>]| {
        isa.vectorize(
            #[inline(always)]
            || {
                for (y, x) in y.iter_mut().zip(&x[start..]) {
                    y.write(function(*x));
                }
            },
        );
    };
    // SAFETY: there is a number of `x` for each number of each task.
    unsafe { filled(x.len(), TASK, write) }
}

/// Replaces each number by the value of a function.
pub fn map_in_place(isa: Isa, x: &mut [f32], function: impl Fn(f32) -> f32 + Sync) {
    let task = |x: &mut [f32]| {
        isa.vectorize(
            #[inline(always)]
            || {
                for x in x {
                    *x = function(*x);
                }
            },
        );
    };
    if x.len() <= TASK {
        task(x);
    } else {
        x.par_chunks_mut(TASK).for_each(task);
    }
}

/// Computes a function of each number. The function also returns the [`Side`] on which it has clipped the number.
/// Returns the values and the sides, as bytes; `None` instead of the sides if no number was clipped.
///
/// # Examples
///
/// ```
/// use calcine_kernels::Isa;
/// use calcine_kernels::fake::{Side, clip};
///
/// let function = |x: f32| (x.min(1.0), Side::of(x, [0.0, 1.0]));
/// let (values, sides) = clip(Isa::best(), &[0.5, 2.0], function);
/// assert_eq!(values, [0.5, 1.0]);
/// assert_eq!(sides, Some(vec![Side::Inside as u8, Side::Above as u8]));
/// ```
#[must_use]
pub fn clip(
    isa: Isa,
    x: &[f32],
    function: impl Fn(f32) -> (f32, Side) + Sync,
) -> (Vec<f32>, Option<Vec<u8>>) {
    let mut values = Vec::with_capacity(x.len());
    let mut sides = Vec::with_capacity(x.len());
    let task =
        |((x, values), sides): ((&[f32], &mut [MaybeUninit<f32>]), &mut [MaybeUninit<u8>])| {
            isa.vectorize(
                #[inline(always)]
                || {
                    let mut any = 0;
                    for ((x, value), side) in x.iter().zip(values).zip(sides) {
                        let (own, of_own) = function(*x);
                        value.write(own);
                        side.write(of_own as u8);
                        any |= of_own as u8;
                    }
                    any
                },
            )
        };
    let any = (x.par_chunks(TASK))
        .zip(values.spare_capacity_mut()[..x.len()].par_chunks_mut(TASK))
        .zip(sides.spare_capacity_mut()[..x.len()].par_chunks_mut(TASK))
        .map(task)
        .reduce(|| 0, |one, other| one | other);
    // SAFETY: the tasks cover the first `x.len()` elements of both and have written each.
    unsafe {
        values.set_len(x.len());
        sides.set_len(x.len());
    }
    (values, (any != 0).then_some(sides))
}

/// The smallest and the largest number; `[∞, −∞]` if there are none. If a number is NaN, both are NaN.
///
/// # Examples
///
/// ```
/// use calcine_kernels::{Isa, fake};
///
/// assert_eq!(fake::range(Isa::best(), &[2.0, -1.0, 0.5]), [-1.0, 2.0]);
/// ```
#[must_use]
pub fn range(isa: Isa, x: &[f32]) -> [f32; 2] {
    const EMPTY: [f32; 2] = [f32::INFINITY, f32::NEG_INFINITY];
    let joined = |[low, high]: [f32; 2], [other_low, other_high]: [f32; 2]| {
        [-larger(-low, -other_low), larger(high, other_high)]
    };
    let of_task = |x: &[f32]| {
        isa.vectorize(
            #[inline(always)]
            || {
                let mut lanes = [[f32::NEG_INFINITY; LANES]; 2];
                let (chunks, behind) = x.as_chunks::<LANES>();
                for chunk in chunks {
                    for at in 0..LANES {
                        lanes[0][at] = larger(lanes[0][at], -chunk[at]);
                        lanes[1][at] = larger(lanes[1][at], chunk[at]);
                    }
                }
                for (at, x) in behind.iter().enumerate() {
                    lanes[0][at] = larger(lanes[0][at], -x);
                    lanes[1][at] = larger(lanes[1][at], *x);
                }
                let [low, high] = lanes.map(|of| of.into_iter().fold(f32::NEG_INFINITY, larger));
                [-low, high]
            },
        )
    };
    x.par_chunks(TASK).map(of_task).reduce(|| EMPTY, joined)
}

/// Sets the gradients of clipped numbers to zero.
///
/// # Panics
///
/// If the number of sides is not the number of gradients.
pub fn stop(isa: Isa, gradients: &mut [f32], sides: &[u8]) {
    assert_eq!(
        gradients.len(),
        sides.len(),
        "there must be a side for each gradient"
    );
    (gradients.par_chunks_mut(TASK).zip(sides.par_chunks(TASK))).for_each(|(gradients, sides)| {
        isa.vectorize(
            #[inline(always)]
            || {
                for (gradient, side) in gradients.iter_mut().zip(sides) {
                    *gradient = if *side == 0 { *gradient } else { 0.0 };
                }
            },
        );
    });
}

/// Fake-quantizes each row with a symmetric quantizer whose largest integer is `top`: `scale · clamp(round(x / scale),
/// −top, top)`, ties to even. The scale is `max|x| / top` of the row, or 1 if that is zero or subnormal. `top` must be
/// at most 2²².
///
/// # Panics
///
/// If the number of elements is not a multiple of `length`.
#[must_use]
pub fn symmetric_rows(isa: Isa, x: &[f32], length: usize, top: f32) -> Vec<f32> {
    if x.is_empty() {
        return Vec::new();
    }
    assert!(x.len().is_multiple_of(length), "whole rows");
    let scale_of = |largest: f32| {
        let scale = largest / top;
        if scale < f32::MIN_POSITIVE {
            1.0
        } else {
            scale
        }
    };
    let largest = |x: &[f32]| {
        isa.vectorize(
            #[inline(always)]
            || largest(x),
        )
    };
    let change = |x: f32, scale: f32| nearest(x / scale, [-top, top]) * scale;
    if x.len() == length {
        let of_tasks = x.par_chunks(TASK).map(largest);
        let scale = scale_of(of_tasks.reduce(|| 0.0, larger));
        return map(isa, x, |x| change(x, scale));
    }
    let write = |start: usize, values: &mut [MaybeUninit<f32>]| {
        let rows = x[start..].chunks_exact(length);
        isa.vectorize(
            #[inline(always)]
            || {
                for (values, row) in values.chunks_exact_mut(length).zip(rows) {
                    let scale = scale_of(self::largest(row));
                    for (value, x) in values.iter_mut().zip(row) {
                        value.write(change(*x, scale));
                    }
                }
            },
        );
    };
    // SAFETY: tasks are whole rows, and so is `x`.
    unsafe { filled(x.len(), task_of(length), write) }
}

/// The largest magnitude; NaN if a number is NaN.
#[inline(always)]
fn largest(x: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    for chunk in x.chunks(LANES) {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane = larger(*lane, x.abs());
        }
    }
    lanes.into_iter().fold(0.0, larger)
}

/// The larger number; NaN if one of them is NaN.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if a < b || b.is_nan() { b } else { a }
}

/// The largest magnitude of numbers that [`nearest`] rounds.
const ROUNDED: f32 = 4_194_304.0;

/// Adding this constant to a number of magnitude at most 2²² and subtracting it again rounds to the nearest integer,
/// ties to even, because an `f32` of at least 2²³ has no fraction.
const ROUNDER: f32 = 3.0 * ROUNDED;

/// The nearest integer within bounds, ties to even. The bounds must be integers of magnitude at most 2²². NaN stays
/// NaN.
///
/// # Examples
///
/// ```
/// use calcine_kernels::fake::nearest;
///
/// assert_eq!([0.5, 1.5, 9.0].map(|x| nearest(x, [0.0, 7.0])), [0.0, 2.0, 7.0]);
/// ```
#[inline(always)]
#[must_use]
pub fn nearest(x: f32, ends: [f32; 2]) -> f32 {
    (within(x, ends) + ROUNDER) - ROUNDER
}

/// Clamps `x` to a range. NaN stays NaN. Compilers translate this to two vector instructions.
#[inline(always)]
#[must_use]
pub fn within(x: f32, [low, high]: [f32; 2]) -> f32 {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

/// The sum of the gradients of the numbers on a side, in 64 bits.
///
/// # Panics
///
/// If the number of sides is not the number of gradients.
#[must_use]
pub fn sum_where(isa: Isa, gradients: &[f32], sides: &[u8], side: Side) -> f64 {
    assert_eq!(
        gradients.len(),
        sides.len(),
        "there must be a side for each gradient"
    );
    let side = side as u8;
    let on_side = |gradient: f32, own: u8| if own == side { gradient } else { 0.0 };
    let of_task = |(gradients, sides): (&[f32], &[u8])| {
        isa.vectorize(
            #[inline(always)]
            || {
                let mut sum = 0.0;
                for (gradients, sides) in gradients.chunks(BLOCK).zip(sides.chunks(BLOCK)) {
                    let mut lanes = [0.0_f32; LANES];
                    let (gradients, gradients_behind) = gradients.as_chunks::<LANES>();
                    let (sides, sides_behind) = sides.as_chunks::<LANES>();
                    for (gradients, sides) in gradients.iter().zip(sides) {
                        for at in 0..LANES {
                            lanes[at] += on_side(gradients[at], sides[at]);
                        }
                    }
                    let behind = gradients_behind.iter().zip(sides_behind);
                    for (lane, (gradient, side)) in lanes.iter_mut().zip(behind) {
                        *lane += on_side(*gradient, *side);
                    }
                    sum += f64::from(lanes.into_iter().sum::<f32>());
                }
                sum
            },
        )
    };
    let tasks = gradients.par_chunks(TASK).zip(sides.par_chunks(TASK));
    let sums: Vec<f64> = tasks.map(of_task).collect();
    sums.into_iter().sum()
}

/// A quantizer with learned scales (LSQ; Esser et al., 2020): `scale · clamp(round(x / scale), low, high)`, ties to even.
///
/// # Examples
///
/// ```
/// use calcine_kernels::Isa;
/// use calcine_kernels::fake::Learned;
///
/// let learned = Learned { isa: Isa::best(), scales: &[0.5], inner: 1, ends: [-2.0, 1.0] };
/// let x = [0.4, 2.0];
/// assert_eq!(learned.forward(&x), [0.5, 0.5]);
/// let mut gradients = [1.0, 1.0];
/// let of_scales = learned.backward(&x, &mut gradients);
/// assert_eq!(gradients, [1.0, 0.0]);
/// // round(0.8) − 0.8 of the first number, and 1 of the second, which was clipped.
/// assert!((of_scales[0] - 1.2).abs() < 1e-6);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Learned<'a> {
    /// The instruction set.
    pub isa: Isa,
    /// One scale, or one for each index of an axis.
    pub scales: &'a [f32],
    /// The product of the lengths of the axes behind that axis: the number of contiguous elements with the same scale.
    pub inner: usize,
    /// The smallest and the largest integer, both of magnitude at most 2²².
    pub ends: [f32; 2],
}

impl Learned<'_> {
    /// Fake-quantizes numbers.
    ///
    /// # Panics
    ///
    /// If the number of elements is not a multiple of `scales.len() · inner`.
    #[must_use]
    pub fn forward(&self, x: &[f32]) -> Vec<f32> {
        self.check(x);
        let ends = self.ends;
        let change = |x: f32, scale: f32| nearest(x / scale, ends) * scale;
        let write = |start: usize, values: &mut [MaybeUninit<f32>]| {
            self.isa.vectorize(
                #[inline(always)]
                || {
                    let x = &x[start..][..values.len()];
                    if self.inner == 1 && self.scales.len() > 1 {
                        let lines = values.chunks_mut(self.scales.len());
                        for (values, x) in lines.zip(x.chunks(self.scales.len())) {
                            for ((value, x), scale) in values.iter_mut().zip(x).zip(self.scales) {
                                value.write(change(*x, *scale));
                            }
                        }
                        return;
                    }
                    let rows = values.chunks_mut(self.row()).zip(x.chunks(self.row()));
                    for (at, (values, x)) in rows.enumerate() {
                        let scale = self.scales[self.scale(start, at)];
                        for (value, x) in values.iter_mut().zip(x) {
                            value.write(change(*x, scale));
                        }
                    }
                },
            );
        };
        // SAFETY: chunks of `x` and of the task have the same lengths, and lines have a number for each scale.
        unsafe { filled(x.len(), self.task(), write) }
    }

    /// Computes the gradients of the scales: the sum of `gradient · (round(x / scale) − x / scale)` over the numbers
    /// within the range, and of `gradient · low` or `gradient · high` over the others. Sets the gradients of numbers
    /// outside of the range to zero.
    ///
    /// # Panics
    ///
    /// Like [`forward`](Self::forward), and if the number of gradients is not the number of elements.
    #[must_use]
    pub fn backward(&self, x: &[f32], gradients: &mut [f32]) -> Vec<f64> {
        self.check(x);
        assert_eq!(
            gradients.len(),
            x.len(),
            "there must be a gradient for each number"
        );
        let of_task = |(task, gradients): (usize, &mut [f32])| {
            let start = task * self.task();
            let x = &x[start..][..gradients.len()];
            self.isa.vectorize(
                #[inline(always)]
                || self.reduce(start, x, gradients),
            )
        };
        let of_tasks: Vec<Vec<f64>> = (gradients.par_chunks_mut(self.task()).enumerate())
            .map(of_task)
            .collect();
        let mut sums = vec![0.0; self.scales.len()];
        for of_task in of_tasks {
            for (sum, own) in sums.iter_mut().zip(of_task) {
                *sum += own;
            }
        }
        sums
    }

    #[inline(always)]
    fn reduce(&self, start: usize, x: &[f32], gradients: &mut [f32]) -> Vec<f64> {
        let ends = self.ends;
        let mut sums = vec![0.0; self.scales.len()];
        if self.inner == 1 && self.scales.len() > 1 {
            let lines = gradients.chunks_mut(self.scales.len());
            for (gradients, x) in lines.zip(x.chunks(self.scales.len())) {
                let numbers = gradients.iter_mut().zip(x);
                for ((gradient, x), (scale, sum)) in numbers.zip(self.scales.iter().zip(&mut sums))
                {
                    *sum += f64::from(product(*x, *scale, ends, gradient));
                }
            }
            return sums;
        }
        let rows = gradients.chunks_mut(self.row()).zip(x.chunks(self.row()));
        for (at, (gradients, x)) in rows.enumerate() {
            let own = self.scale(start, at);
            let scale = self.scales[own];
            for (gradients, x) in gradients.chunks_mut(BLOCK).zip(x.chunks(BLOCK)) {
                let mut lanes = [0.0_f32; LANES];
                let (gradients, gradients_behind) = gradients.as_chunks_mut::<LANES>();
                let (x, x_behind) = x.as_chunks::<LANES>();
                for (gradients, x) in gradients.iter_mut().zip(x) {
                    for at in 0..LANES {
                        lanes[at] += product(x[at], scale, ends, &mut gradients[at]);
                    }
                }
                for (at, (gradient, x)) in gradients_behind.iter_mut().zip(x_behind).enumerate() {
                    lanes[at] += product(*x, scale, ends, gradient);
                }
                sums[own] += f64::from(lanes.into_iter().sum::<f32>());
            }
        }
        sums
    }

    fn check(&self, x: &[f32]) {
        let whole = self.inner * self.scales.len();
        assert!(
            self.scales.len() == 1 || (whole > 0 && x.len().is_multiple_of(whole)),
            "the number of elements must be a multiple of the number of scales times `inner`"
        );
    }

    /// The numbers of a task: whole rows, or whole lines of all scales.
    fn task(&self) -> usize {
        match (self.scales.len(), self.inner) {
            (1, _) => TASK,
            (scales, 1) => task_of(scales),
            (_, inner) => task_of(inner),
        }
    }

    /// The numbers side by side that have one scale.
    fn row(&self) -> usize {
        match self.scales.len() {
            1 => TASK,
            _ => self.inner,
        }
    }

    /// The position of the scale of a row in the task that begins with this number.
    fn scale(&self, start: usize, row: usize) -> usize {
        (start / self.row() + row) % self.scales.len()
    }
}

/// What a number adds to the gradient of its scale; its own gradient becomes zero if it was clipped.
#[inline(always)]
fn product(x: f32, scale: f32, ends: [f32; 2], gradient: &mut f32) -> f32 {
    let [low, high] = ends;
    let q = x / scale;
    let rounded = nearest(q, ends);
    let own = *gradient;
    let is_clipped = (q < low) | (q > high);
    *gradient = if is_clipped { 0.0 } else { own };
    own * if is_clipped { rounded } else { rounded - q }
}

/// The numbers of a task of whole rows.
fn task_of(row: usize) -> usize {
    (TASK / row).max(1) * row
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "whole numbers are exact")]
mod tests {
    use super::*;

    #[test]
    fn nearest_is_rounding_to_even_between_the_ends() {
        for ends in [[0.0, 255.0], [-128.0, 127.0], [-65_535.0, 65_535.0]] {
            for quarter in -1200..1200_i16 {
                for far in [1.0, 64.0, 1e9] {
                    let x = f32::from(quarter) * 0.25 * far;
                    let expected = x.round_ties_even().clamp(ends[0], ends[1]);
                    assert_eq!(nearest(x, ends), expected, "{x} {ends:?}");
                }
            }
            assert!(nearest(f32::NAN, ends).is_nan());
        }
    }
}
