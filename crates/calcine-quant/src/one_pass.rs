//! Fake-quantization in one pass over the numbers, on devices for which Calcine has kernels.
#![cfg_attr(
    not(feature = "flex"),
    allow(dead_code, unused_variables, reason = "only kernels read them")
)]

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use crate::flex;

/// What numbers are rounded to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rounding {
    /// `scale · nearest(x / scale)` within these integers; the gradient passes where `x` lies within `bounds`.
    Values {
        scale: f32,
        ends: [f32; 2],
        bounds: [f32; 2],
    },
    /// The same; the gradient passes where `x / scale` lies within the integers.
    Quotients { scale: f32, ends: [f32; 2] },
    /// `nearest(x · levels) / levels` of `x` within whole numbers; the gradient passes there.
    Levels { levels: f32, ends: [f32; 2] },
    /// Rows of this length, with the symmetric quantizer of their largest magnitude; the gradient passes everywhere.
    Rows { length: usize, top: f32 },
}

/// Fake-quantizes numbers whose gradient passes straight through; `None` where the caller must compose Burn's operations.
pub(crate) fn round<const D: usize>(x: &Tensor<D>, rounding: Rounding) -> Option<Tensor<D>> {
    #[cfg(feature = "flex")]
    return flex::round(x, rounding);
    #[cfg(not(feature = "flex"))]
    None
}

/// PACT: numbers clipped between 0 and `alpha`, `[1]`, and rounded to multiples of `alpha / levels`.
pub(crate) fn pact<const D: usize>(
    x: &Tensor<D>,
    alpha: &Tensor<1>,
    levels: f32,
) -> Option<Tensor<D>> {
    #[cfg(feature = "flex")]
    return flex::pact(x, alpha, levels);
    #[cfg(not(feature = "flex"))]
    None
}

/// The smallest and the largest number, `[2]`, detached.
pub(crate) fn range<const D: usize>(x: &Tensor<D>) -> Option<Tensor<1>> {
    #[cfg(feature = "flex")]
    return flex::range(x);
    #[cfg(not(feature = "flex"))]
    None
}

/// The weights of `DoReFa`: `2·u − 1`, where `u = tanh(x) / (2·max|tanh(x)|) + ½` is rounded to multiples of `1 / levels`. If `max|tanh(x)|` is
/// less than half of `nothing`, it counts as ½.
pub(crate) fn dorefa<const D: usize>(
    x: &Tensor<D>,
    levels: f32,
    nothing: f32,
) -> Option<Tensor<D>> {
    #[cfg(feature = "flex")]
    return flex::dorefa(x, levels, nothing);
    #[cfg(not(feature = "flex"))]
    None
}

/// A quantizer with learned scales: how the numbers of an axis lie in memory, and by what the gradients of the scales are multiplied.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scales {
    pub(crate) inner: usize,
    pub(crate) ends: [f32; 2],
    pub(crate) factor: f64,
}

/// LSQ: numbers on multiples of learned scales.
pub(crate) fn learned<const D: usize>(
    x: &Tensor<D>,
    scales: &Tensor<1>,
    options: Scales,
) -> Option<Tensor<D>> {
    #[cfg(feature = "flex")]
    return flex::learned(x, scales, options);
    #[cfg(not(feature = "flex"))]
    None
}
