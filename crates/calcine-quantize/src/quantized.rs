use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};
use calcine_graph::{Graph, Node};
use calcine_observe::{Sampling, sample_layers};
use calcine_trace::{AnyTensor, ForwardError, Network, Tensors, typed_outputs};

use crate::batches::finite;
use crate::equalize::prepare;
use crate::exact::{self, Split};
use crate::float::Float;
use crate::layer::{Bias, Layer};
use crate::parts::Parts;
use crate::report::{Asked, QuantizationReport};
use crate::uses::Uses;
use crate::{Calibration, QuantizationSettings, QuantizeError, Quantizer, Scheme};

/// A quantized network: integer weights, and a quantizer for each value that has one.
///
/// Its forward pass computes with whole numbers, held in `f32` where that is exact, and so gives bit for bit what
/// an engine with 8-bit operands and 32-bit sums gives that rounds as it is written here:
///
/// * a convolution, transposed or not, or a linear layer: `q = clamp(round(f32(Σ (x − zero_x)·w + b) · m) + zero_point)`, with
///   `m = f32(f32(scale_x · scale_w) / scale)` for each output, and `b = round(bias / f32(scale_x · scale_w))`; the sum is
///   exact;
/// * an addition: `round(f32(a − zero_a)·f32(scale_a / scale) + f32(b − zero_b)·f32(scale_b / scale))`;
/// * a product of two: `round(f32((a − zero_a)(b − zero_b)) · f32(f32(scale_a·scale_b) / scale))`;
/// * a mean over windows: the exact sum times `f32(scale_x / (n · scale))`;
/// * what only moves numbers, a maximum, a relu, a clamp from zero: the integers themselves;
/// * a matrix product of two: as a product, with the exact sum of products in its place;
/// * rows of an embedding, and anything else, in float between two quantizers;
/// * with dynamic ranges, such a layer alone: `f32(f32(Σ (x − zero_x)·w · scale_w) · scale_x) + bias`, where the
///   input's quantizer is that of the batch, and all else in float.
///
/// All products are `f32`, all rounding is to the nearest, ties to even. Sums are exact up to 2³¹. What the network gives
/// last has no quantizer: exact sums times their scales. [`report`](Self::report) lists what else has none.
/// `docs/arithmetic.md` states all of it.
#[derive(Debug, Clone)]
pub struct Quantized {
    pub(crate) graph: Graph,
    /// Of each value, the quantizer if it has one.
    pub(crate) quantizers: Vec<Option<Quantizer>>,
    /// By the position of their nodes.
    pub(crate) layers: BTreeMap<usize, Layer>,
    /// Parameters and constants that nodes need in float, by value.
    pub(crate) floats: BTreeMap<usize, Float>,
    pub(crate) uses: std::sync::Arc<Uses>,
    pub(crate) ready: BTreeMap<usize, Ready>,
    report: QuantizationReport,
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
    /// The weight as `q − zero_point`: `w = scale · (q − zero_point)`. Laid out as the layer's own, batch norm folded in.
    pub weight: &'a [i32],
    /// Its shape.
    pub shape: &'a [usize],
    /// Which axis the outputs are.
    pub output_axis: usize,
    /// One scale, one for each output, or one for each group of an output's row, row by row.
    pub scales: &'a [f32],
    /// What stands for zero, of each scale, in integers from 0 to `2^bits − 1`; empty if they are symmetric about it.
    pub zero_points: &'a [i32],
    /// How many columns of an output's row of inputs and places of the kernel share a scale; `None`: all.
    pub group: Option<usize>,
    /// What is added to the sums, in units of input scale times weight scale; `None` where inputs have no quantizer, and of an
    /// embedding.
    pub bias: Option<&'a [i32]>,
    /// What is added to the result where inputs have no quantizer.
    pub float_bias: Option<&'a [f32]>,
    /// Bits and scheme of quantizers over each batch's own range, for inputs that have none.
    pub dynamic: Option<(u8, Scheme)>,
}

/// A layer on a device.
#[derive(Debug, Clone)]
pub(crate) struct Ready {
    /// Integers if inputs have a quantizer, a tensor for each digit; else what they stand for.
    pub(crate) weights: Vec<AnyTensor>,
    /// How the operands of sums of integers are cut; `None` of sums in float.
    pub(crate) split: Option<Split>,
    /// Added to sums: in integers that `f32` holds, or in float if inputs have no quantizer.
    pub(crate) bias: Vector,
    /// The integers of the bias in two parts, where `f32` may not hold them or the sums with them.
    pub(crate) parts: Option<[Tensor<1>; 2]>,
    /// What sums are multiplied with.
    pub(crate) factor: Vector,
}

