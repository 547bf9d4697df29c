//! What can be computed when a file is read: of constants, and of shapes.

use std::cmp::Ordering;
use std::rc::Rc;

use calcine_graph::ElementKind;

use super::elementwise::{arithmetic_of, comparison_of};
use super::host::{Elements, Host, Number, Positions, strides};
use super::importer::{Attributes, Importer, Operand, Reason, axis_of};
use super::shapes::{is_outside, permutation, range, unsqueezed};
use crate::proto::data_type;

type Folded = Result<Host, Reason>;

/// The kind that elements of ONNX's type are read as.
pub(crate) fn kind_of(kind: i64) -> Result<ElementKind, Reason> {
    match kind {
        data_type::FLOAT | data_type::DOUBLE | data_type::FLOAT16 | data_type::BFLOAT16 => {
            Ok(ElementKind::Float)
        }
        data_type::BOOL => Ok(ElementKind::Bool),
        data_type::INT8
        | data_type::INT16
        | data_type::INT32
        | data_type::INT64
        | data_type::UINT8
        | data_type::UINT16
        | data_type::UINT32
        | data_type::UINT64 => Ok(ElementKind::Int),
        other => Err(format!("elements of ONNX's type {other}")),
    }
}

fn unclear() -> Reason {
    "it computes with the size of the batch in a way that is not a straight line".to_owned()
}

impl Importer {
    /// The results of a node whose operands are all known; `None` if it is computed by the network.
    pub(crate) fn folded(
        &mut self,
        op: &str,
        a: &Attributes<'_, '_>,
        x: &[Option<Operand>],
    ) -> Option<Result<Vec<Host>, Reason>> {
        let hosts: Option<Vec<Option<Rc<Host>>>> = x
            .iter()
            .map(|operand| match operand {
                None => Some(None),
                Some(Operand::Host(host)) => Some(Some(Rc::clone(host))),
                Some(Operand::Value(_)) => None,
            })
            .collect();
        let hosts = hosts?;
        if op == "Split" {
            return Some(self.split_hosts(a, &hosts));
        }
        self.fold(op, a, &hosts).map(|folded| {
            let host = folded?;
            self.spend(host.len() as u128)?;
            Ok(vec![host])
        })
    }

