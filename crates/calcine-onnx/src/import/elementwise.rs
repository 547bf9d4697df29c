//! Element-wise operators.

use std::rc::Rc;

use calcine_graph::{Arithmetic, Comparison, ElementKind, Extent, Map, Op, ValueId};

use super::host::Elements;
use super::importer::{Attributes, Importer, Operand, Reason, is_made, shortest};

type Read = Result<ValueId, Reason>;

/// The operators of one operand for which the graph has an operation.
pub(crate) fn map_of(op: &str) -> Option<Map> {
    Some(match op {
        "Relu" => Map::Relu,
        "Sigmoid" => Map::Sigmoid,
        "Tanh" => Map::Tanh,
        "Abs" => Map::Abs,
        "Neg" => Map::Negate,
        "Sign" => Map::Sign,
        "Exp" => Map::Exp,
        "Log" => Map::Log,
        "Sqrt" => Map::Sqrt,
        "Reciprocal" => Map::Reciprocal,
        "Erf" => Map::Erf,
        "Sin" => Map::Sin,
        "Cos" => Map::Cos,
        "Tan" => Map::Tan,
        "Sinh" => Map::Sinh,
        "Cosh" => Map::Cosh,
        "Asin" => Map::ArcSin,
        "Acos" => Map::ArcCos,
        "Atan" => Map::ArcTan,
        "Asinh" => Map::ArcSinh,
        "Acosh" => Map::ArcCosh,
        "Atanh" => Map::ArcTanh,
        "Floor" => Map::Floor,
        "Ceil" => Map::Ceil,
        "Round" => Map::Round,
        "Not" => Map::Not,
        _ => return None,
    })
}

pub(crate) fn arithmetic_of(op: &str) -> Option<Arithmetic> {
    Some(match op {
        "Add" | "Sum" => Arithmetic::Add,
        "Sub" => Arithmetic::Subtract,
        "Mul" => Arithmetic::Multiply,
        "Div" => Arithmetic::Divide,
        "Mod" => Arithmetic::Remainder,
        "Pow" => Arithmetic::Power,
        "And" => Arithmetic::And,
        "Or" => Arithmetic::Or,
        _ => return None,
    })
}

pub(crate) fn comparison_of(op: &str) -> Option<Comparison> {
    Some(match op {
        "Equal" => Comparison::Equal,
        "Greater" => Comparison::Greater,
        "GreaterOrEqual" => Comparison::GreaterEqual,
        "Less" => Comparison::Less,
        "LessOrEqual" => Comparison::LessEqual,
        _ => return None,
    })
}

/// The number of a constant with one element and no more axes than the other operand, as the shortest decimal number
/// that is the same float.
fn number(operand: &Operand, rank: usize) -> Option<f64> {
    let Operand::Host(host) = operand else {
        return None;
    };
    if host.shape.len() > rank {
        return None;
    }
    match &host.elements {
        Elements::Floats(values) if values.len() == 1 => Some(shortest(values[0])),
        _ => host.scalar(),
    }
}

/// Whether a constant of one element is a parameter: an initializer with an axis and a name of its own.
fn is_parameter(operand: &Operand) -> bool {
    let Operand::Host(host) = operand else {
        return false;
    };
    let own = host.original.as_ref().unwrap_or(&host.shape);
    host.kind() == ElementKind::Float
        && !own.is_empty()
        && host.name.as_deref().is_some_and(|name| !is_made(name))
}

impl Importer {
    pub(crate) fn operand(&mut self, x: &[Option<Operand>], at: usize) -> Result<Operand, Reason> {
        let operand = x.get(at).cloned().flatten();
        operand.ok_or_else(|| format!("its operand {at} is missing"))
    }

