//! Checks the element types of the operands and the result of an operation.

use super::Tensor;
use crate::graph::ElementKind;
use crate::op::{Arithmetic, Map, Op};

/// Checks that the operands and the output of an operation have valid element types.
pub(super) fn kinds(op: &Op, x: &[Tensor], out: ElementKind) -> Result<(), String> {
    use ElementKind::{Bool, Float, Int};
    let first = x.first().map(|x| x.kind);
    let expect = |position: usize, expected: ElementKind| match x.get(position) {
        Some(x) if x.kind != expected => Err(format!(
            "operand {position} is {:?}, not {expected:?}",
            x.kind
        )),
        _ => Ok(()),
    };
    let all =
        |expected: ElementKind| (0..x.len()).try_for_each(|position| expect(position, expected));
    let alike = || all(first.unwrap_or(Float));
    let gives = |expected: ElementKind| match out == expected {
        true => Ok(()),
        false => Err(format!("its output is {out:?}, not {expected:?}")),
    };
    let first_of = |valid: &[ElementKind]| match first {
        Some(kind) if !valid.contains(&kind) => Err(format!("operand 0 is {kind:?}")),
        _ => Ok(()),
    };
    match op {
        Op::Convolution(_)
        | Op::TransposedConvolution { .. }
        | Op::Linear
        | Op::Matmul
        | Op::BatchNorm { .. }
        | Op::LayerNorm { .. }
        | Op::MaxPool(_)
        | Op::AveragePool { .. }
        | Op::AdaptiveAveragePool
        | Op::Interpolate { .. }
        | Op::Softmax(_)
        | Op::LogSoftmax(_) => {
            all(Float)?;
            gives(Float)
        }
        Op::Attention { masked, .. } => {
            for (position, x) in x.iter().enumerate() {
                let expected = if *masked && position == 3 {
                    Bool
                } else {
                    Float
                };
                if x.kind != expected {
                    return Err(format!(
                        "operand {position} is {:?}, not {expected:?}",
                        x.kind
                    ));
                }
            }
            gives(Float)
        }
        Op::Embedding => {
            expect(0, Float)?;
            expect(1, Int)?;
            gives(Float)
        }
        Op::Map(map) => {
            first_of(map_kinds(*map))?;
            gives(first.unwrap_or(out))
        }
        Op::Scalar(arithmetic, _) | Op::Zip(arithmetic) => {
            alike()?;
            first_of(arithmetic_kinds(*arithmetic, matches!(op, Op::Scalar(..))))?;
            gives(first.unwrap_or(out))
        }
        Op::CompareScalar(comparison, _) | Op::Compare(comparison) => {
            use crate::Comparison::{Equal, NotEqual};
            alike()?;
            if first == Some(Bool) && !matches!(comparison, Equal | NotEqual) {
                return Err("booleans have no order".to_owned());
            }
            gives(Bool)
        }
        Op::Where => {
            expect(1, Bool)?;
            expect(2, first.unwrap_or(out))?;
            gives(first.unwrap_or(out))
        }
        Op::Fill(_) => {
            expect(1, Bool)?;
            gives(first.unwrap_or(out))
        }
        Op::Reduce(..) | Op::ReduceAll(_) | Op::Pad { .. } | Op::CumulativeSum(_) => {
            first_of(&[Float, Int])?;
            gives(first.unwrap_or(out))
        }
        Op::ArgMax(_) | Op::ArgSort { .. } => {
            first_of(&[Float, Int])?;
            gives(Int)
        }
        Op::Concat(_) => {
            alike()?;
            gives(first.unwrap_or(out))
        }
        Op::Select(_) | Op::Gather(_) => {
            expect(1, Int)?;
            gives(first.unwrap_or(out))
        }
        Op::Scatter(..) | Op::ScatterNd(_) => {
            first_of(&[Float, Int])?;
            expect(1, Int)?;
            expect(2, first.unwrap_or(out))?;
            gives(first.unwrap_or(out))
        }
        Op::Slice(_)
        | Op::Reshape
        | Op::Expand
        | Op::Permute(_)
        | Op::Flip(_)
        | Op::Repeat { .. } => gives(first.unwrap_or(out)),
        Op::Cast => match (first, out) {
            (Some(Float | Int), Bool) => Err("numbers become booleans by a comparison".to_owned()),
            _ => Ok(()),
        },
        Op::Constant(_) => Ok(()),
    }
}

fn map_kinds(map: Map) -> &'static [ElementKind] {
    use ElementKind::{Bool, Float, Int};
    match map {
        Map::Not => &[Bool],
        Map::Abs
        | Map::Negate
        | Map::Sign
        | Map::Clamp { .. }
        | Map::ClampMin(_)
        | Map::ClampMax(_) => &[Float, Int],
        Map::Relu
        | Map::LeakyRelu(_)
        | Map::Gelu
        | Map::Sigmoid
        | Map::LogSigmoid
        | Map::HardSigmoid { .. }
        | Map::Tanh
        | Map::Exp
        | Map::Log
        | Map::Log1p
        | Map::Sqrt
        | Map::Reciprocal
        | Map::Erf
        | Map::Sin
        | Map::Cos
        | Map::Tan
        | Map::Sinh
        | Map::Cosh
        | Map::ArcSin
        | Map::ArcCos
        | Map::ArcTan
        | Map::ArcSinh
        | Map::ArcCosh
        | Map::ArcTanh
        | Map::Floor
        | Map::Ceil
        | Map::Truncate
        | Map::Round => &[Float],
    }
}

fn arithmetic_kinds(arithmetic: Arithmetic, with_number: bool) -> &'static [ElementKind] {
    use ElementKind::{Bool, Float, Int};
    match arithmetic {
        Arithmetic::And | Arithmetic::Or if with_number => &[],
        Arithmetic::And | Arithmetic::Or => &[Bool],
        Arithmetic::PRelu | Arithmetic::ArcTan2 | Arithmetic::Hypot if with_number => &[],
        Arithmetic::PRelu | Arithmetic::ArcTan2 | Arithmetic::Hypot => &[Float],
        Arithmetic::Add
        | Arithmetic::Subtract
        | Arithmetic::Multiply
        | Arithmetic::Divide
        | Arithmetic::Remainder
        | Arithmetic::Power => &[Float, Int],
    }
}