    fn fold(&mut self, op: &str, a: &Attributes<'_, '_>, x: &[Option<Rc<Host>>]) -> Option<Folded> {
        let get = |at: usize| x.get(at).cloned().flatten();
        let ints = |at: usize, name: &str| -> Result<Option<Vec<i64>>, Reason> {
            match (a.ints(name)?, get(at)) {
                (Some(own), _) => Ok(Some(own)),
                (None, Some(host)) => host.known().map(Some).ok_or_else(unclear),
                (None, None) => Ok(None),
            }
        };
        if let Some(arithmetic) = arithmetic_of(op) {
            return Some(self.zip_hosts(&*get(0)?, &*get(1)?, |a, b| combined(arithmetic, a, b)));
        }
        if let Some(comparison) = comparison_of(op) {
            return Some(self.zip_hosts(&*get(0)?, &*get(1)?, |a, b| compared(comparison, a, b)));
        }
        if matches!(op, "Min" | "Max") && x.len() == 2 {
            let wanted = if op == "Max" {
                Ordering::Greater
            } else {
                Ordering::Less
            };
            return Some(self.zip_hosts(&*get(0)?, &*get(1)?, |a, b| extreme(wanted, a, b)));
        }
        let first = get(0)?;
        Some(match op {
            "Identity" | "Dropout" => Ok((*first).clone()),
            "Cast" => a
                .int("to", 1)
                .and_then(kind_of)
                .and_then(|to| cast(&first, to)),
            "CastLike" => cast(&first, get(1)?.kind()),
            "Neg" | "Abs" | "Sqrt" | "Floor" | "Ceil" | "Not" | "Exp" | "Log" | "Reciprocal" => {
                mapped(op, &first)?
            }
            "Shape" => shape_of(
                a,
                &first
                    .shape
                    .iter()
                    .map(|&length| signed(length))
                    .collect::<Vec<_>>(),
            ),
            "Size" => Ok(Host::ints(Vec::new(), vec![signed(first.len())])),
            "Reshape" => {
                let target = match a.ints("shape") {
                    Ok(Some(own)) => Ok(own),
                    _ => get(1)?.known().ok_or_else(unclear),
                };
                target.and_then(|target| reshaped(&first, &target, a.int("allowzero", 0)? == 0))
            }
            "Flatten" => a.int("axis", 1).and_then(|axis| {
                let axis = axis_of(axis, first.shape.len() + usize::from(axis >= 0))?;
                let shape = vec![
                    first.shape[..axis].iter().product(),
                    first.shape[axis..].iter().product(),
                ];
                Ok(first.reshaped(shape))
            }),
            "Squeeze" => ints(1, "axes").and_then(|axes| {
                let rank = first.shape.len();
                let axes = axes.map(|axes| {
                    axes.iter()
                        .map(|&axis| axis_of(axis, rank))
                        .collect::<Result<Vec<_>, _>>()
                });
                let axes = axes.transpose()?;
                let goes = |axis: usize| {
                    axes.as_ref()
                        .map_or(first.shape[axis] == 1, |axes| axes.contains(&axis))
                };
                if (0..rank).any(|axis| goes(axis) && first.shape[axis] != 1) {
                    return Err("an axis that is not of length 1".to_owned());
                }
                Ok(first.reshaped(
                    (0..rank)
                        .filter(|&axis| !goes(axis))
                        .map(|axis| first.shape[axis])
                        .collect(),
                ))
            }),
            "Unsqueeze" => ints(1, "axes").and_then(|axes| {
                let shape = unsqueezed(&first.shape, &axes.ok_or("its axes are missing")?, 1)?;
                Ok(first.reshaped(shape))
            }),
            "Transpose" => permutation(a, first.shape.len()).map(|axes| first.permuted(&axes)),
            "Concat" => concat(a, x),
            "Slice" => sliced(
                &first,
                ints(1, "starts"),
                ints(2, "ends"),
                ints(3, "axes"),
                ints(4, "steps"),
            ),
            "Gather" => {
                let indices = get(1)?;
                self.allows(&[first.len(), indices.len()])
                    .and_then(|()| gathered(a, &first, &indices))
            }
            "GatherND" if first.len() > 0 => {
                let indices = get(1)?;
                self.allows(&[first.len(), indices.len()])
                    .and_then(|()| gathered_nd(a, &first, &indices))
            }
            "Expand" => Ok(get(1)?.known()?).and_then(|target| {
                let target = lengths(&target)?;
                let rank = target.len().max(first.shape.len());
                let own = |shape: &[usize], axis: usize| {
                    (axis + shape.len())
                        .checked_sub(rank)
                        .map_or(1, |at| shape[at])
                };
                let shape =
                    (0..rank).map(|axis| match (own(&first.shape, axis), own(&target, axis)) {
                        (1, length) => length,
                        (length, _) => length,
                    });
                let shape: Vec<usize> = shape.collect();
                self.allows(&shape)?;
                first
                    .broadcast(&shape)
                    .ok_or_else(|| format!("{:?} does not become {shape:?}", first.shape))
            }),
            "Tile" => ints(1, "repeats").and_then(|repeats| {
                let repeats = lengths(&repeats.ok_or("its repeats are missing")?)?;
                if repeats.len() != first.shape.len() {
                    return Err("repeats for another number of axes".to_owned());
                }
                let shape: Option<Vec<usize>> = first
                    .shape
                    .iter()
                    .zip(&repeats)
                    .map(|(a, b)| a.checked_mul(*b))
                    .collect();
                let shape = shape.ok_or("an axis that is too long")?;
                self.allows(&shape)?;
                let own = strides(&first.shape);
                let position = |at: usize| {
                    let steps = strides(&shape);
                    let axes = 0..shape.len();
                    axes.map(|axis| {
                        (at / steps[axis] % shape[axis] % first.shape[axis]) * own[axis]
                    })
                    .sum()
                };
                let count = shape.iter().product();
                Ok(first.picked(shape.clone(), (0..count).map(position)))
            }),
            "ConstantOfShape" => {
                let known = first.known()?;
                lengths(&known).and_then(|shape| {
                    self.allows(&shape)?;
                    let value = self.value_attribute(a)?;
                    value
                        .broadcast(&shape)
                        .ok_or_else(|| "a value of more than one element".to_owned())
                })
            }
            "Range" => {
                let [start, limit, delta] = [first, get(1)?, get(2)?].map(|host| host.scalar());
                let kind = get(1)?.kind();
                self.ranged([start?, limit?, delta?], kind)
            }
            "Where" => {
                let (mask, yes, no) = (first, get(1)?, get(2)?);
                self.chosen(&mask, &yes, &no)
            }
            "Trilu" => {
                let offset = get(1)
                    .and_then(|host| host.known())
                    .and_then(|k| k.first().copied())
                    .unwrap_or(0);
                a.int("upper", 1)
                    .and_then(|upper| triangle(&first, offset, upper != 0))
            }
            "ScatterND" => scattered(&first, &*get(1)?, &*get(2)?),
            "ReduceProd" | "ReduceSum" | "ReduceMax" | "ReduceMin" if first.numbers().is_some() => {
                ints(1, "axes").and_then(|axes| {
                    reduced(op, &first, axes.as_deref(), a.int("keepdims", 1)? != 0)
                })
            }
            _ => return None,
        })
    }

