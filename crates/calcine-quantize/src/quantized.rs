use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use calcine_graph::{Graph, Node};
use calcine_observe::{Sampling, sample_layers};
use calcine_trace::{AnyTensor, ForwardError, Network, Tensors, typed_outputs};

use crate::batches::finite;
use crate::compiled::Compiled;
use crate::equalize::prepare;
use crate::exact::{self, Split};
use crate::float::Float;
use crate::layer::{Bias, Layer};
use crate::parts::Parts;
use crate::report::{Asked, QuantizationReport};
use crate::uses::Uses;
use crate::{Calibration, QuantizationSettings, QuantizeError, Quantizer, Scheme};

/// A quantized network: integer weights, and quantizers for values.
///
/// Its forward pass computes with integers. On devices they are stored in `f32` where that is exact. The results are bit-exact
/// with an engine with 8-bit operands and 32-bit accumulators that rounds in the same way:
///
/// * A convolution (also transposed) or a linear layer: `q = clamp(round(f32(Σ (x − zero_x)·w + b) · m) + zero_point)`,
///   with `m = f32(f32(scale_x · scale_w) / scale)` for each output, and `b = round(bias / f32(scale_x · scale_w))`;
///   the sum is exact.
/// * An addition: `round(f32(a − zero_a)·f32(scale_a / scale) + f32(b − zero_b)·f32(scale_b / scale))`.
/// * A product of two values: `round(f32((a − zero_a)(b − zero_b)) · f32(f32(scale_a·scale_b) / scale))`.
/// * A mean over windows: the exact sum times `f32(scale_x / (n · scale))`.
/// * Operations that only move values, a maximum, a ReLU, a clamp from zero: the integers themselves.
/// * A matrix product of two values: like a product, with the exact sum of products instead.
/// * Rows of an embedding, and all other operations: in float between two quantizers.
/// * With dynamic ranges, only layers with weights: `f32(f32(Σ (x − zero_x)·w · scale_w) · scale_x) + bias`, where the
///   quantizer of the input is that of the batch; everything else is in float.
///
/// All products are in `f32`, and all rounding is to the nearest, ties to even. Sums are exact up to 2³¹. The output of
/// the network has no quantizer: it is the exact sums times their scales. [`report`](Self::report) lists other values
/// without a quantizer. `docs/arithmetic.md` describes all of this in detail.
#[derive(Debug, Clone)]
pub struct Quantized {
    pub(crate) graph: Graph,
    /// The quantizer of each value, if it has one.
    pub(crate) quantizers: Vec<Option<Quantizer>>,
    /// The integer layers, by the position of their nodes.
    pub(crate) layers: BTreeMap<usize, Layer>,
    /// Parameters and constants that nodes use in float, by value.
    pub(crate) floats: BTreeMap<usize, Float>,
    pub(crate) uses: Arc<Uses>,
    pub(crate) ready: BTreeMap<usize, Ready>,
    report: QuantizationReport,
    device: Device,
    pub(crate) compiled: Compiled,
    metadata: Arc<BTreeMap<String, String>>,
}

/// The integers of a layer, in the form that an engine or an exporter needs.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct IntegerLayer<'a> {
    /// The name of the node.
    pub name: &'a str,
    /// The number of bits of a weight.
    pub bits: u8,
    /// The weight as `q − zero_point`, where `w = scale · (q − zero_point)`, in the layout of the layer, with the batch
    /// norm folded in.
    pub weight: &'a [i32],
    /// The shape of the weight.
    pub shape: &'a [usize],
    /// The axis of the weight along which the outputs are.
    pub output_axis: usize,
    /// One scale, one for each output, or one for each group in the row of an output, row by row.
    pub scales: &'a [f32],
    /// The zero point of each scale, as an integer from 0 to `2^bits − 1`; empty if the weights are symmetric.
    pub zero_points: &'a [i32],
    /// The number of columns in the row of an output (over inputs and kernel positions) that share a scale; `None` if
    /// all do.
    pub group: Option<usize>,
    /// The bias that is added to the sums, in units of input scale times weight scale; `None` if the inputs have no
    /// quantizer, and for an embedding.
    pub bias: Option<&'a [i32]>,
    /// The bias that is added to the result if the inputs have no quantizer.
    pub float_bias: Option<&'a [f32]>,
    /// Bits and scheme of dynamic quantization, for inputs that have no quantizer.
    pub dynamic: Option<(u8, Scheme)>,
}

/// A layer on a device.
#[derive(Debug, Clone)]
pub(crate) struct Ready {
    /// The integers, one tensor for each digit, if the inputs have a quantizer; otherwise the dequantized weights.
    pub(crate) weights: Vec<AnyTensor>,
    /// How the operands of integer sums are split; `None` for sums in float.
    pub(crate) split: Option<Split>,
    /// The bias that is added to sums: integers that are exact in `f32`, or floats if the inputs have no quantizer.
    pub(crate) bias: Vector,
    /// The integers of the bias in two parts, if they or the sums with them may not be exact in `f32`.
    pub(crate) parts: Option<[Tensor<1>; 2]>,
    /// The factor for the sums.
    pub(crate) factor: Vector,
}

