//! Reductions and other operators along axes.

use std::rc::Rc;

use calcine_graph::{Arithmetic, ElementKind, Extent, Map, Op, Reduction, ValueId};

use super::host::{Host, Number};
use super::importer::{Attributes, Importer, Operand, axis_of, number};
use super::shapes::{Read, is_outside};

impl Importer {
    pub(crate) fn reduce(
        &mut self,
        op: &str,
        a: &Attributes<'_, '_>,
        x: &[Option<Operand>],
    ) -> Read {
        let input = self.operand(x, 0)?;
        let mut value = self.value(&input)?;
        let rank = self.file_shape(value).len();
        let shape = self.shape(value);
        let axes = self.known_ints(a, x, 1, "axes")?.unwrap_or_default();
        let mut axes = axes
            .iter()
            .map(|&axis| axis_of(axis, rank))
            .collect::<Result<Vec<_>, _>>()?;
        if axes.is_empty() && a.int("noop_with_empty_axes", 0)? == 0 {
            axes = (0..rank).collect();
        }
        axes.sort_unstable();
        axes.dedup();
        let spatial: Vec<usize> = (2..shape.len()).collect();
        if op == "ReduceMean"
            && axes == spatial
            && (4..=5).contains(&shape.len())
            && self.kind(value) == ElementKind::Float
        {
            value = self.global_average(value)?;
        } else {
            let kind = self.kind(value);
            let reduction = match op {
                "ReduceMean" => Reduction::Mean,
                "ReduceMax" => Reduction::Max,
                "ReduceMin" => Reduction::Min,
                "ReduceProd" => Reduction::Product,
                _ => Reduction::Sum,
            };
            value = match op {
                "ReduceL1" => self.same(Op::Map(Map::Abs), value),
                "ReduceL2" | "ReduceSumSquare" => self.both(Arithmetic::Multiply, value, value)?,
                "ReduceLogSumExp" => self.same(Op::Map(Map::Exp), value),
                "ReduceMax" | "ReduceMin" if self.kind(value) == ElementKind::Bool => {
                    self.cast(value, ElementKind::Int)
                }
                _ => value,
            };
            for &axis in &axes {
                value = self.reduced(value, reduction, axis);
            }
            value = match op {
                "ReduceL2" => self.same(Op::Map(Map::Sqrt), value),
                "ReduceLogSumExp" | "ReduceLogSum" => self.same(Op::Map(Map::Log), value),
                "ReduceMax" | "ReduceMin" => self.cast(value, kind),
                _ => value,
            };
        }
        if a.int("keepdims", 1)? != 0 && rank > 0 {
            return Ok(value);
        }
        let kept = (0..rank).filter(|axis| !axes.contains(axis));
        let shape: Vec<Extent> = kept.map(|axis| shape[axis]).collect();
        Ok(self.in_file_shape(value, shape))
    }

    pub(crate) fn argmax(&mut self, a: &Attributes<'_, '_>, x: ValueId, least: bool) -> Read {
        let shape = self.shape(x);
        let axis = axis_of(a.int("axis", 0)?, shape.len())?;
        // The last one of equal elements is the first one of the reversed axis.
        let last = a.int("select_last_index", 0)? != 0;
        let x = if last {
            self.same(Op::Flip(vec![axis]), x)
        } else {
            x
        };
        let x = if least {
            self.same(Op::Map(Map::Negate), x)
        } else {
            x
        };
        let mut found = shape.clone();
        found[axis] = Extent::fixed(1);
        let mut found = self.push(Op::ArgMax(axis), vec![x], found, ElementKind::Int);
        if last {
            #[allow(clippy::cast_precision_loss, reason = "an index")]
            let end = super::windows::fixed(shape[axis])?.saturating_sub(1) as f64;
            let negative = self.map(Map::Negate, found);
            found = self.scalar(Arithmetic::Add, negative, end);
        }
        if a.int("keepdims", 1)? != 0 {
            return Ok(found);
        }
        let mut shape = shape;
        shape.remove(axis);
        Ok(self.in_file_shape(found, shape))
    }

    pub(crate) fn softmax(&mut self, a: &Attributes<'_, '_>, x: ValueId, log: bool) -> Read {
        let shape = self.shape(x);
        let default = if self.opset < 13 { 1 } else { -1 };
        let axis = axis_of(a.int("axis", default)?, shape.len())?;
        let op = |axis: usize| {
            if log {
                Op::LogSoftmax(axis)
            } else {
                Op::Softmax(axis)
            }
        };
        if self.opset >= 13 || axis + 1 == shape.len() {
            return Ok(self.same(op(axis), x));
        }
        // Older opsets treat this axis and all axes after it as one.
        let mut rest = shape[axis..].iter().map(|&extent| number(extent));
        let rest = rest
            .try_fold(Number::fixed(1), Number::times)
            .and_then(Number::extent);
        let mut flat = shape[..axis].to_vec();
        flat.push(rest.ok_or("axes that change with the batch")?);
        let flat = self.reshaped(x, flat);
        let normed = self.same(op(axis), flat);
        Ok(self.reshaped(normed, shape))
    }

