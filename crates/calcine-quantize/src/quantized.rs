use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use calcine_graph::{Graph, Node, Op, Source};
use calcine_trace::watch::{LayerSamples, Sampling};
use calcine_trace::{AnyTensor, ForwardError, Network, Tensors, Which};

use crate::layer::{Bias, Dynamic, FloatLayer, Layer, groups, vector};
use crate::norms::reestimate;
use crate::plan::{Uses, grids, has_integers, output_axis, weight_at};
use crate::settings::{ByLayer, LayerSettings, SumSettings};
use crate::{Calibration, FloatType, QuantizeError, Quantizer, Scheme, Settings};

/// A quantized network: integer weights, and a grid for each value that has one.
///
/// Its forward pass computes with whole numbers, held in `f32` where that is exact, and so gives bit for bit what
/// an engine with 8-bit operands and 32-bit sums gives that rounds as it is written here:
///
/// * a convolution, transposed or not, or a linear layer: `q = clamp(round(f32(Σ (x − zero_x)·w + b) · m) + zero)`, with
///   `m = f32(step_x · step_w / step)` for each output, and `b = round(bias / (step_x · step_w))`; the sum is exact;
/// * an addition: `round(f32(a − zero_a)·f32(step_a / step) + f32(b − zero_b)·f32(step_b / step))`;
/// * a product of two: `round(f32((a − zero_a)(b − zero_b)) · f32(step_a·step_b / step))`;
/// * a mean over windows: the exact sum times `f32(step_x / (n · step))`;
/// * what only moves numbers, a maximum, a relu: the integers themselves;
/// * a matrix product of two: as a product, with the exact sum of products in its place;
/// * rows of an embedding, and anything else, in float between two grids;
/// * with dynamic ranges, such a layer alone: `f32(f32(Σ (x − zero_x)·w · step_w) · step_x) + bias`, where the
///   input's grid is that of the batch, and all else in float.
///
/// All products are `f32`, all rounding is to the nearest, ties to even. What the network gives last has no grid:
/// exact sums times their steps.
#[derive(Debug, Clone)]
pub struct Quantized {
    pub(crate) graph: Graph,
    /// Of each value, the grid if it has one.
    pub(crate) grids: Vec<Option<Quantizer>>,
    /// By the position of their nodes.
    pub(crate) layers: BTreeMap<usize, Layer>,
    /// Parameters and constants that nodes need in float, by value.
    pub(crate) floats: BTreeMap<usize, Float>,
    pub(crate) uses: std::sync::Arc<Uses>,
    pub(crate) ready: BTreeMap<usize, Ready>,
    device: Device,
}

/// Numbers in float.
#[derive(Debug, Clone)]
pub(crate) struct Float {
    /// In `f32`, of the type's numbers.
    pub(crate) tensor: AnyTensor,
    /// What a file keeps them in.
    pub(crate) kept: FloatType,
}

/// A layer's integers, as an engine or an exporter needs them.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct IntegerLayer<'a> {
    /// The node's name.
    pub name: &'a str,
    /// Bits of a weight.
    pub bits: u8,
    /// The weight as `q − zero`: `w = step · (q − zero)`. Laid out as the layer's own, batch norm folded in.
    pub weight: &'a [i32],
    /// Its shape.
    pub shape: &'a [usize],
    /// Which axis the outputs are.
    pub output_axis: usize,
    /// One step, one for each output, or one for each group of an output's row, row by row.
    pub steps: &'a [f32],
    /// What stands for zero, of each step, in integers from 0 to `2^bits − 1`; empty if they are symmetric about it.
    pub zeros: &'a [i32],
    /// How many columns of an output's row of inputs and places of the kernel share a step; `None`: all.
    pub group: Option<usize>,
    /// What is added to the sums, in units of input step times weight step; `None` where inputs have no grid, and of an
    /// embedding.
    pub bias: Option<&'a [i32]>,
    /// Bits and scheme of grids over each batch's own range, for inputs that have none.
    pub dynamic: Option<(u8, Scheme)>,
}

