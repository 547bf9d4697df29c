//! The shape and kind of what an operation makes, from those of its operands.

use crate::graph::ElementKind;
use crate::op::{Arithmetic, Convolution, Map, Op, Padding, Pool, Range};

/// A tensor for one size of the batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tensor<'a> {
    pub(crate) shape: &'a [usize],
    pub(crate) kind: ElementKind,
}

/// Why an operation and its tensors do not fit.
pub(crate) enum Misfit {
    /// Two axes that must be equally long and are not: of each the operand and the axis.
    Lengths([(usize, usize); 2]),
    /// Anything else, in words that end a sentence.
    Other(String),
}

impl From<String> for Misfit {
    fn from(problem: String) -> Self {
        Self::Other(problem)
    }
}

/// Whether the operation makes such an output of such operands, which are as many as it takes, for a batch of this size.
pub(crate) fn fits(op: &Op, x: &[Tensor], out: Tensor, batch: usize) -> Result<(), Misfit> {
    settings(op, x)?;
    kinds(op, x, out.kind)?;
    if let Some(axes) = summed(op, x)
        && axes
            .iter()
            .map(|&(operand, axis)| x[operand].shape[axis])
            .min()
            != axes
                .iter()
                .map(|&(operand, axis)| x[operand].shape[axis])
                .max()
    {
        return Err(Misfit::Lengths(axes));
    }
    let shape = match op {
        Op::Constant(_) => return Ok(()),
        Op::Reshape => return Ok(reshaped(x[0].shape, out.shape)?),
        Op::Expand => return Ok(expanded(x[0].shape, out.shape)?),
        Op::AdaptiveAveragePool | Op::Interpolate { .. } => resized(x[0].shape, out.shape)?,
        op => shape(op, x, batch)?,
    };
    if shape == out.shape {
        return Ok(());
    }
    Err(Misfit::Other(format!(
        "its operands give the shape {shape:?}, and its output has {:?}",
        out.shape
    )))
}

/// The axes of two operands that the operation sums along together, each an operand and an axis.
fn summed(op: &Op, x: &[Tensor]) -> Option<[(usize, usize); 2]> {
    let rank = x.first()?.shape.len();
    match op {
        Op::Linear => Some([(1, 0), (0, rank - 1)]),
        Op::Matmul => Some([(1, rank - 2), (0, rank - 1)]),
        Op::TransposedConvolution { .. } => Some([(1, 0), (0, 1)]),
        Op::Convolution(_)
        | Op::Embedding
        | Op::BatchNorm { .. }
        | Op::LayerNorm { .. }
        | Op::Attention { .. }
        | Op::MaxPool(_)
        | Op::AveragePool { .. }
        | Op::AdaptiveAveragePool
        | Op::Interpolate { .. }
        | Op::Pad { .. }
        | Op::Map(_)
        | Op::Scalar(..)
        | Op::Zip(_)
        | Op::CompareScalar(..)
        | Op::Compare(_)
        | Op::Where
        | Op::Fill(_)
        | Op::Softmax(_)
        | Op::LogSoftmax(_)
        | Op::Reduce(..)
        | Op::ReduceAll(_)
        | Op::ArgMax(_)
        | Op::CumulativeSum(_)
        | Op::Concat(_)
        | Op::Slice(_)
        | Op::Select(_)
        | Op::Gather(_)
        | Op::Reshape
        | Op::Expand
        | Op::Permute(_)
        | Op::Flip(_)
        | Op::Repeat { .. }
        | Op::Constant(_)
        | Op::Cast => None,
    }
}

