use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::Path;

use burn::tensor::Device;
use bytemuck::{cast_slice, pod_collect_to_vec};
use calcine_graph::{Graph, GraphError, Kind, Op, Source};
use calcine_quant::{MAX_BITS, pack, unpack};
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use crate::layer::{Bias, Dynamic, Layer, step_of, vector};
use crate::plan::{has_integers, output_axis, weight_at};
use crate::quantized::Float;
use crate::{FloatType, QuantizeError, Quantized, Quantizer};

/// The version of the layout.
const FORMAT: u32 = 3;

/// The most axes that a tensor has.
const RANK: usize = 6;

/// The tensors that hold numbers of all layers.
const STEPS: &str = "steps";
const ZEROS: &str = "zeros";
const BIASES: &str = "biases";
const FLOAT_BIASES: &str = "float_biases";

/// The tensor that holds what is no tensor: the graph, the grids, the layers, as deflated JSON.
const NETWORK: &str = "network.json.deflate";

/// A quantized network that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QuantizedFileError {
    /// The file system refused.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Not a safetensors file.
    #[error("no safetensors file: {0}")]
    Format(#[from] safetensors::SafeTensorError),
    /// A safetensors file of something else.
    #[error("the file has no tensor `{NETWORK}`: it holds no quantized network")]
    NoNetwork,
    /// A description that is malformed, or of another version.
    #[error("the file's network is not of format {FORMAT}: {0}")]
    Description(String),
    /// A graph that contradicts itself.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A tensor is missing or of another type or length.
    #[error("the tensor `{name}` {problem}")]
    Tensor {
        /// Its name.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// Integers that cannot be computed with.
    #[error(transparent)]
    Quantize(#[from] QuantizeError),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    format: u32,
    graph: Graph,
    grids: Vec<Option<Quantizer>>,
    layers: Vec<LayerText>,
    /// The float tensors that there are, by the positions of their values, and their shapes.
    floats: Vec<(usize, Vec<usize>)>,
}

/// What a layer's tensors do not tell.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LayerText {
    node: usize,
    bits: u8,
    shape: Vec<usize>,
    axis: usize,
    /// How many of the steps are its own.
    steps: usize,
    /// Whether each step has a zero point.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    affine: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dynamic: Option<Dynamic>,
}

impl Quantized {
    /// The network as one safetensors file: for each layer `NAME.weight`, 8-bit integers, or packed ones of fewer
    /// bits, or 16-bit ones of more; `steps` of all layers, one after the other, and 16-bit `zeros` of those that are affine;
    /// `biases` of those whose inputs have a grid,
    /// 32-bit integers, and `float_biases` of the others; what stays in float; and the graph with its grids, deflated.
    ///
    /// Packed integers are written one after the other, lowest bits first, as `q + 2^(b−1)`, or as `q` where they are affine,
    /// from 0 to `2^b − 1`; unpacked affine ones as `q − 2^(b−1)`. Equal networks give
    /// equal bytes. Reads the device for what stays in float.
    ///
    /// # Errors
    ///
    /// If a tensor that stays is of a kind that no file holds.
    pub fn to_bytes(&self) -> Result<Vec<u8>, QuantizedFileError> {
        let mut tensors: BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)> = BTreeMap::new();
        let mut layers = Vec::new();
        let (mut steps, mut zeros) = (Vec::<f32>::new(), Vec::<u16>::new());
        let (mut biases, mut float_biases) = (Vec::<i32>::new(), Vec::<f32>::new());
        for (&node, layer) in &self.layers {
            let name = &layer.name;
            let (dtype, bytes) = stored(layer);
            let shape = match dtype {
                Dtype::U8 => vec![bytes.len()],
                _ => layer.shape.clone(),
            };
            tensors.insert(format!("{name}.weight"), (dtype, shape, bytes));
            steps.extend(&layer.steps);
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "of 16 bits"
            )]
            zeros.extend(layer.zeros.iter().map(|&zero| zero as u16));
            match &layer.bias {
                Bias::Ints(ints) => biases.extend(ints),
                Bias::Floats(floats) => float_biases.extend(floats),
            }
            layers.push(LayerText {
                node,
                bits: layer.bits,
                shape: layer.shape.clone(),
                axis: layer.axis,
                steps: layer.steps.len(),
                affine: !layer.zeros.is_empty(),
                group: layer.group,
                dynamic: layer.dynamic,
            });
        }
        let bytes = |name: &str, dtype, count, bytes: &[u8]| {
            let tensor = (dtype, vec![count], bytes.to_vec());
            (count > 0).then(|| (name.to_owned(), tensor))
        };
        tensors.extend(bytes(STEPS, Dtype::F32, steps.len(), cast_slice(&steps)));
        tensors.extend(bytes(ZEROS, Dtype::U16, zeros.len(), cast_slice(&zeros)));
        tensors.extend(bytes(BIASES, Dtype::I32, biases.len(), cast_slice(&biases)));
        let floats = cast_slice(&float_biases);
        tensors.extend(bytes(FLOAT_BIASES, Dtype::F32, float_biases.len(), floats));
        let mut floats = Vec::new();
        for (&id, Float { tensor, kept }) in &self.floats {
            let name = float_name(&self.graph, id);
            let shape = tensor.shape();
            let Some(flat) = tensor.clone().flat() else {
                return Err(wrong(
                    &name,
                    "is no float tensor, and no others are written",
                ));
            };
            let values: Vec<f32> = flat.into_data().iter::<f32>().collect();
            tensors.insert(name, (dtype(*kept), shape.clone(), kept.to_bytes(&values)));
            floats.push((id, shape));
        }
        let description = Description {
            format: FORMAT,
            graph: self.graph.clone(),
            grids: self.grids.clone(),
            layers,
            floats,
        };
        let text = serde_json::to_vec(&description);
        let text = text.map_err(|error| QuantizedFileError::Description(error.to_string()))?;
        let mut deflated = DeflateEncoder::new(Vec::new(), Compression::best());
        deflated.write_all(&text)?;
        let deflated = deflated.finish()?;
        tensors.insert(
            NETWORK.to_owned(),
            (Dtype::U8, vec![deflated.len()], deflated),
        );
        let mut views = BTreeMap::new();
        for (name, (dtype, shape, bytes)) in &tensors {
            views.insert(name, TensorView::new(*dtype, shape.clone(), bytes)?);
        }
        Ok(safetensors::serialize(views, None)?)
    }

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
            grids,
            layers: texts,
            floats: shapes,
        } = description;
        if format != FORMAT {
            let found = format!("it is of format {format}");
            return Err(QuantizedFileError::Description(found));
        }
        graph.check()?;
        if grids.len() != graph.values.len() {
            let found = format!("{} grids of {} values", grids.len(), graph.values.len());
            return Err(QuantizedFileError::Description(found));
        }
        if let Some(grid) = grids.iter().flatten().find(|grid| !grid.is_sound()) {
            return Err(QuantizedFileError::Description(format!(
                "{grid:?} is no grid"
            )));
        }
        let mut layers = BTreeMap::new();
        let mut rest = Rest::of(&file)?;
        for text in texts {
            let node = text.node;
            let layer = layer(&file, &graph, &grids, text, &mut rest)?;
            layers.insert(node, layer);
        }
        rest.is_nothing()?;
        let mut floats = BTreeMap::new();
        for (id, shape) in shapes {
            let expected = graph.values.get(id).map(|value| value.shape_at(1));
            if expected.as_ref() != Some(&shape) || !(1..=RANK).contains(&shape.len()) {
                let found = format!("value {id} is {shape:?}, the graph has {expected:?}");
                return Err(QuantizedFileError::Description(found));
            }
            let name = float_name(&graph, id);
            let view = file.tensor(&name).map_err(|_| wrong(&name, "is missing"))?;
            let types = [FloatType::F32, FloatType::F16, FloatType::Bf16];
            let kept = types.into_iter().find(|kept| dtype(*kept) == view.dtype());
            let Some(kept) = kept.filter(|_| view.shape() == shape) else {
                let problem = format!(
                    "is {:?} {:?}, expected floats of {shape:?}",
                    view.dtype(),
                    view.shape()
                );
                return Err(wrong(&name, &problem));
            };
            let tensor = vector(kept.from_bytes(view.data()), device, &shape);
            floats.insert(id, Float { tensor, kept });
        }
        complete(&graph, &layers, &floats)?;
        Ok(Self::new(graph, grids, layers, floats, device)?)
    }

    /// Writes [`to_bytes`](Self::to_bytes) to a file: beside it, and then renamed.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn save(&self, file: &Path) -> Result<(), QuantizedFileError> {
        Ok(write_beside(file, &self.to_bytes()?)?)
    }

    /// Reads a file that [`save`](Self::save) wrote.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or as [`from_bytes`](Self::from_bytes).
    pub fn load(file: &Path, device: &Device) -> Result<Self, QuantizedFileError> {
        Self::from_bytes(&std::fs::read(file)?, device)
    }

    /// Bytes of weights, steps and biases, and of what stays in float: what a file has beside its head and its
    /// graph.
    #[must_use]
    pub fn stored_bytes(&self) -> usize {
        let layers = self.layers.values().map(|layer| {
            let weights = match layer.bits {
                9.. => 2 * layer.ints.len(),
                bits => (layer.ints.len() * usize::from(bits)).div_ceil(8),
            };
            let biases = match &layer.bias {
                Bias::Ints(biases) => biases.len(),
                Bias::Floats(biases) => biases.len(),
            };
            weights + 4 * layer.steps.len() + 2 * layer.zeros.len() + 4 * biases
        });
        let floats = self
            .floats
            .values()
            .map(|Float { tensor, kept }| kept.bytes() * tensor.shape().iter().product::<usize>());
        layers.chain(floats).sum()
    }
}