/// One number for each output of a layer, on the host and on the device.
#[derive(Debug, Clone)]
pub(crate) struct Vector {
    pub(crate) values: Vec<f32>,
    pub(crate) tensor: Tensor<1>,
}

/// Post-training quantization: weights are rounded to the nearest integers.
///
/// # Errors
///
/// If a value was not calibrated, a parameter or range is not finite, an override matches nothing, sums may exceed 32
/// bits, or the settings need the inputs of layers; the error names the layer.
pub fn quantize(
    network: &Network,
    calibration: &Calibration,
    settings: &QuantizationSettings,
) -> Result<Quantized, QuantizeError> {
    if settings.weights.needs_batches() {
        return Err(QuantizeError::NoSamples);
    }
    let network = &network.clone().with_stored_weights();
    let parts = Parts::new(network, calibration, settings, &mut |_| Ok(Vec::new()))?;
    parts.assembled(network, &settings.accumulator)
}

/// Post-training quantization with batches, by which weights are rounded and biases corrected according to the
/// settings. The inputs of layers are sampled: ten positions of each image, drawn separately for each batch.
///
/// # Errors
///
/// Those of [`quantize`]; and if the settings need batches and there are none, or a batch does not match the inputs of
/// the network or has a value that is not finite.
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
    let mut parts = Parts::new(network, calibration, settings, &mut sample)?;
    if settings.weights.reestimate {
        parts.renorm(network, batches, &settings.accumulator)?;
    }
    parts.assembled(network, &settings.accumulator)
}

/// Post-training quantization in one call: prepares the network, calibrates it with the batches, and quantizes it,
/// according to the settings. Without batches, nothing is calibrated, which is sufficient for weight-only quantization
/// and for dynamic ranges.
///
/// The single steps are [`prepare`], [`Calibration::collect`] and [`quantize_with_batches`]; use them to reuse a
/// calibration, or for different batches in each step.
///
/// # Errors
///
/// Those of the single steps.
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
        false => Calibration::collect(&network, batches)?,
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
        let uses = Uses::new(&graph);
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
            ready.insert(index, Ready::new(layer, node, input, output, device)?);
        }
        let floats = floats.into_iter();
        Ok(Self {
            uses: Arc::new(uses),
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
            compiled: Compiled::default(),
            metadata: Arc::default(),
        })
    }

    /// What is recorded beside the network, by key, such as the recipe that it was trained with: the metadata of the float network, with
    /// what was added. It is saved and loaded with the network.
    #[must_use]
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// The network with one more entry of [`metadata`](Self::metadata), in place of an older one of this key.
    #[must_use]
    pub fn with_metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.metadata).insert(key.into(), value.into());
        self
    }

    /// The network with these entries and no others.
    pub(crate) fn with_all_metadata(mut self, metadata: BTreeMap<String, String>) -> Self {
        self.metadata = Arc::new(metadata);
        self
    }

    /// The graph of the network.
    #[must_use]
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The report on the settings and their effect. For a network from a file, it only contains the nodes in float.
    #[must_use]
    pub fn report(&self) -> &QuantizationReport {
        &self.report
    }

    /// The device of the network.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The quantizer of a node's result or of an input, by name, if it has one.
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

    /// The layers with integer weights, in execution order.
    pub fn layers(&self) -> impl Iterator<Item = IntegerLayer<'_>> {
        self.layers.values().map(IntegerLayer::new)
    }

    /// Computes the outputs of the quantized network.
    ///
    /// If the device is in host memory and `calcine-engine` computes every node exactly, it does, in integers and on all
    /// cores of the CPU, after it was compiled in the first call. Otherwise the network is computed by operations of the device, as by
    /// [`run`](Self::run), and the device is not read. Both give the same outputs, bit for bit.
    ///
    /// # Errors
    ///
    /// If the number, type or shape of the inputs is wrong, or the outputs have another form.
    pub fn try_forward<I: Tensors, O: Tensors>(&self, inputs: I) -> Result<O, ForwardError> {
        let inputs = inputs.into_any();
        let outputs = match self.engine_pass(&inputs)? {
            Some(outputs) => outputs,
            None => self.pass(inputs, None)?,
        };
        typed_outputs(outputs)
    }

    /// Like [`try_forward`](Self::try_forward), for matching tensors.
    ///
    /// # Panics
    ///
    /// If they do not match.
    pub fn forward<I: Tensors, O: Tensors>(&self, inputs: I) -> O {
        match self.try_forward(inputs) {
            Ok(outputs) => outputs,
            Err(error) => panic!("{error}"),
        }
    }
}

impl Ready {
    fn new(
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

/// The factor for sums of products in units of `scale`, `f32(scale / output scale)`, where `scale` is the `f32` product
/// of the scales of the operands, as in ONNX Runtime.
pub(crate) fn rescale(scale: f32, output: Option<Quantizer>) -> f32 {
    output.map_or(scale, |quantizer| scale / quantizer.scale)
}
