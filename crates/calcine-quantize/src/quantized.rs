use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};
use calcine_graph::{Arithmetic, Graph, Kind, Node, Op, Reduction, Source};
use calcine_trace::watch::{LayerSamples, Sampling};
use calcine_trace::{AnyTensor, ForwardError, Network, Tensors, evaluate};

use crate::layer::{Bias, FloatLayer, Layer, groups, inputs_axis};
use crate::plan::{Uses, grids, has_weights};
use crate::settings::{ByLayer, WeightSettings};
use crate::{Calibration, QuantizeError, Quantizer, Settings};

/// A quantized network: integer weights, and a grid for each value that has one.
///
/// Its forward pass computes with whole numbers, held in `f32` where that is exact, and so gives bit for bit what
/// an engine with 8-bit operands and 32-bit sums gives that rounds as it is written here:
///
/// * a convolution or linear layer: `q = clamp(round(f32(Σ (x − zero_x)·w + b) · m) + zero)`, with
///   `m = f32(step_x · step_w / step)` for each output, and `b = round(bias / (step_x · step_w))`; the sum is exact;
/// * an addition: `round(f32(a − zero_a)·f32(step_a / step) + f32(b − zero_b)·f32(step_b / step))`;
/// * a product of two: `round(f32((a − zero_a)(b − zero_b)) · f32(step_a·step_b / step))`;
/// * a mean over windows: the exact sum times `f32(step_x / (n · step))`;
/// * what only moves numbers, a maximum, a relu: the integers themselves;
/// * anything else, in float between two grids.
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
    pub(crate) floats: BTreeMap<usize, AnyTensor>,
    uses: std::sync::Arc<Uses>,
    ready: BTreeMap<usize, Ready>,
    device: Device,
}

/// A layer's integers, as an engine or an exporter needs them.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct IntegerLayer<'a> {
    /// The node's name.
    pub name: &'a str,
    /// Bits of a weight.
    pub bits: u8,
    /// The weight, symmetric: `w = step · q`. Laid out as the layer's own, batch norm folded in.
    pub weight: &'a [i32],
    /// Its shape.
    pub shape: &'a [usize],
    /// Which axis the outputs are.
    pub output_axis: usize,
    /// One step, or one for each output.
    pub steps: &'a [f32],
    /// What is added to the sums, in units of input step times weight step; `None` where inputs have no grid.
    pub bias: Option<&'a [i32]>,
}

/// A layer on a device.
#[derive(Debug, Clone)]
struct Ready {
    /// Integers if inputs have a grid, else what they stand for.
    weight: AnyTensor,
    /// In integers or in float.
    bias: Tensor<1>,
    /// What sums are multiplied with.
    factor: Tensor<1>,
    /// Parts of the inputs with exact sums.
    parts: Vec<std::ops::Range<usize>>,
}

/// A value in a pass.
enum Held {
    /// `q − zero`, whole numbers in `f32`.
    Ints(AnyTensor, Quantizer),
    /// Anything else.
    Plain(AnyTensor),
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
    if settings.weights.needs_samples() {
        return Err(QuantizeError::NoSamples);
    }
    quantize_layers(network, seen, settings, &mut |_, _| Ok(None))
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
    let mut sample = |path: &str, own: &WeightSettings| {
        if !own.needs_samples() {
            return Ok(None);
        }
        let found =
            network.sample_layers(batches.iter().cloned(), &[path], &Sampling::default())?;
        Ok(found.into_iter().next().map(|found| found.value))
    };
    quantize_layers(network, seen, settings, &mut sample)
}

/// What a layer was fed, if its settings ask for it.
type Sample<'a> =
    dyn FnMut(&str, &WeightSettings) -> Result<Option<LayerSamples>, QuantizeError> + 'a;