    pub(crate) fn arithmetic(&mut self, arithmetic: Arithmetic, a: &Operand, b: &Operand) -> Read {
        let number = |operand: &Operand, rank: usize| {
            number(operand, rank).filter(|_| !is_parameter(operand))
        };
        if let Operand::Value(x) = a
            && let Some(number) = number(b, self.rank(*x))
            && self.takes_number(arithmetic, *x, number)
        {
            return Ok(self.scalar(arithmetic, *x, number));
        }
        if let Operand::Value(x) = b
            && let Some(number) = number(a, self.rank(*x))
        {
            match arithmetic {
                Arithmetic::Add | Arithmetic::Multiply => {
                    return Ok(self.scalar(arithmetic, *x, number));
                }
                Arithmetic::Subtract => {
                    let negative = self.same(Op::Map(Map::Negate), *x);
                    return Ok(self.scalar(Arithmetic::Add, negative, number));
                }
                Arithmetic::Divide if self.kind(*x) == ElementKind::Float => {
                    let reciprocal = self.same(Op::Map(Map::Reciprocal), *x);
                    return Ok(self.scalar(Arithmetic::Multiply, reciprocal, number));
                }
                _ => {}
            }
        }
        if arithmetic == Arithmetic::Add {
            for (product, bias) in [(a, b), (b, a)] {
                if let Operand::Value(product) = product
                    && self.only_read_here(*product)
                    && self.add_bias(*product, bias)?
                {
                    return Ok(*product);
                }
            }
        }
        let (a, mut b) = (self.value(a)?, self.value(b)?);
        let kind = self.kind(a);
        if arithmetic == Arithmetic::Power {
            b = self.cast(b, kind);
        }
        if kind != self.kind(b) {
            return Err("operands of two kinds".to_owned());
        }
        self.zip(Op::Zip(arithmetic), a, b, kind)
    }

    fn takes_number(&self, arithmetic: Arithmetic, x: ValueId, number: f64) -> bool {
        match (arithmetic, self.kind(x)) {
            (Arithmetic::And | Arithmetic::Or, _) | (_, ElementKind::Bool) => false,
            (Arithmetic::Divide | Arithmetic::Remainder, ElementKind::Int) => number > 0.0,
            _ => true,
        }
    }

    /// Whether the current node is the only one that reads a value.
    fn only_read_here(&self, id: ValueId) -> bool {
        self.single_use.contains(&id)
    }

    pub(crate) fn compared(&mut self, comparison: Comparison, a: &Operand, b: &Operand) -> Read {
        let turned = match comparison {
            Comparison::Greater => Comparison::Less,
            Comparison::GreaterEqual => Comparison::LessEqual,
            Comparison::Less => Comparison::Greater,
            Comparison::LessEqual => Comparison::GreaterEqual,
            same => same,
        };
        for (x, other, comparison) in [(a, b, comparison), (b, a, turned)] {
            if let Operand::Value(x) = x
                && let Some(number) = number(other, self.rank(*x))
            {
                let shape = self.shape(*x);
                return Ok(self.push(
                    Op::CompareScalar(comparison, number),
                    vec![*x],
                    shape,
                    ElementKind::Bool,
                ));
            }
        }
        let (a, b) = (self.value(a)?, self.value(b)?);
        self.zip(Op::Compare(comparison), a, b, ElementKind::Bool)
    }

    /// `Mod` with `fmod`: the remainder that has the sign of the dividend.
    pub(crate) fn truncated_remainder(&mut self, a: &Operand, b: &Operand) -> Read {
        let (a, b) = (self.value(a)?, self.value(b)?);
        let (size, by) = (self.map(Map::Abs, a), self.map(Map::Abs, b));
        let rest = self.both(Arithmetic::Remainder, size, by)?;
        let sign = self.map(Map::Sign, a);
        self.both(Arithmetic::Multiply, rest, sign)
    }

    /// `Shrink`: numbers near zero become zero, and others are moved towards zero.
    pub(crate) fn shrink(&mut self, a: &Attributes<'_, '_>, x: ValueId) -> Read {
        let (lambda, bias) = (a.float("lambd", 0.5)?, a.float("bias", 0.0)?);
        let kind = self.kind(x);
        let x = self.cast(x, ElementKind::Float);
        let less = self.scalar(Arithmetic::Subtract, x, bias);
        let not_above = self.compared_with(Comparison::LessEqual, x, lambda);
        let above = self.with_number_where(less, not_above, 0.0)?;
        let more = self.scalar(Arithmetic::Add, x, bias);
        let not_below = self.compared_with(Comparison::GreaterEqual, x, -lambda);
        let below = self.with_number_where(more, not_below, 0.0)?;
        let sum = self.both(Arithmetic::Add, above, below)?;
        Ok(self.cast(sum, kind))
    }