    /// Whether a constant of this shape may be made.
    fn allows(&self, shape: &[usize]) -> Result<(), Reason> {
        let mut lengths = shape.iter();
        let elements = lengths.try_fold(1_u128, |all, &length| all.checked_mul(length as u128));
        match elements {
            Some(elements) if elements <= self.budget => Ok(()),
            _ => Err(format!(
                "a constant of shape {shape:?}, more than a file of this size may make"
            )),
        }
    }

    /// The attribute `value` of a constant that a shape is filled with.
    pub(crate) fn value_attribute(&mut self, a: &Attributes<'_, '_>) -> Folded {
        match a.0.attribute("value") {
            None => Ok(Host::floats(Vec::new(), vec![0.0])),
            Some(crate::proto::AttributeValue::Tensor(tensor)) => {
                let host = super::host::Folder::default().host(tensor);
                let host = host.map_err(|error| error.to_string())?;
                match host.len() {
                    1 => Ok(host.reshaped(Vec::new())),
                    count => Err(format!("a value of {count} elements")),
                }
            }
            Some(_) => Err("its attribute `value` is not a tensor".to_owned()),
        }
    }

    fn zip_hosts(
        &self,
        a: &Host,
        b: &Host,
        with: impl Fn(Element, Element) -> Option<Element>,
    ) -> Folded {
        let rank = a.shape.len().max(b.shape.len());
        let own = |shape: &[usize], axis: usize| {
            (axis + shape.len())
                .checked_sub(rank)
                .map_or(1, |at| shape[at])
        };
        let shape = (0..rank).map(|axis| match (own(&a.shape, axis), own(&b.shape, axis)) {
            (1, length) => length,
            (length, _) => length,
        });
        let shape: Vec<usize> = shape.collect();
        self.allows(&shape)?;
        let fit = || format!("{:?} and {:?} do not broadcast", a.shape, b.shape);
        let (a, b) = (
            a.broadcast(&shape).ok_or_else(fit)?,
            b.broadcast(&shape).ok_or_else(fit)?,
        );
        let results = (0..a.len()).map(|at| with(a.element(at), b.element(at)));
        let results: Option<Vec<Element>> = results.collect();
        Host::of(shape, results.ok_or_else(unclear)?)
    }