fn quantize_layers(
    network: &Network,
    seen: &Calibration,
    settings: &Settings,
    sample: &mut Sample<'_>,
) -> Result<Quantized, QuantizeError> {
    let graph = network.graph().clone();
    let uses = Uses::of(&graph);
    let names: Vec<&str> = (graph.nodes.iter().map(|node| node.name.as_str()))
        .chain(graph.inputs.iter().map(|id| graph.value(*id).name.as_str()))
        .collect();
    let by_layer = ByLayer::new(settings, &names)?;
    let grids = grids(&graph, &uses, seen, &by_layer)?;
    let mut layers = BTreeMap::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        let own = by_layer.of(&node.name);
        if !has_weights(&graph, node) || own.float {
            continue;
        }
        let float = FloatLayer::of(network, &uses, node)?;
        let input = grids[node.inputs[0].0].as_ref();
        let weights = float.grids(&own.weights)?;
        let path = &graph.value(node.inputs[1]).name;
        let layer = match sample(path, &own.weights)? {
            Some(samples) => {
                Layer::over(&node.name, &float, &weights, &own.weights, input, &samples)?
            }
            None => Layer::nearest(&node.name, &float, &weights, own.weights.bits, input)?,
        };
        layers.insert(index, layer);
    }
    assembled(network, graph, &uses, grids, layers)
}

/// The network of these layers, with what other nodes need in float.
pub(crate) fn assembled(
    network: &Network,
    graph: Graph,
    uses: &Uses,
    grids: Vec<Option<Quantizer>>,
    layers: BTreeMap<usize, Layer>,
) -> Result<Quantized, QuantizeError> {
    let mut floats = BTreeMap::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        let taken = layers.contains_key(&index) || taken_over(&graph, uses, &layers, index);
        for id in node.inputs.iter().filter(|_| !taken) {
            floats.extend(network.tensor(*id).map(|tensor| (id.0, tensor)));
        }
    }
    let device = burn::module::Module::devices(network);
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
        floats: BTreeMap<usize, AnyTensor>,
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
                .map(|(id, tensor)| (id, tensor.to_device(device)))
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
            bias: match &layer.bias {
                Bias::Ints(bias) => Some(bias),
                Bias::Floats(_) => None,
            },
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

    /// A pass that shows each node's result, in the numbers that its integers stand for.
    ///
    /// # Errors
    ///
    /// If number or rank of the inputs are others than the network's.
    pub fn run(
        &self,
        inputs: Vec<AnyTensor>,
        watch: &mut dyn FnMut(&Node, AnyTensor),
    ) -> Result<Vec<AnyTensor>, ForwardError> {
        if inputs.len() != self.graph.inputs.len() {
            return Err(ForwardError::Inputs {
                expected: self.graph.inputs.len(),
                given: inputs.len(),
            });
        }
        let mut values: Vec<Option<Held>> = Vec::new();
        values.resize_with(self.graph.values.len(), || None);
        let mut batch = 1;
        for (&id, input) in self.graph.inputs.iter().zip(inputs) {
            let (expected, shape) = (self.graph.value(id), input.shape());
            if input.kind() != expected.kind || shape.len() != expected.shape.len() {
                return Err(ForwardError::Input {
                    input: expected.name.clone(),
                    given: format!("{:?} {shape:?}", input.kind()),
                    expected: format!("{:?} of {} axes", expected.kind, expected.shape.len()),
                });
            }
            for (length, extent) in shape.iter().zip(&expected.shape) {
                if !extent.is_fixed() {
                    batch = length.saturating_sub(extent.fixed) / extent.per_sample;
                }
            }
            values[id.0] = Some(held(input, self.grids[id.0]));
        }
        for (index, node) in self.graph.nodes.iter().enumerate() {
            let result = self.node(index, node, &values, batch);
            watch(node, real(&result));
            values[node.output.0] = Some(result);
        }
        let output = |id: &calcine_graph::ValueId| real(&self.value(*id, &values));
        Ok(self.graph.outputs.iter().map(output).collect())
    }
}

impl Quantized {
    /// A node's result.
    fn node(&self, index: usize, node: &Node, values: &[Option<Held>], batch: usize) -> Held {
        let grid = self.grids[node.output.0];
        if let Some(ready) = self.ready.get(&index) {
            let x = self.value(node.inputs[0], values);
            return self.layer(index, ready, node, &x, grid, batch);
        }
        if taken_over(&self.graph, &self.uses, &self.layers, index) {
            return self.value(node.inputs[0], values);
        }
        let operands: Vec<Held> = node
            .inputs
            .iter()
            .map(|id| self.value(*id, values))
            .collect();
        let exact = grid.and_then(|grid| self.in_integers(index, node, &operands, grid, batch));
        exact.unwrap_or_else(|| {
            let operands = operands.iter().map(real).collect();
            held(evaluate(&self.graph, node, operands, batch), grid)
        })
    }