/// A layer on a device.
#[derive(Debug, Clone)]
pub(crate) struct Ready {
    /// Integers if inputs have a grid, else what they stand for.
    pub(crate) weight: AnyTensor,
    /// Added to sums: in integers, or in float if inputs have no grid.
    pub(crate) bias: Tensor<1>,
    /// What sums are multiplied with.
    pub(crate) factor: Tensor<1>,
    /// Parts of the inputs with exact sums.
    pub(crate) parts: Vec<std::ops::Range<usize>>,
}

/// Quantizes a network after training, weights to the nearest integers.
///
/// # Errors
///
/// If a value was not calibrated, a parameter or range is not finite, an override matches nothing, sums may
/// leave 32 bits, or the settings go by what layers are fed; with the layer's name.
pub fn quantize(
    network: &Network,
    seen: &Calibration,
    settings: &Settings,
) -> Result<Quantized, QuantizeError> {
    if settings.weights.needs_batches() {
        return Err(QuantizeError::NoSamples);
    }
    let parts = Parts::of(network, seen, settings, &mut |_| Ok(Vec::new()))?;
    parts.assembled(network, &settings.sums)
}

/// Quantizes a network after training, with batches by which weights are rounded and biases corrected, as the
/// settings say. What layers are fed is sampled: ten positions of each image, drawn anew for each batch.
///
/// # Errors
///
/// As [`quantize`], and if a batch does not fit.
pub fn quantize_over<I: Tensors + Clone>(
    network: &Network,
    seen: &Calibration,
    settings: &Settings,
    batches: &[I],
) -> Result<Quantized, QuantizeError> {
    let mut sample = |paths: &[&str]| {
        let found = network.sample_layers(batches.iter().cloned(), paths, &Sampling::default())?;
        Ok(found.into_iter().map(|found| found.value).collect())
    };
    let mut parts = Parts::of(network, seen, settings, &mut sample)?;
    if settings.weights.reestimate {
        parts.renorm(network, batches)?;
    }
    parts.assembled(network, &settings.sums)
}

/// What the layers with these weights were fed.
type Sample<'a> = dyn FnMut(&[&str]) -> Result<Vec<LayerSamples>, QuantizeError> + 'a;

/// Columns of layers that are sampled in one pass: of 1,000 images, some 600 MB.
const SAMPLED: usize = 1 << 14;

/// What a quantized network is made of.
struct Parts {
    graph: Graph,
    uses: Uses,
    grids: Vec<Option<Quantizer>>,
    layers: BTreeMap<usize, Layer>,
    /// Of each value, what it is kept in where it is needed in float.
    kept: Vec<FloatType>,
}

/// The nodes that get integer weights, by position, and what holds for them.
fn integer_layers<'a>(
    graph: &'a Graph,
    by_layer: &ByLayer<'_>,
) -> Vec<(usize, &'a Node, LayerSettings)> {
    let nodes = graph.nodes.iter().enumerate();
    let nodes = nodes.filter(|(_, node)| has_integers(graph, node));
    let nodes = nodes.map(|(index, node)| (index, node, by_layer.of(&node.name)));
    nodes.filter(|(_, _, own)| own.float.is_none()).collect()
}

/// Whether it goes by what a layer is fed.
fn is_sampled(node: &Node, own: &LayerSettings) -> bool {
    matches!(node.op, Op::Convolution(_) | Op::Linear) && own.weights.needs_samples()
}

/// How many of these layers are sampled in one pass; at least one.
fn sampled_together(graph: &Graph, layers: &[(usize, &Node, LayerSettings)]) -> usize {
    let mut columns = 0;
    let fit = layers.iter().take_while(|(_, node, own)| {
        if is_sampled(node, own) {
            let shape = graph.value(node.inputs[1]).shape_at(1);
            columns += shape.iter().product::<usize>() / shape[output_axis(&node.op)].max(1);
        }
        columns <= SAMPLED
    });
    fit.count().max(1)
}

