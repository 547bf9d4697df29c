//! Operators that move elements, and reductions.

use std::rc::Rc;

use calcine_graph::{Arithmetic, ElementKind, Extent, Map, Op, Padding, Range, Reduction, ValueId};

use super::host::{Elements, Host, Number, strides};
use super::importer::{Attributes, Importer, Operand, Reason, axis_of, number};

type Read = Result<ValueId, Reason>;

impl Importer {
    /// The integers of an operand or, in older opsets, of an attribute; `None` if neither is there.
    pub(crate) fn numbers(
        &mut self,
        a: &Attributes<'_, '_>,
        x: &[Option<Operand>],
        at: usize,
        name: &str,
    ) -> Result<Option<Vec<Number>>, Reason> {
        if let Some(values) = a.ints(name)? {
            return Ok(Some(values.into_iter().map(Number::fixed).collect()));
        }
        match x.get(at) {
            None | Some(None) => Ok(None),
            Some(Some(Operand::Host(host))) => match host.numbers() {
                Some(numbers) => Ok(Some(numbers.to_vec())),
                None => Err(format!("its operand {at} is not of integers")),
            },
            Some(Some(Operand::Value(_))) => Err(format!("its `{name}` is computed from inputs")),
        }
    }

    pub(crate) fn known_ints(
        &mut self,
        a: &Attributes<'_, '_>,
        x: &[Option<Operand>],
        at: usize,
        name: &str,
    ) -> Result<Option<Vec<i64>>, Reason> {
        let Some(numbers) = self.numbers(a, x, at, name)? else {
            return Ok(None);
        };
        let known: Option<Vec<i64>> = numbers.into_iter().map(Number::known).collect();
        known
            .map(Some)
            .ok_or_else(|| format!("its `{name}` changes with the batch"))
    }

    pub(crate) fn reshape(&mut self, a: &Attributes<'_, '_>, x: &[Option<Operand>]) -> Read {
        let input = self.operand(x, 0)?;
        let input = self.value(&input)?;
        let target = self
            .numbers(a, x, 1, "shape")?
            .ok_or("its shape is missing")?;
        let keeps = a.int("allowzero", 0)? == 0;
        let shape = self.target(&self.shape(input), &target, keeps)?;
        Ok(self.reshaped(input, shape))
    }

    /// The shape that a reshape gives. Where a file that was made for one sample names its size, that is the batch.
    fn target(
        &self,
        own: &[Extent],
        target: &[Number],
        keeps: bool,
    ) -> Result<Vec<Extent>, Reason> {
        let mut shape: Vec<Option<Extent>> = Vec::with_capacity(target.len());
        for (axis, length) in target.iter().enumerate() {
            shape.push(match length.known() {
                Some(-1) => None,
                Some(0) if keeps => {
                    Some(*own.get(axis).ok_or("an axis of length 0 beyond the last")?)
                }
                _ => Some(
                    length
                        .extent()
                        .ok_or_else(|| format!("a length of {}", length.fixed))?,
                ),
            });
        }
        let product = |extents: &[Extent]| {
            let mut numbers = extents.iter().map(|&extent| number(extent));
            numbers.try_fold(Number::fixed(1), Number::times)
        };
        let whole = product(own).ok_or("more than one axis that grows with the batch")?;
        let rest: Vec<Extent> = shape.iter().copied().flatten().collect();
        let rest_product = product(&rest).ok_or("more than one axis that grows with the batch")?;
        let open = shape.iter().filter(|extent| extent.is_none()).count();
        if open == 1 {
            let left = whole.divided(rest_product).and_then(Number::extent);
            let fits = |extent: &Extent| number(*extent).times(rest_product) == Some(whole);
            if let Some(left) = left.filter(fits) {
                return Ok(shape
                    .into_iter()
                    .map(|extent| extent.unwrap_or(left))
                    .collect());
            }
        }
        let shape: Vec<Extent> = shape
            .into_iter()
            .map(|extent| extent.unwrap_or(Extent::BATCH))
            .collect();
        if open == 0 && rest_product == whole {
            return Ok(shape);
        }
        // A file of a fixed batch: its first length is that of all samples.
        if let Some(batch) = self.fixed_batch
            && shape.first() == Some(&Extent::fixed(batch))
        {
            let mut free = shape.clone();
            free[0] = Extent::BATCH;
            if product(&free) == Some(whole) {
                return Ok(free);
            }
        }
        let words = |extents: &[Extent]| {
            let words: Vec<String> = extents.iter().map(ToString::to_string).collect();
            words.join(" × ")
        };
        Err(format!(
            "{} elements do not become {}",
            words(own),
            words(&shape)
        ))
    }

