//! Functions of single numbers, and reductions of several to one.

use calcine_graph::{Arithmetic, Comparison, Map, Reduction};

pub(super) fn reduced(
    reduction: Reduction,
    numbers: impl Iterator<Item = f32>,
    count: usize,
) -> f32 {
    match reduction {
        Reduction::Sum => numbers.sum(),
        #[allow(clippy::cast_precision_loss, reason = "lengths of axes")]
        Reduction::Mean => numbers.sum::<f32>() / count as f32,
        Reduction::Product => numbers.product(),
        Reduction::Max => numbers.fold(f32::NEG_INFINITY, f32::max),
        Reduction::Min => numbers.fold(f32::INFINITY, f32::min),
        Reduction::MaxAbs => numbers.map(f32::abs).fold(0.0, f32::max),
    }
}

pub(super) fn combined(arithmetic: Arithmetic, a: f32, b: f32) -> f32 {
    match arithmetic {
        Arithmetic::Add => a + b,
        Arithmetic::Subtract => a - b,
        Arithmetic::Multiply => a * b,
        Arithmetic::Divide => a / b,
        // With the sign of the divisor.
        Arithmetic::Remainder => a - (a / b).floor() * b,
        Arithmetic::Power => libm::powf(a, b),
        Arithmetic::PRelu => {
            if a > 0.0 {
                a
            } else {
                a * b
            }
        }
        Arithmetic::ArcTan2 => libm::atan2f(a, b),
        Arithmetic::Hypot => libm::hypotf(a, b),
        Arithmetic::And => f32::from(u8::from(a != 0.0 && b != 0.0)),
        Arithmetic::Or => f32::from(u8::from(a != 0.0 || b != 0.0)),
    }
}

#[allow(clippy::float_cmp, reason = "the operation compares")]
pub(super) fn compared(comparison: Comparison, a: f32, b: f32) -> f32 {
    f32::from(u8::from(match comparison {
        Comparison::Equal => a == b,
        Comparison::NotEqual => a != b,
        Comparison::Greater => a > b,
        Comparison::GreaterEqual => a >= b,
        Comparison::Less => a < b,
        Comparison::LessEqual => a <= b,
    }))
}

#[allow(clippy::cast_possible_truncation, reason = "floats are f32")]
pub(super) fn mapped(map: Map, x: f32) -> f32 {
    match map {
        Map::Relu => x.max(0.0),
        Map::LeakyRelu(slope) => {
            if x < 0.0 {
                x * slope as f32
            } else {
                x
            }
        }
        Map::Gelu => x * 0.5 * (1.0 + libm::erff(x * std::f32::consts::FRAC_1_SQRT_2)),
        Map::Sigmoid => 1.0 / (1.0 + libm::expf(-x)),
        Map::LogSigmoid => -libm::log1pf(libm::expf(-x.abs())) + x.min(0.0),
        Map::HardSigmoid { alpha, beta } => (x * alpha as f32 + beta as f32).clamp(0.0, 1.0),
        Map::Tanh => libm::tanhf(x),
        Map::Abs => x.abs(),
        Map::Negate => -x,
        Map::Sign if x == 0.0 => 0.0,
        Map::Sign => x.signum(),
        Map::Exp => libm::expf(x),
        Map::Log => libm::logf(x),
        Map::Log1p => libm::log1pf(x),
        Map::Sqrt => x.sqrt(),
        Map::Reciprocal => 1.0 / x,
        Map::Erf => libm::erff(x),
        Map::Sin => libm::sinf(x),
        Map::Cos => libm::cosf(x),
        Map::Tan => libm::tanf(x),
        Map::Sinh => libm::sinhf(x),
        Map::Cosh => libm::coshf(x),
        Map::ArcSin => libm::asinf(x),
        Map::ArcCos => libm::acosf(x),
        Map::ArcTan => libm::atanf(x),
        Map::ArcSinh => libm::asinhf(x),
        Map::ArcCosh => libm::acoshf(x),
        Map::ArcTanh => libm::atanhf(x),
        Map::Floor => x.floor(),
        Map::Ceil => x.ceil(),
        Map::Truncate => x.trunc(),
        Map::Round => x.round_ties_even(),
        Map::Clamp { low, high } => x.max(low as f32).min(high as f32),
        Map::ClampMin(low) => x.max(low as f32),
        Map::ClampMax(high) => x.min(high as f32),
        Map::Not => f32::from(u8::from(x == 0.0)),
    }
}
