//! Functions of single elements as ONNX operators.

use calcine_graph::{ElementKind, Map};

use super::builder::{Builder, float};

/// Writes the nodes that compute a function of each element of `x`, with a result of this name.
pub(crate) fn map(b: &mut Builder<'_>, map: Map, x: &str, kind: ElementKind, out: &str) {
    let hint = |part: &str| format!("{out}/{part}");
    let simple = match map {
        Map::Relu => "Relu",
        Map::Sigmoid => "Sigmoid",
        Map::Tanh => "Tanh",
        Map::Abs => "Abs",
        Map::Negate => "Neg",
        Map::Sign => "Sign",
        Map::Exp => "Exp",
        Map::Log => "Log",
        Map::Sqrt => "Sqrt",
        Map::Reciprocal => "Reciprocal",
        Map::Erf => "Erf",
        Map::Sin => "Sin",
        Map::Cos => "Cos",
        Map::Tan => "Tan",
        Map::Sinh => "Sinh",
        Map::Cosh => "Cosh",
        Map::ArcSin => "Asin",
        Map::ArcCos => "Acos",
        Map::ArcTan => "Atan",
        Map::ArcSinh => "Asinh",
        Map::ArcCosh => "Acosh",
        Map::ArcTanh => "Atanh",
        Map::Floor => "Floor",
        Map::Ceil => "Ceil",
        Map::Round => "Round",
        Map::Not => "Not",
        Map::LeakyRelu(slope) => {
            return b.node("LeakyRelu", &[x], out, vec![float("alpha", slope)]);
        }
        Map::HardSigmoid { alpha, beta } => {
            let attributes = vec![float("alpha", alpha), float("beta", beta)];
            return b.node("HardSigmoid", &[x], out, attributes);
        }
        Map::Gelu if b.opset >= 20 => "Gelu",
        Map::Gelu => {
            let root = b.scalar(&hint("root"), std::f64::consts::SQRT_2);
            let scaled = b.helper("Div", &[x, &root], &hint("scaled"), Vec::new());
            let erf = b.helper("Erf", &[&scaled], &hint("erf"), Vec::new());
            let one = b.scalar(&hint("one"), 1.0);
            let share = b.helper("Add", &[&erf, &one], &hint("share"), Vec::new());
            let whole = b.helper("Mul", &[x, &share], &hint("whole"), Vec::new());
            let half = b.scalar(&hint("half"), 0.5);
            return b.node("Mul", &[&whole, &half], out, Vec::new());
        }
        Map::LogSigmoid => {
            // −softplus(−x), which is finite where the sigmoid is zero.
            let negative = b.helper("Neg", &[x], &hint("negative"), Vec::new());
            let soft = b.helper("Softplus", &[&negative], &hint("softplus"), Vec::new());
            return b.node("Neg", &[&soft], out, Vec::new());
        }
        Map::Log1p => {
            let one = b.scalar(&hint("one"), 1.0);
            let sum = b.helper("Add", &[x, &one], &hint("sum"), Vec::new());
            return b.node("Log", &[&sum], out, Vec::new());
        }
        Map::Truncate => {
            let size = b.helper("Abs", &[x], &hint("size"), Vec::new());
            let whole = b.helper("Floor", &[&size], &hint("whole"), Vec::new());
            let sign = b.helper("Sign", &[x], &hint("sign"), Vec::new());
            return b.node("Mul", &[&whole, &sign], out, Vec::new());
        }
        Map::Clamp { low, high } => {
            let low = b.number(&hint("low"), low, kind);
            let high = b.number(&hint("high"), high, kind);
            return b.node("Clip", &[x, &low, &high], out, Vec::new());
        }
        Map::ClampMin(low) => {
            let low = b.number(&hint("low"), low, kind);
            return b.node("Clip", &[x, &low], out, Vec::new());
        }
        Map::ClampMax(high) => {
            let high = b.number(&hint("high"), high, kind);
            return b.node("Clip", &[x, "", &high], out, Vec::new());
        }
    };
    b.node(simple, &[x], out, Vec::new());
}