    pub(crate) fn flatten(&mut self, a: &Attributes<'_, '_>, x: &[Option<Operand>]) -> Read {
        let input = self.operand(x, 0)?;
        let input = self.value(&input)?;
        let shape = self.shape(input);
        let axis = a.int("axis", 1)?;
        // From all axes on, there are none.
        let axis = axis_of(axis, shape.len() + usize::from(axis >= 0))?;
        let product = |extents: &[Extent]| {
            let mut numbers = extents.iter().map(|&extent| number(extent));
            let product = numbers.try_fold(Number::fixed(1), Number::times);
            product
                .and_then(Number::extent)
                .ok_or("more than one axis that grows with the batch")
        };
        let flat = vec![product(&shape[..axis])?, product(&shape[axis..])?];
        Ok(self.reshaped(input, flat))
    }

    pub(crate) fn transpose(&mut self, a: &Attributes<'_, '_>, x: ValueId) -> Read {
        let rank = self.rank(x);
        let axes = permutation(a, rank)?;
        Ok(self.permuted(x, &axes))
    }

    pub(crate) fn squeeze(&mut self, a: &Attributes<'_, '_>, x: &[Option<Operand>]) -> Read {
        let input = self.operand(x, 0)?;
        let input = self.value(&input)?;
        let shape = self.shape(input);
        let axes = match self.known_ints(a, x, 1, "axes")? {
            Some(axes) => axes
                .iter()
                .map(|&axis| axis_of(axis, shape.len()))
                .collect::<Result<Vec<_>, _>>()?,
            None => (0..shape.len())
                .filter(|&axis| shape[axis] == Extent::fixed(1))
                .collect(),
        };
        if let Some(axis) = axes.iter().find(|&&axis| shape[axis] != Extent::fixed(1)) {
            return Err(format!("axis {axis} of length {}", shape[*axis]));
        }
        let kept = (0..shape.len()).filter(|axis| !axes.contains(axis));
        let shape: Vec<Extent> = kept.map(|axis| shape[axis]).collect();
        Ok(self.reshaped(input, or_one(shape)))
    }

    pub(crate) fn unsqueeze(&mut self, a: &Attributes<'_, '_>, x: &[Option<Operand>]) -> Read {
        let input = self.operand(x, 0)?;
        let input = self.value(&input)?;
        let axes = self
            .known_ints(a, x, 1, "axes")?
            .ok_or("its axes are missing")?;
        let shape = unsqueezed(&self.shape(input), &axes, Extent::fixed(1))?;
        if shape.len() > 6 {
            return Err(format!(
                "a tensor of {} axes; valid are at most 6",
                shape.len()
            ));
        }
        Ok(self.reshaped(input, shape))
    }

    pub(crate) fn concat(&mut self, a: &Attributes<'_, '_>, x: &[Option<Operand>]) -> Read {
        let mut operands = Vec::with_capacity(x.len());
        for at in 0..x.len() {
            let operand = self.operand(x, at)?;
            if matches!(&operand, Operand::Host(host) if host.len() == 0) {
                continue;
            }
            operands.push(self.value(&operand)?);
        }
        let &first = operands.first().ok_or("no operands")?;
        let mut shape = self.shape(first);
        let axis = axis_of(a.int("axis", 1)?, shape.len())?;
        for &other in &operands[1..] {
            let other = self.shape(other);
            if other.len() != shape.len() {
                return Err("operands of different numbers of axes".to_owned());
            }
            let sum = number(shape[axis])
                .plus(number(other[axis]))
                .and_then(Number::extent);
            shape[axis] = sum.ok_or("an axis that is too long")?;
        }
        let kind = self.kind(first);
        Ok(self.push(Op::Concat(axis), operands, shape, kind))
    }

    /// Part of one axis.
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

    pub(crate) fn expand(&mut self, x: &[Option<Operand>]) -> Read {
        let input = self.operand(x, 0)?;
        let target = match self.operand(x, 1)? {
            Operand::Host(host) => host.numbers().map(<[Number]>::to_vec),
            Operand::Value(_) => None,
        };
        let target = target.ok_or("a shape that is computed from inputs")?;
        let lengths: Option<Vec<Extent>> = target.into_iter().map(Number::extent).collect();
        let lengths = lengths.ok_or("a length that is negative")?;
        let input = self.value(&input)?;
        let rank = lengths.len().max(self.rank(input));
        let input = self.with_rank(input, rank)?;
        let own = self.shape(input);
        let leading = rank - lengths.len();
        let shape = own.iter().enumerate().map(|(axis, &own)| {
            let wanted = axis
                .checked_sub(leading)
                .map_or(Extent::fixed(1), |at| lengths[at]);
            match (own, wanted) {
                (own, wanted) if own == wanted || wanted == Extent::fixed(1) => Ok(own),
                (own, wanted) if own == Extent::fixed(1) => Ok(wanted),
                // A file of a fixed batch names it.
                (own, wanted) if own == Extent::BATCH && Some(wanted.fixed) == self.fixed_batch => {
                    Ok(own)
                }
                (own, wanted) => Err(format!("an axis of length {own} to {wanted}")),
            }
        });
        let shape = shape.collect::<Result<Vec<_>, _>>()?;
        Ok(self.spread(input, &shape))
    }