    fn chosen(&self, mask: &Host, yes: &Host, no: &Host) -> Folded {
        let pair = self.zip_hosts(mask, yes, |_, yes| Some(yes))?;
        let pair = self.zip_hosts(&pair, no, |yes, _| Some(yes))?;
        let fit = || "shapes that do not broadcast".to_owned();
        let mask = mask.broadcast(&pair.shape).ok_or_else(fit)?;
        let no = no.broadcast(&pair.shape).ok_or_else(fit)?;
        let each = (0..pair.len()).map(|at| match mask.element(at) {
            Element::Bool(true) => pair.element(at),
            _ => no.element(at),
        });
        let each: Vec<Element> = each.collect();
        Host::of(pair.shape, each)
    }

    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "numbers of a range"
    )]
    fn ranged(&self, [start, limit, delta]: [f64; 3], kind: ElementKind) -> Folded {
        if delta == 0.0 || !(start.is_finite() && limit.is_finite() && delta.is_finite()) {
            return Err("a range without end".to_owned());
        }
        let count = ((limit - start) / delta).ceil().max(0.0);
        if count > 1e15 {
            return Err("a range that is too long".to_owned());
        }
        #[allow(clippy::cast_sign_loss, reason = "not negative")]
        let count = count as usize;
        self.allows(&[count])?;
        let values = (0..count).map(|at| start + delta * at as f64);
        Ok(match kind {
            ElementKind::Int => Host::ints(
                vec![count],
                values.map(|value| Number::fixed(value as i64)).collect(),
            ),
            _ => Host::floats(vec![count], values.map(|value| value as f32).collect()),
        })
    }

    fn split_hosts(
        &mut self,
        a: &Attributes<'_, '_>,
        x: &[Option<Rc<Host>>],
    ) -> Result<Vec<Host>, Reason> {
        let first = x
            .first()
            .cloned()
            .flatten()
            .ok_or("its operand 0 is missing")?;
        let axis = axis_of(a.int("axis", 0)?, first.shape.len())?;
        let outputs = a.0.outputs.len();
        let sizes = match (a.ints("split")?, x.get(1).cloned().flatten()) {
            (Some(own), _) => lengths(&own)?,
            (None, Some(host)) => lengths(&host.known().ok_or_else(unclear)?)?,
            (None, None) => {
                let each = first.shape[axis].div_ceil(outputs.max(1));
                (0..outputs)
                    .map(|at| first.shape[axis].saturating_sub(at * each).min(each))
                    .collect()
            }
        };
        let mut start = 0_usize;
        let mut parts = Vec::new();
        for size in sizes.into_iter().take(outputs) {
            let end = start
                .checked_add(size)
                .filter(|end| *end <= first.shape[axis])
                .ok_or("parts longer than the axis")?;
            let part = |at: usize| i64::try_from(at).unwrap_or(i64::MAX);
            let axes = Ok(Some(vec![part(axis)]));
            let host = sliced(
                &first,
                Ok(Some(vec![part(start)])),
                Ok(Some(vec![part(end)])),
                axes,
                Ok(None),
            )?;
            self.spend(host.len() as u128)?;
            parts.push(host);
            start = end;
        }
        Ok(parts)
    }
}

/// The shape of a tensor as integers.
pub(crate) fn shape_of(a: &Attributes<'_, '_>, shape: &[Number]) -> Folded {
    let rank = i64::try_from(shape.len()).unwrap_or(i64::MAX);
    let place = |at: i64| {
        let counted = if at < 0 { at.saturating_add(rank) } else { at };
        usize::try_from(counted.clamp(0, rank)).unwrap_or(0)
    };
    let (start, end) = (place(a.int("start", 0)?), place(a.int("end", rank)?));
    let part = shape.get(start..end).unwrap_or_default();
    Ok(Host::ints(vec![part.len()], part.to_vec()))
}

/// One element of a tensor.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Element {
    Float(f32),
    Int(Number),
    Bool(bool),
}

impl Host {
    fn element(&self, at: usize) -> Element {
        match &self.elements {
            Elements::Floats(values) => Element::Float(values[at]),
            Elements::Ints(values) => Element::Int(values[at]),
            Elements::Bools(values) => Element::Bool(values[at]),
        }
    }

