//! Cross-layer pairs: places between layers at which channels can be scaled. The producers of the channels are divided
//! by a factor and the consumers multiplied, and the network computes the same.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use calcine_graph::{Graph, Map, Node, Op, Padding, Source, ValueId};
use calcine_trace::{AnyTensor, Network, NetworkTensor};

use crate::QuantizeError;
use crate::layer::FloatLayer;
use crate::uses::{Uses, has_weights, output_axis};

/// An axis of a parameter, along which the channels are.
#[derive(Debug, Clone)]
pub(crate) struct Along {
    pub(crate) id: ValueId,
    pub(crate) axis: usize,
    /// The number of neighbouring indices that one channel has become, for example by flattening.
    pub(crate) each: usize,
}

/// A place between layers at which channels can be scaled.
#[derive(Debug, Clone)]
pub(crate) struct CrossLayerPair {
    pub(crate) channels: usize,
    /// The position of the node that produces the channels.
    pub(crate) producer: usize,
    /// The parameters to divide: a weight and its bias, or the scale and shift of the norm after it.
    pub(crate) made: Vec<Along>,
    /// The positions of the layers that consume the channels, and the axes of their weights.
    pub(crate) readers: Vec<(usize, Along)>,
    /// The value that they consume.
    pub(crate) read: ValueId,
}

/// All places of a network at which scaling does not change the result: between a layer or a norm and layers with
/// weights, where nothing else consumes the channels, and all functions in between satisfy `f(c·x) = c·f(x)`.
pub(crate) fn cross_layer_pairs(graph: &Graph) -> Vec<CrossLayerPair> {
    let uses = Uses::new(graph);
    let nodes = graph.nodes.iter().enumerate();
    nodes
        .filter_map(|(index, node)| cross_layer_pair(graph, &uses, index, node))
        .collect()
}

fn cross_layer_pair(
    graph: &Graph,
    uses: &Uses,
    index: usize,
    node: &Node,
) -> Option<CrossLayerPair> {
    let own = |id: ValueId, axis| {
        let alone = graph.value(id).source == Source::Parameter && graph.consumers(id).count() == 1;
        alone.then_some(Along { id, axis, each: 1 })
    };
    // The scale and the shift of a norm.
    let affine = |ids: &[ValueId]| ids.iter().map(|id| own(*id, 0)).collect::<Option<Vec<_>>>();
    let (made, from) = match &node.op {
        _ if has_weights(graph, node) => match uses.norm_after(graph, node) {
            Some(norm) => {
                let norm = &graph.nodes[norm];
                (affine(&norm.inputs[1..3])?, norm.output)
            }
            None => {
                let mut made = vec![own(node.inputs[1], output_axis(&node.op))?];
                made.extend(affine(&node.inputs[2..])?);
                (made, node.output)
            }
        },
        Op::LayerNorm { .. } => (affine(&node.inputs[1..])?, node.output),
        _ => return None,
    };
    let channels = graph.value(made[0].id).shape_at(1)[made[0].axis];
    // The axis along which the channels of the producer are.
    let last = |id: ValueId| graph.value(id).shape.len() - 1;
    let along = match node.op {
        Op::Convolution(_) | Op::TransposedConvolution { .. } => 1,
        _ => last(from),
    };
    let (read, each) = through(graph, from, along);
    if graph.outputs.contains(&read) {
        return None;
    }
    let reader = |(at, reader): (usize, &Node)| -> Option<(usize, Along)> {
        if !has_weights(graph, reader)
            || reader.inputs[0] != read
            || reader.inputs[1..].contains(&read)
        {
            return None;
        }
        // The input channels of the consumer must be these channels.
        let reads = match reader.op {
            Op::Linear => last(read),
            _ => 1,
        };
        if reads != along {
            return None;
        }
        let axis = match &reader.op {
            Op::Linear => 0,
            Op::Convolution(convolution) if convolution.groups == 1 => 1,
            // A depthwise convolution has one filter for each channel.
            Op::Convolution(convolution) => {
                let filters = graph.value(reader.inputs[1]).shape_at(1)[0];
                if convolution.groups != channels || filters != channels {
                    return None;
                }
                0
            }
            // Its number of groups is one.
            Op::TransposedConvolution { .. } => 0,
            _ => return None,
        };
        let along = own(reader.inputs[1], axis)?;
        let length = graph.value(along.id).shape_at(1)[axis];
        (length == channels * each).then_some((at, Along { each, ..along }))
    };
    let readers = graph.nodes.iter().enumerate();
    let readers = readers.filter(|(_, node)| node.inputs.contains(&read));
    let readers: Vec<_> = readers.map(reader).collect::<Option<_>>()?;
    (!readers.is_empty()).then_some(CrossLayerPair {
        channels,
        producer: index,
        made,
        readers,
        read,
    })
}

