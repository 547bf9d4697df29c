use burn::tensor::Tensor;
use calcine_graph::{Graph, Node, Op, Source, ValueId};

/// Which axis of a tensor counts channels, if one does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChannelAxis(pub(super) Option<usize>);

impl ChannelAxis {
    /// As `[samples, channels, positions]`.
    pub(super) fn view<const D: usize>(self, tensor: Tensor<D>) -> Tensor<3> {
        let tensor = tensor.without_autodiff();
        let dims = tensor.dims();
        let count: usize = dims.iter().product();
        match self.0 {
            Some(0) => tensor.reshape([1, dims[0], count / dims[0]]),
            Some(axis) if axis < D => {
                let mut order = [0; D];
                order[1] = axis;
                let others = (1..D).filter(|&other| other != axis);
                for (place, other) in order[2..].iter_mut().zip(others) {
                    *place = other;
                }
                let tensor = if axis == 1 {
                    tensor
                } else {
                    tensor.permute(order.map(|a| a as isize))
                };
                let channels = dims[axis];
                tensor.reshape([dims[0], channels, count / dims[0] / channels])
            }
            _ => tensor.reshape([dims[0], 1, count / dims[0]]),
        }
    }
}

/// The channel axis of every value.
///
/// Layers say which it is; other operations carry it along.
pub(super) fn channel_axes(graph: &Graph) -> Vec<ChannelAxis> {
    let mut axes: Vec<Option<usize>> = graph
        .values
        .iter()
        .map(|value| match value.source {
            Source::Input if value.shape.len() > 1 => Some(1),
            _ => None,
        })
        .collect();
    for node in &graph.nodes {
        axes[node.output.0] = axis_of(graph, node, &axes);
    }
    axes.into_iter().map(ChannelAxis).collect()
}

fn axis_of(graph: &Graph, node: &Node, axes: &[Option<usize>]) -> Option<usize> {
    let rank = graph.value(node.output).shape.len();
    let operand = node.inputs.first()?;
    let from = axes[operand.0];
    match &node.op {
        Op::Convolution(_) | Op::TransposedConvolution { .. } | Op::BatchNorm { .. } => Some(1),
        Op::Linear | Op::Matmul | Op::Embedding | Op::LayerNorm { .. } | Op::Attention { .. } => {
            rank.checked_sub(1)
        }
        Op::ReduceAll(_) => None,
        Op::Permute(order) => order.iter().position(|&axis| Some(axis) == from),
        Op::Reshape => reshaped(graph, *operand, node.output, from?),
        _ => {
            let same_rank = |id: &&ValueId| graph.value(**id).shape.len() == rank;
            node.inputs
                .iter()
                .filter(same_rank)
                .find_map(|id| axes[id.0])
        }
    }
}

/// The axis of the same length that as many elements come before; else the last, whose elements then are
/// the channels.
fn reshaped(graph: &Graph, from: ValueId, to: ValueId, axis: usize) -> Option<usize> {
    let before = graph.value(from).shape_at(2);
    let after = graph.value(to).shape_at(2);
    let outer = |shape: &[usize], axis: usize| shape[..axis].iter().product::<usize>();
    let same = |&place: &usize| {
        after[place] == before[axis] && outer(&after, place) == outer(&before, axis)
    };
    (0..after.len()).find(same).or(after.len().checked_sub(1))
}