/// What numbers of an operation may be, whatever its operands are.
fn settings(op: &Op, x: &[Tensor]) -> Result<(), String> {
    let positive = |what: &str, numbers: &[usize]| match numbers.contains(&0) {
        true => Err(format!(
            "a {what} of 0 in {numbers:?}; valid are 1 and more"
        )),
        false => Ok(()),
    };
    let count = |what: &str, found: usize, axes: usize| match found == axes {
        true => Ok(()),
        false => Err(format!("{found} numbers of {what} for {axes} spatial axes")),
    };
    let windows = |convolution: &Convolution| {
        let axes = convolution.stride.len();
        if !(1..=3).contains(&axes) {
            return Err(format!("{axes} spatial axes; valid are 1 to 3"));
        }
        count("padding", convolution.padding.len(), axes)?;
        count("dilation", convolution.dilation.len(), axes)?;
        positive("stride", &convolution.stride)?;
        positive("dilation", &convolution.dilation)?;
        positive("number of groups", &[convolution.groups])
    };
    match op {
        Op::Convolution(convolution) => windows(convolution),
        Op::TransposedConvolution {
            convolution,
            output_padding,
        } => {
            windows(convolution)?;
            let padding = &convolution.padding;
            if let Some(uneven) = padding.iter().find(|[before, after]| before != after) {
                return Err(format!(
                    "padding {uneven:?}, which must be equal before and after"
                ));
            }
            count(
                "output padding",
                output_padding.len(),
                convolution.stride.len(),
            )
        }
        Op::MaxPool(pool) | Op::AveragePool { pool, .. } => {
            let axes = pool.kernel.len();
            if !(1..=2).contains(&axes) {
                return Err(format!("{axes} spatial axes; valid are 1 and 2"));
            }
            count("stride", pool.stride.len(), axes)?;
            count("padding", pool.padding.len(), axes)?;
            count("dilation", pool.dilation.len(), axes)?;
            positive("kernel", &pool.kernel)?;
            positive("stride", &pool.stride)?;
            positive("dilation", &pool.dilation)?;
            match op {
                Op::AveragePool { .. } if pool.dilation.iter().any(|&d| d != 1) => {
                    Err(format!("a dilation of {:?}; valid is 1", pool.dilation))
                }
                _ => Ok(()),
            }
        }
        Op::AdaptiveAveragePool if !(3..=5).contains(&x[0].shape.len()) => Err(format!(
            "an operand of {} axes; valid are 3 to 5",
            x[0].shape.len()
        )),
        Op::Scalar(Arithmetic::Divide | Arithmetic::Remainder, number)
            if x[0].kind == ElementKind::Int && (*number == 0.0 || number.fract() != 0.0) =>
        {
            Err(format!("integers are divided by {number}"))
        }
        Op::Map(Map::Clamp { low, high }) if low.is_nan() || high.is_nan() || low > high => {
            Err(format!("no number is from {low} to {high}"))
        }
        Op::Repeat { times: 0, .. } => Err("an axis is repeated 0 times".to_owned()),
        Op::Linear
        | Op::Matmul
        | Op::Embedding
        | Op::BatchNorm { .. }
        | Op::LayerNorm { .. }
        | Op::Attention { .. }
        | Op::AdaptiveAveragePool
        | Op::Interpolate { .. }
        | Op::Pad { .. }
        | Op::Map(_)
        | Op::Scalar(..)
        | Op::Zip(_)
        | Op::CompareScalar(..)
        | Op::Compare(_)
        | Op::Where
        | Op::Fill(_)
        | Op::Softmax(_)
        | Op::LogSoftmax(_)
        | Op::Reduce(..)
        | Op::ReduceAll(_)
        | Op::ArgMax(_)
        | Op::CumulativeSum(_)
        | Op::Concat(_)
        | Op::Slice(_)
        | Op::Select(_)
        | Op::Gather(_)
        | Op::Reshape
        | Op::Expand
        | Op::Permute(_)
        | Op::Flip(_)
        | Op::Repeat { .. }
        | Op::Constant(_)
        | Op::Cast => Ok(()),
    }
}