fn weight_of<'a>(graph: &'a Graph, node: &Node) -> &'a str {
    &graph.value(node.inputs[weight_at(&node.op)]).name
}

/// How inputs without a grid become integers, if they are to.
fn dynamic(
    layer: &Layer,
    node: &Node,
    own: &LayerSettings,
) -> Result<Option<Dynamic>, QuantizeError> {
    let of = &own.activations;
    if !of.dynamic || of.bits == 0 || node.op == Op::Embedding {
        return Ok(None);
    }
    if layer.group.is_some() {
        return Err(QuantizeError::Groups {
            name: layer.name.clone(),
        });
    }
    // Whatever the range, there must be such integers.
    Quantizer::over(0.0, 1.0, of.bits, of.scheme)?;
    Ok(Some(Dynamic {
        bits: of.bits,
        scheme: of.scheme,
    }))
}

impl Parts {
    fn of(
        network: &Network,
        seen: &Calibration,
        settings: &Settings,
        sample: &mut Sample<'_>,
    ) -> Result<Self, QuantizeError> {
        let graph = network.graph().clone();
        let uses = Uses::of(&graph);
        let by_layer = ByLayer::new(settings, &graph)?;
        let grids = grids(&graph, &uses, seen, &by_layer)?;
        let mut rest: &[_] = &integer_layers(&graph, &by_layer);
        let mut layers = BTreeMap::new();
        while !rest.is_empty() {
            let (now, later) = rest.split_at(sampled_together(&graph, rest));
            rest = later;
            let paths = now.iter().filter(|(_, node, own)| is_sampled(node, own));
            let paths: Vec<&str> = paths.map(|(_, node, _)| weight_of(&graph, node)).collect();
            let samples = match paths.is_empty() {
                true => Vec::new(),
                false => sample(&paths)?,
            };
            let mut samples = samples.into_iter();
            for (index, node, own) in now {
                let float = FloatLayer::of(network, &uses, node)?;
                let input = grids[node.inputs[0].0].as_ref();
                let weights = float.grids(own)?;
                let samples = is_sampled(node, own).then(|| samples.next()).flatten();
                let layer = match samples {
                    Some(samples) => {
                        Layer::over(&node.name, &float, &weights, &own.weights, input, &samples)?
                    }
                    None => Layer::nearest(&node.name, &float, &weights, &own.weights, input)?,
                };
                let dynamic = dynamic(&layer, node, own)?;
                layers.insert(*index, Layer { dynamic, ..layer });
            }
        }
        Ok(Self {
            kept: by_layer.kept(&graph),
            graph,
            uses,
            grids,
            layers,
        })
    }

    /// Gives norms the statistics of what the integer weights give over these batches.
    fn renorm<I: Tensors + Clone>(
        &mut self,
        network: &Network,
        batches: &[I],
    ) -> Result<(), QuantizeError> {
        let mut rounded = BTreeMap::new();
        for (&index, layer) in &self.layers {
            let node = &self.graph.nodes[index];
            let float = FloatLayer::of(network, &self.uses, node)?;
            let path = weight_of(&self.graph, node).to_owned();
            rounded.insert(path, layer.unfolded(&float));
        }
        let mut change = |which: Which<'_>, tensor: AnyTensor| match which {
            Which::Parameter(path) => match rounded.get(path) {
                Some(weights) => vector(weights.clone(), &tensor.device(), &tensor.shape()),
                None => tensor,
            },
            Which::Constant(_) => tensor,
        };
        let rounded = network.clone().valid();
        let rounded = rounded.rewritten(self.graph.clone(), &mut change, Vec::new())?;
        let renormed = reestimate(rounded, batches)?;
        for (&index, layer) in &mut self.layers {
            let node = &self.graph.nodes[index];
            if self.uses.norm_after(&self.graph, node).is_some() {
                let [before, after] =
                    [network, &renormed].map(|n| FloatLayer::of(n, &self.uses, node));
                let input = self.grids[node.inputs[0].0].as_ref();
                layer.renorm(&before?, &after?, input)?;
            }
        }
        Ok(())
    }

    fn assembled(self, network: &Network, sums: &SumSettings) -> Result<Quantized, QuantizeError> {
        for (&index, layer) in &self.layers {
            let input = self.graph.nodes[index].inputs[0];
            layer.fits(self.grids[input.0].as_ref(), sums)?;
        }
        assembled(
            network,
            self.graph,
            &self.uses,
            self.grids,
            self.layers,
            &self.kept,
        )
    }
}

