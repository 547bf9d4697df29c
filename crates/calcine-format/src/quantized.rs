mod check;

use std::collections::BTreeMap;
use std::io::Read;

use bytemuck::allocation::pod_collect_to_vec;
use calcine_graph::{ElementKind, Graph, Op, Source};
use flate2::read::DeflateDecoder;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use crate::array::{Array, Numbers};
use crate::error::{FileError, wrong};
use crate::{FloatType, Quantizer, Scheme, unpack};

/// The format version of files of quantized networks.
pub const QUANTIZED_FORMAT: u32 = 5;

/// The name of the tensor with the scales of all layers. Each tensor's name begins with a prefix for its purpose (see
/// [`integers_name`] and [`float_name`]), so that no parameter of a model can have the same name.
pub const SCALES: &str = "layers/scales";
/// The name of the tensor with the zero points of all layers.
pub const ZERO_POINTS: &str = "layers/zero_points";
/// The name of the tensor with the integer biases: those of layers whose inputs have a quantizer.
pub const BIASES: &str = "layers/biases";
/// The name of the tensor with the float biases: those of the other layers.
pub const FLOAT_BIASES: &str = "layers/float_biases";

/// The name of the tensor whose bytes are the [`QuantizedDescription`], as JSON compressed with DEFLATE.
pub const NETWORK: &str = "network.json.deflate";

/// The description of a quantized network: everything in its file except the tensors.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuantizedDescription {
    /// The format version; must be [`QUANTIZED_FORMAT`].
    pub format: u32,
    /// The operations of the network.
    pub graph: Graph,
    /// The quantizer of each value, if it has one.
    pub quantizers: Vec<Option<Quantizer>>,
    /// The layers with integer weights.
    pub layers: Vec<LayerDescription>,
    /// The tensors that are not stored as integer weights: the position of the value in the graph, and the shape.
    pub floats: Vec<(usize, Vec<usize>)>,
    /// Additional information about the network, by key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// The description of a layer with integer weights: everything except its tensors.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerDescription {
    /// The position of the layer's node in the graph.
    pub node: usize,
    /// The bit width of the weights.
    pub bits: u8,
    /// The shape of the weight tensor.
    pub shape: Vec<usize>,
    /// The axis of the weight tensor that belongs to the outputs.
    pub axis: usize,
    /// The number of scales of this layer in [`SCALES`].
    pub scales: usize,
    /// Whether each scale has a zero point in [`ZERO_POINTS`]. Otherwise, all zero points are 0.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub affine: bool,
    /// The number of consecutive inputs of an output that share a scale; `None` if all of them do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<usize>,
    /// The settings of dynamic quantization, for inputs that have no quantizer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dynamic: Option<DynamicRange>,
}

/// Dynamic quantization: the quantizer of the inputs is computed from the range of each batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DynamicRange {
    /// The bit width of the inputs.
    pub bits: u8,
    /// How the integers and the zero point are chosen.
    pub scheme: Scheme,
}

impl DynamicRange {
    /// The largest `|q − zero_point|` that is possible for any range.
    #[must_use]
    pub fn largest(self) -> u64 {
        match self.scheme {
            Scheme::Symmetric => (1 << (self.bits - 1)) - 1,
            Scheme::Affine => (1 << self.bits) - 1,
        }
    }

    /// Whether the bit width is valid for the scheme.
    #[must_use]
    pub fn is_sound(self) -> bool {
        Quantizer::from_range(0.0, 1.0, self.bits, self.scheme).is_ok()
    }
}

/// The bias that is added to the sums of a layer; empty if the layer has none.
#[derive(Debug, Clone, PartialEq)]
pub enum Bias {
    /// Integers, in units of the input scale times the weight scale.
    Ints(Vec<i32>),
    /// Floats, for layers whose inputs have no quantizer.
    Floats(Vec<f32>),
}

/// The integer weights of a layer: `w = scale · (q − zero_point)`. There is one scale for the layer, one for each
/// output, or one for each group of inputs of an output.
#[derive(Debug, Clone, PartialEq)]
pub struct IntegerWeights {
    /// The name of the layer's node.
    pub name: String,
    /// The bit width of the weights.
    pub bits: u8,
    /// The integers `q − zero_point`, in the order of the weight tensor.
    pub ints: Vec<i32>,
    /// The shape of the weight tensor.
    pub shape: Vec<usize>,
    /// The axis of the weight tensor that belongs to the outputs.
    pub axis: usize,
    /// The scales.
    pub scales: Vec<f32>,
    /// The zero point of each scale; empty if all of them are 0.
    pub zero_points: Vec<i32>,
    /// The number of consecutive inputs of an output that share a scale; `None` if all of them do.
    pub group: Option<usize>,
    /// The bias that is added to the sums.
    pub bias: Bias,
    /// The settings of dynamic quantization, if the inputs are quantized at run time.
    pub dynamic: Option<DynamicRange>,
}