/// Writes a file beside, and renames it.
pub(crate) fn write_beside(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let directory = file
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let mut beside = tempfile::NamedTempFile::new_in(directory.unwrap_or(Path::new(".")))?;
    beside.write_all(bytes)?;
    beside.persist(file)?;
    Ok(())
}

/// What a file calls a type.
fn dtype(kept: FloatType) -> Dtype {
    match kept {
        FloatType::F32 => Dtype::F32,
        FloatType::F16 => Dtype::F16,
        FloatType::Bf16 => Dtype::BF16,
    }
}

/// A layer's integers as bytes.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "they are of that many bits"
)]
fn stored(layer: &Layer) -> (Dtype, Vec<u8>) {
    let ints: Vec<i32> = match layer.zeros.is_empty() {
        true => layer.ints.clone(),
        false => {
            let ints = layer.ints.iter().enumerate();
            let centred = |(at, int): (usize, &i32)| int + layer.zero(at) - (1 << (layer.bits - 1));
            ints.map(centred).collect()
        }
    };
    match layer.bits {
        9.. => (
            Dtype::I16,
            ints.iter()
                .flat_map(|&int| (int as i16).to_le_bytes())
                .collect(),
        ),
        8 => (Dtype::I8, ints.iter().map(|&int| int as i8 as u8).collect()),
        bits => (Dtype::U8, pack(&ints, bits)),
    }
}