fn kinds(op: &Op, x: &[Tensor], out: ElementKind) -> Result<(), String> {
    use ElementKind::{Bool, Float, Int};
    let first = x.first().map(|x| x.kind);
    let expect = |position: usize, expected: ElementKind| match x.get(position) {
        Some(x) if x.kind != expected => Err(format!(
            "operand {position} is {:?}, not {expected:?}",
            x.kind
        )),
        _ => Ok(()),
    };
    let all =
        |expected: ElementKind| (0..x.len()).try_for_each(|position| expect(position, expected));
    let alike = || all(first.unwrap_or(Float));
    let gives = |expected: ElementKind| match out == expected {
        true => Ok(()),
        false => Err(format!("its output is {out:?}, not {expected:?}")),
    };
    let first_of = |valid: &[ElementKind]| match first {
        Some(kind) if !valid.contains(&kind) => Err(format!("operand 0 is {kind:?}")),
        _ => Ok(()),
    };
    match op {
        Op::Convolution(_)
        | Op::TransposedConvolution { .. }
        | Op::Linear
        | Op::Matmul
        | Op::BatchNorm { .. }
        | Op::LayerNorm { .. }
        | Op::MaxPool(_)
        | Op::AveragePool { .. }
        | Op::AdaptiveAveragePool
        | Op::Interpolate { .. }
        | Op::Softmax(_)
        | Op::LogSoftmax(_) => {
            all(Float)?;
            gives(Float)
        }
        Op::Attention { masked, .. } => {
            for (position, x) in x.iter().enumerate() {
                let expected = if *masked && position == 3 {
                    Bool
                } else {
                    Float
                };
                if x.kind != expected {
                    return Err(format!(
                        "operand {position} is {:?}, not {expected:?}",
                        x.kind
                    ));
                }
            }
            gives(Float)
        }
        Op::Embedding => {
            expect(0, Float)?;
            expect(1, Int)?;
            gives(Float)
        }
        Op::Map(map) => {
            first_of(map_kinds(*map))?;
            gives(first.unwrap_or(out))
        }
        Op::Scalar(arithmetic, _) | Op::Zip(arithmetic) => {
            alike()?;
            first_of(arithmetic_kinds(*arithmetic, matches!(op, Op::Scalar(..))))?;
            gives(first.unwrap_or(out))
        }
        Op::CompareScalar(comparison, _) | Op::Compare(comparison) => {
            use crate::Comparison::{Equal, NotEqual};
            alike()?;
            if first == Some(Bool) && !matches!(comparison, Equal | NotEqual) {
                return Err("booleans have no order".to_owned());
            }
            gives(Bool)
        }
        Op::Where => {
            expect(1, Bool)?;
            expect(2, first.unwrap_or(out))?;
            gives(first.unwrap_or(out))
        }
        Op::Fill(_) => {
            expect(1, Bool)?;
            gives(first.unwrap_or(out))
        }
        Op::Reduce(..) | Op::ReduceAll(_) | Op::Pad { .. } | Op::CumulativeSum(_) => {
            first_of(&[Float, Int])?;
            gives(first.unwrap_or(out))
        }
        Op::ArgMax(_) => {
            first_of(&[Float, Int])?;
            gives(Int)
        }
        Op::Concat(_) => {
            alike()?;
            gives(first.unwrap_or(out))
        }
        Op::Select(_) | Op::Gather(_) => {
            expect(1, Int)?;
            gives(first.unwrap_or(out))
        }
        Op::Slice(_)
        | Op::Reshape
        | Op::Expand
        | Op::Permute(_)
        | Op::Flip(_)
        | Op::Repeat { .. } => gives(first.unwrap_or(out)),
        Op::Cast => match (first, out) {
            (Some(Float | Int), Bool) => Err("numbers become booleans by a comparison".to_owned()),
            _ => Ok(()),
        },
        Op::Constant(_) => Ok(()),
    }
}

fn map_kinds(map: Map) -> &'static [ElementKind] {
    use ElementKind::{Bool, Float, Int};
    match map {
        Map::Not => &[Bool],
        Map::Abs
        | Map::Negate
        | Map::Sign
        | Map::Clamp { .. }
        | Map::ClampMin(_)
        | Map::ClampMax(_) => &[Float, Int],
        Map::Relu
        | Map::LeakyRelu(_)
        | Map::Gelu
        | Map::Sigmoid
        | Map::LogSigmoid
        | Map::HardSigmoid { .. }
        | Map::Tanh
        | Map::Exp
        | Map::Log
        | Map::Log1p
        | Map::Sqrt
        | Map::Reciprocal
        | Map::Erf
        | Map::Sin
        | Map::Cos
        | Map::Tan
        | Map::Sinh
        | Map::Cosh
        | Map::ArcSin
        | Map::ArcCos
        | Map::ArcTan
        | Map::ArcSinh
        | Map::ArcCosh
        | Map::ArcTanh
        | Map::Floor
        | Map::Ceil
        | Map::Truncate
        | Map::Round => &[Float],
    }
}

fn arithmetic_kinds(arithmetic: Arithmetic, with_number: bool) -> &'static [ElementKind] {
    use ElementKind::{Bool, Float, Int};
    match arithmetic {
        Arithmetic::And | Arithmetic::Or if with_number => &[],
        Arithmetic::And | Arithmetic::Or => &[Bool],
        Arithmetic::PRelu | Arithmetic::ArcTan2 | Arithmetic::Hypot if with_number => &[],
        Arithmetic::PRelu | Arithmetic::ArcTan2 | Arithmetic::Hypot => &[Float],
        Arithmetic::Add
        | Arithmetic::Subtract
        | Arithmetic::Multiply
        | Arithmetic::Divide
        | Arithmetic::Remainder
        | Arithmetic::Power => &[Float, Int],
    }
}

