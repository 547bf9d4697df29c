use burn::tensor::Tensor;
use calcine_graph::{Arrangement, Channels, Graph, Node, Source, ValueId};
use calcine_trace::AnyTensor;

/// The axis of a tensor that contains channels, if there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChannelAxis(pub(crate) Option<usize>);

impl ChannelAxis {
    /// Views a float tensor as `[samples, channels, positions]`.
    pub(crate) fn view(self, tensor: &AnyTensor) -> Tensor<3> {
        let shape = tensor.shape();
        let elements = tensor.clone().without_autodiff().flat();
        let elements = elements.expect("only floats are observed");
        let count: usize = shape.iter().product();
        match self.0 {
            Some(0) => elements.reshape([1, shape[0], count / shape[0]]),
            Some(axis) if axis < shape.len() => {
                let before: usize = shape[1..axis].iter().product();
                let after: usize = shape[axis + 1..].iter().product();
                elements
                    .reshape([shape[0], before, shape[axis], after])
                    .swap_dims(1, 2)
                    .reshape([shape[0], shape[axis], before * after])
            }
            _ => elements.reshape([shape[0], 1, count / shape[0]]),
        }
    }
}

/// The channel axis of every value.
///
/// Layers define it, and other operations pass it on.
pub(crate) fn channel_axes(graph: &Graph) -> Vec<ChannelAxis> {
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
    let properties = node.op.properties();
    match (properties.channels, properties.arrangement) {
        (Channels::Second, _) => Some(1),
        (Channels::Last, _) => rank.checked_sub(1),
        (Channels::Gone, _) => None,
        (Channels::Through, Arrangement::Permuted(order)) => {
            order.iter().position(|&axis| Some(axis) == from)
        }
        (Channels::Through, Arrangement::Reshaped) => reshaped(graph, *operand, node.output, from?),
        (Channels::Through, Arrangement::Same | Arrangement::Expanded | Arrangement::Other) => {
            let same_rank = |id: &&ValueId| graph.value(**id).shape.len() == rank;
            node.inputs
                .iter()
                .filter(same_rank)
                .find_map(|id| axes[id.0])
        }
    }
}

/// The axis with the same length that follows the same number of elements; otherwise the last axis, whose elements are
/// then the channels.
fn reshaped(graph: &Graph, from: ValueId, to: ValueId, axis: usize) -> Option<usize> {
    let before = graph.value(from).shape_at(2);
    let after = graph.value(to).shape_at(2);
    let outer = |shape: &[usize], axis: usize| shape[..axis].iter().product::<usize>();
    let same = |&place: &usize| {
        after[place] == before[axis] && outer(&after, place) == outer(&before, axis)
    };
    (0..after.len()).find(same).or(after.len().checked_sub(1))
}