    pub(crate) fn tile(&mut self, a: &Attributes<'_, '_>, x: &[Option<Operand>]) -> Read {
        let input = self.operand(x, 0)?;
        let mut value = self.value(&input)?;
        let repeats = self
            .known_ints(a, x, 1, "repeats")?
            .ok_or("its repeats are missing")?;
        if repeats.len() != self.rank(value) {
            return Err(format!(
                "{} repeats for {} axes",
                repeats.len(),
                self.rank(value)
            ));
        }
        for (axis, times) in repeats.into_iter().enumerate() {
            let times = usize::try_from(times)
                .ok()
                .filter(|&times| times > 0)
                .ok_or("an axis repeated 0 times")?;
            if times == 1 {
                continue;
            }
            let mut shape = self.shape(value);
            let length = number(shape[axis])
                .times(number(Extent::fixed(times)))
                .and_then(Number::extent);
            shape[axis] = length.ok_or("an axis that is too long")?;
            let kind = self.kind(value);
            value = self.push(Op::Repeat { axis, times }, vec![value], shape, kind);
        }
        Ok(value)
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
            let shape = self.shape(rows);
            let features = self.shape(table)[1];
            let flat = match shape.len() {
                2 => rows,
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
                // Neighbours in order are a part of the axis.
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
                    return Ok(self.reshaped(part, or_one(shape)));
                }
                let flat = Host::ints(
                    vec![positions.len()],
                    positions.into_iter().map(Number::fixed).collect(),
                );
                (self.tensor(&Rc::new(flat), "", "indices")?, row_shape)
            }
            Operand::Value(rows) => {
                let row_shape = self.shape(*rows);
                let mut numbers = row_shape.iter().map(|&extent| number(extent));
                let count = numbers
                    .try_fold(Number::fixed(1), Number::times)
                    .and_then(Number::extent);
                let count = count.ok_or("indices whose shape changes with the batch")?;
                (self.reshaped(*rows, vec![count]), row_shape)
            }
        };
        let mut picked = shape.clone();
        picked[axis] = self.shape(rows)[0];
        let picked = self.push(Op::Select(axis), vec![input, rows], picked, kind);
        shape.splice(axis..=axis, row_shape);
        Ok(self.reshaped(picked, or_one(shape)))
    }

    /// Elements at places that are known, along the first axes.
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
            // Axes of length 1 are there for indexing alone.
            return Err(format!(
                "a tensor of {} axes; valid are at most 6",
                output.len()
            ));
        }
        Ok(self.reshaped(picked, or_one(output)))
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

    pub(crate) fn pad(&mut self, a: &Attributes<'_, '_>, x: &[Option<Operand>]) -> Read {
        let input = self.operand(x, 0)?;
        let mut value = self.value(&input)?;
        let rank = self.rank(value);
        let pads = self
            .known_ints(a, x, 1, "pads")?
            .ok_or("its pads are missing")?;
        let axes = match self.known_ints(a, x, 3, "axes")? {
            Some(axes) => axes
                .iter()
                .map(|&axis| axis_of(axis, rank))
                .collect::<Result<Vec<_>, _>>()?,
            None => (0..rank).collect(),
        };
        if pads.len() != 2 * axes.len() {
            return Err(format!("{} pads for {} axes", pads.len(), axes.len()));
        }
        let number_of = match x.get(2) {
            Some(Some(Operand::Host(host))) => host.scalar().unwrap_or(0.0),
            Some(Some(Operand::Value(_))) => return Err("a number that is computed".to_owned()),
            _ => a.float("value", 0.0)?,
        };
        let with = match a.text("mode", "constant")?.as_str() {
            "constant" => Padding::Constant(number_of),
            "reflect" => Padding::Reflect,
            "edge" => Padding::Edge,
            other => {
                return Err(format!(
                    "mode `{other}`; valid are constant, reflect and edge"
                ));
            }
        };
        let mut padding = vec![[0_usize; 2]; rank];
        for (at, &axis) in axes.iter().enumerate() {
            let ends = [pads[at], pads[at + axes.len()]];
            padding[axis] = ends.map(|pad| usize::try_from(pad).unwrap_or(0));
            if ends.iter().any(|pad| *pad < 0) {
                let length = number(self.shape(value)[axis]);
                let start = Number::fixed((-ends[0]).max(0));
                let end = length
                    .plus(Number::fixed(ends[1].min(0)))
                    .ok_or("an axis that is too short")?;
                value = self.part(value, axis, start, end)?;
            }
        }
        if padding.iter().all(|ends| *ends == [0, 0]) {
            return Ok(value);
        }
        let mut shape = self.shape(value);
        for (extent, [before, after]) in shape.iter_mut().zip(&padding) {
            let grown = extent
                .fixed
                .checked_add(*before)
                .and_then(|sum| sum.checked_add(*after));
            extent.fixed = grown.ok_or("an axis that is too long")?;
        }
        let kind = self.kind(value);
        Ok(self.push(Op::Pad { padding, with }, vec![value], shape, kind))
    }

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

    /// A tensor of one number whose shape may grow with the batch.
    pub(crate) fn filled(&mut self, number: f64, kind: ElementKind, shape: &[Number]) -> Read {
        let shape: Option<Vec<Extent>> = shape.iter().map(|length| length.extent()).collect();
        let shape = shape.ok_or("a length that is negative")?;
        if shape.len() > 6 {
            return Err(format!(
                "a tensor of {} axes; valid are at most 6",
                shape.len()
            ));
        }
        Ok(self.push(Op::Constant(number), Vec::new(), or_one(shape), kind))
    }
}