impl IntegerWeights {
    /// The number of outputs.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.shape[self.axis]
    }

    /// The scale of the weights of an output, if scales are not per group: the scale of the layer or of the output.
    #[must_use]
    pub fn scale(&self, output: usize) -> f32 {
        self.scales[if self.scales.len() == 1 { 0 } else { output }]
    }

    /// The dequantized weights: each integer times its scale.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "integers of 16 bits at most")]
    pub fn floats(&self) -> Vec<f32> {
        let scale = |at| scale_index(at, &self.shape, self.axis, self.group, self.scales.len());
        let weights = self.ints.iter().enumerate();
        let weights = weights.map(|(at, int)| self.scales[scale(at)] * *int as f32);
        weights.collect()
    }
}

/// A tensor that is not stored as integer weights: a float parameter, or a constant of any kind.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredFloat {
    /// The tensor; floats are converted to `f32`.
    pub array: Array,
    /// The type in which floats are stored in the file.
    pub kept: FloatType,
}

/// A quantized network, as `calcine_quantize::Quantized::save` writes it.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantizedFile {
    /// The operations of the network.
    pub graph: Graph,
    /// The quantizer of each value, if it has one.
    pub quantizers: Vec<Option<Quantizer>>,
    /// The layers with integer weights, by the position of their node.
    pub layers: BTreeMap<usize, IntegerWeights>,
    /// All other parameters and constants that nodes read, by the position of their value.
    pub floats: BTreeMap<usize, StoredFloat>,
    /// Additional information about the network, by key.
    pub metadata: BTreeMap<String, String>,
}

/// The output to which an element of a weight tensor belongs. `at` is the position of the element, `axis` the axis of
/// the outputs.
#[must_use]
pub fn output_index(at: usize, shape: &[usize], axis: usize) -> usize {
    let inner: usize = shape[axis + 1..].iter().product();
    at / inner % shape[axis]
}

/// The index of the scale of an element of a weight tensor, for a number of `scales`: 0 if there is a single scale,
/// otherwise that of the element's output, or that of the element's group. Groups divide the weights of an output, all
/// inputs and kernel positions in order, into runs of `group` elements.
#[must_use]
pub fn scale_index(
    at: usize,
    shape: &[usize],
    axis: usize,
    group: Option<usize>,
    scales: usize,
) -> usize {
    let outputs = shape[axis];
    let output = output_index(at, shape, axis);
    match group {
        _ if scales == 1 => 0,
        None => output,
        Some(group) => {
            let inner: usize = shape[axis + 1..].iter().product();
            let column = match axis {
                0 => at % inner,
                _ => at / (outputs * inner) * inner + at % inner,
            };
            output * (scales / outputs) + column / group
        }
    }
}

/// The element type with which a file stores a tensor.
#[must_use]
pub fn dtype(kind: ElementKind, kept: FloatType) -> Dtype {
    match (kind, kept) {
        (ElementKind::Int, _) => Dtype::I64,
        (ElementKind::Bool, _) => Dtype::BOOL,
        (ElementKind::Float, FloatType::F32) => Dtype::F32,
        (ElementKind::Float, FloatType::F16) => Dtype::F16,
        (ElementKind::Float, FloatType::Bf16) => Dtype::BF16,
    }
}

/// The name of the tensor with the integer weights of a layer.
#[must_use]
pub fn integers_name(layer: &str) -> String {
    format!("integers/{layer}.weight")
}

/// The name of the tensor of a value that is not stored as integer weights. A parameter that is needed in both forms,
/// such as a tied embedding, is stored under both names.
#[must_use]
pub fn float_name(graph: &Graph, id: usize) -> String {
    let value = &graph.values[id];
    match value.source {
        Source::Constant => format!("constant/{id}"),
        _ => format!("float/{}", value.name),
    }
}

