//! Computes the shape of the result of an operation from the shapes of its operands.

use super::{Misfit, Tensor};
use crate::graph::ElementKind;
use crate::op::{Arithmetic, Convolution, Map, Op, Padding, Pool, Range};

/// The shape of the output; its own, `out`, where the operands do not tell it and it is a valid one.
pub(super) fn shape(
    op: &Op,
    x: &[Tensor],
    out: &[usize],
    batch: usize,
) -> Result<Vec<usize>, Misfit> {
    let first = x.first().map_or(out, |x| x.shape);
    let keep = || Ok(first.to_vec());
    let with = |axis: usize, length: usize| {
        let mut shape = first.to_vec();
        shape[axis] = length;
        Ok(shape)
    };
    let found = match op {
        Op::Convolution(convolution) => convolved(convolution, x),
        Op::TransposedConvolution {
            convolution,
            output_padding,
        } => {
            checked_windows(convolution)?;
            alike(x, [(1, 0), (0, 1)])?;
            transposed(convolution, output_padding, x)
        }
        Op::Linear => {
            let weight = x[1].shape;
            alike(x, [(1, 0), (0, first.len() - 1)])?;
            bias(x.get(2), weight[1])?;
            with(first.len() - 1, weight[1])
        }
        Op::Matmul => {
            alike(x, [(1, first.len() - 2), (0, first.len() - 1)])?;
            multiplied(first, x[1].shape)
        }
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
        Op::MaxPool(pool) => pooled(pool, first),
        Op::AveragePool { pool, .. } if pool.dilation.iter().any(|&dilation| dilation > 1) => {
            Err(format!("a dilation of {:?}; valid is 1", pool.dilation))
        }
        Op::AveragePool { pool, .. } => pooled(pool, first),
        Op::AdaptiveAveragePool if !(3..=5).contains(&first.len()) => Err(format!(
            "an operand of {} axes; valid are 3 to 5",
            first.len()
        )),
        Op::AdaptiveAveragePool | Op::Interpolate { .. } => resized(first, out),
        Op::Pad { padding, with } => padded(first, padding, *with),
        Op::Scalar(Arithmetic::Divide | Arithmetic::Remainder, number)
            if x[0].kind == ElementKind::Int && (*number == 0.0 || number.fract() != 0.0) =>
        {
            Err(format!("integers are divided by {number}"))
        }
        Op::Map(Map::Clamp { low, high }) if low.is_nan() || high.is_nan() || low > high => {
            Err(format!("no number is from {low} to {high}"))
        }
        Op::Zip(Arithmetic::PRelu) => {
            let slopes = x[1].shape;
            let channels = first.get(1).copied().unwrap_or(1);
            let count: usize = slopes.iter().product();
            let placed = slopes.get(1).is_none_or(|&length| length == count);
            match count != 1 && (count != channels || !placed) {
                true => Err(format!(
                    "slopes of shape {slopes:?} for {channels} channels"
                )),
                false => keep(),
            }
        }
        Op::Zip(_) | Op::Compare(_) | Op::Where | Op::Fill(_) => {
            x[1..].iter().try_fold(first.to_vec(), |shape, other| {
                broadcast(&shape, other.shape)
            })
        }
        Op::Reduce(_, axis) | Op::ArgMax(axis) => with(*axis, 1),
        Op::ReduceAll(_) => Ok(vec![1]),
        Op::ArgSort { axis, .. } => with(*axis, out[*axis].min(first[*axis])),
        Op::Concat(axis) => joined(x, *axis),
        Op::Slice(ranges) => {
            let lengths = ranges.iter().zip(first);
            lengths
                .map(|(range, &length)| cut(range, length, batch))
                .collect()
        }
        Op::Select(axis) => with(*axis, x[1].shape[0]),
        Op::Gather(axis) => {
            along(first, x[1].shape, *axis)?;
            Ok(x[1].shape.to_vec())
        }
        Op::Scatter(axis, _) => {
            let (indices, values) = (x[1].shape, x[2].shape);
            along(first, indices, *axis)?;
            match indices == values {
                true => keep(),
                false => Err(format!("{values:?} values for {indices:?} indices")),
            }
        }
        Op::ScatterNd(_) => scattered(first, x[1].shape, x[2].shape),
        Op::Permute(axes) => Ok(axes.iter().map(|&axis| first[axis]).collect()),
        Op::Repeat { times: 0, .. } => Err("an axis is repeated 0 times".to_owned()),
        Op::Repeat { axis, times } => with(*axis, first[*axis].saturating_mul(*times)),
        Op::Reshape => reshaped(first, out),
        Op::Expand => expanded(first, out),
        Op::Map(_)
        | Op::Scalar(..)
        | Op::CompareScalar(..)
        | Op::Softmax(_)
        | Op::LogSoftmax(_)
        | Op::CumulativeSum(_)
        | Op::Flip(_)
        | Op::Cast
        | Op::Constant(_) => keep(),
    };
    Ok(found?)
}

/// Two axes, each of an operand, that are summed along together.
fn alike(x: &[Tensor], axes: [(usize, usize); 2]) -> Result<(), Misfit> {
    let [one, other] = axes.map(|(operand, axis)| x[operand].shape[axis]);
    match one == other {
        true => Ok(()),
        false => Err(Misfit::Lengths(axes)),
    }
}

