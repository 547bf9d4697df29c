use std::collections::BTreeMap;
use std::io::Read;

use bytemuck::allocation::pod_collect_to_vec;
use calcine_graph::{ElementKind, Graph, Node, Op, Source, Value, ValueId};
use flate2::read::DeflateDecoder;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use crate::array::{Array, Numbers};
use crate::error::{FileError, wrong};
use crate::uses::{Uses, has_integers, output_axis, taken_over, weight_at};
use crate::{FloatType, MAX_BITS, Quantizer, Scheme, unpack};

/// The version of the layout.
pub const QUANTIZED_FORMAT: u32 = 5;

/// The tensor that holds the scales of all layers; no name of a model's field is that of another tensor, because each begins with
/// what it is: see [`integers_name`] and [`float_name`].
pub const SCALES: &str = "layers/scales";
/// The tensor that holds the zero points of all layers.
pub const ZERO_POINTS: &str = "layers/zero_points";
/// The tensor that holds the biases of layers whose inputs have a quantizer.
pub const BIASES: &str = "layers/biases";
/// The tensor that holds the biases of the other layers.
pub const FLOAT_BIASES: &str = "layers/float_biases";

/// The tensor that holds what is no tensor: a [`QuantizedDescription`], as deflated JSON.
pub const NETWORK: &str = "network.json.deflate";

/// What a file says of a quantized network besides its tensors.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuantizedDescription {
    /// [`QUANTIZED_FORMAT`].
    pub format: u32,
    /// The network's operations.
    pub graph: Graph,
    /// The quantizer of each value, if it has one.
    pub quantizers: Vec<Option<Quantizer>>,
    /// The layers with integer weights.
    pub layers: Vec<LayerDescription>,
    /// The float tensors that there are, by the positions of their values, and their shapes.
    pub floats: Vec<(usize, Vec<usize>)>,
    /// What is recorded beside the network.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// What the tensors of a layer do not tell.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerDescription {
    /// The position of its node.
    pub node: usize,
    /// Bits of a weight.
    pub bits: u8,
    /// The shape of the weight.
    pub shape: Vec<usize>,
    /// The axis of the weight along which the outputs lie.
    pub axis: usize,
    /// How many of the scales are its own.
    pub scales: usize,
    /// Whether each scale has a zero point.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub affine: bool,
    /// How many columns of an output's row share a scale, if not all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<usize>,
    /// The range over each batch, if inputs have no quantizer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dynamic: Option<DynamicRange>,
}

/// Quantizers over each batch's own range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DynamicRange {
    /// Bits of an integer.
    pub bits: u8,
    /// How the integers and the zero point are chosen.
    pub scheme: Scheme,
}

impl DynamicRange {
    /// The largest `|q − zero_point|` that any range leads to.
    #[must_use]
    pub fn largest(self) -> u64 {
        match self.scheme {
            Scheme::Symmetric => (1 << (self.bits - 1)) - 1,
            Scheme::Affine => (1 << self.bits) - 1,
        }
    }

    /// Whether there are such integers.
    #[must_use]
    pub fn is_sound(self) -> bool {
        Quantizer::from_range(0.0, 1.0, self.bits, self.scheme).is_ok()
    }
}

/// What is added to a layer's sums.
#[derive(Debug, Clone, PartialEq)]
pub enum Bias {
    /// In units of input scale times weight scale.
    Ints(Vec<i32>),
    /// Where inputs have no quantizer.
    Floats(Vec<f32>),
}

/// The integer weights of a layer: `w = scale · (q − zero_point)`, one scale, one for each output, or one for each group of an
/// output's row.
#[derive(Debug, Clone, PartialEq)]
pub struct IntegerWeights {
    /// The name of its node.
    pub name: String,
    /// Bits of a weight.
    pub bits: u8,
    /// `q − zero_point`.
    pub ints: Vec<i32>,
    /// The shape of the weight.
    pub shape: Vec<usize>,
    /// The axis along which the outputs lie.
    pub axis: usize,
    /// The scales.
    pub scales: Vec<f32>,
    /// What stands for zero, of each scale; none if that is zero, and integers are symmetric about it.
    pub zero_points: Vec<i32>,
    /// How many columns of an output's row share a scale, if not all.
    pub group: Option<usize>,
    /// What is added to the sums.
    pub bias: Bias,
    /// How inputs without a quantizer of their own are quantized, if they are.
    pub dynamic: Option<DynamicRange>,
}

