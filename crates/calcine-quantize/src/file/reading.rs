//! A quantized network from its file, every part of which is checked against the others.

use std::collections::BTreeMap;
use std::io::Read;

use burn::tensor::{Device, TensorData};
use bytemuck::pod_collect_to_vec;
use calcine_graph::{ElementKind, Graph, Node, Op, Source, Value, ValueId};
use calcine_quant::{MAX_BITS, unpack};
use calcine_trace::AnyTensor;
use flate2::read::DeflateDecoder;
use safetensors::{Dtype, SafeTensors};

use super::{
    BIASES, Description, FLOAT_BIASES, FORMAT, LayerText, NETWORK, QuantizedFileError, SCALES,
    ZERO_POINTS, dtype, float_name, integers_name, wrong,
};
use crate::float::Float;
use crate::layer::{Bias, Layer, scale_index};
use crate::parts::taken_over;
use crate::uses::{Uses, has_integers, output_axis, weight_at};
use crate::{FloatType, Quantized, Quantizer};

impl Quantized {
    /// Reads what [`to_bytes`](Self::to_bytes) wrote: it computes the same, bit for bit.
    ///
    /// # Errors
    ///
    /// If the bytes hold no quantized network, or one whose parts do not fit.
    pub fn from_bytes(bytes: &[u8], device: &Device) -> Result<Self, QuantizedFileError> {
        let file = SafeTensors::deserialize(bytes)?;
        let deflated = file
            .tensor(NETWORK)
            .map_err(|_| QuantizedFileError::NoNetwork)?;
        let mut text = Vec::new();
        DeflateDecoder::new(deflated.data()).read_to_end(&mut text)?;
        let description: Description = serde_json::from_slice(&text)
            .map_err(|error| QuantizedFileError::Description(error.to_string()))?;
        let Description {
            format,
            graph,
            quantizers,
            layers: texts,
            floats: shapes,
        } = description;
        if format != FORMAT {
            let found = format!("it is of format {format}");
            return Err(QuantizedFileError::Description(found));
        }
        graph.check()?;
        if quantizers.len() != graph.values.len() {
            let found = format!(
                "{} quantizers of {} values",
                quantizers.len(),
                graph.values.len()
            );
            return Err(QuantizedFileError::Description(found));
        }
        if let Some(quantizer) = quantizers
            .iter()
            .flatten()
            .find(|quantizer| !quantizer.is_sound())
        {
            return Err(QuantizedFileError::Description(format!(
                "{quantizer:?} is no quantizer"
            )));
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
                let found = format!("value {id} is {shape:?}, the graph has {expected:?}");
                return Err(QuantizedFileError::Description(found));
            }
            let float = float(&file, &graph, id, &shape, device)?;
            floats.insert(id, float);
        }
        complete(&graph, &layers, &floats)?;
        Ok(Self::new(graph, quantizers, layers, floats, None, device)?)
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
    device: &Device,
) -> Result<Float, QuantizedFileError> {
    let kind = graph.values[id].kind;
    let name = float_name(graph, id);
    let view = file.tensor(&name).map_err(|_| wrong(&name, "is missing"))?;
    let types = [FloatType::F32, FloatType::F16, FloatType::Bf16].into_iter();
    let kept = types
        .filter(|kept| dtype(kind, *kept) == view.dtype())
        .find(|_| view.shape() == shape);
    let bytes = view.data();
    let data = kept.map(|kept| match kind {
        ElementKind::Float => TensorData::new(kept.from_bytes(bytes), shape.to_vec()),
        ElementKind::Int => TensorData::new(pod_collect_to_vec::<u8, i64>(bytes), shape.to_vec()),
        ElementKind::Bool => {
            let booleans: Vec<bool> = bytes.iter().map(|byte| *byte != 0).collect();
            TensorData::new(booleans, shape.to_vec())
        }
    });
    let tensor = data.and_then(|data| AnyTensor::from_data(data, kind, device));
    let (Some(tensor), Some(kept)) = (tensor, kept) else {
        let problem = format!(
            "is {:?} {:?}, expected {kind:?} {shape:?}, of 1 to 6 axes",
            view.dtype(),
            view.shape()
        );
        return Err(wrong(&name, &problem));
    };
    Ok(Float { tensor, kept })
}

/// Numbers of layers that have not been read yet.
struct Rest {
    scales: Vec<f32>,
    zero_points: Vec<u16>,
    biases: Vec<i32>,
    float_biases: Vec<f32>,
}

impl Rest {
    fn of(file: &SafeTensors<'_>) -> Result<Self, QuantizedFileError> {
        Ok(Self {
            scales: whole(file, SCALES, Dtype::F32)?,
            zero_points: whole(file, ZERO_POINTS, Dtype::U16)?,
            biases: whole(file, BIASES, Dtype::I32)?,
            float_biases: whole(file, FLOAT_BIASES, Dtype::F32)?,
        })
    }

    /// Whether all numbers were some layer's.
    fn is_nothing(&self) -> Result<(), QuantizedFileError> {
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
fn next<T>(rest: &mut Vec<T>, count: usize, name: &str) -> Result<Vec<T>, QuantizedFileError> {
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
) -> Result<Vec<T>, QuantizedFileError> {
    match file.tensor(name) {
        Ok(view) => numbers(file, name, dtype, view.shape().iter().product()),
        Err(_) => Ok(Vec::new()),
    }
}

fn layer(
    file: &SafeTensors<'_>,
    graph: &Graph,
    quantizers: &[Option<Quantizer>],
    text: LayerText,
    rest: &mut Rest,
) -> Result<Layer, QuantizedFileError> {
    let LayerText {
        node,
        bits,
        shape,
        axis,
        scales,
        affine,
        group,
        dynamic,
    } = text;
    let malformed = |found: String| QuantizedFileError::Description(found);
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
    Ok(Layer {
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
) -> Result<Vec<T>, QuantizedFileError> {
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
    layers: &BTreeMap<usize, Layer>,
    floats: &BTreeMap<usize, Float>,
) -> Result<(), QuantizedFileError> {
    let uses = Uses::of(graph);
    let there = |id: &ValueId| match is_stored(graph.value(*id)) && !floats.contains_key(&id.0) {
        true => Err(wrong(&float_name(graph, id.0), "is missing")),
        false => Ok(()),
    };
    for (index, node) in graph.nodes.iter().enumerate() {
        if layers.contains_key(&index) || taken_over(graph, &uses, layers, index) {
            continue;
        }
        let constant = |id: &ValueId| floats.get(&id.0).map(|float| &float.tensor);
        positions_fit(graph, node, constant)?;
        node.inputs.iter().try_for_each(there)?;
    }
    graph.outputs.iter().try_for_each(there)
}

/// Whether positions that are constants are within the axis that they are of.
fn positions_fit<'a>(
    graph: &Graph,
    node: &Node,
    constant: impl Fn(&ValueId) -> Option<&'a AnyTensor>,
) -> Result<(), QuantizedFileError> {
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
    let length = i64::try_from(extent.at(1)).unwrap_or(i64::MAX);
    let data = positions.clone().into_data();
    match data.iter::<i64>().find(|at| !(0..length).contains(at)) {
        Some(at) => Err(QuantizedFileError::Description(format!(
            "`{}` takes position {at} of an axis of {length}",
            node.name
        ))),
        None => Ok(()),
    }
}