/// Indices along an axis are as many as the operand is long along each other one.
fn along(x: &[usize], indices: &[usize], axis: usize) -> Result<(), String> {
    let differs = |other: usize| other != axis && indices[other] != x[other];
    match (0..x.len()).find(|&other| differs(other)) {
        Some(other) => Err(format!(
            "indices of shape {indices:?} for {x:?}, which differ along axis {other}"
        )),
        None => Ok(()),
    }
}

fn joined(x: &[Tensor], axis: usize) -> Result<Vec<usize>, String> {
    let first = x[0].shape;
    let mut shape = first.to_vec();
    for other in &x[1..] {
        let mut rest = other.shape.to_vec();
        let more = std::mem::replace(&mut rest[axis], shape[axis]);
        if rest != shape {
            return Err(format!(
                "{first:?} and {:?} differ beside axis {axis}",
                other.shape
            ));
        }
        shape[axis] = shape[axis].saturating_add(more);
    }
    Ok(shape)
}

fn positive(what: &str, numbers: &[usize]) -> Result<(), String> {
    match numbers.contains(&0) {
        true => Err(format!(
            "a {what} of 0 in {numbers:?}; valid are 1 and more"
        )),
        false => Ok(()),
    }
}

fn count(what: &str, found: usize, axes: usize) -> Result<(), String> {
    match found == axes {
        true => Ok(()),
        false => Err(format!("{found} numbers of {what} for {axes} spatial axes")),
    }
}

fn checked_windows(convolution: &Convolution) -> Result<(), String> {
    let axes = convolution.stride.len();
    if !(1..=3).contains(&axes) {
        return Err(format!("{axes} spatial axes; valid are 1 to 3"));
    }
    count("padding", convolution.padding.len(), axes)?;
    count("dilation", convolution.dilation.len(), axes)?;
    positive("stride", &convolution.stride)?;
    positive("dilation", &convolution.dilation)?;
    positive("number of groups", &[convolution.groups])
}

fn checked_pool(pool: &Pool) -> Result<(), String> {
    let axes = pool.kernel.len();
    if !(1..=2).contains(&axes) {
        return Err(format!("{axes} spatial axes; valid are 1 and 2"));
    }
    count("stride", pool.stride.len(), axes)?;
    count("padding", pool.padding.len(), axes)?;
    count("dilation", pool.dilation.len(), axes)?;
    positive("kernel", &pool.kernel)?;
    positive("stride", &pool.stride)?;
    positive("dilation", &pool.dilation)
}

/// Checks that a vector has one element for each channel.
fn bias(vector: Option<&Tensor>, channels: usize) -> Result<(), String> {
    match vector {
        Some(vector) if vector.shape != [channels] => Err(format!(
            "a vector of shape {:?} for {channels} channels",
            vector.shape
        )),
        _ => Ok(()),
    }
}

/// The number of inputs per group.
fn split(groups: usize, inputs: usize, outputs: usize) -> Result<usize, String> {
    match inputs.is_multiple_of(groups) && outputs.is_multiple_of(groups) {
        true => Ok(inputs / groups),
        false => Err(format!(
            "{inputs} input and {outputs} output channels do not split into {groups} groups"
        )),
    }
}

/// The length that a window covers along an axis: `dilation · (kernel - 1) + 1`.
fn reach(kernel: usize, dilation: usize) -> Result<u128, String> {
    let gaps = kernel.checked_sub(1).ok_or("a kernel of length 0")?;
    Ok(dilation as u128 * gaps as u128 + 1)
}

fn length(found: u128) -> Result<usize, String> {
    usize::try_from(found).map_err(|_| "an axis that is too long".to_owned())
}

fn convolved(convolution: &Convolution, x: &[Tensor]) -> Result<Vec<usize>, String> {
    checked_windows(convolution)?;
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
    let padding = &convolution.padding;
    if let Some(uneven) = padding.iter().find(|[before, after]| before != after) {
        return Err(format!(
            "padding {uneven:?}, which must be equal before and after"
        ));
    }
    let axes = convolution.stride.len();
    count("output padding", output_padding.len(), axes)?;
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
    checked_pool(pool)?;
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

fn reshaped(x: &[usize], out: &[usize]) -> Result<Vec<usize>, String> {
    let count = |shape: &[usize]| shape.iter().map(|&length| length as u128).product::<u128>();
    match count(x) == count(out) {
        true => Ok(out.to_vec()),
        false => Err(format!("{x:?} has another number of elements than {out:?}")),
    }
}

fn expanded(x: &[usize], out: &[usize]) -> Result<Vec<usize>, String> {
    let leading = out.len().checked_sub(x.len());
    let fits = leading.is_some_and(|leading| {
        let mut pairs = x.iter().zip(&out[leading..]);
        pairs.all(|(&from, &to)| from == to || from == 1)
    });
    match fits {
        true => Ok(out.to_vec()),
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

fn scattered(x: &[usize], indices: &[usize], values: &[usize]) -> Result<Vec<usize>, String> {
    let Some((&depth, places)) = indices.split_last() else {
        return Err("indices without an axis".to_owned());
    };
    if !(1..=x.len()).contains(&depth) {
        return Err(format!(
            "indices of shape {indices:?}, whose rows have {depth} numbers for the {} axes of {x:?}",
            x.len()
        ));
    }
    if places.contains(&0) {
        return Err(format!("indices of shape {indices:?}, which are none"));
    }
    let expected = [places, &x[depth..]].concat();
    if values != expected {
        return Err(format!(
            "values of shape {values:?}, where indices of shape {indices:?} and {x:?} need {expected:?}"
        ));
    }
    Ok(x.to_vec())
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