    /// A node that whole numbers suffice for; `None` of others.
    fn in_integers(
        &self,
        index: usize,
        node: &Node,
        operands: &[Held],
        grid: Quantizer,
        batch: usize,
    ) -> Option<Held> {
        let ints = |operand: &Held| match operand {
            Held::Ints(ints, own) => Some((ints.clone(), *own)),
            Held::Plain(_) => None,
        };
        let usual = |operands| evaluate(&self.graph, node, operands, batch);
        if self.uses.keeps_grid(index, &node.op) {
            let (x, own) = ints(&operands[0])?;
            if own != grid {
                return None;
            }
            let rest = operands[1..].iter().map(real);
            let moved = match self.uses.clamps[index] {
                true => each(x, |x| x.clamp_min(0.0)),
                false => usual(std::iter::once(x).chain(rest).collect()),
            };
            return Some(Held::Ints(moved, grid));
        }
        match &node.op {
            Op::Zip(Arithmetic::Add) => {
                let ((a, of_a), (b, of_b)) = (ints(&operands[0])?, ints(&operands[1])?);
                let (a, b) = (on(a, of_a, grid), on(b, of_b, grid));
                Some(Held::Ints(rounded(usual(vec![a, b]), grid), grid))
            }
            Op::Zip(Arithmetic::Multiply) => {
                let ((a, of_a), (b, of_b)) = (ints(&operands[0])?, ints(&operands[1])?);
                if of_a.largest() * of_b.largest() > 1 << 24 {
                    return None;
                }
                let step = f64::from(of_a.step) * f64::from(of_b.step);
                let product = times(usual(vec![a, b]), step, grid);
                Some(Held::Ints(rounded(product, grid), grid))
            }
            Op::Concat(_) => {
                let all: Option<Vec<_>> = operands.iter().map(ints).collect();
                let on_grid = |(x, own)| rounded(on(x, own, grid), grid);
                let all = all?.into_iter().map(on_grid).collect();
                Some(Held::Ints(usual(all), grid))
            }
            op => {
                let (x, own) = ints(operands.first()?)?;
                let count = averaged(op, &self.graph, node, batch)?;
                if own.largest() * count as u64 > 1 << 24 {
                    return None;
                }
                #[allow(clippy::cast_precision_loss, reason = "counts of places")]
                let count = count as f64;
                let sums = each(usual(vec![x]), |mean| mean.mul_scalar(count).round());
                let means = times(sums, f64::from(own.step) / count, grid);
                Some(Held::Ints(rounded(means, grid), grid))
            }
        }
    }

    /// A layer with integer weights.
    fn layer(
        &self,
        index: usize,
        ready: &Ready,
        node: &Node,
        x: &Held,
        grid: Option<Quantizer>,
        batch: usize,
    ) -> Held {
        let layer = &self.layers[&index];
        let usual = |x, weight| evaluate(&self.graph, node, vec![x, weight], batch);
        let outputs = match node.op {
            Op::Linear => self.graph.value(node.output).shape.len() - 1,
            _ => 1,
        };
        let x = match x {
            Held::Plain(x) => {
                let sums = usual(x.clone(), ready.weight.clone());
                return held(sums.shifted(outputs, ready.bias.clone()), grid);
            }
            Held::Ints(x, _) => x.clone(),
        };
        let sums = match &ready.parts[..] {
            [_] => usual(x, ready.weight.clone()).shifted(outputs, ready.bias.clone()),
            parts => {
                let axis = inputs_axis(&self.graph, node);
                let mut shape = Vec::new();
                let mut sum = ready.bias.clone().int();
                let mut whole = None;
                for part in parts {
                    let positions: Vec<usize> = part.clone().collect();
                    let weight = ready.weight.clone().select(1 - layer.axis, &positions);
                    let partial = usual(x.clone().select(axis, &positions), weight);
                    shape = partial.shape();
                    let partial = partial.flat().expect("sums are float").int();
                    whole = Some(match whole {
                        Some(whole) => whole + partial,
                        None => partial,
                    });
                }
                let biases = AnyTensor::shaped(
                    Tensor::zeros([shape.iter().product::<usize>()], &self.device),
                    &shape,
                );
                let biases = biases.shifted(outputs, sum.clone().float());
                sum = biases.flat().expect("biases are float").int();
                let total = whole.expect("there are parts") + sum;
                AnyTensor::shaped(total.float(), &shape)
            }
        };
        let scaled = sums.scaled(outputs, ready.factor.clone());
        match grid {
            Some(grid) => Held::Ints(rounded(scaled, grid), grid),
            None => Held::Plain(scaled),
        }
    }