/// The shape of what depends on the operands alone.
fn shape(op: &Op, x: &[Tensor], batch: usize) -> Result<Vec<usize>, String> {
    let first = x[0].shape;
    let keep = || Ok(first.to_vec());
    match op {
        Op::Convolution(convolution) => convolved(convolution, x),
        Op::TransposedConvolution {
            convolution,
            output_padding,
        } => transposed(convolution, output_padding, x),
        Op::Linear => {
            let weight = x[1].shape;
            bias(x.get(2), weight[1])?;
            let mut shape = first.to_vec();
            shape.pop();
            shape.push(weight[1]);
            Ok(shape)
        }
        Op::Matmul => multiplied(first, x[1].shape),
        Op::Embedding => match x[1].shape {
            [batch, length] => Ok(vec![*batch, *length, first[1]]),
            other => Err(format!("indices of shape {other:?}; valid are two axes")),
        },
        Op::BatchNorm { .. } => {
            for vector in &x[1..] {
                bias(Some(vector), first[1])?;
            }
            keep()
        }
        Op::LayerNorm { .. } => {
            for vector in &x[1..] {
                bias(Some(vector), first.last().copied().unwrap_or_default())?;
            }
            keep()
        }
        Op::Attention { masked, .. } => attended(x, *masked),
        Op::MaxPool(pool) | Op::AveragePool { pool, .. } => pooled(pool, first),
        Op::Pad { padding, with } => padded(first, padding, *with),
        Op::Zip(Arithmetic::PRelu) => {
            let slopes = x[1].shape;
            let channels = first.get(1).copied().unwrap_or(1);
            let count: usize = slopes.iter().product();
            let placed = slopes.get(1).is_none_or(|&length| length == count);
            if count != 1 && (count != channels || !placed) {
                return Err(format!(
                    "slopes of shape {slopes:?} for {channels} channels"
                ));
            }
            keep()
        }
        Op::Zip(_) | Op::Compare(_) | Op::Where | Op::Fill(_) => {
            let mut shape = first.to_vec();
            for other in &x[1..] {
                shape = broadcast(&shape, other.shape)?;
            }
            Ok(shape)
        }
        Op::Reduce(_, axis) | Op::ArgMax(axis) => {
            let mut shape = first.to_vec();
            shape[*axis] = 1;
            Ok(shape)
        }
        Op::ReduceAll(_) => Ok(vec![1]),
        Op::Concat(axis) => {
            let mut shape = first.to_vec();
            for other in &x[1..] {
                let mut rest = other.shape.to_vec();
                let more = std::mem::replace(&mut rest[*axis], shape[*axis]);
                if rest != shape {
                    return Err(format!(
                        "{first:?} and {:?} differ beside axis {axis}",
                        other.shape
                    ));
                }
                shape[*axis] = shape[*axis].saturating_add(more);
            }
            Ok(shape)
        }
        Op::Slice(ranges) => {
            let lengths = ranges.iter().zip(first);
            lengths
                .map(|(range, &length)| cut(range, length, batch))
                .collect()
        }
        Op::Select(axis) => {
            let mut shape = first.to_vec();
            shape[*axis] = x[1].shape[0];
            Ok(shape)
        }
        Op::Gather(axis) => {
            let indices = x[1].shape;
            let differs = |other: usize| other != *axis && indices[other] != first[other];
            match (0..first.len()).find(|&other| differs(other)) {
                Some(other) => Err(format!(
                    "indices of shape {indices:?} for {first:?}, which differ along axis {other}"
                )),
                None => Ok(indices.to_vec()),
            }
        }
        Op::Permute(axes) => Ok(axes.iter().map(|&axis| first[axis]).collect()),
        Op::Repeat { axis, times } => {
            let mut shape = first.to_vec();
            shape[*axis] = shape[*axis].saturating_mul(*times);
            Ok(shape)
        }
        Op::AdaptiveAveragePool
        | Op::Interpolate { .. }
        | Op::Map(_)
        | Op::Scalar(..)
        | Op::CompareScalar(..)
        | Op::Softmax(_)
        | Op::LogSoftmax(_)
        | Op::CumulativeSum(_)
        | Op::Flip(_)
        | Op::Cast
        | Op::Reshape
        | Op::Expand
        | Op::Constant(_) => keep(),
    }
}