/// Numbers of layers that have not been read yet.
struct Rest {
    steps: Vec<f32>,
    zeros: Vec<u16>,
    biases: Vec<i32>,
    float_biases: Vec<f32>,
}

impl Rest {
    fn of(file: &SafeTensors<'_>) -> Result<Self, QuantizedFileError> {
        Ok(Self {
            steps: whole(file, STEPS, Dtype::F32)?,
            zeros: whole(file, ZEROS, Dtype::U16)?,
            biases: whole(file, BIASES, Dtype::I32)?,
            float_biases: whole(file, FLOAT_BIASES, Dtype::F32)?,
        })
    }

    /// Whether all numbers were some layer's.
    fn is_nothing(&self) -> Result<(), QuantizedFileError> {
        let left = [
            (STEPS, self.steps.len()),
            (ZEROS, self.zeros.len()),
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
    grids: &[Option<Quantizer>],
    text: LayerText,
    rest: &mut Rest,
) -> Result<Layer, QuantizedFileError> {
    let LayerText {
        node,
        bits,
        shape,
        axis,
        steps,
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
    let count: usize = shape.iter().product();
    let weight = format!("{name}.weight");
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
    let input = grids[node.inputs[0].0];
    let fits = match group {
        None => steps == 1 || steps == outputs,
        Some(0) => false,
        Some(group) => {
            let columns = count.checked_div(outputs).unwrap_or(0);
            input.is_none() && steps == outputs * columns.div_ceil(group)
        }
    };
    if !fits {
        let groups = group.map_or(String::new(), |group| format!(" in groups of {group}"));
        let found = format!("`{name}` has {steps} steps of {outputs} outputs{groups}");
        return Err(malformed(found));
    }
    if dynamic.is_some_and(|dynamic| input.is_some() || group.is_some() || !dynamic.is_sound()) {
        return Err(malformed(format!(
            "`{name}` has {dynamic:?} and inputs on {input:?}"
        )));
    }
    let zeros = match affine {
        true => next(&mut rest.zeros, steps, ZEROS)?,
        false => Vec::new(),
    };
    let zeros: Vec<i32> = zeros.into_iter().map(i32::from).collect();
    if let Some(zero) = zeros.iter().find(|zero| **zero >= 1 << bits) {
        return Err(malformed(format!("`{name}` has a zero point of {zero}")));
    }
    let steps = next(&mut rest.steps, steps, STEPS)?;
    if affine {
        let ints = ints.iter_mut().enumerate();
        ints.for_each(|(at, int)| {
            let zero = zeros[step_of(at, &shape, axis, group, zeros.len())];
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
        steps,
        zeros,
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
    let uses = crate::plan::Uses::of(graph);
    for (index, node) in graph.nodes.iter().enumerate() {
        if layers.contains_key(&index) || crate::quantized::taken_over(graph, &uses, layers, index)
        {
            continue;
        }
        for id in &node.inputs {
            let value = graph.value(*id);
            let own = matches!(value.source, Source::Parameter | Source::Constant);
            if own && value.kind == Kind::Float && !floats.contains_key(&id.0) {
                return Err(wrong(&value.name, "is missing"));
            }
        }
    }
    Ok(())
}

fn float_name(graph: &Graph, id: usize) -> String {
    match graph.values[id].source {
        Source::Constant => format!("constant.{id}"),
        _ => graph.values[id].name.clone(),
    }
}

fn wrong(name: &str, problem: &str) -> QuantizedFileError {
    QuantizedFileError::Tensor {
        name: name.to_owned(),
        problem: problem.to_owned(),
    }
}