    fn of(shape: Vec<usize>, elements: Vec<Element>) -> Folded {
        let mixed = || "elements of two kinds".to_owned();
        Ok(match elements.first() {
            None | Some(Element::Int(_)) => {
                let ints = elements.into_iter().map(|element| match element {
                    Element::Int(value) => Ok(value),
                    _ => Err(mixed()),
                });
                Self::ints(shape, ints.collect::<Result<_, _>>()?)
            }
            Some(Element::Float(_)) => {
                let floats = elements.into_iter().map(|element| match element {
                    Element::Float(value) => Ok(value),
                    _ => Err(mixed()),
                });
                Self::floats(shape, floats.collect::<Result<_, _>>()?)
            }
            Some(Element::Bool(_)) => {
                let bools = elements.into_iter().map(|element| match element {
                    Element::Bool(value) => Ok(value),
                    _ => Err(mixed()),
                });
                Self::bools(shape, bools.collect::<Result<_, _>>()?)
            }
        })
    }
}

fn combined(with: calcine_graph::Arithmetic, a: Element, b: Element) -> Option<Element> {
    use calcine_graph::Arithmetic as A;
    Some(match (a, b) {
        (Element::Float(a), Element::Float(b)) => Element::Float(match with {
            A::Add => a + b,
            A::Subtract => a - b,
            A::Multiply => a * b,
            A::Divide => a / b,
            A::Power => a.powf(b),
            A::Remainder => a % b,
            _ => return None,
        }),
        (Element::Int(a), Element::Int(b)) => Element::Int(match with {
            A::Add => a.plus(b)?,
            A::Subtract => a.plus(b.times(Number::fixed(-1))?)?,
            A::Multiply => a.times(b)?,
            A::Divide => a.divided(b)?,
            A::Remainder => {
                let (a, b) = (a.known()?, b.known()?);
                Number::fixed(if b == 0 {
                    return None;
                } else {
                    a.checked_rem_euclid(b)?
                })
            }
            A::Power => Number::fixed(a.known()?.checked_pow(u32::try_from(b.known()?).ok()?)?),
            _ => return None,
        }),
        // A power of floats may be told in integers.
        (Element::Float(a), Element::Int(b)) if with == A::Power => {
            #[allow(clippy::cast_precision_loss, reason = "an exponent")]
            let power = b.known()? as f32;
            Element::Float(a.powf(power))
        }
        (Element::Bool(a), Element::Bool(b)) => Element::Bool(match with {
            A::And => a && b,
            A::Or => a || b,
            _ => return None,
        }),
        _ => return None,
    })
}

/// How two elements compare for every batch; `None` if that depends on it.
fn order(a: Element, b: Element) -> Option<Ordering> {
    match (a, b) {
        (Element::Float(a), Element::Float(b)) => a.partial_cmp(&b),
        (Element::Bool(a), Element::Bool(b)) => Some(a.cmp(&b)),
        (Element::Int(a), Element::Int(b)) => {
            let fixed = a.fixed.checked_sub(b.fixed)?;
            let growing = a.per_sample.checked_sub(b.per_sample)?;
            // A batch has a sample at least.
            let least = fixed.checked_add(growing)?;
            match (growing.cmp(&0), least.cmp(&0)) {
                (Ordering::Equal, order) => Some(order),
                (Ordering::Greater, Ordering::Greater) => Some(Ordering::Greater),
                (Ordering::Less, Ordering::Less) => Some(Ordering::Less),
                _ => None,
            }
        }
        _ => None,
    }
}

fn compared(with: calcine_graph::Comparison, a: Element, b: Element) -> Option<Element> {
    use calcine_graph::Comparison as C;
    let order = order(a, b)?;
    Some(Element::Bool(match with {
        C::Equal => order.is_eq(),
        C::NotEqual => order.is_ne(),
        C::Greater => order.is_gt(),
        C::GreaterEqual => order.is_ge(),
        C::Less => order.is_lt(),
        C::LessEqual => order.is_le(),
    }))
}

