//! Operators on constant tensors, which are computed when the file is read.

use std::cmp::Ordering;
use std::rc::Rc;

use calcine_graph::ElementKind;

use super::fold::Folded;
use super::host::{Elements, Host, Number, Positions, strides};
use super::importer::{Attributes, Reason, axis_of};
use super::indexing::range;
use super::shapes::is_outside;

pub(super) fn unclear() -> Reason {
    "it computes with the size of the batch in a way that is not a straight line".to_owned()
}

/// One element of a tensor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Element {
    Float(f32),
    Int(Number),
    Bool(bool),
}

impl Host {
    pub(super) fn element(&self, at: usize) -> Element {
        match &self.elements {
            Elements::Floats(values) => Element::Float(values[at]),
            Elements::Ints(values) => Element::Int(values[at]),
            Elements::Bools(values) => Element::Bool(values[at]),
        }
    }

    pub(super) fn of(shape: Vec<usize>, elements: Vec<Element>) -> Folded {
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

pub(super) fn combined(with: calcine_graph::Arithmetic, a: Element, b: Element) -> Option<Element> {
    use calcine_graph::Arithmetic as A;
    Some(match (a, b) {
        (Element::Float(a), Element::Float(b)) => Element::Float(match with {
            A::Add => a + b,
            A::Subtract => a - b,
            A::Multiply => a * b,
            A::Divide => a / b,
            A::Power => a.powf(b),
            A::Remainder => {
                let rest = a % b;
                if rest != 0.0 && (rest < 0.0) != (b < 0.0) {
                    rest + b
                } else {
                    rest
                }
            }
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
                    // With the sign of the divisor.
                    let rest = a.checked_rem(b)?;
                    if rest != 0 && (rest < 0) != (b < 0) {
                        rest + b
                    } else {
                        rest
                    }
                })
            }
            A::Power => Number::fixed(a.known()?.checked_pow(u32::try_from(b.known()?).ok()?)?),
            _ => return None,
        }),
        // The exponent of floats may be an integer tensor.
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

/// The remainder with the sign of the dividend.
pub(super) fn truncated_remainder(a: Element, b: Element) -> Option<Element> {
    Some(match (a, b) {
        (Element::Float(a), Element::Float(b)) => Element::Float(a % b),
        (Element::Int(a), Element::Int(b)) => {
            Element::Int(Number::fixed(a.known()?.checked_rem(b.known()?)?))
        }
        _ => return None,
    })
}

/// The order of two elements for every batch size; `None` if it depends on the batch size.
pub(super) fn order(a: Element, b: Element) -> Option<Ordering> {
    match (a, b) {
        (Element::Float(a), Element::Float(b)) => a.partial_cmp(&b),
        (Element::Bool(a), Element::Bool(b)) => Some(a.cmp(&b)),
        (Element::Int(a), Element::Int(b)) => {
            let fixed = a.fixed.checked_sub(b.fixed)?;
            let growing = a.per_sample.checked_sub(b.per_sample)?;
            // A batch has at least one sample.
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

pub(super) fn compared(with: calcine_graph::Comparison, a: Element, b: Element) -> Option<Element> {
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

pub(super) fn extreme(wanted: Ordering, a: Element, b: Element) -> Option<Element> {
    Some(if order(a, b)? == wanted { a } else { b })
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "as a cast is"
)]
pub(super) fn cast(host: &Host, to: ElementKind) -> Folded {
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

pub(super) fn mapped(op: &str, host: &Host) -> Option<Folded> {
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

pub(super) fn signed(length: usize) -> Number {
    Number::fixed(i64::try_from(length).unwrap_or(i64::MAX))
}

pub(super) fn lengths(values: &[i64]) -> Result<Vec<usize>, Reason> {
    let lengths = values.iter().map(|&value| usize::try_from(value).ok());
    let lengths: Option<Vec<usize>> = lengths.collect();
    lengths.ok_or_else(|| format!("lengths of {values:?}"))
}

pub(super) fn reshaped(host: &Host, target: &[i64], keeps: bool) -> Folded {
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

pub(super) fn concat(a: &Attributes<'_, '_>, x: &[Option<Rc<Host>>]) -> Folded {
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

pub(super) type Ints = Result<Option<Vec<i64>>, Reason>;

pub(super) fn sliced(host: &Host, starts: Ints, ends: Ints, axes: Ints, steps: Ints) -> Folded {
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

pub(super) fn index(value: i64, length: usize) -> Result<usize, Reason> {
    axis_of(value, length).map_err(|_| format!("index {value} of an axis of length {length}"))
}

pub(super) fn gathered(a: &Attributes<'_, '_>, host: &Host, indices: &Host) -> Folded {
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

/// The position at which each row of indices points, and the number of elements of each result.
pub(super) fn blocks(host: &Host, indices: &Host) -> Result<(Vec<usize>, usize), Reason> {
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

pub(super) fn gathered_nd(a: &Attributes<'_, '_>, host: &Host, indices: &Host) -> Folded {
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

pub(super) fn scattered(host: &Host, indices: &Host, updates: &Host, how: &str) -> Folded {
    use calcine_graph::Arithmetic;
    let (starts, each) = blocks(host, indices)?;
    if updates.len() != starts.len() * each {
        return Err("updates of another size than the indices".to_owned());
    }
    let mut elements: Vec<Element> = (0..host.len()).map(|at| host.element(at)).collect();
    for (row, start) in starts.into_iter().enumerate() {
        for at in 0..each {
            let (own, update) = (elements[start + at], updates.element(row * each + at));
            let new = match how {
                "none" => Some(update),
                "add" => combined(Arithmetic::Add, own, update),
                "mul" => combined(Arithmetic::Multiply, own, update),
                "max" => extreme(Ordering::Greater, own, update),
                "min" => extreme(Ordering::Less, own, update),
                other => return Err(format!("reduction `{other}`")),
            };
            elements[start + at] = new.ok_or_else(unclear)?;
        }
    }
    Host::of(host.shape.clone(), elements)
}

pub(super) fn triangle(host: &Host, offset: i64, upper: bool) -> Folded {
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

pub(super) fn reduced(op: &str, host: &Host, axes: Option<&[i64]>, keeps: bool) -> Folded {
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
