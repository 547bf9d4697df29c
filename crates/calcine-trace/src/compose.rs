//! Recorded operations that correspond to several operations of a graph.

use burn::backend::ir::{
    ActivationOperationIr, BaseOperationIr, GatherNdOpIr, NumericOperationIr, OperationIr,
    SelectAssignOpIr, SliceAssignOpIr, TensorIr,
};
use burn::tensor::{DType, IndexingUpdateOp};
use calcine_graph::{Arithmetic, Map, Op, Range, Reduction, Update};

use crate::step::{Ids, Step, range};

/// The steps that together compute what a recorded operation computes; `None` for any other operation.
///
/// | operation | steps |
/// |---|---|
/// | maximum and its index | the maximum; the index of the largest element |
/// | minimum and its index | the minimum; the index of the largest negated element |
/// | index of the smallest element | the index of the largest negated element |
/// | softmin | the softmax of the negated elements |
/// | sum over several axes | the sums over one axis after another |
/// | elements at positions along several axes | the index into these axes flattened into one; the elements at these indices |
/// | sorted elements, the k largest elements | their indices in sorted order; the elements at these indices |
/// | scatter along an axis, or at positions along several axes | the same operation, for floats and integers |
/// | update of selected slices | the axis moved to the front; the update of its slices; the axis moved back |
/// | assignment to a slice | the concatenation of the part before the slice, the new values, and the part after it |
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
                Numeric::Sort(x) => {
                    Some(Order::of(x.dim, x.descending).elements(&x.input, &x.out, None, ids))
                }
                Numeric::SortWithIndices(x) => Some(Order::of(x.dim, x.descending).elements(
                    &x.input,
                    &x.out,
                    Some(&x.out_indices),
                    ids,
                )),
                Numeric::ArgSort(x) => {
                    let order = Order::of(x.dim, x.descending);
                    Some(vec![order.positions(&x.input, &x.out)])
                }
                Numeric::TopK(x) => {
                    Some(Order::of(x.axis, true).elements(&x.input, &x.out, None, ids))
                }
                Numeric::TopKWithIndices(x) => Some(Order::of(x.dim, true).elements(
                    &x.tensor,
                    &x.out,
                    Some(&x.out_indices),
                    ids,
                )),
                Numeric::ArgTopK(x) => {
                    Some(vec![Order::of(x.axis, true).positions(&x.input, &x.out)])
                }
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
        OperationIr::BaseFloat(BaseOperationIr::Scatter(x))
        | OperationIr::BaseInt(BaseOperationIr::Scatter(x)) => {
            let op = Op::Scatter(x.dim, update(x.update));
            Some(vec![Step::of(
                op,
                [&x.tensor, &x.indices, &x.value],
                &x.out,
            )])
        }
        OperationIr::BaseFloat(BaseOperationIr::ScatterNd(x))
        | OperationIr::BaseInt(BaseOperationIr::ScatterNd(x)) => {
            let op = Op::ScatterNd(update(x.reduction));
            Some(vec![Step::of(op, [&x.data, &x.indices, &x.values], &x.out)])
        }
        OperationIr::BaseFloat(BaseOperationIr::SelectAssign(x))
        | OperationIr::BaseInt(BaseOperationIr::SelectAssign(x)) => Some(selected(x, ids)),
        _ => None,
    }
}

/// The axis along which elements are sorted, and the direction.
struct Order {
    axis: usize,
    descending: bool,
}

impl Order {
    const fn of(axis: usize, descending: bool) -> Self {
        Self { axis, descending }
    }

    fn positions(&self, x: &TensorIr, out: &TensorIr) -> Step {
        let op = Op::ArgSort {
            axis: self.axis,
            descending: self.descending,
        };
        Step::of(op, [x], out)
    }

    /// The sorted elements, as many as the output has places, and their positions if they are used too.
    fn elements(
        &self,
        x: &TensorIr,
        out: &TensorIr,
        positions: Option<&TensorIr>,
        ids: &mut Ids,
    ) -> Vec<Step> {
        let positions = positions
            .cloned()
            .unwrap_or_else(|| ids.tensor(out.shape.to_vec(), DType::I64));
        vec![
            self.positions(x, &positions),
            Step::of(Op::Gather(self.axis), [x, &positions], out),
        ]
    }
}

fn update(update: IndexingUpdateOp) -> Update {
    match update {
        IndexingUpdateOp::Assign => Update::Assign,
        IndexingUpdateOp::Add => Update::Add,
        IndexingUpdateOp::Mul => Update::Multiply,
        IndexingUpdateOp::Max => Update::Max,
        IndexingUpdateOp::Min => Update::Min,
    }
}

/// Updates the slices of an axis at the selected positions with the slices of the values.
fn selected(operation: &SelectAssignOpIr, ids: &mut Ids) -> Vec<Step> {
    let SelectAssignOpIr {
        tensor,
        dim,
        indices,
        value,
        update: how,
        out,
    } = operation;
    let rows = ids.tensor([&indices.shape[..], &[1]].concat(), indices.dtype);
    let mut steps = vec![Step::of(Op::Reshape, [indices], &rows)];
    let op = Op::ScatterNd(update(*how));
    if *dim == 0 {
        steps.push(Step::of(op, [tensor, &rows, value], out));
        return steps;
    }
    let mut axes: Vec<usize> = (0..tensor.shape.num_dims()).collect();
    axes.swap(0, *dim);
    let mut swapped = |x: &TensorIr, steps: &mut Vec<Step>| {
        let mut shape = x.shape.to_vec();
        shape.swap(0, *dim);
        let y = ids.tensor(shape, x.dtype);
        steps.push(Step::of(Op::Permute(axes.clone()), [x], &y));
        y
    };
    let x = swapped(tensor, &mut steps);
    let values = swapped(value, &mut steps);
    let updated = ids.tensor(x.shape.to_vec(), x.dtype);
    steps.push(Step::of(op, [&x, &rows, &values], &updated));
    steps.push(Step::of(Op::Permute(axes), [&updated], out));
    steps
}

/// Flattens the first axes into one, from which the elements are selected: index `i, j, …` is position `i · stride + j
/// · stride + …`.
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

/// Replaces a slice, one axis within the other. Only for slices with a step of one.
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