fn extreme(wanted: Ordering, a: Element, b: Element) -> Option<Element> {
    Some(if order(a, b)? == wanted { a } else { b })
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "as a cast is"
)]
fn cast(host: &Host, to: ElementKind) -> Folded {
    if host.kind() == to {
        return Ok(host.clone());
    }
    let elements = (0..host.len()).map(|at| {
        Some(match (host.element(at), to) {
            (Element::Float(x), ElementKind::Int) => Element::Int(Number::fixed(x as i64)),
            (Element::Float(x), _) => Element::Bool(x != 0.0),
            (Element::Int(x), ElementKind::Float) => Element::Float(x.known()? as f32),
            (Element::Int(x), _) => Element::Bool(x.known()? != 0),
            (Element::Bool(x), ElementKind::Float) => Element::Float(f32::from(u8::from(x))),
            (Element::Bool(x), _) => Element::Int(Number::fixed(x.into())),
        })
    });
    let elements: Option<Vec<Element>> = elements.collect();
    Host::of(host.shape.clone(), elements.ok_or_else(unclear)?)
}

fn mapped(op: &str, host: &Host) -> Option<Folded> {
    let each = (0..host.len()).map(|at| {
        Some(match (op, host.element(at)) {
            ("Not", Element::Bool(x)) => Element::Bool(!x),
            ("Neg", Element::Int(x)) => Element::Int(x.times(Number::fixed(-1))?),
            ("Abs", Element::Int(x)) => Element::Int(Number::fixed(x.known()?.checked_abs()?)),
            (op, Element::Float(x)) => Element::Float(match op {
                "Neg" => -x,
                "Abs" => x.abs(),
                "Sqrt" => x.sqrt(),
                "Floor" => x.floor(),
                "Ceil" => x.ceil(),
                "Exp" => x.exp(),
                "Log" => x.ln(),
                "Reciprocal" => x.recip(),
                _ => return None,
            }),
            _ => return None,
        })
    });
    let each: Option<Vec<Element>> = each.collect();
    Some(Host::of(host.shape.clone(), each?))
}

fn signed(length: usize) -> Number {
    Number::fixed(i64::try_from(length).unwrap_or(i64::MAX))
}

fn lengths(values: &[i64]) -> Result<Vec<usize>, Reason> {
    let lengths = values.iter().map(|&value| usize::try_from(value).ok());
    let lengths: Option<Vec<usize>> = lengths.collect();
    lengths.ok_or_else(|| format!("lengths of {values:?}"))
}

fn reshaped(host: &Host, target: &[i64], keeps: bool) -> Folded {
    let mut shape = Vec::with_capacity(target.len());
    for (axis, &length) in target.iter().enumerate() {
        shape.push(match length {
            -1 => None,
            0 if keeps => Some(*host.shape.get(axis).ok_or("an axis beyond the last")?),
            length => Some(usize::try_from(length).map_err(|_| format!("a length of {length}"))?),
        });
    }
    let mut rest = shape.iter().copied().flatten();
    let rest = rest
        .try_fold(1_usize, usize::checked_mul)
        .ok_or("a tensor that is too large")?;
    let left = host.len().checked_div(rest).unwrap_or(0);
    let shape: Vec<usize> = shape
        .into_iter()
        .map(|length| length.unwrap_or(left))
        .collect();
    let mut all = shape.iter().copied();
    match all.try_fold(1_usize, usize::checked_mul) == Some(host.len()) {
        true => Ok(host.reshaped(shape)),
        false => Err(format!("{:?} does not become {target:?}", host.shape)),
    }
}

fn concat(a: &Attributes<'_, '_>, x: &[Option<Rc<Host>>]) -> Folded {
    let hosts: Vec<&Rc<Host>> = x.iter().flatten().collect();
    let first = *hosts.first().ok_or("no operands")?;
    if let [only] = hosts[..] {
        return Ok((**only).clone());
    }
    let axis = axis_of(a.int("axis", 1)?, first.shape.len())?;
    let mut shape = first.shape.clone();
    shape[axis] = 0;
    for host in &hosts {
        let mut rest = host.shape.clone();
        if rest.len() != shape.len() {
            return Err("operands of different numbers of axes".to_owned());
        }
        let own = std::mem::replace(&mut rest[axis], 0);
        let same = rest
            .iter()
            .zip(&shape)
            .enumerate()
            .all(|(at, (a, b))| at == axis || a == b);
        if !same {
            return Err("operands that differ beside the axis".to_owned());
        }
        shape[axis] += own;
    }
    let outer: usize = shape[..axis].iter().product();
    let mut elements = Vec::new();
    for row in 0..outer {
        for host in &hosts {
            let each: usize = host.shape[axis..].iter().product();
            elements.extend((row * each..(row + 1) * each).map(|at| host.element(at)));
        }
    }
    Host::of(shape, elements)
}