/// Of a vector that has an element for each of so many channels.
fn bias(vector: Option<&Tensor>, channels: usize) -> Result<(), String> {
    match vector {
        Some(vector) if vector.shape != [channels] => Err(format!(
            "a vector of shape {:?} for {channels} channels",
            vector.shape
        )),
        _ => Ok(()),
    }
}

/// How many inputs each group has.
fn split(groups: usize, inputs: usize, outputs: usize) -> Result<usize, String> {
    match inputs.is_multiple_of(groups) && outputs.is_multiple_of(groups) {
        true => Ok(inputs / groups),
        false => Err(format!(
            "{inputs} input and {outputs} output channels do not split into {groups} groups"
        )),
    }
}

/// A window's length along an axis: `dilation · (kernel - 1) + 1`.
fn reach(kernel: usize, dilation: usize) -> Result<u128, String> {
    let gaps = kernel.checked_sub(1).ok_or("a kernel of length 0")?;
    Ok(dilation as u128 * gaps as u128 + 1)
}

fn length(found: u128) -> Result<usize, String> {
    usize::try_from(found).map_err(|_| "an axis that is too long".to_owned())
}

fn convolved(convolution: &Convolution, x: &[Tensor]) -> Result<Vec<usize>, String> {
    let (input, weight) = (x[0].shape, x[1].shape);
    let inputs = split(convolution.groups, input[1], weight[0])?;
    if inputs != weight[1] {
        return Err(format!(
            "{inputs} inputs for each of {} groups, and a weight of shape {weight:?}",
            convolution.groups
        ));
    }
    bias(x.get(2), weight[0])?;
    let mut shape = vec![input[0], weight[0]];
    for (axis, (&size, &kernel)) in input[2..].iter().zip(&weight[2..]).enumerate() {
        let [before, after] = convolution.padding[axis];
        let padded = size as u128 + before as u128 + after as u128;
        let reach = reach(kernel, convolution.dilation[axis])?;
        let room = padded.checked_sub(reach).ok_or_else(|| {
            format!("a window of {reach} elements over {padded} along spatial axis {axis}")
        })?;
        shape.push(length(room / convolution.stride[axis] as u128 + 1)?);
    }
    Ok(shape)
}

fn transposed(
    convolution: &Convolution,
    output_padding: &[usize],
    x: &[Tensor],
) -> Result<Vec<usize>, String> {
    let (input, weight) = (x[0].shape, x[1].shape);
    let outputs = weight[1].saturating_mul(convolution.groups);
    split(convolution.groups, input[1], outputs)?;
    bias(x.get(2), outputs)?;
    let mut shape = vec![input[0], outputs];
    for (axis, (&size, &kernel)) in input[2..].iter().zip(&weight[2..]).enumerate() {
        let (stride, dilation) = (convolution.stride[axis], convolution.dilation[axis]);
        if output_padding[axis] > 0 && output_padding[axis] >= stride.max(dilation) {
            return Err(format!(
                "an output padding of {}, not below the stride {stride} or the dilation {dilation}",
                output_padding[axis]
            ));
        }
        let steps = size.checked_sub(1).ok_or("an axis of length 0")?;
        let whole = steps as u128 * stride as u128
            + reach(kernel, dilation)?
            + output_padding[axis] as u128;
        let cut = 2 * convolution.padding[axis][0] as u128;
        let left = whole.checked_sub(cut).filter(|&left| left > 0);
        shape.push(length(left.ok_or("padding that leaves nothing")?)?);
    }
    Ok(shape)
}

fn pooled(pool: &Pool, input: &[usize]) -> Result<Vec<usize>, String> {
    let mut shape = input[..2].to_vec();
    for (axis, &size) in input[2..].iter().enumerate() {
        let [kernel, stride, padding] =
            [pool.kernel[axis], pool.stride[axis], pool.padding[axis]].map(|n| n as u128);
        let size = size as u128;
        let reach = reach(pool.kernel[axis], pool.dilation[axis])?;
        if 2 * padding > kernel {
            return Err(format!(
                "padding {padding}, more than half of the window of {kernel}"
            ));
        }
        let hangs = if pool.ceil { stride - 1 } else { 0 };
        let room = (size + 2 * padding + hangs)
            .checked_sub(reach)
            .ok_or_else(|| {
                format!("a window of {reach} elements over {size} along spatial axis {axis}")
            })?;
        let mut places = room / stride + 1;
        if pool.ceil && (places - 1) * stride >= size + padding {
            places -= 1;
        }
        shape.push(length(places)?);
    }
    Ok(shape)
}

