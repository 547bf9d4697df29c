//! Slices, and elements at given indices.

use std::rc::Rc;

use calcine_graph::{ElementKind, Extent, Op, Range, Update, ValueId};

use super::host::{Elements, Host, Number, strides};
use super::importer::{Attributes, Importer, Operand, Reason, axis_of, number};
use super::shapes::{Read, whole};

impl Importer {
    /// A slice of one axis.
    pub(crate) fn part(&mut self, x: ValueId, axis: usize, start: Number, end: Number) -> Read {
        let mut shape = self.shape(x);
        let length = end.plus(Number {
            fixed: -start.fixed,
            per_sample: -start.per_sample,
        });
        let (start, end, length) = (
            start.extent(),
            end.extent(),
            length.and_then(Number::extent),
        );
        let (Some(start), Some(end), Some(length)) = (start, end, length) else {
            return Err("a part of an axis that is not there".to_owned());
        };
        if start == Extent::fixed(0) && end == shape[axis] {
            return Ok(x);
        }
        let mut ranges = whole(&shape);
        ranges[axis] = Range {
            start,
            end,
            step: 1,
        };
        shape[axis] = length;
        let kind = self.kind(x);
        Ok(self.push(Op::Slice(ranges), vec![x], shape, kind))
    }

    pub(crate) fn slice(&mut self, a: &Attributes<'_, '_>, x: &[Option<Operand>]) -> Read {
        let input = self.operand(x, 0)?;
        let input = self.value(&input)?;
        let mut shape = self.shape(input);
        let starts = self
            .numbers(a, x, 1, "starts")?
            .ok_or("its starts are missing")?;
        let ends = self
            .numbers(a, x, 2, "ends")?
            .ok_or("its ends are missing")?;
        let axes = self.known_ints(a, x, 3, "axes")?;
        let axes = axes.unwrap_or_else(|| (0..).take(starts.len()).collect());
        let steps = self
            .known_ints(a, x, 4, "steps")?
            .unwrap_or_else(|| vec![1; starts.len()]);
        if ends.len() != starts.len() || axes.len() != starts.len() || steps.len() != starts.len() {
            return Err("starts, ends, axes and steps of different lengths".to_owned());
        }
        let mut ranges = whole(&shape);
        for (at, axis) in axes.into_iter().enumerate() {
            let axis = axis_of(axis, shape.len())?;
            let (range, length) = range(starts[at], ends[at], steps[at], shape[axis])?;
            ranges[axis] = range;
            shape[axis] = length;
        }
        if ranges == whole(&self.shape(input)) {
            return Ok(input);
        }
        if shape.iter().any(|extent| *extent == Extent::fixed(0)) {
            return Err("a part without elements".to_owned());
        }
        let kind = self.kind(input);
        Ok(self.push(Op::Slice(ranges), vec![input], shape, kind))
    }

    pub(crate) fn split(
        &mut self,
        a: &Attributes<'_, '_>,
        x: &[Option<Operand>],
        outputs: usize,
    ) -> Result<Vec<ValueId>, Reason> {
        let input = self.operand(x, 0)?;
        let input = self.value(&input)?;
        let axis = axis_of(a.int("axis", 0)?, self.rank(input))?;
        let length = self.shape(input)[axis];
        let sizes = match self.numbers(a, x, 1, "split")? {
            Some(sizes) => sizes,
            None if length.is_fixed() && outputs > 0 => {
                // The last one may be smaller.
                let each = length.fixed.div_ceil(outputs);
                let size = |at: usize| length.fixed.saturating_sub(at * each).min(each);
                (0..outputs)
                    .map(|at| number(Extent::fixed(size(at))))
                    .collect()
            }
            None => return Err(format!("an axis of length {length} in equal parts")),
        };
        if sizes.len() != outputs {
            return Err(format!("{} sizes for {outputs} results", sizes.len()));
        }
        let mut start = Number::fixed(0);
        let mut parts = Vec::with_capacity(outputs);
        for size in sizes {
            let end = start.plus(size).ok_or("a part that is too long")?;
            parts.push(self.part(input, axis, start, end)?);
            start = end;
        }
        match start == number(length) {
            true => Ok(parts),
            false => Err(format!("parts that are not as long as the axis, {length}")),
        }
    }