type Ints = Result<Option<Vec<i64>>, Reason>;

fn sliced(host: &Host, starts: Ints, ends: Ints, axes: Ints, steps: Ints) -> Folded {
    let starts = starts?.ok_or("its starts are missing")?;
    let ends = ends?.ok_or("its ends are missing")?;
    let axes = axes?.unwrap_or_else(|| (0..).take(starts.len()).collect());
    let steps = steps?.unwrap_or_else(|| vec![1; starts.len()]);
    if ends.len() != starts.len() || axes.len() != starts.len() || steps.len() != starts.len() {
        return Err("starts, ends, axes and steps of different lengths".to_owned());
    }
    let mut current = host.clone();
    for (at, axis) in axes.into_iter().enumerate() {
        let axis = axis_of(axis, current.shape.len())?;
        let own = current.shape.clone();
        let (range, count) = range(
            Number::fixed(starts[at]),
            Number::fixed(ends[at]),
            steps[at],
            own[axis].into(),
        )?;
        let (start, end, count) = (range.start.fixed, range.end.fixed, count.fixed);
        let step = range.step.unsigned_abs();
        let place = |number: usize| {
            if range.step > 0 {
                start + number * step
            } else {
                end - 1 - number * step
            }
        };
        let inner: usize = own[axis + 1..].iter().product();
        let outer: usize = own[..axis].iter().product();
        let positions = (0..outer).flat_map(|row| {
            (0..count).flat_map(move |number| (0..inner).map(move |at| (row, number, at)))
        });
        let positions =
            positions.map(|(row, number, at)| (row * own[axis] + place(number)) * inner + at);
        let mut shape = own.clone();
        shape[axis] = count;
        current = current.picked(shape, positions);
    }
    Ok(current)
}

fn index(value: i64, length: usize) -> Result<usize, Reason> {
    axis_of(value, length).map_err(|_| format!("index {value} of an axis of length {length}"))
}

fn gathered(a: &Attributes<'_, '_>, host: &Host, indices: &Host) -> Folded {
    let axis = axis_of(a.int("axis", 0)?, host.shape.len())?;
    let length = host.shape[axis];
    let rows = indices.known().ok_or_else(unclear)?;
    let rows = rows
        .into_iter()
        .map(|row| index(row, length))
        .collect::<Result<Vec<_>, _>>()?;
    let inner: usize = host.shape[axis + 1..].iter().product();
    let outer: usize = host.shape[..axis].iter().product();
    let mut shape = host.shape.clone();
    shape.splice(axis..=axis, indices.shape.iter().copied());
    let positions = (0..outer).flat_map(|at| rows.iter().map(move |row| (at, *row)));
    let positions = positions.flat_map(|(at, row)| {
        (0..inner).map(move |inner_at| (at * length + row) * inner + inner_at)
    });
    Ok(host.picked(shape, positions))
}

/// Where the rows of indices begin, and how many elements each has.
fn blocks(host: &Host, indices: &Host) -> Result<(Vec<usize>, usize), Reason> {
    let depth = *indices.shape.last().ok_or("indices without axes")?;
    if depth > host.shape.len() || depth == 0 {
        return Err(format!("indices of {depth} axes for {}", host.shape.len()));
    }
    let steps = strides(&host.shape);
    let values = indices.known().ok_or_else(unclear)?;
    let starts = values.chunks(depth).map(|row| {
        let places = row
            .iter()
            .enumerate()
            .map(|(axis, &value)| Ok(index(value, host.shape[axis])? * steps[axis]));
        places.sum::<Result<usize, Reason>>()
    });
    Ok((
        starts.collect::<Result<_, _>>()?,
        host.shape[depth..].iter().product(),
    ))
}

