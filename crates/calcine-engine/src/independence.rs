//! Whether the samples of a batch can be computed independently of each other.

use calcine_graph::{Extent, Graph, Node, Op, Value, ValueId};

use crate::model::Model;

/// Whether the results of each sample do not depend on the other samples: every value has at most one axis whose length
/// depends on the batch, the samples follow each other along that axis, and no operation combines elements of different
/// samples. Inputs and outputs must have that axis as their first one.
pub(crate) fn samples_are_independent(model: &Model) -> bool {
    let graph = &model.graph;
    let first = |id: &ValueId| batch_axis(graph.value(*id)) == Ok(Some(0));
    let is_batch = |id: &ValueId| graph.value(*id).shape.first() == Some(&Extent::BATCH);
    model.layers.values().all(|layer| layer.dynamic.is_none())
        && graph.inputs.iter().all(is_batch)
        && graph.outputs.iter().all(first)
        && graph
            .nodes
            .iter()
            .all(|node| keeps_samples_apart(graph, node))
}

/// More than one axis depends on the batch, or the length of the axis is not proportional to the batch.
#[derive(Debug, PartialEq, Eq)]
struct NoBatchAxis;

/// The axis along which the samples of a value follow each other, if there is one.
fn batch_axis(value: &Value) -> Result<Option<usize>, NoBatchAxis> {
    let mut found = None;
    for (axis, extent) in value.shape.iter().enumerate() {
        if extent.is_fixed() {
            continue;
        }
        if extent.fixed > 0 || found.is_some() {
            return Err(NoBatchAxis);
        }
        found = Some(axis);
    }
    Ok(found)
}

/// Whether an operation combines no elements of different samples, and keeps the samples in order.
fn keeps_samples_apart(graph: &Graph, node: &Node) -> bool {
    let output = graph.value(node.output);
    let axes: Result<Vec<_>, _> = node
        .inputs
        .iter()
        .map(|id| batch_axis(graph.value(*id)))
        .collect();
    let (Ok(axes), Ok(to)) = (axes, batch_axis(output)) else {
        return false;
    };
    if axes.iter().all(Option::is_none) {
        // A constant that is the same for each sample.
        return to.is_none() || matches!(node.op, Op::Expand | Op::Constant(_));
    }
    let (Some(to), Some(&from)) = (to, axes.first()) else {
        return false;
    };
    let rank = output.shape.len();
    // The same axis of the result, where shapes are aligned at their ends.
    let aligned = || {
        let inputs = node.inputs.iter().zip(&axes);
        inputs
            .filter_map(|(id, axis)| axis.map(|axis| axis + rank - graph.value(*id).shape.len()))
            .all(|axis| axis == to)
    };
    match &node.op {
        Op::Convolution(_)
        | Op::TransposedConvolution { .. }
        | Op::MaxPool(_)
        | Op::AveragePool { .. }
        | Op::AdaptiveAveragePool
        | Op::Interpolate { .. } => {
            from == Some(0) && to == 0 && axes[1..].iter().all(Option::is_none)
        }
        Op::BatchNorm { .. } => from == Some(to) && to != 1,
        Op::Linear | Op::LayerNorm { .. } => from == Some(to) && to + 1 < rank,
        Op::Softmax(axis) | Op::LogSoftmax(axis) | Op::Reduce(_, axis) | Op::ArgMax(axis) => {
            from == Some(to) && to != *axis
        }
        Op::Matmul => aligned() && !sums_over(graph, node, &axes),
        Op::Embedding => from.is_none() && axes.get(1) == Some(&Some(to)),
        Op::Pad { padding, .. } => from == Some(to) && padding.get(to) == Some(&[0, 0]),
        Op::Map(_) | Op::Scalar(..) | Op::CompareScalar(..) | Op::Cast => from == Some(to),
        Op::Zip(_) | Op::Compare(_) | Op::Where | Op::Fill(_) | Op::Expand => aligned(),
        Op::Concat(axis) => *axis != to && axes.iter().all(|own| *own == Some(to)),
        Op::Slice(ranges) => {
            from == Some(to)
                && ranges.get(to).is_none_or(|range| {
                    let all = graph.value(node.inputs[0]).shape[to];
                    range.step == 1 && range.start == Extent::fixed(0) && range.end == all
                })
        }
        Op::Select(axis) | Op::Repeat { axis, .. } => {
            from == Some(to) && *axis != to && axes[1..].iter().all(Option::is_none)
        }
        Op::Gather(axis) => *axis != to && axes.iter().all(|own| *own == Some(to)),
        Op::Reshape => from.is_some_and(|from| {
            let before = |value: &Value, axis: usize| -> usize {
                value.shape[..axis]
                    .iter()
                    .map(|extent| extent.fixed)
                    .product()
            };
            before(graph.value(node.inputs[0]), from) == before(output, to)
        }),
        Op::Permute(axes) => from == axes.get(to).copied(),
        Op::Flip(axes) => from == Some(to) && !axes.contains(&to),
        _ => false,
    }
}

/// Whether a product of matrices sums over the batch.
fn sums_over(graph: &Graph, node: &Node, axes: &[Option<usize>]) -> bool {
    let from_end = |at: usize| {
        let rank = graph.value(node.inputs[at]).shape.len();
        axes[at].map(|axis| rank - axis)
    };
    from_end(0) == Some(1) || from_end(1) == Some(2)
}
