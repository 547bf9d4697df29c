//! Constant folding: operators on constants and shapes are computed when the file is read.

use std::cmp::Ordering;
use std::rc::Rc;

use calcine_graph::ElementKind;

use super::computed::{
    Element, cast, combined, compared, concat, extreme, gathered, gathered_nd, lengths, mapped,
    reduced, reshaped, scattered, signed, sliced, triangle, truncated_remainder, unclear,
};
use super::elementwise::{arithmetic_of, comparison_of};
use super::host::{Host, Number, strides};
use super::importer::{Attributes, Importer, Operand, Reason, axis_of, is_made};
use super::shapes::{permutation, unsqueezed};
use crate::proto::data_type;

pub(super) type Folded = Result<Host, Reason>;

/// The kind of the elements of an ONNX type.
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
        | data_type::UINT64
        | data_type::INT4
        | data_type::UINT4
        | data_type::INT2
        | data_type::UINT2 => Ok(ElementKind::Int),
        other => Err(format!("elements of ONNX's type {other}")),
    }
}

/// The kind of the result of a cast to an ONNX type. Casts to integers of fewer bits than a byte are not supported,
/// because they wrap around.
pub(crate) fn cast_kind(kind: i64) -> Result<ElementKind, Reason> {
    match kind {
        data_type::INT4 | data_type::UINT4 | data_type::INT2 | data_type::UINT2 => {
            Err("a cast to integers of fewer than 8 bits; valid are floats, booleans and other integers".to_owned())
        }
        kind => kind_of(kind),
    }
}

impl Importer {
    /// The results of a node whose operands are all constant; `None` if the network has to compute it.
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
        // A table of which a layer reads given rows, as Swin's of relative positions, is trained.
        if let ("Gather", [Some(table), Some(rows)]) = (op, &hosts[..])
            && table.kind() == ElementKind::Float
            && table.name.as_deref().is_some_and(|name| !is_made(name))
            && table.shape.len() > 1
            && !rows.shape.is_empty()
        {
            return None;
        }
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
            let truncates = op == "Mod" && !matches!(a.int("fmod", 0), Ok(0));
            let mut whole = (*get(0)?).clone();
            for at in 1..x.len() {
                let folded = self.zip_hosts(&whole, &*get(at)?, |a, b| match truncates {
                    true => truncated_remainder(a, b),
                    false => combined(arithmetic, a, b),
                });
                match folded {
                    Ok(folded) => whole = folded,
                    Err(reason) => return Some(Err(reason)),
                }
            }
            return Some(Ok(whole));
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
            "Identity" => Ok((*first).clone()),
            // Integers with fewer bits than their type, as Brevitas writes them.
            "Clip" if first.numbers().is_some() => {
                let bound = |at: usize| get(at).and_then(|host| host.known()?.first().copied());
                let (low, high) = (bound(1).unwrap_or(i64::MIN), bound(2).unwrap_or(i64::MAX));
                let known = first.known();
                known.ok_or_else(unclear).map(|known| Host {
                    elements: super::host::Elements::Ints(
                        known
                            .into_iter()
                            .map(|code| Number::fixed(code.max(low).min(high)))
                            .collect(),
                    ),
                    ..(*first).clone()
                })
            }
            "Cast" => a
                .int("to", 1)
                .and_then(cast_kind)
                .and_then(|to| cast(&first, to)),
            "CastLike" => cast_kind(get(1)?.data_type).and_then(|to| cast(&first, to)),
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
            "ScatterND" => {
                let (indices, updates) = (get(1)?, get(2)?);
                a.text("reduction", "none")
                    .and_then(|how| scattered(&first, &indices, &updates, &how))
            }
            "ReduceProd" | "ReduceSum" | "ReduceMax" | "ReduceMin" if first.numbers().is_some() => {
                ints(1, "axes").and_then(|axes| {
                    reduced(op, &first, axes.as_deref(), a.int("keepdims", 1)? != 0)
                })
            }
            _ => return None,
        })
    }

    /// Checks that a constant of this shape is within the memory limit.
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

    /// The attribute `value`, with which a shape is filled.
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