/// Follows a value through functions that preserve factors along an axis, and returns the last value and the number of
/// neighbouring indices per channel there. Pools, padding and flattening keep the channels of the second axis apart,
/// and those of no other axis.
fn through(graph: &Graph, mut id: ValueId, along: usize) -> (ValueId, usize) {
    let mut each = 1;
    loop {
        let mut users = graph.consumers(id);
        let (Some(user), None) = (users.next(), users.next()) else {
            return (id, each);
        };
        let whole = !graph.outputs.contains(&id) && user.inputs[0] == id && each == 1;
        let flattened = || {
            let (from, to) = (
                graph.value(id).shape_at(1),
                graph.value(user.output).shape_at(1),
            );
            let flat = from.len() > 1 && to.len() == 2 && from[0] == to[0];
            flat.then(|| to[1] / from[1])
        };
        let second = whole && along == 1;
        each = match &user.op {
            Op::Map(Map::Relu | Map::LeakyRelu(_)) if whole => 1,
            Op::MaxPool(_) | Op::AveragePool { .. } | Op::AdaptiveAveragePool if second => 1,
            Op::Pad { padding, with } if second && padding[1] == [0, 0] && scales(*with) => 1,
            Op::Reshape if second => match flattened() {
                Some(each) => each,
                None => return (id, each),
            },
            _ => return (id, each),
        };
        id = user.output;
    }
}

fn scales(with: Padding) -> bool {
    match with {
        Padding::Constant(with) => with == 0.0,
        Padding::Reflect | Padding::Edge => true,
    }
}

/// Factors by parameter and axis.
#[derive(Debug, Default)]
pub(crate) struct Factors(BTreeMap<usize, Vec<(usize, Vec<f64>)>>);

impl Factors {
    /// Divides the producers of the channels of a pair, and multiplies the consumers.
    pub(crate) fn add(&mut self, pair: &CrossLayerPair, by: &[f64]) {
        for made in &pair.made {
            let by = by.iter().map(|by| 1.0 / by).collect();
            self.0.entry(made.id.0).or_default().push((made.axis, by));
        }
        for (_, read) in &pair.readers {
            let by = by.iter().flat_map(|by| std::iter::repeat_n(*by, read.each));
            self.0
                .entry(read.id.0)
                .or_default()
                .push((read.axis, by.collect()));
        }
    }

    /// The network with its parameters multiplied by the factors.
    #[allow(clippy::cast_possible_truncation, reason = "parameters are f32")]
    pub(crate) fn apply(self, network: Network) -> Result<Network, QuantizeError> {
        let graph = network.graph().clone();
        let of = self.0.into_iter();
        let by_path: BTreeMap<String, Vec<(usize, Vec<f64>)>> = of
            .map(|(id, factors)| (graph.values[id].name.clone(), factors))
            .collect();
        let mut change = |which: NetworkTensor<'_>, tensor: AnyTensor| match which {
            NetworkTensor::Parameter(path) => {
                let factors = by_path.get(path).into_iter().flatten();
                factors.fold(tensor, |tensor, (axis, by)| {
                    let by: Vec<f32> = by.iter().map(|by| *by as f32).collect();
                    let by = Tensor::from_floats(by.as_slice(), &tensor.device());
                    tensor.scaled(*axis, by)
                })
            }
            NetworkTensor::Constant(_) => tensor,
        };
        Ok(network.rewritten(graph, &mut change, Vec::new())?)
    }
}

/// The largest magnitude of each channel of a weight, with the norm after it folded in.
pub(crate) fn largest(
    network: &Network,
    layer: usize,
    axis: usize,
    each: usize,
) -> Result<Vec<f64>, QuantizeError> {
    let graph = network.graph();
    let float = FloatLayer::new(network, &Uses::new(graph), &graph.nodes[layer])?;
    let length = float.shape[axis];
    let inner: usize = float.shape[axis + 1..].iter().product();
    let mut largest = vec![0.0_f64; length / each];
    for (at, weight) in float.weight.iter().enumerate() {
        let channel = &mut largest[at / inner % length / each];
        *channel = channel.max(weight.abs());
    }
    Ok(largest)
}