fn multiplied(a: &[usize], b: &[usize]) -> Result<Vec<usize>, String> {
    let rank = a.len();
    let mut shape = broadcast(&a[..rank - 2], &b[..rank - 2])?;
    shape.extend([a[rank - 2], b[rank - 1]]);
    Ok(shape)
}

fn attended(x: &[Tensor], masked: bool) -> Result<Vec<usize>, String> {
    let [query, key, value] = [x[0].shape, x[1].shape, x[2].shape];
    if masked && x.len() < 4 {
        return Err("the mask is missing".to_owned());
    }
    if !masked && x.len() > 4 {
        return Err("five operands, and none of them a mask".to_owned());
    }
    let heads = |other: &[usize]| other[..2] == query[..2];
    if !heads(key) || !heads(value) || key[3] != query[3] || key[2] != value[2] {
        return Err(format!(
            "query {query:?}, key {key:?} and value {value:?} do not fit"
        ));
    }
    let scores = [query[0], query[1], query[2], key[2]];
    for more in &x[3..] {
        if broadcast(&scores, more.shape)? != scores {
            return Err(format!("{:?} for scores of shape {scores:?}", more.shape));
        }
    }
    Ok(vec![query[0], query[1], query[2], value[3]])
}

fn padded(x: &[usize], padding: &[[usize; 2]], with: Padding) -> Result<Vec<usize>, String> {
    let axes = x.iter().zip(padding);
    axes.map(|(&size, &[before, after])| {
        let most = before.max(after);
        let valid = match with {
            Padding::Constant(_) => true,
            Padding::Reflect => most == 0 || most < size,
            Padding::Edge => most == 0 || size > 0,
        };
        if !valid {
            return Err(format!(
                "padding of {most} over {size} elements has nothing to repeat"
            ));
        }
        length(size as u128 + before as u128 + after as u128)
    })
    .collect()
}

fn cut(range: &Range, size: usize, batch: usize) -> Result<usize, String> {
    let of = |extent: crate::extent::Extent| {
        let grown = extent.per_sample.checked_mul(batch);
        grown.and_then(|grown| grown.checked_add(extent.fixed))
    };
    let (start, end) = (of(range.start), of(range.end));
    match (start, end) {
        (Some(start), Some(end)) if start <= end && end <= size && range.step != 0 => {
            Ok((end - start).div_ceil(range.step.unsigned_abs()))
        }
        _ => Err(format!(
            "from {} to {} in steps of {} of an axis of length {size}, for a batch of {batch}",
            range.start, range.end, range.step
        )),
    }
}

fn reshaped(x: &[usize], out: &[usize]) -> Result<(), String> {
    let count = |shape: &[usize]| shape.iter().map(|&length| length as u128).product::<u128>();
    match count(x) == count(out) {
        true => Ok(()),
        false => Err(format!("{x:?} has another number of elements than {out:?}")),
    }
}

fn expanded(x: &[usize], out: &[usize]) -> Result<(), String> {
    let leading = out.len().checked_sub(x.len());
    let fits = leading.is_some_and(|leading| {
        let pairs = x.iter().zip(&out[leading..]);
        pairs
            .into_iter()
            .all(|(&from, &to)| from == to || from == 1)
    });
    match fits {
        true => Ok(()),
        false => Err(format!("{x:?} does not expand to {out:?}")),
    }
}

/// The output's own shape, if only its spatial axes differ.
fn resized(x: &[usize], out: &[usize]) -> Result<Vec<usize>, String> {
    if out[..2] != x[..2] || out.contains(&0) {
        return Err(format!("{x:?} is not resized to {out:?}"));
    }
    Ok(out.to_vec())
}

fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>, String> {
    let fail = || format!("{a:?} and {b:?} do not broadcast");
    if a.len() != b.len() {
        return Err(fail());
    }
    let axes = a.iter().zip(b);
    axes.map(|(&a, &b)| match (a, b) {
        (1, length) | (length, 1) => Ok(length),
        (a, b) if a == b => Ok(a),
        _ => Err(fail()),
    })
    .collect()
}
