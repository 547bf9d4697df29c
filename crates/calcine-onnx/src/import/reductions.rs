//! Operators along axes.

use std::rc::Rc;

use calcine_graph::{Arithmetic, ElementKind, Extent, Map, Op, Reduction, ValueId};

use super::host::{Host, Number};
use super::importer::{Attributes, Importer, Operand, axis_of, number};
use super::shapes::{Read, is_outside, or_one};

impl Importer {
    pub(crate) fn reduce(
        &mut self,
        op: &str,
        a: &Attributes<'_, '_>,
        x: &[Option<Operand>],
    ) -> Read {
        let input = self.operand(x, 0)?;
        let mut value = self.value(&input)?;
        let shape = self.shape(value);
        let axes = self.known_ints(a, x, 1, "axes")?.unwrap_or_default();
        let mut axes = axes
            .iter()
            .map(|&axis| axis_of(axis, shape.len()))
            .collect::<Result<Vec<_>, _>>()?;
        if axes.is_empty() {
            if a.int("noop_with_empty_axes", 0)? != 0 {
                return Ok(value);
            }
            axes = (0..shape.len()).collect();
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
            let reduction = match op {
                "ReduceMean" => Reduction::Mean,
                "ReduceMax" => Reduction::Max,
                "ReduceMin" => Reduction::Min,
                "ReduceProd" => Reduction::Product,
                _ => Reduction::Sum,
            };
            value = match op {
                "ReduceL1" => self.same(Op::Map(Map::Abs), value),
                "ReduceL2" | "ReduceSumSquare" => self.zip(
                    Op::Zip(Arithmetic::Multiply),
                    value,
                    value,
                    ElementKind::Float,
                )?,
                "ReduceLogSumExp" => self.same(Op::Map(Map::Exp), value),
                _ => value,
            };
            for &axis in &axes {
                value = self.reduced(value, reduction, axis);
            }
            value = match op {
                "ReduceL2" => self.same(Op::Map(Map::Sqrt), value),
                "ReduceLogSumExp" | "ReduceLogSum" => self.same(Op::Map(Map::Log), value),
                _ => value,
            };
        }
        if a.int("keepdims", 1)? != 0 {
            return Ok(value);
        }
        let kept = (0..shape.len()).filter(|axis| !axes.contains(axis));
        let shape: Vec<Extent> = kept.map(|axis| shape[axis]).collect();
        Ok(self.reshaped(value, or_one(shape)))
    }

    pub(crate) fn argmax(&mut self, a: &Attributes<'_, '_>, x: ValueId, least: bool) -> Read {
        if a.int("select_last_index", 0)? != 0 {
            return Err("the last of equal elements; valid is the first".to_owned());
        }
        let shape = self.shape(x);
        let axis = axis_of(a.int("axis", 0)?, shape.len())?;
        let x = if least {
            self.same(Op::Map(Map::Negate), x)
        } else {
            x
        };
        let mut found = shape.clone();
        found[axis] = Extent::fixed(1);
        let found = self.push(Op::ArgMax(axis), vec![x], found, ElementKind::Int);
        if a.int("keepdims", 1)? != 0 {
            return Ok(found);
        }
        let mut shape = shape;
        shape.remove(axis);
        Ok(self.reshaped(found, or_one(shape)))
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
        // Older ones take all axes from this one on for one.
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

    /// Numbers in steps, as many as grow with the batch: running sums of ones.
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