/// A number for each output of a layer, on the host and where the layer computes.
#[derive(Debug, Clone)]
pub(crate) struct Vector {
    pub(crate) values: Vec<f32>,
    pub(crate) tensor: Tensor<1>,
}

/// Quantizes a network after training, weights to the nearest integers.
///
/// # Errors
///
/// If a value was not calibrated, a parameter or range is not finite, an override matches nothing, sums may
/// leave 32 bits, or the settings go by what layers are fed; with the layer's name.
pub fn quantize(
    network: &Network,
    calibration: &Calibration,
    settings: &QuantizationSettings,
) -> Result<Quantized, QuantizeError> {
    if settings.weights.needs_batches() {
        return Err(QuantizeError::NoSamples);
    }
    let network = &network.clone().with_stored_weights();
    let parts = Parts::of(network, calibration, settings, &mut |_| Ok(Vec::new()))?;
    parts.assembled(network, &settings.accumulator)
}

/// Quantizes a network after training, with batches by which weights are rounded and biases corrected, as the
/// settings say. What layers are fed is sampled: ten positions of each image, drawn anew for each batch.
///
/// # Errors
///
/// As [`quantize`], and if the settings go by batches and there is none, or one does not fit or has a number that is not
/// finite.
pub fn quantize_with_batches<I: Tensors + Clone>(
    network: &Network,
    calibration: &Calibration,
    settings: &QuantizationSettings,
    batches: &[I],
) -> Result<Quantized, QuantizeError> {
    let network = &network.clone().with_stored_weights();
    if settings.weights.needs_batches() {
        finite(network.graph(), batches)?;
    }
    let mut sample = |paths: &[&str]| {
        let found = sample_layers(
            network,
            batches.iter().cloned(),
            paths,
            &Sampling::default(),
        )?;
        Ok(found.into_iter().map(|found| found.value).collect())
    };
    let mut parts = Parts::of(network, calibration, settings, &mut sample)?;
    if settings.weights.reestimate {
        parts.renorm(network, batches, &settings.accumulator)?;
    }
    parts.assembled(network, &settings.accumulator)
}

/// Quantizes a network after training in one call: prepares it, calibrates it with the batches, and quantizes it, all as the
/// settings say. Without batches nothing is calibrated, which suffices for weights alone and for dynamic ranges.
///
/// The scales by themselves are [`prepare`], [`Calibration::of`] and [`quantize_with_batches`]; take them to use a calibration twice, or
/// other batches for each.
///
/// # Errors
///
/// As these.
///
/// # Examples
///
/// ```
/// use burn::nn::{Linear, LinearConfig};
/// use burn::tensor::{Device, Tensor};
/// use calcine_quantize::{QuantizationSettings, quantize_with};
/// use calcine_trace::trace;
///
/// let device = Device::flex();
/// let model: Linear = LinearConfig::new(4, 2).init(&device);
/// let batches = [Tensor::<2>::from_floats([[0.0, 1.0, -1.0, 0.5]], &device)];
/// let network = trace(&model, batches[0].clone(), |m, x| m.forward(x))?;
///
/// let int8 = quantize_with(network, &batches, &QuantizationSettings::default())?;
/// let y: Tensor<2> = int8.forward(batches[0].clone());
/// # assert_eq!(y.dims(), [1, 2]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn quantize_with<I: Tensors + Clone>(
    network: Network,
    batches: &[I],
    settings: &QuantizationSettings,
) -> Result<Quantized, QuantizeError> {
    settings.check()?;
    let network = prepare(network, batches, &settings.prepare)?;
    let calibration = match batches.is_empty() {
        true => Calibration::empty(),
        false => Calibration::of(&network, batches)?,
    };
    quantize_with_batches(&network, &calibration, settings, batches)
}