fn gathered_nd(a: &Attributes<'_, '_>, host: &Host, indices: &Host) -> Folded {
    if a.int("batch_dims", 0)? != 0 {
        return Err("batch_dims; valid are none".to_owned());
    }
    let (starts, each) = blocks(host, indices)?;
    let depth = indices.shape.last().copied().unwrap_or(0);
    let mut shape = indices.shape[..indices.shape.len() - 1].to_vec();
    shape.extend(&host.shape[depth..]);
    let positions = starts.into_iter().flat_map(|start| start..start + each);
    Ok(host.picked(shape, positions))
}

fn scattered(host: &Host, indices: &Host, updates: &Host) -> Folded {
    let (starts, each) = blocks(host, indices)?;
    if updates.len() != starts.len() * each {
        return Err("updates of another size than the indices".to_owned());
    }
    let mut elements: Vec<Element> = (0..host.len()).map(|at| host.element(at)).collect();
    for (row, start) in starts.into_iter().enumerate() {
        for at in 0..each {
            elements[start + at] = updates.element(row * each + at);
        }
    }
    Host::of(host.shape.clone(), elements)
}

fn triangle(host: &Host, offset: i64, upper: bool) -> Folded {
    let [.., rows, columns] = host.shape[..] else {
        return Err("fewer than two axes".to_owned());
    };
    let each = (0..host.len()).map(|at| {
        let (row, column) = (at / columns.max(1) % rows.max(1), at % columns.max(1));
        match (is_outside(row, column, offset, upper), host.element(at)) {
            (false, element) => element,
            (true, Element::Float(_)) => Element::Float(0.0),
            (true, Element::Int(_)) => Element::Int(Number::fixed(0)),
            (true, Element::Bool(_)) => Element::Bool(false),
        }
    });
    let each: Vec<Element> = each.collect();
    Host::of(host.shape.clone(), each)
}

fn reduced(op: &str, host: &Host, axes: Option<&[i64]>, keeps: bool) -> Folded {
    let rank = host.shape.len();
    let axes: Vec<usize> = match axes {
        Some(axes) if !axes.is_empty() => axes
            .iter()
            .map(|&axis| axis_of(axis, rank))
            .collect::<Result<_, _>>()?,
        _ => (0..rank).collect(),
    };
    let kept: Vec<usize> = (0..rank).filter(|axis| !axes.contains(axis)).collect();
    let order: Vec<usize> = kept.iter().chain(&axes).copied().collect();
    let own = strides(&host.shape);
    let shape: Vec<usize> = order.iter().map(|&axis| host.shape[axis]).collect();
    let steps: Vec<usize> = order.iter().map(|&axis| own[axis]).collect();
    let each: usize = axes.iter().map(|&axis| host.shape[axis]).product();
    let places: Vec<usize> = Positions::new(&shape, &steps).collect();
    let numbers = host.numbers().ok_or("elements that are not integers")?;
    let results = places.chunks(each.max(1)).map(|row| {
        let mut values = row.iter().map(|&at| numbers[at]);
        match op {
            "ReduceProd" => values.try_fold(Number::fixed(1), Number::times),
            "ReduceSum" => values.try_fold(Number::fixed(0), Number::plus),
            _ => {
                let known: Option<Vec<i64>> = values.map(Number::known).collect();
                let known = known?.into_iter();
                let best = if op == "ReduceMax" {
                    known.max()
                } else {
                    known.min()
                };
                best.map(Number::fixed)
            }
        }
    });
    let results: Option<Vec<Number>> = results.collect();
    let shape = match keeps {
        true => (0..rank)
            .map(|axis| {
                if axes.contains(&axis) {
                    1
                } else {
                    host.shape[axis]
                }
            })
            .collect(),
        false => kept.iter().map(|&axis| host.shape[axis]).collect(),
    };
    Ok(Host::ints(shape, results.ok_or_else(unclear)?))
}
