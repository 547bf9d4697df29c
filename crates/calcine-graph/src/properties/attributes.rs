//! The properties that depend on an attribute of an operator: its function, its arithmetic, its reduction.

use super::{ANY, BOOL, FLOAT, Gives, Kinds, NUMBERS, Summation, Takes};
use crate::graph::ElementKind;
use crate::op::{Arithmetic, Comparison, Map, Padding, Reduction};

impl Padding {
    /// Whether the values in the padding are zero if the operand is zero.
    #[must_use]
    pub fn keeps_zeros(self) -> bool {
        match self {
            Self::Constant(number) => number == 0.0,
            Self::Reflect | Self::Edge => true,
        }
    }
}

impl Map {
    /// The name, whether `f(0) = 0`, and whether `f(a · x) = a · f(x)` for `a > 0`.
    pub(super) fn properties(self) -> (&'static str, bool, bool) {
        match self {
            Self::Relu => ("relu", true, true),
            Self::LeakyRelu(_) => ("leaky_relu", true, true),
            Self::Gelu => ("gelu", true, false),
            Self::Sigmoid => ("sigmoid", false, false),
            Self::LogSigmoid => ("log_sigmoid", false, false),
            Self::HardSigmoid { beta, .. } => ("hard_sigmoid", beta <= 0.0, false),
            Self::Tanh => ("tanh", true, false),
            Self::Abs => ("abs", true, true),
            Self::Negate => ("neg", true, true),
            Self::Sign => ("sign", true, false),
            Self::Exp => ("exp", false, false),
            Self::Log => ("log", false, false),
            Self::Log1p => ("log1p", true, false),
            Self::Sqrt => ("sqrt", true, false),
            Self::Reciprocal => ("reciprocal", false, false),
            Self::Erf => ("erf", true, false),
            Self::Sin => ("sin", true, false),
            Self::Cos => ("cos", false, false),
            Self::Tan => ("tan", true, false),
            Self::Sinh => ("sinh", true, false),
            Self::Cosh => ("cosh", false, false),
            Self::ArcSin => ("asin", true, false),
            Self::ArcCos => ("acos", false, false),
            Self::ArcTan => ("atan", true, false),
            Self::ArcSinh => ("asinh", true, false),
            Self::ArcCosh => ("acosh", false, false),
            Self::ArcTanh => ("atanh", true, false),
            Self::Truncate => ("trunc", true, false),
            Self::Floor => ("floor", true, false),
            Self::Ceil => ("ceil", true, false),
            Self::Round => ("round", true, false),
            Self::Clamp { low, high } => (
                "clamp",
                low <= 0.0 && high >= 0.0,
                is_no_scale(low) && is_no_scale(high),
            ),
            Self::ClampMin(low) => ("clamp", low <= 0.0, is_no_scale(low)),
            Self::ClampMax(high) => ("clamp", high >= 0.0, is_no_scale(high)),
            Self::Not => ("not", false, false),
        }
    }

    /// The kinds of numbers that it takes.
    pub(super) fn kinds(self) -> &'static [ElementKind] {
        match self {
            Self::Not => BOOL,
            Self::Abs
            | Self::Negate
            | Self::Sign
            | Self::Clamp { .. }
            | Self::ClampMin(_)
            | Self::ClampMax(_) => NUMBERS,
            Self::Relu
            | Self::LeakyRelu(_)
            | Self::Gelu
            | Self::Sigmoid
            | Self::LogSigmoid
            | Self::HardSigmoid { .. }
            | Self::Tanh
            | Self::Exp
            | Self::Log
            | Self::Log1p
            | Self::Sqrt
            | Self::Reciprocal
            | Self::Erf
            | Self::Sin
            | Self::Cos
            | Self::Tan
            | Self::Sinh
            | Self::Cosh
            | Self::ArcSin
            | Self::ArcCos
            | Self::ArcTan
            | Self::ArcSinh
            | Self::ArcCosh
            | Self::ArcTanh
            | Self::Floor
            | Self::Ceil
            | Self::Truncate
            | Self::Round => FLOAT,
        }
    }
}