    /// Converts negative indices, which count from the end, to indices that count from the start.
    pub(crate) fn counted_from_start(&mut self, rows: ValueId, length: Extent) -> Read {
        if let Some((_, host)) = self.constants.iter().find(|(id, _)| *id == rows)
            && host
                .known()
                .is_some_and(|known| known.iter().all(|row| *row >= 0))
        {
            return Ok(rows);
        }
        if !length.is_fixed() {
            // Indices that the network computes for such an axis count from the start; those of an input may count from
            // the end.
            let known = self.constants.iter().any(|(id, _)| *id == rows);
            return match known || self.graph.inputs.contains(&rows) {
                true => Err(format!(
                    "indices that may be negative, along an axis of length {length}"
                )),
                false => Ok(rows),
            };
        }
        let length = length.fixed;
        let negative = self.compared_with(calcine_graph::Comparison::Less, rows, 0.0);
        #[allow(clippy::cast_precision_loss, reason = "the length of an axis")]
        let counted = self.scalar(calcine_graph::Arithmetic::Add, rows, length as f64);
        let (shape, kind) = (self.shape(rows), self.kind(rows));
        Ok(self.push(Op::Where, vec![rows, negative, counted], shape, kind))
    }

    /// `TopK`: the largest or smallest elements along an axis, in order, and their indices.
    pub(crate) fn top(
        &mut self,
        a: &Attributes<'_, '_>,
        x: &[Option<Operand>],
    ) -> Result<[ValueId; 2], Reason> {
        let input = self.operand(x, 0)?;
        let input = self.value(&input)?;
        let axis = axis_of(a.int("axis", -1)?, self.rank(input))?;
        let count = match a.0.attribute("k") {
            Some(_) => Some(a.int("k", 0)?),
            None => self
                .known_ints(a, x, 1, "k")?
                .and_then(|k| k.first().copied()),
        };
        let count = count
            .and_then(|count| usize::try_from(count).ok())
            .filter(|&count| count > 0);
        let count = count.ok_or("how many it takes is missing, or below 1")?;
        let mut shape = self.shape(input);
        if !shape[axis].is_fixed() || shape[axis].fixed < count {
            return Err(format!(
                "{count} elements of an axis of length {}",
                shape[axis]
            ));
        }
        shape[axis] = Extent::fixed(count);
        let op = Op::ArgSort {
            axis,
            descending: a.int("largest", 1)? != 0,
        };
        let kind = self.kind(input);
        let places = self.push(op, vec![input], shape.clone(), ElementKind::Int);
        let values = self.push(Op::Gather(axis), vec![input, places], shape, kind);
        Ok([values, places])
    }

    /// `ScatterElements` and `ScatterND`: updates the elements at the given indices.
    pub(crate) fn scatter(
        &mut self,
        a: &Attributes<'_, '_>,
        x: &[Option<Operand>],
        elements: bool,
    ) -> Read {
        let update = match a.text("reduction", "none")?.as_str() {
            "none" => Update::Assign,
            "add" => Update::Add,
            "mul" => Update::Multiply,
            "max" => Update::Max,
            "min" => Update::Min,
            other => return Err(format!("reduction `{other}`")),
        };
        let (data, rows) = (self.operand(x, 0)?, self.operand(x, 1)?);
        let updates = self.operand(x, 2)?;
        let (data, rows) = (self.value(&data)?, self.setting(&rows)?);
        let updates = self.value(&updates)?;
        let (shape, kind) = (self.shape(data), self.kind(data));
        let (op, rows) = if elements {
            let axis = axis_of(a.int("axis", 0)?, shape.len())?;
            (
                Op::Scatter(axis, update),
                self.counted_from_start(rows, shape[axis])?,
            )
        } else {
            (Op::ScatterNd(update), self.places_from_start(rows, &shape)?)
        };
        Ok(self.push(op, vec![data, rows, updates], shape, kind))
    }

    /// Rows of indices into the first axes of a shape, each converted to count from the start.
    fn places_from_start(&mut self, rows: ValueId, shape: &[Extent]) -> Read {
        let known = self.constants.iter().find(|(id, _)| *id == rows);
        let known = known.and_then(|(_, host)| host.known());
        if known.is_some_and(|known| known.iter().all(|row| *row >= 0)) {
            return Ok(rows);
        }
        let own = self.shape(rows);
        let depth = own
            .last()
            .filter(|depth| depth.is_fixed() && depth.fixed <= shape.len());
        let depth = depth
            .ok_or("rows of indices of more axes than there are")?
            .fixed;
        let lengths = shape[..depth].iter().map(|&extent| number(extent));
        let mut row = vec![1; own.len()];
        row[own.len() - 1] = depth;
        let lengths = self.made(Host::ints(row, lengths.collect()))?;
        let negative = self.compared_with(calcine_graph::Comparison::Less, rows, 0.0);
        let counted = self.both(calcine_graph::Arithmetic::Add, rows, lengths)?;
        Ok(self.push(
            Op::Where,
            vec![rows, negative, counted],
            own,
            ElementKind::Int,
        ))
    }