    /// `IsInf` for one sign or both.
    pub(crate) fn is_infinite(&mut self, a: &Attributes<'_, '_>, x: ValueId) -> Read {
        let (up, down) = (
            a.int("detect_positive", 1)? != 0,
            a.int("detect_negative", 1)? != 0,
        );
        let infinite = match (up, down) {
            (true, true) => {
                let size = self.map(Map::Abs, x);
                return Ok(self.compared_with(Comparison::Equal, size, f64::INFINITY));
            }
            (true, false) => f64::INFINITY,
            (false, true) => f64::NEG_INFINITY,
            (false, false) => return Err("neither of the infinities".to_owned()),
        };
        Ok(self.compared_with(Comparison::Equal, x, infinite))
    }

    pub(crate) fn choice(&mut self, x: &[Option<Operand>]) -> Read {
        let [mask, yes, no] = [
            self.operand(x, 0)?,
            self.operand(x, 1)?,
            self.operand(x, 2)?,
        ];
        let mask = self.value(&mask)?;
        // Replaces elements by a number where the mask is true, or where it is false.
        for (number_of, other, when) in [(&yes, &no, true), (&no, &yes, false)] {
            let Some(number) = number(number_of, usize::MAX) else {
                continue;
            };
            let other = self.value(other)?;
            let operands = self.aligned(&[other, mask])?;
            let shape = self.broadcast(&operands)?;
            let other = self.spread(operands[0], &shape);
            let mask = match when {
                true => operands[1],
                false => self.same(Op::Map(Map::Not), operands[1]),
            };
            let kind = self.kind(other);
            return Ok(self.push(Op::Fill(number), vec![other, mask], shape, kind));
        }
        let (yes, no) = (self.value(&yes)?, self.value(&no)?);
        let operands = self.aligned(&[no, mask, yes])?;
        let shape = self.broadcast(&operands)?;
        let operands = operands
            .into_iter()
            .map(|id| self.spread(id, &shape))
            .collect();
        let kind = self.kind(no);
        Ok(self.push(Op::Where, operands, shape, kind))
    }

    /// Broadcasts a value to a shape.
    pub(crate) fn spread(&mut self, id: ValueId, shape: &[Extent]) -> ValueId {
        if self.shape(id) == shape {
            return id;
        }
        let kind = self.kind(id);
        self.push(Op::Expand, vec![id], shape.to_vec(), kind)
    }

    pub(crate) fn clip(&mut self, a: &Attributes<'_, '_>, x: &[Option<Operand>]) -> Read {
        let input = self.operand(x, 0)?;
        let input = self.value(&input)?;
        let bound = |at: usize, name: &str| -> Result<Option<f64>, Reason> {
            if self.opset < 11 {
                let none = f64::from(f32::MAX);
                let value = a.float(name, if at == 1 { -none } else { none })?;
                return Ok(Some(value).filter(|value| value.abs() < 3.4e38));
            }
            match x.get(at) {
                None | Some(None) => Ok(None),
                Some(Some(operand)) => number(operand, usize::MAX)
                    .map(Some)
                    .ok_or_else(|| "bounds that are computed".to_owned()),
            }
        };
        let computed = |operand: &Option<Operand>| matches!(operand, Some(Operand::Value(_)));
        if self.opset >= 11 && x.iter().skip(1).any(computed) {
            let mut value = Operand::Value(input);
            for (at, largest) in [(1, true), (2, false)] {
                if let Some(bound) = x.get(at).cloned().flatten() {
                    value = Operand::Value(self.extreme(&[Some(value), Some(bound)], largest)?);
                }
            }
            return self.value(&value);
        }
        let (low, high) = (bound(1, "min")?, bound(2, "max")?);
        if let Some(codes) = self.clipped_codes(input, low, high)? {
            return Ok(codes);
        }
        let map = match (low, high) {
            // If the lower bound is above the upper one, the result is the upper one.
            (Some(low), Some(high)) if low > high => Map::Clamp { low: high, high },
            (Some(low), Some(high)) => Map::Clamp { low, high },
            (Some(low), None) => Map::ClampMin(low),
            (None, Some(high)) => Map::ClampMax(high),
            (None, None) => return Ok(input),
        };
        Ok(self.same(Op::Map(map), input))
    }

