//! Operators that change shapes, move elements or repeat them.

use calcine_graph::{ElementKind, Extent, Op, Padding, Range, ValueId};

use super::host::Number;
use super::importer::{Attributes, Importer, Operand, Reason, axis_of, number};

pub(super) type Read = Result<ValueId, Reason>;

impl Importer {
    /// The integers of an operand or, in older opsets, of an attribute; `None` if there is neither.
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
        let shape = self.target(&self.file_shape(input), &target, keeps)?;
        Ok(self.in_file_shape(input, shape))
    }

    /// The shape of the result of a reshape. If the file is for a fixed batch size and names that size, the axis is the
    /// batch.
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
        // The file is for a fixed batch size, which is its first length.
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
        let shape = self.file_shape(input);
        let axis = a.int("axis", 1)?;
        // No axes are left after the last one.
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
        let shape = self.file_shape(input);
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
        Ok(self.in_file_shape(input, shape))
    }

    pub(crate) fn unsqueeze(&mut self, a: &Attributes<'_, '_>, x: &[Option<Operand>]) -> Read {
        let input = self.operand(x, 0)?;
        let input = self.value(&input)?;
        let axes = self
            .known_ints(a, x, 1, "axes")?
            .ok_or("its axes are missing")?;
        let shape = unsqueezed(&self.file_shape(input), &axes, Extent::fixed(1))?;
        if shape.len() > 6 {
            return Err(format!(
                "a tensor of {} axes; valid are at most 6",
                shape.len()
            ));
        }
        Ok(self.in_file_shape(input, shape))
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
                // A file for a fixed batch size names that size.
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

    /// Adds elements with a number before and after an axis.
    pub(crate) fn padded(
        &mut self,
        x: ValueId,
        axis: usize,
        ends: [usize; 2],
        number: f64,
    ) -> ValueId {
        if ends == [0, 0] {
            return x;
        }
        let mut shape = self.shape(x);
        let mut padding = vec![[0, 0]; shape.len()];
        padding[axis] = ends;
        shape[axis].fixed = shape[axis]
            .fixed
            .saturating_add(ends[0])
            .saturating_add(ends[1]);
        let with = Padding::Constant(number);
        let kind = self.kind(x);
        self.push(Op::Pad { padding, with }, vec![x], shape, kind)
    }

    /// Adds elements before and after an axis by repeating the axis periodically.
    fn wrapped(&mut self, x: ValueId, axis: usize, ends: [usize; 2]) -> Read {
        let length = super::windows::fixed(self.shape(x)[axis])?;
        if ends.iter().any(|&end| end > length) {
            return Err(format!(
                "a padding of {ends:?} that wraps more than once over {length}"
            ));
        }
        let signed = |at: usize| Number::fixed(i64::try_from(at).unwrap_or(i64::MAX));
        let mut parts = Vec::new();
        if ends[0] > 0 {
            parts.push(self.part(x, axis, signed(length - ends[0]), signed(length))?);
        }
        parts.push(x);
        if ends[1] > 0 {
            parts.push(self.part(x, axis, signed(0), signed(ends[1]))?);
        }
        let mut shape = self.shape(x);
        shape[axis] = (length + ends[0] + ends[1]).into();
        let kind = self.kind(x);
        Ok(self.push(Op::Concat(axis), parts, shape, kind))
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
        let mode = a.text("mode", "constant")?;
        let with = match mode.as_str() {
            "constant" | "wrap" => Padding::Constant(number_of),
            "reflect" => Padding::Reflect,
            "edge" => Padding::Edge,
            other => {
                return Err(format!(
                    "mode `{other}`; valid are constant, reflect, edge and wrap"
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
        if mode == "wrap" {
            for (axis, &ends) in padding.iter().enumerate() {
                if ends != [0, 0] {
                    value = self.wrapped(value, axis, ends)?;
                }
            }
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

    /// `CenterCropPad`: crops each axis to its centre, or pads it with zeros.
    pub(crate) fn center_crop_pad(
        &mut self,
        a: &Attributes<'_, '_>,
        x: &[Option<Operand>],
    ) -> Read {
        let input = self.operand(x, 0)?;
        let mut value = self.value(&input)?;
        let rank = self.rank(value);
        let target = self
            .known_ints(a, x, 1, "shape")?
            .ok_or("its shape is missing")?;
        let axes = match a.ints("axes")? {
            Some(axes) => axes
                .iter()
                .map(|&axis| axis_of(axis, rank))
                .collect::<Result<Vec<_>, _>>()?,
            None => (0..rank).collect(),
        };
        if axes.len() != target.len() {
            return Err(format!("{} lengths for {} axes", target.len(), axes.len()));
        }
        for (&axis, &length) in axes.iter().zip(&target) {
            let own = super::windows::fixed(self.shape(value)[axis])?;
            let length = usize::try_from(length).ok().filter(|&length| length > 0);
            let length = length.ok_or("a length below 1")?;
            let signed = |at: usize| Number::fixed(i64::try_from(at).unwrap_or(i64::MAX));
            if length < own {
                let start = (own - length) / 2;
                value = self.part(value, axis, signed(start), signed(start + length))?;
            } else {
                let more = length - own;
                value = self.padded(value, axis, [more / 2, more - more / 2], 0.0);
            }
        }
        Ok(value)
    }

    /// A tensor in which all elements are one number, and whose shape may depend on the batch.
    pub(crate) fn filled(&mut self, number: f64, kind: ElementKind, shape: &[Number]) -> Read {
        let shape: Option<Vec<Extent>> = shape.iter().map(|length| length.extent()).collect();
        let shape = shape.ok_or("a length that is negative")?;
        if shape.len() > 6 {
            return Err(format!(
                "a tensor of {} axes; valid are at most 6",
                shape.len()
            ));
        }
        let is_scalar = shape.is_empty();
        let id = self.push(Op::Constant(number), Vec::new(), or_one(shape), kind);
        if is_scalar {
            self.mark_scalar(id);
        }
        Ok(id)
    }
}

/// Whether an element of a matrix is in the triangle that is set to zero.
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

/// A shape with axes of length 1 inserted at these positions of the result.
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

/// The tensors of a network have at least one axis.
pub(crate) fn or_one(shape: Vec<Extent>) -> Vec<Extent> {
    match shape.is_empty() {
        true => vec![Extent::fixed(1)],
        false => shape,
    }
}

pub(super) fn whole(shape: &[Extent]) -> Vec<Range> {
    let range = |&end: &Extent| Range {
        start: Extent::fixed(0),
        end,
        step: 1,
    };
    shape.iter().map(range).collect()
}