    /// 1 at the largest element along an axis (the first one of equal elements), and 0 elsewhere.
    pub(crate) fn hardmax(&mut self, a: &Attributes<'_, '_>, x: ValueId) -> Read {
        let shape = self.shape(x);
        if self.opset < 13 && axis_of(a.int("axis", 1)?, shape.len())? + 1 != shape.len() {
            return Err("axes that are taken for one; valid is the last".to_owned());
        }
        let axis = axis_of(a.int("axis", -1)?, shape.len())?;
        let mut one = shape.clone();
        one[axis] = Extent::fixed(1);
        let best = self.push(Op::ArgMax(axis), vec![x], one, ElementKind::Int);
        let is_best = self.at_index(best, axis, super::windows::fixed(shape[axis])?)?;
        Ok(self.cast(is_best, ElementKind::Float))
    }

    /// Whether each position along an axis equals the index there; the indices have the length 1 along the axis.
    pub(crate) fn at_index(&mut self, indices: ValueId, axis: usize, length: usize) -> Read {
        let mut lengths = vec![1; self.rank(indices)];
        lengths[axis] = length;
        let places = (0..length).map(|at| Number::fixed(i64::try_from(at).unwrap_or(i64::MAX)));
        let places = self.made(Host::ints(lengths, places.collect()))?;
        let op = Op::Compare(calcine_graph::Comparison::Equal);
        self.zip(op, indices, places, ElementKind::Bool)
    }

