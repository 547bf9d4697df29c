//! Functions of one and of two numbers, and reductions.

use calcine_graph::{Arithmetic, Comparison, Map, Reduction};
use calcine_kernels::{Isa, functions, sum_rows};

use super::Operand;
use super::strided::zip;

/// Reduces `[before, length, behind]` to `[before, behind]`.
pub(super) fn reduce(
    isa: Isa,
    reduction: Reduction,
    x: &[f32],
    [_, length, behind]: [usize; 3],
    y: &mut [f32],
) {
    let divided = |y: &mut [f32]| {
        #[allow(clippy::cast_precision_loss, reason = "lengths of axes")]
        let count = length as f32;
        y.iter_mut().for_each(|y| *y /= count);
    };
    if behind == 1 && length > 0 && matches!(reduction, Reduction::Sum | Reduction::Mean) {
        sum_rows(isa, length, x, y);
        if reduction == Reduction::Mean {
            divided(y);
        }
        return;
    }
    let (start, combine): (f32, fn(f32, f32) -> f32) = match reduction {
        Reduction::Sum | Reduction::Mean => (0.0, |a, b| a + b),
        Reduction::Product => (1.0, |a, b| a * b),
        Reduction::Max => (f32::NEG_INFINITY, f32::max),
        Reduction::Min => (f32::INFINITY, f32::min),
        Reduction::MaxAbs => (0.0, |a, b| a.max(b.abs())),
    };
    y.fill(start);
    let parts = x.chunks((length * behind).max(1));
    for (x, y) in parts.zip(y.chunks_mut(behind.max(1))) {
        for x in x.chunks(behind) {
            for (y, x) in y.iter_mut().zip(x) {
                *y = combine(*y, *x);
            }
        }
    }
    if reduction == Reduction::Mean {
        divided(y);
    }
}