    pub(crate) fn prelu(&mut self, x: &[Option<Operand>]) -> Read {
        let input = self.operand(x, 0)?;
        let input = self.value(&input)?;
        let shape = self.shape(input);
        let slopes = self.operand(x, 1)?;
        if let Operand::Host(host) = &slopes
            && shape.len() > 1
        {
            let channels = shape.get(1).map_or(1, |extent| extent.fixed);
            // Without a batch axis, the channels are the first axis.
            let leading = shape.len() - host.shape.len().min(shape.len());
            let axis = host.shape.iter().position(|&length| length > 1);
            let placed = axis.is_none_or(|axis| axis + leading == 1)
                && (host.len() == 1 || host.len() == channels);
            if placed {
                let vector = Rc::new(host.reshaped(vec![host.len()]));
                let vector = self.tensor(&vector, "PRelu", "weight")?;
                let mut target = vec![Extent::fixed(1); shape.len()];
                if let Some(axis) = target.get_mut(1) {
                    *axis = Extent::fixed(host.len());
                }
                let slopes = self.reshaped(vector, target);
                return Ok(self.push(
                    Op::Zip(Arithmetic::PRelu),
                    vec![input, slopes],
                    shape,
                    ElementKind::Float,
                ));
            }
        }
        // max(x, 0) + slope · min(x, 0)
        let above = self.same(Op::Map(Map::Relu), input);
        let below = self.same(Op::Map(Map::ClampMax(0.0)), input);
        let slopes = self.value(&slopes)?;
        let sloped = self.zip(
            Op::Zip(Arithmetic::Multiply),
            below,
            slopes,
            ElementKind::Float,
        )?;
        self.zip(Op::Zip(Arithmetic::Add), above, sloped, ElementKind::Float)
    }

    /// Activation functions that are composed of other operations of the graph.
    pub(crate) fn activation(
        &mut self,
        op: &str,
        a: &Attributes<'_, '_>,
        x: ValueId,
    ) -> Option<Read> {
        let read = match op {
            "LeakyRelu" => a
                .float("alpha", 0.01)
                .map(|slope| self.same(Op::Map(Map::LeakyRelu(slope)), x)),
            "HardSigmoid" => a.float("alpha", 0.2).and_then(|alpha| {
                let beta = a.float("beta", 0.5)?;
                Ok(self.same(Op::Map(Map::HardSigmoid { alpha, beta }), x))
            }),
            "HardSwish" => {
                let gate = self.same(
                    Op::Map(Map::HardSigmoid {
                        alpha: 1.0 / 6.0,
                        beta: 0.5,
                    }),
                    x,
                );
                self.zip(Op::Zip(Arithmetic::Multiply), x, gate, ElementKind::Float)
            }
            "Softplus" => Ok(self.softplus(x)),
            "Softsign" => self.softsign(x),
            "Mish" => {
                let soft = self.softplus(x);
                let gate = self.same(Op::Map(Map::Tanh), soft);
                self.zip(Op::Zip(Arithmetic::Multiply), x, gate, ElementKind::Float)
            }
            "Swish" => a.float("alpha", 1.0).and_then(|alpha| {
                let scaled = self.scalar(Arithmetic::Multiply, x, alpha);
                let gate = self.same(Op::Map(Map::Sigmoid), scaled);
                self.zip(Op::Zip(Arithmetic::Multiply), x, gate, ElementKind::Float)
            }),
            "Elu" => a
                .float("alpha", 1.0)
                .and_then(|alpha| self.elu(x, alpha, 1.0)),
            "Celu" => a.float("alpha", 1.0).and_then(|alpha| {
                let scaled = self.scalar(Arithmetic::Divide, x, alpha);
                let negative = self.exponential(scaled, alpha);
                self.joined(x, negative)
            }),
            "Selu" => a.float("alpha", 1.673_263_192_176_818_8).and_then(|alpha| {
                let gamma = a.float("gamma", 1.050_701_022_148_132_3)?;
                self.elu(x, alpha * gamma, gamma)
            }),
            "ThresholdedRelu" => a.float("alpha", 1.0).map(|alpha| {
                let shape = self.shape(x);
                let mask = self.push(
                    Op::CompareScalar(Comparison::LessEqual, alpha),
                    vec![x],
                    shape.clone(),
                    ElementKind::Bool,
                );
                self.push(Op::Fill(0.0), vec![x, mask], shape, ElementKind::Float)
            }),
            "Gelu" => a
                .text("approximate", "none")
                .and_then(|kind| match kind.as_str() {
                    "none" => Ok(self.same(Op::Map(Map::Gelu), x)),
                    _ => {
                        let cube = self.same(Op::Scalar(Arithmetic::Power, 3.0), x);
                        let cube = self.scalar(Arithmetic::Multiply, cube, 0.044_715);
                        let sum =
                            self.zip(Op::Zip(Arithmetic::Add), x, cube, ElementKind::Float)?;
                        let scale = (2.0 / std::f64::consts::PI).sqrt();
                        let inner = self.scalar(Arithmetic::Multiply, sum, scale);
                        let bent = self.same(Op::Map(Map::Tanh), inner);
                        let gate = self.scalar(Arithmetic::Add, bent, 1.0);
                        let whole =
                            self.zip(Op::Zip(Arithmetic::Multiply), x, gate, ElementKind::Float)?;
                        Ok(self.scalar(Arithmetic::Multiply, whole, 0.5))
                    }
                }),
            _ => return None,
        };
        Some(read)
    }