    /// `OneHot`: one number where the position equals the index, and another one elsewhere.
    pub(crate) fn one_hot(&mut self, a: &Attributes<'_, '_>, x: &[Option<Operand>]) -> Read {
        let indices = self.operand(x, 0)?;
        let indices = self.setting(&indices)?;
        let depth = match self.operand(x, 1)? {
            Operand::Host(host) => host.scalar(),
            Operand::Value(_) => None,
        };
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a cast saturates"
        )]
        let depth = depth.map(|depth| depth as usize).filter(|&depth| depth > 0);
        let depth = depth.ok_or("a depth that is computed, or below 1")?;
        let mut shape = self.file_shape(indices);
        let axis = axis_of(a.int("axis", -1)?, shape.len() + 1)?;
        shape.insert(axis, Extent::fixed(1));
        let indices = self.cast(indices, ElementKind::Int);
        // Negative indices count from the end.
        let negative = self.compared_with(calcine_graph::Comparison::Less, indices, 0.0);
        #[allow(clippy::cast_precision_loss, reason = "a number of classes")]
        let counted = self.scalar(Arithmetic::Add, indices, depth as f64);
        let own = self.shape(indices);
        let op = Op::Where;
        let indices = self.push(op, vec![indices, negative, counted], own, ElementKind::Int);
        let indices = self.reshaped(indices, shape.clone());
        let mask = self.at_index(indices, axis, depth)?;
        shape[axis] = Extent::fixed(depth);
        match self.operand(x, 2)? {
            Operand::Host(values) if values.len() == 2 => {
                let numbers =
                    [0, 1].map(|at| values.picked(Vec::new(), std::iter::once(at)).scalar());
                let [Some(off), Some(on)] = numbers else {
                    return Err("values that change with the batch".to_owned());
                };
                let op = Op::Constant(off);
                let off = self.push(op, Vec::new(), shape, values.kind());
                self.with_number_where(off, mask, on)
            }
            Operand::Host(_) => Err("another number of values than 2".to_owned()),
            Operand::Value(values) => {
                let off = self.part(values, 0, Number::fixed(0), Number::fixed(1))?;
                let on = self.part(values, 0, Number::fixed(1), Number::fixed(2))?;
                let mut ones = vec![Extent::fixed(1); shape.len()];
                ones.fill(Extent::fixed(1));
                let (off, on) = (self.reshaped(off, ones.clone()), self.reshaped(on, ones));
                let (off, on) = (self.spread(off, &shape), self.spread(on, &shape));
                let kind = self.kind(values);
                Ok(self.push(Op::Where, vec![off, mask, on], shape, kind))
            }
        }
    }

    /// Cumulative sums along an axis, optionally from the end, or without the element itself.
    pub(crate) fn running_sum(&mut self, a: &Attributes<'_, '_>, x: &[Option<Operand>]) -> Read {
        let input = self.operand(x, 0)?;
        let value = self.value(&input)?;
        let axis = self
            .known_ints(a, x, 1, "axis")?
            .and_then(|axis| axis.first().copied());
        let axis = axis_of(axis.ok_or("its axis is missing")?, self.rank(value))?;
        let back = a.int("reverse", 0)? != 0;
        let turned = if back {
            self.same(Op::Flip(vec![axis]), value)
        } else {
            value
        };
        let mut sums = self.same(Op::CumulativeSum(axis), turned);
        if a.int("exclusive", 0)? != 0 {
            sums = self.both(Arithmetic::Subtract, sums, turned)?;
        }
        Ok(if back {
            self.same(Op::Flip(vec![axis]), sums)
        } else {
            sums
        })
    }

    /// Cumulative products along an axis.
    pub(crate) fn running_product(
        &mut self,
        a: &Attributes<'_, '_>,
        x: &[Option<Operand>],
    ) -> Read {
        let input = self.operand(x, 0)?;
        let value = self.value(&input)?;
        let axis = self
            .known_ints(a, x, 1, "axis")?
            .and_then(|axis| axis.first().copied());
        let axis = axis_of(axis.ok_or("its axis is missing")?, self.rank(value))?;
        let length = super::windows::fixed(self.shape(value)[axis])?;
        if length > 1024 {
            return Err(format!(
                "{length} products in a row; valid are at most 1024"
            ));
        }
        let exclusive = a.int("exclusive", 0)? != 0;
        let back = a.int("reverse", 0)? != 0;
        let mut parts = Vec::with_capacity(length);
        let mut product: Option<ValueId> = None;
        let kind = self.kind(value);
        for at in 0..length {
            let place = if back { length - 1 - at } else { at };
            let place = i64::try_from(place).unwrap_or(i64::MAX);
            let own = self.part(value, axis, Number::fixed(place), Number::fixed(place + 1))?;
            let next = match product {
                None => own,
                Some(before) => self.both(Arithmetic::Multiply, before, own)?,
            };
            parts.push(match (exclusive, product) {
                (false, _) => next,
                (true, Some(before)) => before,
                (true, None) => {
                    let shape = self.shape(own);
                    self.push(Op::Constant(1.0), Vec::new(), shape, kind)
                }
            });
            product = Some(next);
        }
        if back {
            parts.reverse();
        }
        let shape = self.shape(value);
        Ok(match parts[..] {
            [only] => only,
            _ => self.push(Op::Concat(axis), parts, shape, kind),
        })
    }

    pub(crate) fn trilu(&mut self, a: &Attributes<'_, '_>, x: &[Option<Operand>]) -> Read {
        let input = self.operand(x, 0)?;
        let value = self.value(&input)?;
        let shape = self.shape(value);
        let [.., rows, columns] = shape[..] else {
            return Err("fewer than two axes".to_owned());
        };
        if !rows.is_fixed() || !columns.is_fixed() {
            return Err("axes that change with the batch".to_owned());
        }
        let offset = self
            .known_ints(a, x, 1, "k")?
            .and_then(|k| k.first().copied())
            .unwrap_or(0);
        let upper = a.int("upper", 1)? != 0;
        self.spend(rows.fixed as u128 * columns.fixed as u128)?;
        let outside =
            (0..rows.fixed).flat_map(|row| (0..columns.fixed).map(move |column| (row, column)));
        let outside = outside.map(|(row, column)| is_outside(row, column, offset, upper));
        let mut lengths = vec![1; shape.len()];
        let from = shape.len() - 2;
        lengths[from] = rows.fixed;
        lengths[from + 1] = columns.fixed;
        let mask = Host::bools(lengths, outside.collect());
        let mask = self.tensor(&Rc::new(mask), "", "mask")?;
        let kind = self.kind(value);
        Ok(self.push(Op::Fill(0.0), vec![value, mask], shape, kind))
    }

    /// A range of numbers whose length depends on the batch, by cumulative sums of ones.
    pub(crate) fn counted(&mut self, start: i64, end: Number, step: Number) -> Read {
        let unclear = || "a range that changes with the batch in its steps".to_owned();
        let length = end
            .plus(Number::fixed(start.checked_neg().ok_or_else(unclear)?))
            .ok_or_else(unclear)?;
        let length = length.divided(step).ok_or_else(unclear)?;
        let ones = self.filled(1.0, ElementKind::Int, &[length])?;
        let counted = self.same(Op::CumulativeSum(0), ones);
        let counted = self.scalar(Arithmetic::Subtract, counted, 1.0);
        #[allow(clippy::cast_precision_loss, reason = "numbers of a range")]
        let (step, start) = (step.known().ok_or_else(unclear)? as f64, start as f64);
        let stepped = self.scalar(Arithmetic::Multiply, counted, step);
        Ok(self.scalar(Arithmetic::Add, stepped, start))
    }
}
