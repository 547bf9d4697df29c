//! The pass that samples layers.

use std::collections::BTreeMap;

use burn::tensor::{Device, Int, Tensor, Transaction};
use calcine_graph::{Convolution, ElementKind, Graph, Node, Op, Source, ValueId};
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use rand::seq::index;

use crate::activation::SampleCounts;
use crate::activity::layers_of;
use crate::error::ObserveError;
use crate::layer_samples::{LayerSamples, Layout, Sampling, unsampled};
use crate::observed::{Observed, ObservedNode};
use calcine_trace::{AnyTensor, Network, Tensors};

/// Samples rows of the inputs and outputs of layers, by the paths of their weights. [`LayerSamples::refit`] fits
/// weights to them.
///
/// For each batch and layer, output positions are drawn, and taken from all samples of the batch: the receptive field
/// of a convolution at the position, or a row of the input of a linear layer. It takes one pass and one device read. If
/// a weight is used several times, the rows of all its uses are taken.
///
/// # Errors
///
/// Those of [`observe`](crate::observe()); and if a path is not that of a layer's weight, or is that of a transposed
/// convolution.
pub fn sample_layers<I: Tensors>(
    network: &Network,
    batches: impl IntoIterator<Item = I>,
    weights: &[&str],
    sampling: &Sampling,
) -> Result<Observed<LayerSamples>, ObserveError> {
    let graph = network.graph();
    let mut layers = weights
        .iter()
        .map(|weight| Layer::new(graph, weight, sampling))
        .collect::<Result<Vec<_>, _>>()?;
    for batch in batches {
        let batch = batch.into_any();
        let inputs = graph.inputs.iter().copied().zip(&batch);
        let mut known: BTreeMap<ValueId, AnyTensor> = BTreeMap::new();
        let fed = inputs.filter(|(id, _)| layers.iter().any(|layer| layer.is_fed(*id)));
        known.extend(fed.map(|(id, tensor)| (id, tensor.clone())));
        network.run(batch, &mut |node, result| {
            for layer in &mut layers {
                layer.see(graph, node, &known, &result);
            }
            if layers.iter().any(|layer| layer.is_fed(node.output)) {
                known.insert(node.output, result.clone());
            }
            result
        })?;
    }
    read(layers)
}

/// A weight, and the samples of the layers that use it.
struct Layer<'a> {
    weight: &'a str,
    nodes: Vec<&'a Node>,
    layout: Layout,
    bias: Option<String>,
    positions: usize,
    stream: ChaCha8Rng,
    taken: Vec<[Tensor<2>; 2]>,
    counts: SampleCounts,
}

impl<'a> Layer<'a> {
    fn new(graph: &'a Graph, weight: &'a str, sampling: &Sampling) -> Result<Self, ObserveError> {
        let nodes = layers_of(graph, weight)?;
        let layout_of = |node: &Node| match &node.op {
            Op::Convolution(convolution) => Some(Layout::Convolution {
                groups: convolution.groups,
            }),
            Op::Linear => Some(Layout::Linear),
            _ => None,
        };
        let bias_of = |node: &Node| node.inputs.get(2).copied();
        let first = nodes[0];
        let Some(layout) = layout_of(first) else {
            return Err(unsampled(weight, "it belongs to a transposed convolution"));
        };
        let alike =
            |node: &&Node| layout_of(node) == Some(layout) && bias_of(node) == bias_of(first);
        if !nodes.iter().all(alike) {
            return Err(unsampled(
                weight,
                "its layers have different biases or groups",
            ));
        }
        let bias = bias_of(first).map(|id| graph.value(id));
        if bias.is_some_and(|bias| bias.source != Source::Parameter) {
            return Err(unsampled(
                weight,
                "the bias of its layer is computed, not a parameter",
            ));
        }
        let mut key = [0; 32];
        key[..8].copy_from_slice(&sampling.seed.to_le_bytes());
        key[8..16].copy_from_slice(&(first.inputs[1].0 as u64).to_le_bytes());
        Ok(Self {
            weight,
            layout,
            bias: bias.map(|bias| bias.name.clone()),
            positions: sampling.positions,
            stream: ChaCha8Rng::from_seed(key),
            taken: Vec::new(),
            counts: SampleCounts::default(),
            nodes,
        })
    }

    fn is_fed(&self, id: ValueId) -> bool {
        self.nodes.iter().any(|node| node.inputs[0] == id)
    }

    fn see(
        &mut self,
        graph: &Graph,
        node: &Node,
        known: &BTreeMap<ValueId, AnyTensor>,
        output: &AnyTensor,
    ) {
        let own = self.nodes.iter().any(|own| own.output == node.output);
        let Some(input) = known.get(&node.inputs[0]).filter(|_| own) else {
            return;
        };
        if input.kind() != ElementKind::Float || input.rank() < 2 {
            return;
        }
        let shape = output.shape();
        let samples = shape[0];
        let [rows, results] = match &node.op {
            Op::Convolution(convolution) => {
                let weight = graph.value(node.inputs[1]).shape_at(1);
                let windows = Windows {
                    convolution,
                    kernel: &weight[2..],
                    input: &input.shape()[2..],
                    output: &shape[2..],
                };
                let positions = self.draw(shape[2..].iter().product());
                let inputs = fields_of(input, &windows.elements(&positions), positions.len());
                [inputs, at(output, Channels::Second, &positions)]
            }
            _ => {
                let positions = self.draw(shape[1..shape.len() - 1].iter().product());
                [input, output].map(|tensor| at(tensor, Channels::Last, &positions))
            }
        };
        self.counts = self.counts.and(SampleCounts {
            samples: samples as u64,
            positions: rows.dims()[0] as u64,
        });
        self.taken.push([rows, results]);
    }