impl IntegerWeights {
    /// The number of outputs.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.shape[self.axis]
    }

    /// The scale of an output's weights, where it has one.
    #[must_use]
    pub fn scale(&self, output: usize) -> f32 {
        self.scales[if self.scales.len() == 1 { 0 } else { output }]
    }

    /// The numbers that the integers stand for.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "integers of 16 bits at most")]
    pub fn floats(&self) -> Vec<f32> {
        let scale = |at| scale_index(at, &self.shape, self.axis, self.group, self.scales.len());
        let weights = self.ints.iter().enumerate();
        let weights = weights.map(|(at, int)| self.scales[scale(at)] * *int as f32);
        weights.collect()
    }
}

/// A tensor that is needed in float, or a constant of integers or booleans.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredFloat {
    /// Floats in `f32`.
    pub array: Array,
    /// What the file keeps them in, if they are floats.
    pub kept: FloatType,
}

/// A quantized network, as `calcine_quantize::Quantized::save` writes it.
#[derive(Debug, Clone)]
pub struct QuantizedFile {
    /// Its operations.
    pub graph: Graph,
    /// The quantizer of each value, if it has one.
    pub quantizers: Vec<Option<Quantizer>>,
    /// Integer weights, by the position of their node.
    pub layers: BTreeMap<usize, IntegerWeights>,
    /// Parameters and constants that nodes need in float, by value.
    pub floats: BTreeMap<usize, StoredFloat>,
    /// What is recorded beside the network.
    pub metadata: BTreeMap<String, String>,
}

/// Which output an element of a weight belongs to.
#[must_use]
pub fn output_of(at: usize, shape: &[usize], axis: usize) -> usize {
    let inner: usize = shape[axis + 1..].iter().product();
    at / inner % shape[axis]
}

/// Which of so many scales an element of a weight has: the only one, its output's, or that of its group in its output's
/// row of all inputs and places of the kernel.
#[must_use]
pub fn scale_index(
    at: usize,
    shape: &[usize],
    axis: usize,
    group: Option<usize>,
    scales: usize,
) -> usize {
    let outputs = shape[axis];
    let output = output_of(at, shape, axis);
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

/// What a file calls a type.
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

/// What a file calls the integer weights of a layer.
#[must_use]
pub fn integers_name(layer: &str) -> String {
    format!("integers/{layer}.weight")
}

/// What a file calls a value that is not in integers; one that is in integers too, as a tied embedding, is there under both
/// names.
#[must_use]
pub fn float_name(graph: &Graph, id: usize) -> String {
    let value = &graph.values[id];
    match value.source {
        Source::Constant => format!("constant/{id}"),
        _ => format!("float/{}", value.name),
    }
}

impl QuantizedFile {
    /// Reads a file, every part of which is checked against the others.
    ///
    /// # Errors
    ///
    /// If the bytes hold no quantized network, or one whose parts do not fit.
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
            return Err(malformed(format!("it is of format {format}")));
        }
        graph.check()?;
        if quantizers.len() != graph.values.len() {
            return Err(malformed(format!(
                "{} quantizers of {} values",
                quantizers.len(),
                graph.values.len()
            )));
        }
        let unsound = |quantizer: &&Quantizer| !quantizer.is_sound();
        if let Some(quantizer) = quantizers.iter().flatten().find(unsound) {
            return Err(malformed(format!("{quantizer:?} is no quantizer")));
        }
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
            let expected = graph.values.get(id).map(|value| value.shape_at(1));
            let own = graph.values.get(id).is_some_and(is_stored);
            if expected.as_ref() != Some(&shape) || !own {
                return Err(malformed(format!(
                    "value {id} is {shape:?}, the graph has {expected:?}"
                )));
            }
            floats.insert(id, float(&file, &graph, id, &shape)?);
        }
        complete(&graph, &layers, &floats)?;
        Ok(Self {
            graph,
            quantizers,
            layers,
            floats,
            metadata,
        })
    }
}

/// Whether a file holds its tensor.
fn is_stored(value: &Value) -> bool {
    matches!(value.source, Source::Parameter | Source::Constant)
}

/// A tensor that is not in integers.
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

/// Numbers of layers that have not been read yet.
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

    /// Whether all numbers were some layer's.
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

/// The next numbers of a tensor.
fn next<T>(rest: &mut Vec<T>, count: usize, name: &str) -> Result<Vec<T>, FileError> {
    if rest.len() < count {
        return Err(wrong(name, "has too few numbers"));
    }
    let behind = rest.split_off(count);
    Ok(std::mem::replace(rest, behind))
}