/// An arithmetic operation on two operands, which are broadcast.
pub(super) fn combine(
    isa: Isa,
    arithmetic: Arithmetic,
    x: [Operand<'_>; 2],
    y: &mut [f32],
    shape: &[usize],
) {
    let truth = |holds: bool| f32::from(u8::from(holds));
    match arithmetic {
        Arithmetic::Add => zip(isa, x, y, shape, |a, b| a + b),
        Arithmetic::Subtract => zip(isa, x, y, shape, |a, b| a - b),
        Arithmetic::Multiply => zip(isa, x, y, shape, |a, b| a * b),
        Arithmetic::Divide => zip(isa, x, y, shape, |a, b| a / b),
        // With the sign of the divisor.
        Arithmetic::Remainder => zip(isa, x, y, shape, |a, b| a - (a / b).floor() * b),
        Arithmetic::Power => zip(isa, x, y, shape, libm::powf),
        Arithmetic::PRelu => zip(isa, x, y, shape, |a, b| if a > 0.0 { a } else { a * b }),
        Arithmetic::ArcTan2 => zip(isa, x, y, shape, libm::atan2f),
        Arithmetic::Hypot => zip(isa, x, y, shape, libm::hypotf),
        Arithmetic::And => zip(isa, x, y, shape, |a, b| truth(a != 0.0 && b != 0.0)),
        Arithmetic::Or => zip(isa, x, y, shape, |a, b| truth(a != 0.0 || b != 0.0)),
    }
}

/// A comparison of two operands, which are broadcast.
#[allow(clippy::float_cmp, reason = "the operation compares")]
pub(super) fn compare(
    isa: Isa,
    comparison: Comparison,
    x: [Operand<'_>; 2],
    y: &mut [f32],
    shape: &[usize],
) {
    let truth = |holds: bool| f32::from(u8::from(holds));
    match comparison {
        Comparison::Equal => zip(isa, x, y, shape, |a, b| truth(a == b)),
        Comparison::NotEqual => zip(isa, x, y, shape, |a, b| truth(a != b)),
        Comparison::Greater => zip(isa, x, y, shape, |a, b| truth(a > b)),
        Comparison::GreaterEqual => zip(isa, x, y, shape, |a, b| truth(a >= b)),
        Comparison::Less => zip(isa, x, y, shape, |a, b| truth(a < b)),
        Comparison::LessEqual => zip(isa, x, y, shape, |a, b| truth(a <= b)),
    }
}

/// Computes a function of each number.
#[allow(clippy::cast_possible_truncation, reason = "floats are f32")]
pub(super) fn map(isa: Isa, map: Map, x: &[f32], y: &mut [f32]) {
    match map {
        Map::Relu => each(isa, x, y, |x| at_least(x, 0.0)),
        Map::LeakyRelu(slope) => {
            each(
                isa,
                x,
                y,
                move |x| if x < 0.0 { x * slope as f32 } else { x },
            );
        }
        Map::Gelu => each(isa, x, y, functions::gelu),
        Map::Sigmoid => each(isa, x, y, functions::sigmoid),
        Map::LogSigmoid => each(isa, x, y, |x| {
            -libm::log1pf(functions::exp(-x.abs())) + x.min(0.0)
        }),
        Map::HardSigmoid { alpha, beta } => each(isa, x, y, move |x| {
            (x * alpha as f32 + beta as f32).clamp(0.0, 1.0)
        }),
        Map::Tanh => each(isa, x, y, functions::tanh),
        Map::Abs => each(isa, x, y, f32::abs),
        Map::Negate => each(isa, x, y, |x| -x),
        Map::Sign => each(isa, x, y, |x| if x == 0.0 { 0.0 } else { x.signum() }),
        Map::Exp => each(isa, x, y, functions::exp),
        Map::Log => each(isa, x, y, libm::logf),
        Map::Log1p => each(isa, x, y, libm::log1pf),
        Map::Sqrt => each(isa, x, y, f32::sqrt),
        Map::Reciprocal => each(isa, x, y, |x| 1.0 / x),
        Map::Erf => each(isa, x, y, functions::erf),
        Map::Sin => each(isa, x, y, libm::sinf),
        Map::Cos => each(isa, x, y, libm::cosf),
        Map::Tan => each(isa, x, y, libm::tanf),
        Map::Sinh => each(isa, x, y, libm::sinhf),
        Map::Cosh => each(isa, x, y, libm::coshf),
        Map::ArcSin => each(isa, x, y, libm::asinf),
        Map::ArcCos => each(isa, x, y, libm::acosf),
        Map::ArcTan => each(isa, x, y, libm::atanf),
        Map::ArcSinh => each(isa, x, y, libm::asinhf),
        Map::ArcCosh => each(isa, x, y, libm::acoshf),
        Map::ArcTanh => each(isa, x, y, libm::atanhf),
        Map::Floor => each(isa, x, y, f32::floor),
        Map::Ceil => each(isa, x, y, f32::ceil),
        Map::Truncate => each(isa, x, y, f32::trunc),
        Map::Round => each(isa, x, y, f32::round_ties_even),
        Map::Clamp { low, high } => each(isa, x, y, move |x| {
            at_most(at_least(x, low as f32), high as f32)
        }),
        Map::ClampMin(low) => each(isa, x, y, move |x| at_least(x, low as f32)),
        Map::ClampMax(high) => each(isa, x, y, move |x| at_most(x, high as f32)),
        Map::Not => each(isa, x, y, |x| f32::from(u8::from(x == 0.0))),
    }
}

/// The larger of two numbers; NaN if `x` is NaN, which `f32::max` would hide.
#[inline(always)]
fn at_least(x: f32, low: f32) -> f32 {
    if x < low { low } else { x }
}

/// The smaller of two numbers; NaN if `x` is NaN.
#[inline(always)]
fn at_most(x: f32, high: f32) -> f32 {
    if x > high { high } else { x }
}

#[inline(always)]
fn each(isa: Isa, x: &[f32], y: &mut [f32], function: impl Fn(f32) -> f32) {
    isa.vectorize(
        #[inline(always)]
        move || {
            for (y, x) in y.iter_mut().zip(x) {
                *y = function(*x);
            }
        },
    );
}
