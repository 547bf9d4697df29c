//! Recorded operations that are several of a graph's.

use burn::backend::ir::{
    ActivationOperationIr, BaseOperationIr, GatherNdOpIr, NumericOperationIr, OperationIr,
    SliceAssignOpIr, TensorIr,
};
use calcine_graph::{Arithmetic, Map, Op, Range, Reduction};

use crate::step::{Ids, Step, range};

/// The steps that together compute what a recorded operation computes; `None` for any other operation.
///
/// | operation | steps |
/// |---|---|
/// | maximum and its index | the maximum; the index of the largest |
/// | minimum and its index | the minimum; the index of the largest of the negated |
/// | index of the smallest | the index of the largest of the negated |
/// | softmin | the softmax of the negated |
/// | sum over several axes | the sum over one axis after the other |
/// | elements at positions along several axes | the position in these axes as one; the elements there |
/// | assignment to a slice | what stands before, the new part and what stands behind, one after the other |
pub(crate) fn composed(operation: &OperationIr, ids: &mut Ids) -> Option<Vec<Step>> {
    use NumericOperationIr as Numeric;
    match operation {
        OperationIr::NumericFloat(_, numeric) | OperationIr::NumericInt(_, numeric) => {
            match numeric {
                Numeric::MaxDimWithIndices(x) => Some(vec![
                    Step::of(Op::Reduce(Reduction::Max, x.dim), [&x.tensor], &x.out),
                    Step::of(Op::ArgMax(x.dim), [&x.tensor], &x.out_indices),
                ]),
                Numeric::MinDimWithIndices(x) => {
                    let min = Op::Reduce(Reduction::Min, x.dim);
                    let mut steps = vec![Step::of(min, [&x.tensor], &x.out)];
                    steps.extend(of_negated(
                        Op::ArgMax(x.dim),
                        &x.tensor,
                        &x.out_indices,
                        ids,
                    ));
                    Some(steps)
                }
                Numeric::ArgMin(x) => Some(of_negated(Op::ArgMax(x.axis), &x.input, &x.out, ids)),
                Numeric::SumDims(x) => Some(sums(&x.input, &x.axes, &x.out, ids)),
                _ => None,
            }
        }
        OperationIr::Activation(ActivationOperationIr::Softmin(x)) => {
            Some(of_negated(Op::Softmax(x.axis), &x.input, &x.out, ids))
        }
        OperationIr::BaseFloat(BaseOperationIr::SliceAssign(x))
        | OperationIr::BaseInt(BaseOperationIr::SliceAssign(x))
        | OperationIr::BaseBool(BaseOperationIr::SliceAssign(x)) => assigned(x, ids),
        OperationIr::BaseFloat(BaseOperationIr::GatherNd(x))
        | OperationIr::BaseInt(BaseOperationIr::GatherNd(x)) => gathered(x, ids),
        _ => None,
    }
}

/// The first axes as one, from which the elements are selected: index `i, j, …` is position `i · stride + j · stride + …`.
fn gathered(operation: &GatherNdOpIr, ids: &mut Ids) -> Option<Vec<Step>> {
    let GatherNdOpIr { data, indices, out } = operation;
    let (shape, index) = (data.shape.to_vec(), indices.shape.to_vec());
    let (&depth, places) = index.split_last()?;
    if depth == 0 || depth > shape.len() {
        return None;
    }
    let count: usize = places.iter().product();
    let (outer, inner) = shape.split_at(depth);
    let mut steps = Vec::new();
    let mut position: Option<TensorIr> = None;
    for axis in 0..depth {
        let whole = places.iter().map(|&length| Range::fixed(0, length));
        let ranges = whole.chain([Range::fixed(axis, axis + 1)]).collect();
        let part = ids.tensor([places, &[1]].concat(), indices.dtype);
        steps.push(Step::of(Op::Slice(ranges), [indices], &part));
        let flat = ids.tensor(vec![count], indices.dtype);
        steps.push(Step::of(Op::Reshape, [&part], &flat));
        #[allow(clippy::cast_precision_loss, reason = "axes are short")]
        let stride = outer[axis + 1..].iter().product::<usize>() as f64;
        let scaled = ids.tensor(vec![count], indices.dtype);
        let times = Op::Scalar(Arithmetic::Multiply, stride);
        steps.push(Step::of(times, [&flat], &scaled));
        position = Some(match position {
            None => scaled,
            Some(before) => {
                let sum = ids.tensor(vec![count], indices.dtype);
                steps.push(Step::of(Op::Zip(Arithmetic::Add), [&before, &scaled], &sum));
                sum
            }
        });
    }
    let rows = ids.tensor([&[outer.iter().product()], inner].concat(), data.dtype);
    steps.push(Step::of(Op::Reshape, [data], &rows));
    let selected = ids.tensor([&[count], inner].concat(), data.dtype);
    steps.push(Step::of(Op::Select(0), [&rows, &position?], &selected));
    steps.push(Step::of(Op::Reshape, [&selected], out));
    Some(steps)
}