    /// The drawn positions of a batch, in ascending order.
    fn draw(&mut self, all: usize) -> Vec<usize> {
        let drawn = index::sample(&mut self.stream, all, self.positions.clamp(1, all));
        let mut drawn = drawn.into_vec();
        drawn.sort_unstable();
        drawn
    }
}

/// The windows of a convolution.
struct Windows<'a> {
    convolution: &'a Convolution,
    kernel: &'a [usize],
    input: &'a [usize],
    output: &'a [usize],
}

impl Windows<'_> {
    /// The inputs that the windows of these outputs cover; an input in the padding has the index after the last one.
    fn elements(&self, positions: &[usize]) -> Vec<usize> {
        let window = self.kernel.iter().product::<usize>();
        let outside = self.input.iter().product::<usize>();
        let covered = positions.iter().flat_map(|&position| {
            (0..window).map(move |place| self.element(position, place).unwrap_or(outside))
        });
        covered.collect()
    }

    fn element(&self, position: usize, place: usize) -> Option<usize> {
        let (mut position, mut place) = (position, place);
        let (mut element, mut stride) = (0, 1);
        for axis in (0..self.input.len()).rev() {
            let (out, offset) = (position % self.output[axis], place % self.kernel[axis]);
            position /= self.output[axis];
            place /= self.kernel[axis];
            let Convolution {
                stride: by,
                dilation,
                padding,
                ..
            } = self.convolution;
            let at = (out * by[axis] + offset * dilation[axis]).checked_sub(padding[axis][0])?;
            if at >= self.input[axis] {
                return None;
            }
            element += at * stride;
            stride *= self.input[axis];
        }
        Some(element)
    }
}

/// Receptive fields: `[samples · positions, in · window]`.
fn fields_of(input: &AnyTensor, fields: &[usize], positions: usize) -> Tensor<2> {
    let (channels, window) = (input.shape()[1], fields.len() / positions);
    let input = flat_after(input, 1);
    let samples = input.dims()[0];
    let nothing = Tensor::zeros([samples, channels, 1], &input.device());
    let fields = indices(fields, &input.device());
    Tensor::cat(vec![input, nothing], 2)
        .select(2, fields)
        .reshape([samples, channels, positions, window])
        .permute([0, 2, 1, 3])
        .reshape([samples * positions, channels * window])
}

/// The values at these positions, where all axes other than samples and channels are combined: `[samples · positions,
/// channels]`.
fn at(tensor: &AnyTensor, channels: Channels, positions: &[usize]) -> Tensor<2> {
    let tensor = match channels {
        Channels::Second => flat_after(tensor, 1).swap_dims(1, 2),
        Channels::Last => {
            let shape = tensor.shape();
            let (samples, channels) = (shape[0], shape[shape.len() - 1]);
            let rows = shape[1..shape.len() - 1].iter().product();
            flat(tensor, [samples, rows, channels])
        }
    };
    let [samples, _, channels] = tensor.dims();
    let positions = indices(positions, &tensor.device());
    let rows = samples * positions.dims()[0];
    tensor.select(1, positions).reshape([rows, channels])
}

#[derive(Debug, Clone, Copy)]
enum Channels {
    Second,
    Last,
}

/// Flattens `[samples, channels, ..]` to `[samples, channels, positions]`.
fn flat_after(tensor: &AnyTensor, axis: usize) -> Tensor<3> {
    let shape = tensor.shape();
    let rest = shape[axis + 1..].iter().product();
    flat(tensor, [shape[0], shape[axis], rest])
}

fn flat(tensor: &AnyTensor, shape: [usize; 3]) -> Tensor<3> {
    let elements = tensor.clone().without_autodiff().flat();
    elements
        .expect("layers are fed floats and give floats")
        .reshape(shape)
}

fn indices(positions: &[usize], device: &Device) -> Tensor<1, Int> {
    let positions: Vec<i64> = positions.iter().map(|&at| at as i64).collect();
    Tensor::from_data(positions.as_slice(), device)
}

fn read(layers: Vec<Layer<'_>>) -> Result<Observed<LayerSamples>, ObserveError> {
    if layers.iter().any(|layer| layer.taken.is_empty()) {
        return Err(ObserveError::NoBatch);
    }
    let taken = layers.iter().flat_map(|layer| layer.taken.iter().flatten());
    let read = taken
        .cloned()
        .fold(Transaction::default(), Transaction::register);
    let mut read = read.execute().into_iter();
    let mut nodes = Vec::with_capacity(layers.len());
    for layer in layers {
        let [columns, filters] = layer.taken[0].each_ref().map(|tensor| tensor.dims()[1]);
        let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
        for data in read.by_ref().take(2 * layer.taken.len()).enumerate() {
            let (index, data) = data;
            let side = if index % 2 == 0 {
                &mut inputs
            } else {
                &mut outputs
            };
            side.extend(data.iter::<f32>());
        }
        let samples = LayerSamples::new((inputs, columns), (outputs, filters), layer.layout);
        let mut samples = samples.expect("as many rows of inputs as of outputs");
        samples.bias = layer.bias;
        nodes.push(ObservedNode {
            name: layer.weight.to_owned(),
            counts: layer.counts,
            value: samples,
        });
    }
    Ok(Observed::new(nodes))
}