/// Whether a bound does not depend on the scale: zero or infinite.
fn is_no_scale(bound: f64) -> bool {
    bound == 0.0 || bound.is_infinite()
}

impl Arithmetic {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Subtract => "sub",
            Self::Multiply => "mul",
            Self::Divide => "div",
            Self::Remainder => "rem",
            Self::Power => "pow",
            Self::PRelu => "prelu",
            Self::ArcTan2 => "atan2",
            Self::Hypot => "hypot",
            Self::And => "and",
            Self::Or => "or",
        }
    }

    /// The kinds of elements that it takes.
    pub(super) fn kinds(self) -> &'static [ElementKind] {
        match self {
            Self::And | Self::Or => BOOL,
            Self::PRelu | Self::ArcTan2 | Self::Hypot => FLOAT,
            Self::Add
            | Self::Subtract
            | Self::Multiply
            | Self::Divide
            | Self::Remainder
            | Self::Power => NUMBERS,
        }
    }

    /// The kinds of elements that it takes beside a number: none if it has no such form.
    pub(super) fn kinds_with_number(self) -> &'static [ElementKind] {
        match self.kinds() {
            NUMBERS => NUMBERS,
            _ => &[],
        }
    }

    /// Whether the operation preserves zeros, and whether it is homogeneous, with this number as its second operand.
    pub(super) fn with_number(self, number: f64) -> (bool, bool) {
        match self {
            Self::Add | Self::Subtract => (number == 0.0, number == 0.0),
            Self::Multiply => (number.is_finite(), number.is_finite()),
            Self::Divide => (number != 0.0, number != 0.0),
            Self::Remainder => (number != 0.0, false),
            Self::Power => (number > 0.0, number == 1.0),
            Self::PRelu => (true, true),
            Self::ArcTan2 | Self::Hypot | Self::And | Self::Or => (false, false),
        }
    }

    /// The same with any tensor as the second operand.
    pub(super) fn with_tensor(self) -> (bool, bool) {
        match self {
            Self::Multiply | Self::Divide | Self::PRelu => (true, true),
            Self::Remainder => (true, false),
            Self::Add
            | Self::Subtract
            | Self::Power
            | Self::ArcTan2
            | Self::Hypot
            | Self::And
            | Self::Or => (false, false),
        }
    }
}

impl Comparison {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Equal => "eq",
            Self::NotEqual => "ne",
            Self::Greater => "gt",
            Self::GreaterEqual => "ge",
            Self::Less => "lt",
            Self::LessEqual => "le",
        }
    }
}

impl Comparison {
    /// Booleans are equal or not, and have no order.
    pub(super) fn kinds(self) -> Kinds {
        let valid = match self {
            Self::Equal | Self::NotEqual => ANY,
            Self::Greater | Self::GreaterEqual | Self::Less | Self::LessEqual => NUMBERS,
        };
        let operands = [Takes::One(valid), Takes::AsFirst];
        Kinds::of(operands, Gives::Only(ElementKind::Bool))
    }
}

impl Reduction {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Mean => "mean",
            Self::Product => "prod",
            Self::Max => "max",
            Self::Min => "min",
            Self::MaxAbs => "max_abs",
        }
    }

    pub(super) fn is_homogeneous(self) -> bool {
        match self {
            Self::Sum | Self::Mean | Self::Max | Self::Min | Self::MaxAbs => true,
            Self::Product => false,
        }
    }

    pub(super) fn summation(self) -> Summation {
        match self {
            Self::Sum | Self::MaxAbs => Summation::Sum,
            Self::Mean => Summation::Mean,
            Self::Product | Self::Max | Self::Min => Summation::Other,
        }
    }
}