    fn value(&self, id: calcine_graph::ValueId, values: &[Option<Held>]) -> Held {
        match &values[id.0] {
            Some(Held::Ints(ints, grid)) => Held::Ints(ints.clone(), *grid),
            Some(Held::Plain(plain)) => Held::Plain(plain.clone()),
            None => {
                let tensor = self.floats.get(&id.0).cloned();
                Held::Plain(tensor.expect("what a node needs is there"))
            }
        }
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

/// The tensor on its grid, if it has one.
fn held(tensor: AnyTensor, grid: Option<Quantizer>) -> Held {
    match grid.filter(|_| tensor.kind() == Kind::Float) {
        Some(grid) => {
            let step = f64::from(grid.step);
            let [low, high] = grid.centred().map(f64::from);
            let ints = each(tensor, |x| x.div_scalar(step).round().clamp(low, high));
            Held::Ints(ints, grid)
        }
        None => Held::Plain(tensor),
    }
}

/// The numbers that it stands for.
fn real(held: &Held) -> AnyTensor {
    match held {
        Held::Ints(ints, grid) => {
            let step = f64::from(grid.step);
            each(ints.clone(), |ints| ints.mul_scalar(step))
        }
        Held::Plain(plain) => plain.clone(),
    }
}

/// Each element of a float tensor.
fn each(tensor: AnyTensor, change: impl FnOnce(Tensor<1>) -> Tensor<1>) -> AnyTensor {
    let shape = tensor.shape();
    let flat = tensor.flat().expect("what has a grid is float");
    AnyTensor::shaped(change(flat), &shape)
}

/// Whole numbers of one step in units of a grid, not rounded yet.
fn on(ints: AnyTensor, own: Quantizer, grid: Quantizer) -> AnyTensor {
    times(ints, f64::from(own.step), grid)
}

/// Times `f32(step / the grid's step)`.
#[allow(clippy::cast_possible_truncation, reason = "factors are f32")]
fn times(ints: AnyTensor, step: f64, grid: Quantizer) -> AnyTensor {
    let factor = (step / f64::from(grid.step)) as f32;
    each(ints, |ints| ints.mul_scalar(f64::from(factor)))
}

/// The nearest whole numbers of a grid.
fn rounded(scaled: AnyTensor, grid: Quantizer) -> AnyTensor {
    let [low, high] = grid.centred().map(f64::from);
    each(scaled, |scaled| scaled.round().clamp(low, high))
}

/// Of how many numbers the node's results are means, if it makes means of equally many.
fn averaged(op: &Op, graph: &Graph, node: &Node, batch: usize) -> Option<usize> {
    let input = graph.value(node.inputs[0]).shape_at(batch);
    let output = graph.value(node.output).shape_at(batch);
    match op {
        Op::Reduce(Reduction::Mean, axis) => input.get(*axis).copied(),
        Op::AveragePool {
            pool,
            count_padding,
        } => {
            let whole = *count_padding || pool.padding.iter().all(|padding| *padding == 0);
            (whole && !pool.ceil).then(|| pool.kernel.iter().product())
        }
        Op::AdaptiveAveragePool => {
            let windows = input[2..].iter().zip(&output[2..]);
            let equal = windows.clone().all(|(input, output)| input % output == 0);
            equal.then(|| windows.map(|(input, output)| input / output).product())
        }
        _ => None,
    }
}