/// The network of these layers, with what other nodes need in float.
pub(crate) fn assembled(
    network: &Network,
    graph: Graph,
    uses: &Uses,
    grids: Vec<Option<Quantizer>>,
    layers: BTreeMap<usize, Layer>,
    kept: &[FloatType],
) -> Result<Quantized, QuantizeError> {
    let mut floats = BTreeMap::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        let taken = layers.contains_key(&index) || taken_over(&graph, uses, &layers, index);
        for id in node.inputs.iter().filter(|_| !taken) {
            if let Some(tensor) = network.tensor(*id) {
                let float = Float::of(tensor, kept[id.0], &graph.value(*id).name)?;
                floats.insert(id.0, float);
            }
        }
    }
    let device = network.devices();
    let device = device
        .into_iter()
        .next()
        .unwrap_or_default()
        .without_autodiff();
    Quantized::new(graph, grids, layers, floats, &device)
}

/// Whether it is a batch norm that a layer in integers does.
pub(crate) fn taken_over(
    graph: &Graph,
    uses: &Uses,
    layers: &BTreeMap<usize, Layer>,
    index: usize,
) -> bool {
    let of = graph.nodes[index]
        .inputs
        .first()
        .map(|id| graph.value(*id).source);
    match of {
        Some(Source::Node(layer)) => uses.folded[index] && layers.contains_key(&layer),
        _ => false,
    }
}

impl Quantized {
    pub(crate) fn new(
        graph: Graph,
        grids: Vec<Option<Quantizer>>,
        layers: BTreeMap<usize, Layer>,
        floats: BTreeMap<usize, Float>,
        device: &Device,
    ) -> Result<Self, QuantizeError> {
        let mut ready = BTreeMap::new();
        for (&index, layer) in &layers {
            let node = &graph.nodes[index];
            let input = grids[node.inputs[0].0];
            let output = grids[node.output.0];
            ready.insert(index, Ready::of(layer, node, input, output, device)?);
        }
        let floats = floats.into_iter();
        Ok(Self {
            uses: std::sync::Arc::new(Uses::of(&graph)),
            floats: floats
                .map(|(id, Float { tensor, kept })| {
                    let tensor = tensor.to_device(device);
                    (id, Float { tensor, kept })
                })
                .collect(),
            graph,
            grids,
            layers,
            ready,
            device: device.clone(),
        })
    }

    /// The graph that it was made of.
    #[must_use]
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Where it computes.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The grid of what a node gives or an input is, by name; `None` if it has none.
    #[must_use]
    pub fn grid(&self, name: &str) -> Option<Quantizer> {
        let node = self
            .graph
            .nodes
            .iter()
            .find(|node| node.name == name)
            .map(|node| node.output);
        let input = || {
            self.graph
                .inputs
                .iter()
                .copied()
                .find(|id| self.graph.value(*id).name == name)
        };
        self.grids[node.or_else(input)?.0]
    }