impl QuantizedFile {
    /// Reads a quantized network from the bytes of its file, and checks that all parts are consistent.
    ///
    /// # Errors
    ///
    /// If the bytes contain no quantized network, or one of another format version, or if a part is missing or
    /// inconsistent with the graph.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FileError> {
        let file = SafeTensors::deserialize(bytes)?;
        let deflated = file
            .tensor(NETWORK)
            .map_err(|_| FileError::NoNetwork(NETWORK))?;
        let mut text = Vec::new();
        let malformed = |found: String| FileError::Description(found);
        DeflateDecoder::new(deflated.data())
            .read_to_end(&mut text)
            .map_err(|error| malformed(error.to_string()))?;
        let description: QuantizedDescription =
            serde_json::from_slice(&text).map_err(|error| malformed(error.to_string()))?;
        let QuantizedDescription {
            format,
            graph,
            quantizers,
            layers: texts,
            floats: shapes,
            metadata,
        } = description;
        if format != QUANTIZED_FORMAT {
            return Err(malformed(format!(
                "the quantized network has format version {format}, expected {QUANTIZED_FORMAT}"
            )));
        }
        graph.check()?;
        check::quantizers_fit(&graph, &quantizers)?;
        let mut layers = BTreeMap::new();
        let mut rest = Rest::of(&file)?;
        for text in texts {
            let node = text.node;
            let layer = layer(&file, &graph, &quantizers, text, &mut rest)?;
            layers.insert(node, layer);
        }
        rest.is_nothing()?;
        let mut floats = BTreeMap::new();
        for (id, shape) in shapes {
            check::is_value_stored(&graph, id, &shape)?;
            floats.insert(id, float(&file, &graph, id, &shape)?);
        }
        check::complete(&graph, &layers, &floats)?;
        Ok(Self {
            graph,
            quantizers,
            layers,
            floats,
            metadata,
        })
    }

    /// Checks that all parts are consistent, as those of a file are.
    ///
    /// # Errors
    ///
    /// If a part is missing or inconsistent with the graph; the error names it.
    pub fn check(&self) -> Result<(), FileError> {
        self.graph.check()?;
        check::quantizers_fit(&self.graph, &self.quantizers)?;
        for (node, layer) in &self.layers {
            check::layer(&self.graph, &self.quantizers, *node, layer)?;
        }
        for (id, float) in &self.floats {
            let array = &float.array;
            check::is_value_stored(&self.graph, *id, &array.shape)?;
            array.check(&float_name(&self.graph, *id), self.graph.values[*id].kind)?;
        }
        check::complete(&self.graph, &self.layers, &self.floats)
    }
}

/// Reads a tensor that is not stored as integer weights.
fn float(
    file: &SafeTensors<'_>,
    graph: &Graph,
    id: usize,
    shape: &[usize],
) -> Result<StoredFloat, FileError> {
    let kind = graph.values[id].kind;
    let name = float_name(graph, id);
    let view = file.tensor(&name).map_err(|_| wrong(&name, "is missing"))?;
    let types = [FloatType::F32, FloatType::F16, FloatType::Bf16].into_iter();
    let kept = types
        .filter(|kept| dtype(kind, *kept) == view.dtype())
        .find(|_| view.shape() == shape);
    let Some(kept) = kept else {
        let problem = format!(
            "is {:?} {:?}, expected {kind:?} {shape:?}",
            view.dtype(),
            view.shape()
        );
        return Err(wrong(&name, &problem));
    };
    let bytes = view.data();
    let numbers = match kind {
        ElementKind::Float => Numbers::Floats(kept.from_bytes(bytes)),
        ElementKind::Int => Numbers::Ints(pod_collect_to_vec(bytes)),
        ElementKind::Bool => Numbers::Bools(bytes.iter().map(|byte| *byte != 0).collect()),
    };
    let array = Array {
        shape: shape.to_vec(),
        numbers,
    };
    Ok(StoredFloat { array, kept })
}

/// The scales, zero points and biases that have not been assigned to a layer yet.
struct Rest {
    scales: Vec<f32>,
    zero_points: Vec<u16>,
    biases: Vec<i32>,
    float_biases: Vec<f32>,
}

impl Rest {
    fn of(file: &SafeTensors<'_>) -> Result<Self, FileError> {
        Ok(Self {
            scales: whole(file, SCALES, Dtype::F32)?,
            zero_points: whole(file, ZERO_POINTS, Dtype::U16)?,
            biases: whole(file, BIASES, Dtype::I32)?,
            float_biases: whole(file, FLOAT_BIASES, Dtype::F32)?,
        })
    }