    /// `scale · (exp(x) − 1)` where `x ≤ 0`, and 0 elsewhere.
    fn exponential(&mut self, x: ValueId, scale: f64) -> ValueId {
        let negative = self.same(Op::Map(Map::ClampMax(0.0)), x);
        let power = self.same(Op::Map(Map::Exp), negative);
        let less = self.scalar(Arithmetic::Subtract, power, 1.0);
        self.scalar(Arithmetic::Multiply, less, scale)
    }

    pub(crate) fn softplus(&mut self, x: ValueId) -> ValueId {
        let negative = self.map(Map::Negate, x);
        let log = self.map(Map::LogSigmoid, negative);
        self.map(Map::Negate, log)
    }

    pub(crate) fn softsign(&mut self, x: ValueId) -> Read {
        let size = self.map(Map::Abs, x);
        let size = self.scalar(Arithmetic::Add, size, 1.0);
        self.both(Arithmetic::Divide, x, size)
    }

    fn joined(&mut self, x: ValueId, negative: ValueId) -> Read {
        let positive = self.same(Op::Map(Map::Relu), x);
        self.zip(
            Op::Zip(Arithmetic::Add),
            positive,
            negative,
            ElementKind::Float,
        )
    }

    pub(crate) fn elu(&mut self, x: ValueId, scale: f64, gamma: f64) -> Read {
        let negative = self.exponential(x, scale);
        let positive = self.same(Op::Map(Map::Relu), x);
        let positive = self.scalar(Arithmetic::Multiply, positive, gamma);
        self.zip(
            Op::Zip(Arithmetic::Add),
            positive,
            negative,
            ElementKind::Float,
        )
    }

    /// `SwiGLU`: the swish of a gate, times a value.
    pub(crate) fn swish_gate(&mut self, a: &Attributes<'_, '_>, x: &[Option<Operand>]) -> Read {
        let (gate, value) = (self.operand(x, 0)?, self.operand(x, 1)?);
        let (gate, value) = (self.value(&gate)?, self.value(&value)?);
        let scaled = self.scalar(Arithmetic::Multiply, gate, a.float("alpha", 1.0)?);
        let open = self.map(Map::Sigmoid, scaled);
        let swish = self.both(Arithmetic::Multiply, gate, open)?;
        self.both(Arithmetic::Multiply, swish, value)
    }

    pub(crate) fn cast(&mut self, x: ValueId, to: ElementKind) -> ValueId {
        let shape = self.shape(x);
        match (self.kind(x), to) {
            (from, to) if from == to => x,
            (_, ElementKind::Bool) => self.push(
                Op::CompareScalar(Comparison::NotEqual, 0.0),
                vec![x],
                shape,
                ElementKind::Bool,
            ),
            (_, to) => self.push(Op::Cast, vec![x], shape, to),
        }
    }

    /// The minimum or maximum of several operands.
    pub(crate) fn extreme(&mut self, x: &[Option<Operand>], largest: bool) -> Read {
        let first = self.operand(x, 0)?;
        let mut best = first;
        for at in 1..x.len() {
            let other = self.operand(x, at)?;
            let pair = [(best.clone(), other.clone()), (other.clone(), best.clone())];
            let with_number = pair.iter().find_map(|(value, constant)| match value {
                Operand::Value(id) => Some((*id, number(constant, self.rank(*id))?)),
                Operand::Host(_) => None,
            });
            best = Operand::Value(match with_number {
                Some((id, number)) => {
                    let map = if largest {
                        Map::ClampMin(number)
                    } else {
                        Map::ClampMax(number)
                    };
                    self.same(Op::Map(map), id)
                }
                None => {
                    let (a, b) = (self.value(&best)?, self.value(&other)?);
                    self.larger(a, b, largest)?
                }
            });
        }
        self.value(&best)
    }
}