    pub(crate) fn gather(&mut self, a: &Attributes<'_, '_>, x: &[Option<Operand>]) -> Read {
        let data = self.operand(x, 0)?;
        let indices = self.operand(x, 1)?;
        if let (Operand::Host(table), Operand::Value(rows)) = (&data, &indices)
            && table.shape.len() == 2
            && a.int("axis", 0)? == 0
            && table.kind() == ElementKind::Float
        {
            let (table, rows) = (self.tensor(table, "Embedding", "weight")?, *rows);
            let shape = self.file_shape(rows);
            let features = self.shape(table)[1];
            let flat = match shape.len() {
                2 => rows,
                0 => self.reshaped(rows, vec![Extent::fixed(1); 2]),
                1 => self.reshaped(rows, vec![shape[0], Extent::fixed(1)]),
                _ => {
                    let rest = shape[1..].iter().map(|&extent| number(extent));
                    let mut rest = rest;
                    let product = rest
                        .try_fold(Number::fixed(1), Number::times)
                        .and_then(Number::extent);
                    let product = product.ok_or("indices whose shape changes with the batch")?;
                    self.reshaped(rows, vec![shape[0], product])
                }
            };
            let mut found = self.shape(flat);
            found.push(features);
            let found = self.push(Op::Embedding, vec![table, flat], found, ElementKind::Float);
            let mut output = shape;
            output.push(features);
            return Ok(self.reshaped(found, output));
        }
        let input = self.value(&data)?;
        let mut shape = self.shape(input);
        let axis = axis_of(a.int("axis", 0)?, shape.len())?;
        let kind = self.kind(input);
        let (rows, row_shape) = match &indices {
            Operand::Host(host) => {
                let length = shape[axis];
                let positions = positions(host, length)?;
                // Consecutive indices are a slice of the axis.
                let ordered = positions.windows(2).all(|pair| pair[1] == pair[0] + 1);
                let row_shape: Vec<Extent> = host
                    .shape
                    .iter()
                    .map(|&length| Extent::fixed(length))
                    .collect();
                if ordered && let (Some(first), Some(last)) = (positions.first(), positions.last())
                {
                    let part =
                        self.part(input, axis, Number::fixed(*first), Number::fixed(last + 1))?;
                    shape.splice(axis..=axis, row_shape);
                    return Ok(self.in_file_shape(part, shape));
                }
                let flat = Host::ints(
                    vec![positions.len()],
                    positions.into_iter().map(Number::fixed).collect(),
                );
                (self.tensor(&Rc::new(flat), "", "indices")?, row_shape)
            }
            Operand::Value(rows) => {
                let row_shape = self.file_shape(*rows);
                let mut numbers = row_shape.iter().map(|&extent| number(extent));
                let count = numbers
                    .try_fold(Number::fixed(1), Number::times)
                    .and_then(Number::extent);
                let count = count.ok_or("indices whose shape changes with the batch")?;
                let flat = self.reshaped(*rows, vec![count]);
                (self.counted_from_start(flat, shape[axis])?, row_shape)
            }
        };
        let mut picked = shape.clone();
        picked[axis] = self.shape(rows)[0];
        let picked = self.push(Op::Select(axis), vec![input, rows], picked, kind);
        shape.splice(axis..=axis, row_shape);
        Ok(self.in_file_shape(picked, shape))
    }

    /// The elements at constant indices into the first axes.
    pub(crate) fn gather_nd(&mut self, a: &Attributes<'_, '_>, x: &[Option<Operand>]) -> Read {
        let (data, places) = (self.operand(x, 0)?, self.operand(x, 1)?);
        let data = self.value(&data)?;
        let (Operand::Host(places), 0) = (places, a.int("batch_dims", 0)?) else {
            return Err("places that are computed, or batch_dims".to_owned());
        };
        let shape = self.shape(data);
        let depth = places.shape.last().copied().unwrap_or(0);
        let first: Option<Vec<usize>> = shape.get(..depth).and_then(|first| {
            let lengths = first
                .iter()
                .map(|extent| extent.is_fixed().then_some(extent.fixed));
            lengths.collect()
        });
        let first = first
            .filter(|first| !first.is_empty())
            .ok_or("places along axes that are not there or change with the batch")?;
        let steps = strides(&first);
        let values = places.known().ok_or("places that change with the batch")?;
        let rows = values.chunks(depth).map(|row| {
            let each = row.iter().zip(&first).zip(&steps);
            let each = each.map(|((&place, &length), step)| Ok(axis_of(place, length)? * step));
            let row = each.sum::<Result<usize, Reason>>()?;
            Ok(number(Extent::fixed(row)))
        });
        let rows = rows.collect::<Result<Vec<Number>, Reason>>()?;
        let count = rows.len();
        let rows = Host::ints(vec![count], rows);
        let rows = self.tensor(&Rc::new(rows), "", "indices")?;
        let mut flat = vec![Extent::fixed(first.iter().product())];
        flat.extend(&shape[depth..]);
        let flat_value = self.reshaped(data, flat.clone());
        flat[0] = Extent::fixed(count);
        let kind = self.kind(data);
        let picked = self.push(Op::Select(0), vec![flat_value, rows], flat, kind);
        let leading = &places.shape[..places.shape.len() - 1];
        let mut output: Vec<Extent> = leading
            .iter()
            .map(|&length| Extent::fixed(length))
            .collect();
        output.extend(&shape[depth..]);
        if output.len() > 6 {
            // The axes of length 1 are used for indexing only.
            return Err(format!(
                "a tensor of {} axes; valid are at most 6",
                output.len()
            ));
        }
        Ok(self.in_file_shape(picked, output))
    }
}