/// Whether an element of a matrix lies in the triangle that is zeroed.
pub(crate) fn is_outside(row: usize, column: usize, offset: i64, upper: bool) -> bool {
    let signed = |at: usize| i64::try_from(at).unwrap_or(i64::MAX);
    let from = signed(column).saturating_sub(signed(row));
    if upper { from < offset } else { from > offset }
}

pub(crate) fn permutation(a: &Attributes<'_, '_>, rank: usize) -> Result<Vec<usize>, Reason> {
    let axes = match a.ints("perm")? {
        None => (0..rank).rev().collect(),
        Some(axes) => axes
            .iter()
            .map(|&axis| axis_of(axis, rank))
            .collect::<Result<Vec<_>, _>>()?,
    };
    let mut sorted = axes.clone();
    sorted.sort_unstable();
    match sorted.into_iter().eq(0..rank) {
        true => Ok(axes),
        false => Err(format!("{axes:?} is no order of {rank} axes")),
    }
}

/// A shape with axes put in at these positions of the result.
pub(crate) fn unsqueezed<T: Copy>(shape: &[T], axes: &[i64], one: T) -> Result<Vec<T>, Reason> {
    let rank = shape.len() + axes.len();
    let axes = axes
        .iter()
        .map(|&axis| axis_of(axis, rank))
        .collect::<Result<Vec<_>, _>>()?;
    let mut own = shape.iter();
    let lengths = (0..rank).map(|axis| {
        if axes.contains(&axis) {
            Some(one)
        } else {
            own.next().copied()
        }
    });
    let lengths: Option<Vec<T>> = lengths.collect();
    lengths.ok_or_else(|| format!("{axes:?} names an axis twice"))
}

/// A network's tensors have an axis at least.
fn or_one(shape: Vec<Extent>) -> Vec<Extent> {
    match shape.is_empty() {
        true => vec![Extent::fixed(1)],
        false => shape,
    }
}

fn whole(shape: &[Extent]) -> Vec<Range> {
    let range = |&end: &Extent| Range {
        start: Extent::fixed(0),
        end,
        step: 1,
    };
    shape.iter().map(range).collect()
}

/// Positions along an axis, counted from its end if negative.
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

/// A part of an axis as a graph has it, and how long it is. Starts and ends beyond the axis are its ends.
pub(crate) fn range(
    start: Number,
    end: Number,
    step: i64,
    length: Extent,
) -> Result<(Range, Extent), Reason> {
    let whole = number(length);
    let most = i64::MAX / 2;
    let place = |at: Number| match at.known() {
        // Counted from the end.
        Some(known) if known < 0 && known > -most => whole.plus(Number::fixed(known)),
        Some(known) if known <= -most => Some(Number::fixed(-1)),
        Some(known) => match whole.known() {
            Some(whole) => Some(Number::fixed(known.min(whole))),
            // Of a batch of one, no element is certain but the first.
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