impl Quantized {
    pub(crate) fn new(
        graph: Graph,
        quantizers: Vec<Option<Quantizer>>,
        layers: BTreeMap<usize, Layer>,
        floats: BTreeMap<usize, Float>,
        report: Option<QuantizationReport>,
        device: &Device,
    ) -> Result<Self, QuantizeError> {
        let uses = Uses::of(&graph);
        let report = report.unwrap_or_else(|| {
            let integers = layers.iter();
            let integers = integers.map(|(index, layer)| (*index, layer.dynamic.is_some()));
            let asked = Asked {
                graph: &graph,
                uses: &uses,
                quantizers: &quantizers,
                layers: &integers.collect(),
            };
            asked.report()
        });
        let mut ready = BTreeMap::new();
        for (&index, layer) in &layers {
            let node = &graph.nodes[index];
            let input = quantizers[node.inputs[0].0];
            let output = quantizers[node.output.0];
            ready.insert(index, Ready::of(layer, node, input, output, device)?);
        }
        let floats = floats.into_iter();
        Ok(Self {
            uses: std::sync::Arc::new(uses),
            report,
            floats: floats
                .map(|(id, Float { tensor, kept })| {
                    let tensor = tensor.to_device(device);
                    (id, Float { tensor, kept })
                })
                .collect(),
            graph,
            quantizers,
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

    /// What was asked for, and what it came to. Of a network from a file, which nodes are in float, and no more.
    #[must_use]
    pub fn report(&self) -> &QuantizationReport {
        &self.report
    }

    /// Where it computes.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The quantizer of what a node gives or an input is, by name; `None` if it has none.
    #[must_use]
    pub fn quantizer(&self, name: &str) -> Option<Quantizer> {
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
        self.quantizers[node.or_else(input)?.0]
    }

    /// The layers with integer weights, in running order.
    pub fn layers(&self) -> impl Iterator<Item = IntegerLayer<'_>> {
        self.layers.values().map(IntegerLayer::of)
    }

    /// What the quantized network computes. The device is not read.
    ///
    /// # Errors
    ///
    /// If number, kind or shape of the inputs are others than the network's, or if other outputs are asked for.
    pub fn try_forward<I: Tensors, O: Tensors>(&self, inputs: I) -> Result<O, ForwardError> {
        typed_outputs(self.pass(inputs.into_any(), None)?)
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

impl Ready {
    fn of(
        layer: &Layer,
        node: &Node,
        input: Option<Quantizer>,
        output: Option<Quantizer>,
        device: &Device,
    ) -> Result<Self, QuantizeError> {
        let outputs = layer.outputs();
        let numbers = |values: Vec<f32>| {
            let tensor = Tensor::from_floats(values.as_slice(), device);
            Vector { values, tensor }
        };
        let Some(input) = input else {
            let bias = match &layer.bias {
                Bias::Floats(bias) => bias.clone(),
                Bias::Ints(_) => vec![0.0; outputs],
            };
            let Some(dynamic) = layer.dynamic else {
                return Ok(Self {
                    weights: vec![layer.float_weight(device)],
                    split: None,
                    bias: numbers(bias),
                    parts: None,
                    factor: numbers(vec![1.0; outputs]),
                });
            };
            let (split, _) = layer.split(dynamic.largest())?;
            return Ok(Self {
                weights: layer.weights(split.right, device),
                split: Some(split),
                bias: numbers(bias),
                parts: None,
                factor: numbers((0..outputs).map(|output| layer.scale(output)).collect()),
            });
        };
        let bias = match &layer.bias {
            Bias::Ints(bias) => bias.clone(),
            Bias::Floats(_) => vec![0; outputs],
        };
        let (split, held) = layer.split(input.largest())?;
        let parts = || {
            let parts: Vec<[f32; 2]> = bias.iter().map(|&int| exact::parts(int)).collect();
            [0, 1].map(|part| numbers(parts.iter().map(|parts| parts[part]).collect()).tensor)
        };
        let factors = (0..outputs).map(|channel| {
            let factor = rescale(input.scale * layer.scale(channel), output);
            match factor.is_finite() {
                true => Ok(factor),
                false => Err(QuantizeError::NotFinite {
                    name: node.name.clone(),
                    what: "the scale of the sums",
                    value: factor.into(),
                }),
            }
        });
        let factors: Result<Vec<f32>, _> = factors.collect();
        #[allow(clippy::cast_precision_loss, reason = "used where `f32` holds them")]
        let floats = bias.iter().map(|&int| int as f32).collect();
        Ok(Self {
            weights: layer.weights(split.right, device),
            split: Some(split),
            parts: (!held).then(parts),
            bias: numbers(floats),
            factor: numbers(factors?),
        })
    }
}

/// What sums of products are multiplied with, `f32(scale / the output's scale)`, of sums in units of `scale`, which is the
/// `f32` product of their operands' scales: as ONNX Runtime has it.
pub(crate) fn rescale(scale: f32, output: Option<Quantizer>) -> f32 {
    output.map_or(scale, |quantizer| scale / quantizer.scale)
}
