//! Operations on single values.

use crate::op::{Arithmetic, Comparison, Map};

/// `a ∘ b`, where one of the two may be unknown.
pub(super) fn zip(arithmetic: Arithmetic, a: Option<f64>, b: Option<f64>) -> Option<f64> {
    use Arithmetic as A;
    let found = match (arithmetic, a, b) {
        (A::Multiply, Some(0.0), _) | (A::Multiply, _, Some(0.0)) => 0.0,
        (A::Divide, Some(0.0), None) => 0.0,
        (A::PRelu, Some(a), _) if a >= 0.0 => a,
        (_, Some(a), Some(b)) => combine(arithmetic, a, b)?,
        _ => return None,
    };
    Some(found).filter(|number| number.is_finite())
}

fn combine(arithmetic: Arithmetic, a: f64, b: f64) -> Option<f64> {
    use Arithmetic as A;
    Some(match arithmetic {
        A::Add => a + b,
        A::Subtract => a - b,
        A::Multiply => a * b,
        A::Divide => a / b,
        A::Power => a.powf(b),
        A::PRelu => a * b,
        A::ArcTan2 => a.atan2(b),
        A::Hypot => a.hypot(b),
        A::Remainder | A::And | A::Or => return None,
    })
}

/// 1 for true, 0 for false.
pub(super) fn compare(comparison: Comparison, a: f64, b: f64) -> f64 {
    let holds = match comparison {
        Comparison::Equal => a == b,
        Comparison::NotEqual => a != b,
        Comparison::Greater => a > b,
        Comparison::GreaterEqual => a >= b,
        Comparison::Less => a < b,
        Comparison::LessEqual => a <= b,
    };
    f64::from(u8::from(holds))
}

pub(super) fn map(map: Map, x: f64) -> Option<f64> {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    Some(match map {
        Map::Relu => x.max(0.0),
        Map::LeakyRelu(slope) if x < 0.0 => x * slope,
        Map::LeakyRelu(_) => x,
        Map::Gelu => x * 0.5 * (1.0 + libm::erf(x * std::f64::consts::FRAC_1_SQRT_2)),
        Map::Sigmoid => sigmoid(x),
        Map::LogSigmoid => sigmoid(x).ln(),
        Map::HardSigmoid { alpha, beta } => (alpha * x + beta).clamp(0.0, 1.0),
        Map::Tanh => x.tanh(),
        Map::Abs => x.abs(),
        Map::Negate => -x,
        Map::Sign if x == 0.0 => 0.0,
        Map::Sign => x.signum(),
        Map::Exp => x.exp(),
        Map::Log => x.ln(),
        Map::Log1p => x.ln_1p(),
        Map::Sqrt => x.sqrt(),
        Map::Reciprocal => 1.0 / x,
        Map::Erf => libm::erf(x),
        Map::Sin => x.sin(),
        Map::Cos => x.cos(),
        Map::Tan => x.tan(),
        Map::Sinh => x.sinh(),
        Map::Cosh => x.cosh(),
        Map::ArcSin => x.asin(),
        Map::ArcCos => x.acos(),
        Map::ArcTan => x.atan(),
        Map::ArcSinh => x.asinh(),
        Map::ArcCosh => x.acosh(),
        Map::ArcTanh => x.atanh(),
        Map::Truncate => x.trunc(),
        Map::Floor => x.floor(),
        Map::Ceil => x.ceil(),
        Map::Round => x.round_ties_even(),
        Map::Clamp { low, high } => x.max(low).min(high),
        Map::ClampMin(low) => x.max(low),
        Map::ClampMax(high) => x.min(high),
        Map::Not => 1.0 - x,
    })
}