/// Indices of an axis; negative ones count from its end.
fn positions(host: &Host, length: Extent) -> Result<Vec<i64>, Reason> {
    let Elements::Ints(values) = &host.elements else {
        return Err("indices that are not integers".to_owned());
    };
    let each = values.iter().map(|value| {
        let value = value.known()?;
        let from_end = number(length).known();
        let position = if value < 0 {
            from_end?.checked_add(value)?
        } else {
            value
        };
        let inside = from_end.is_none_or(|length| position < length);
        (position >= 0 && inside).then_some(position)
    });
    let each: Option<Vec<i64>> = each.collect();
    each.ok_or_else(|| format!("indices that an axis of length {length} does not have"))
}

/// A slice of an axis for the graph, and its length. Starts and ends outside of the axis are clamped to it.
pub(crate) fn range(
    start: Number,
    end: Number,
    step: i64,
    length: Extent,
) -> Result<(Range, Extent), Reason> {
    let whole = number(length);
    let most = i64::MAX / 2;
    let place = |at: Number| match at.known() {
        // It counts from the end.
        Some(known) if known < 0 && known > -most => whole.plus(Number::fixed(known)),
        Some(known) if known <= -most => Some(Number::fixed(-1)),
        Some(known) => match whole.known() {
            Some(whole) => Some(Number::fixed(known.min(whole))),
            // A batch of one sample has only the first element.
            None if known >= most => Some(whole),
            None if known <= whole.fixed + whole.per_sample => Some(Number::fixed(known)),
            None => None,
        },
        None => Some(at),
    };
    let unclear = || "a part of an axis that changes with the batch".to_owned();
    let (start, end) = (
        place(start).ok_or_else(unclear)?,
        place(end).ok_or_else(unclear)?,
    );
    let clamp = |at: Number| match at.known() {
        Some(known) => Number::fixed(known.max(0)),
        None => at,
    };
    let difference = |a: Number, b: Number| {
        let negative = Number {
            fixed: -b.fixed,
            per_sample: -b.per_sample,
        };
        a.plus(negative)
    };
    let steps = usize::try_from(step.unsigned_abs()).map_err(|_| unclear())?;
    let signed = isize::try_from(step).map_err(|_| unclear())?;
    let [first, past] = match step {
        0 => return Err("a step of 0".to_owned()),
        1.. => [clamp(start), clamp(end)],
        _ => {
            let last = whole
                .known()
                .map_or(start, |whole| Number::fixed(start.fixed.min(whole - 1)));
            let end = end.known().map_or(end, |end| Number::fixed(end.max(-1)));
            [
                difference(end, Number::fixed(-1)).ok_or_else(unclear)?,
                difference(last, Number::fixed(-1)).ok_or_else(unclear)?,
            ]
        }
    };
    let count = difference(past, first).ok_or_else(unclear)?;
    let count = match (count.known(), step) {
        (Some(count), _) => {
            let count = usize::try_from(count.max(0)).map_err(|_| unclear())?;
            Extent::fixed(count.div_ceil(steps))
        }
        (None, 1 | -1) => count.extent().ok_or_else(unclear)?,
        (None, _) => return Err(unclear()),
    };
    let past = if count == Extent::fixed(0) {
        first
    } else {
        past
    };
    let (Some(start), Some(end)) = (first.extent(), past.extent()) else {
        return Err(unclear());
    };
    Ok((
        Range {
            start,
            end,
            step: signed,
        },
        count,
    ))
}