    /// Checks that every number was assigned to a layer.
    fn is_nothing(&self) -> Result<(), FileError> {
        let left = [
            (SCALES, self.scales.len()),
            (ZERO_POINTS, self.zero_points.len()),
            (BIASES, self.biases.len()),
            (FLOAT_BIASES, self.float_biases.len()),
        ];
        match left.into_iter().find(|(_, left)| *left > 0) {
            Some((name, left)) => Err(wrong(name, &format!("has {left} numbers too many"))),
            None => Ok(()),
        }
    }
}

/// Takes the next numbers of a tensor.
fn next<T>(rest: &mut Vec<T>, count: usize, name: &str) -> Result<Vec<T>, FileError> {
    if rest.len() < count {
        return Err(wrong(name, "has too few numbers"));
    }
    let behind = rest.split_off(count);
    Ok(std::mem::replace(rest, behind))
}

/// All numbers of a tensor; none if the file does not contain it.
fn whole<T: bytemuck::Pod>(
    file: &SafeTensors<'_>,
    name: &str,
    dtype: Dtype,
) -> Result<Vec<T>, FileError> {
    match file.tensor(name) {
        Ok(view) => numbers(file, name, dtype, view.shape().iter().product()),
        Err(_) => Ok(Vec::new()),
    }
}

fn layer(
    file: &SafeTensors<'_>,
    graph: &Graph,
    quantizers: &[Option<Quantizer>],
    text: LayerDescription,
    rest: &mut Rest,
) -> Result<IntegerWeights, FileError> {
    let count = check::description(graph, quantizers, &text)?;
    let LayerDescription {
        node,
        bits,
        shape,
        axis,
        scales,
        affine,
        group,
        dynamic,
    } = text;
    let node = &graph.nodes[node];
    let name = node.name.clone();
    let weight = integers_name(&name);
    let mut ints: Vec<i32> = match bits {
        9.. => numbers::<i16>(file, &weight, Dtype::I16, count)?
            .into_iter()
            .map(i32::from)
            .collect(),
        8 => numbers::<i8>(file, &weight, Dtype::I8, count)?
            .into_iter()
            .map(i32::from)
            .collect(),
        bits => {
            let length = (count * usize::from(bits)).div_ceil(8);
            let bytes = numbers::<u8>(file, &weight, Dtype::U8, length)?;
            unpack(&bytes, bits, count).expect("as many bytes as that takes")
        }
    };
    let outputs = shape[axis];
    let input = quantizers[node.inputs[0].0];
    let zero_points = match affine {
        true => next(&mut rest.zero_points, scales, ZERO_POINTS)?,
        false => Vec::new(),
    };
    let zero_points: Vec<i32> = zero_points.into_iter().map(i32::from).collect();
    check::zero_points_fit(&name, bits, &zero_points)?;
    let scales = next(&mut rest.scales, scales, SCALES)?;
    check::scales_are_finite(&name, &scales)?;
    if affine {
        let ints = ints.iter_mut().enumerate();
        ints.for_each(|(at, int)| {
            let zero = zero_points[scale_index(at, &shape, axis, group, zero_points.len())];
            *int += (1 << (bits - 1)) - zero;
        });
    }
    let bias = match input {
        _ if node.op == Op::Embedding => Bias::Floats(Vec::new()),
        Some(_) => Bias::Ints(next(&mut rest.biases, outputs, BIASES)?),
        None => Bias::Floats(next(&mut rest.float_biases, outputs, FLOAT_BIASES)?),
    };
    Ok(IntegerWeights {
        name,
        bits,
        ints,
        shape,
        axis,
        scales,
        zero_points,
        group,
        bias,
        dynamic,
    })
}

/// Reads a tensor that must have this type and length.
fn numbers<T: bytemuck::Pod>(
    file: &SafeTensors<'_>,
    name: &str,
    dtype: Dtype,
    count: usize,
) -> Result<Vec<T>, FileError> {
    let view = file.tensor(name).map_err(|_| wrong(name, "is missing"))?;
    let found: usize = view.shape().iter().product();
    if view.dtype() != dtype || found != count {
        let problem = format!(
            "is {:?} {:?}, expected {dtype:?} of {count}",
            view.dtype(),
            view.shape()
        );
        return Err(wrong(name, &problem));
    }
    Ok(pod_collect_to_vec(view.data()))
}