    /// The layers with integer weights, in running order.
    pub fn layers(&self) -> impl Iterator<Item = IntegerLayer<'_>> {
        self.layers.values().map(|layer| IntegerLayer {
            name: &layer.name,
            bits: layer.bits,
            weight: &layer.ints,
            shape: &layer.shape,
            output_axis: layer.axis,
            steps: &layer.steps,
            zeros: &layer.zeros,
            group: layer.group,
            bias: match &layer.bias {
                Bias::Ints(bias) => Some(bias),
                Bias::Floats(_) => None,
            },
            dynamic: layer.dynamic.map(|dynamic| (dynamic.bits, dynamic.scheme)),
        })
    }

    /// What the quantized network computes. The device is not read.
    ///
    /// # Errors
    ///
    /// If number, kind or rank of the inputs or outputs are others than the network's.
    pub fn try_forward<I: Tensors, O: Tensors>(&self, inputs: I) -> Result<O, ForwardError> {
        let outputs = self.run(inputs.into_any(), &mut |_, _| {})?;
        let given = format!(
            "{:?}",
            outputs.iter().map(AnyTensor::shape).collect::<Vec<_>>()
        );
        O::from_any(outputs).ok_or_else(|| ForwardError::Outputs {
            given,
            asked: O::expected(),
        })
    }

    /// As [`try_forward`](Self::try_forward), for tensors that fit.
    ///
    /// # Panics
    ///
    /// If they do not.
    pub fn forward<I: Tensors, O: Tensors>(&self, inputs: I) -> O {
        match self.try_forward(inputs) {
            Ok(outputs) => outputs,
            Err(error) => panic!("{error}"),
        }
    }
}

impl Float {
    /// Numbers to the nearest of a type.
    fn of(tensor: AnyTensor, kept: FloatType, name: &str) -> Result<Self, QuantizeError> {
        let shape = tensor.shape();
        let flat = tensor.clone().flat().filter(|_| kept != FloatType::F32);
        let Some(flat) = flat else {
            return Ok(Self { tensor, kept });
        };
        let device = flat.device();
        let values: Vec<f32> = flat.into_data().iter::<f32>().collect();
        let rounded: Vec<f32> = values.iter().map(|&value| kept.nearest(value)).collect();
        let mut both = values.iter().zip(&rounded);
        let beyond = both.find(|(value, rounded)| value.is_finite() && !rounded.is_finite());
        if let Some((value, _)) = beyond {
            return Err(QuantizeError::Beyond {
                name: name.to_owned(),
                value: *value,
            });
        }
        Ok(Self {
            tensor: vector(rounded, &device, &shape),
            kept,
        })
    }
}

impl Ready {
    fn of(
        layer: &Layer,
        node: &Node,
        input: Option<Quantizer>,
        output: Option<Quantizer>,
        device: &Device,
    ) -> Result<Self, QuantizeError> {
        let outputs = layer.outputs();
        let numbers =
            |values: Vec<f32>| -> Tensor<1> { Tensor::from_floats(values.as_slice(), device) };
        let Some(input) = input else {
            let bias = match &layer.bias {
                Bias::Floats(bias) => bias.clone(),
                Bias::Ints(_) => vec![0.0; outputs],
            };
            if let Some(dynamic) = layer.dynamic {
                return Ok(Self {
                    weight: layer.weight(device),
                    bias: numbers(bias),
                    factor: numbers((0..outputs).map(|output| layer.step(output)).collect()),
                    parts: layer.parts(dynamic.largest(), groups(node))?,
                });
            }
            return Ok(Self {
                weight: layer.float_weight(device),
                bias: numbers(bias),
                factor: numbers(vec![1.0; outputs]),
                parts: Vec::new(),
            });
        };
        #[allow(
            clippy::cast_precision_loss,
            reason = "checked to be exact, or added as integers"
        )]
        let bias = match &layer.bias {
            Bias::Ints(bias) => bias.iter().map(|&int| int as f32).collect(),
            Bias::Floats(_) => vec![0.0; outputs],
        };
        #[allow(clippy::cast_possible_truncation, reason = "factors are f32")]
        let factor = |channel: usize| {
            let sums = f64::from(input.step) * f64::from(layer.step(channel));
            (sums / output.map_or(1.0, |grid| f64::from(grid.step))) as f32
        };
        Ok(Self {
            weight: layer.weight(device),
            bias: numbers(bias),
            factor: numbers((0..outputs).map(factor).collect()),
            parts: layer.parts(input.largest(), groups(node))?,
        })
    }
}