/// All numbers of a tensor; none if it is not there.
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
    let malformed = |found: String| FileError::Description(found);
    let Some(node) = graph.nodes.get(node) else {
        return Err(malformed(format!("there is no node {node}")));
    };
    let name = node.name.clone();
    let weight = node.inputs.get(weight_at(&node.op));
    let expected = weight.map(|id| graph.value(*id).shape_at(1));
    let fits = has_integers(graph, node)
        && expected.as_ref() == Some(&shape)
        && axis == output_axis(&node.op)
        && shape.len() > 1;
    let least = if affine { 1 } else { 2 };
    if !fits || !(least..=MAX_BITS).contains(&bits) {
        let found = format!(
            "`{name}` has {bits}-bit weights {shape:?} along {axis}, the graph has {expected:?}"
        );
        return Err(malformed(found));
    }
    let count = shape
        .iter()
        .try_fold(1_usize, |count, axis| count.checked_mul(*axis));
    let Some(count) = count else {
        return Err(malformed(format!("`{name}` has weights of {shape:?}")));
    };
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
    let fits = match group {
        None => scales == 1 || scales == outputs,
        Some(0) => false,
        Some(group) => {
            let columns = count.checked_div(outputs).unwrap_or(0);
            input.is_none() && scales == outputs * columns.div_ceil(group)
        }
    };
    if !fits {
        let groups = group.map_or(String::new(), |group| format!(" in groups of {group}"));
        let found = format!("`{name}` has {scales} scales of {outputs} outputs{groups}");
        return Err(malformed(found));
    }
    if dynamic.is_some_and(|dynamic| input.is_some() || group.is_some() || !dynamic.is_sound()) {
        return Err(malformed(format!(
            "`{name}` has {dynamic:?} and inputs on {input:?}"
        )));
    }
    let zero_points = match affine {
        true => next(&mut rest.zero_points, scales, ZERO_POINTS)?,
        false => Vec::new(),
    };
    let zero_points: Vec<i32> = zero_points.into_iter().map(i32::from).collect();
    if let Some(zero) = zero_points.iter().find(|zero| **zero >= 1 << bits) {
        return Err(malformed(format!("`{name}` has a zero point of {zero}")));
    }
    let scales = next(&mut rest.scales, scales, SCALES)?;
    if let Some(scale) = scales.iter().find(|scale| !scale.is_finite()) {
        return Err(malformed(format!("`{name}` has a scale of {scale}")));
    }
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

/// The numbers of a tensor of this type and length.
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

/// Whether every node has what it computes with.
fn complete(
    graph: &Graph,
    layers: &BTreeMap<usize, IntegerWeights>,
    floats: &BTreeMap<usize, StoredFloat>,
) -> Result<(), FileError> {
    let uses = Uses::new(graph);
    let there = |id: &ValueId| match is_stored(graph.value(*id)) && !floats.contains_key(&id.0) {
        true => Err(wrong(&float_name(graph, id.0), "is missing")),
        false => Ok(()),
    };
    for (index, node) in graph.nodes.iter().enumerate() {
        if layers.contains_key(&index)
            || taken_over(graph, &uses, index, |at| layers.contains_key(&at))
        {
            continue;
        }
        let constant = |id: &ValueId| floats.get(&id.0).map(|float| &float.array);
        positions_fit(graph, node, constant)?;
        node.inputs.iter().try_for_each(there)?;
    }
    graph.outputs.iter().try_for_each(there)
}

/// Whether positions that are constants are within the axis that they are of.
fn positions_fit<'a>(
    graph: &Graph,
    node: &Node,
    constant: impl Fn(&ValueId) -> Option<&'a Array>,
) -> Result<(), FileError> {
    let axis = match node.op {
        Op::Select(axis) | Op::Gather(axis) => axis,
        Op::Embedding => 0,
        _ => return Ok(()),
    };
    let [of, positions, ..] = &node.inputs[..] else {
        return Ok(());
    };
    let extent = graph.value(*of).shape.get(axis);
    let (Some(positions), Some(extent)) = (constant(positions), extent) else {
        return Ok(());
    };
    let length = i64::try_from(extent.length_for(1)).unwrap_or(i64::MAX);
    let Numbers::Ints(positions) = &positions.numbers else {
        return Ok(());
    };
    match positions.iter().find(|at| !(0..length).contains(*at)) {
        Some(at) => Err(FileError::Description(format!(
            "`{}` takes position {at} of an axis of {length}",
            node.name
        ))),
        None => Ok(()),
    }
}