fn of_negated(op: Op, x: &TensorIr, out: &TensorIr, ids: &mut Ids) -> Vec<Step> {
    let negated = ids.tensor(x.shape.to_vec(), x.dtype);
    vec![
        Step::of(Op::Map(Map::Negate), [x], &negated),
        Step::of(op, [&negated], out),
    ]
}

fn sums(x: &TensorIr, axes: &[usize], out: &TensorIr, ids: &mut Ids) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut before = x.clone();
    for (index, &axis) in axes.iter().enumerate() {
        let mut shape = before.shape.to_vec();
        shape[axis] = 1;
        let after = match index + 1 == axes.len() {
            true => out.clone(),
            false => ids.tensor(shape, x.dtype),
        };
        steps.push(Step::of(
            Op::Reduce(Reduction::Sum, axis),
            [&before],
            &after,
        ));
        before = after;
    }
    steps
}

/// The axes that the slice takes a part of, one within the other; only for slices that leave nothing out.
fn assigned(operation: &SliceAssignOpIr, ids: &mut Ids) -> Option<Vec<Step>> {
    let shape = operation.tensor.shape.to_vec();
    let ranges = operation.ranges.iter().zip(&shape);
    let parts: Vec<(usize, Range)> = ranges
        .map(|(slice, &length)| range(slice, length))
        .enumerate()
        .filter(|(axis, range)| range.start.fixed > 0 || range.end.fixed < shape[*axis])
        .collect();
    if operation.ranges.iter().any(|slice| slice.step != 1) {
        return None;
    }
    if parts.is_empty() {
        return Some(vec![Step::of(
            Op::Reshape,
            [&operation.value],
            &operation.out,
        )]);
    }
    let mut steps = Vec::new();
    within(
        &operation.tensor,
        &operation.value,
        &parts,
        &operation.out,
        &mut steps,
        ids,
    );
    Some(steps)
}

fn within(
    x: &TensorIr,
    value: &TensorIr,
    parts: &[(usize, Range)],
    out: &TensorIr,
    steps: &mut Vec<Step>,
    ids: &mut Ids,
) {
    let Some(((axis, range), inner)) = parts.split_first() else {
        return;
    };
    let (axis, start, end) = (*axis, range.start.fixed, range.end.fixed);
    let cut = |from: usize, to: usize, steps: &mut Vec<Step>, ids: &mut Ids| {
        let mut shape = x.shape.to_vec();
        let mut ranges: Vec<Range> = shape
            .iter()
            .map(|&length| Range::fixed(0, length))
            .collect();
        ranges[axis] = Range::fixed(from, to);
        shape[axis] = to - from;
        let part = ids.tensor(shape, x.dtype);
        steps.push(Step::of(Op::Slice(ranges), [x], &part));
        part
    };
    let mut all = Vec::new();
    if start > 0 {
        all.push(cut(0, start, steps, ids));
    }
    if inner.is_empty() {
        all.push(value.clone());
    } else {
        let old = cut(start, end, steps, ids);
        let new = ids.tensor(old.shape.to_vec(), x.dtype);
        within(&old, value, inner, &new, steps, ids);
        all.push(new);
    }
    if end < x.shape[axis] {
        all.push(cut(end, x.shape[axis], steps, ids));
    }
    steps.push(Step::of(Op::Concat(axis), &all, out));
}
