mod reading;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use burn::tensor::Device;
use bytemuck::cast_slice;
use calcine_graph::{ElementKind, Graph, GraphError, Source};
use calcine_quant::pack;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde::{Deserialize, Serialize};

use crate::float::Float;
use crate::layer::{Bias, Dynamic, Layer};
use crate::{FloatType, QuantizeError, Quantized, Quantizer};

/// The version of the layout.
const FORMAT: u32 = 5;

/// The tensors that hold numbers of all layers. Every other tensor's name begins with what it is, so that no name of a model's
/// field is another's: see [`integers_name`] and [`float_name`].
const SCALES: &str = "layers/scales";
const ZERO_POINTS: &str = "layers/zero_points";
const BIASES: &str = "layers/biases";
const FLOAT_BIASES: &str = "layers/float_biases";

/// The tensor that holds what is no tensor: the graph, the quantizers, the layers, as deflated JSON.
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
    quantizers: Vec<Option<Quantizer>>,
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
    /// How many of the scales are its own.
    scales: usize,
    /// Whether each scale has a zero point.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    affine: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dynamic: Option<Dynamic>,
}

impl Quantized {
    /// The network as one safetensors file.
    ///
    /// | tensor | what |
    /// |---|---|
    /// | `integers/LAYER.weight` | the weights of a layer, as the graph names it: 8-bit integers, packed ones of fewer bits, or 16-bit ones of more |
    /// | `layers/scales` | the scales of all layers, one after the other |
    /// | `layers/zero_points` | 16-bit zero points of those that are affine |
    /// | `layers/biases` | 32-bit biases of those whose inputs have a quantizer |
    /// | `layers/float_biases` | biases of the others |
    /// | `float/PARAMETER` | a parameter that is needed in float, by its path |
    /// | `constant/ID` | a constant by its value's position in the graph: floats, 64-bit integers or booleans |
    /// | `network.json.deflate` | the graph with its quantizers |
    ///
    /// Packed integers are written one after the other, lowest bits first, as `q + 2^(b−1)`, or as `q` where they are affine,
    /// from 0 to `2^b − 1`; unpacked affine ones as `q − 2^(b−1)`. Equal networks give
    /// equal bytes. Reads the device for what stays in float.
    ///
    /// # Errors
    ///
    /// If safetensors cannot hold the tensors.
    pub fn to_bytes(&self) -> Result<Vec<u8>, QuantizedFileError> {
        let mut tensors: BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)> = BTreeMap::new();
        let mut layers = Vec::new();
        let (mut scales, mut zero_points) = (Vec::<f32>::new(), Vec::<u16>::new());
        let (mut biases, mut float_biases) = (Vec::<i32>::new(), Vec::<f32>::new());
        for (&node, layer) in &self.layers {
            let name = &layer.name;
            let (dtype, bytes) = stored(layer);
            let shape = match dtype {
                Dtype::U8 => vec![bytes.len()],
                _ => layer.shape.clone(),
            };
            tensors.insert(integers_name(name), (dtype, shape, bytes));
            scales.extend(&layer.scales);
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "of 16 bits"
            )]
            zero_points.extend(layer.zero_points.iter().map(|&zero| zero as u16));
            match &layer.bias {
                Bias::Ints(ints) => biases.extend(ints),
                Bias::Floats(floats) => float_biases.extend(floats),
            }
            layers.push(LayerText {
                node,
                bits: layer.bits,
                shape: layer.shape.clone(),
                axis: layer.axis,
                scales: layer.scales.len(),
                affine: !layer.zero_points.is_empty(),
                group: layer.group,
                dynamic: layer.dynamic,
            });
        }
        let bytes = |name: &str, dtype, count, bytes: &[u8]| {
            let tensor = (dtype, vec![count], bytes.to_vec());
            (count > 0).then(|| (name.to_owned(), tensor))
        };
        tensors.extend(bytes(SCALES, Dtype::F32, scales.len(), cast_slice(&scales)));
        tensors.extend(bytes(
            ZERO_POINTS,
            Dtype::U16,
            zero_points.len(),
            cast_slice(&zero_points),
        ));
        tensors.extend(bytes(BIASES, Dtype::I32, biases.len(), cast_slice(&biases)));
        let floats = cast_slice(&float_biases);
        tensors.extend(bytes(FLOAT_BIASES, Dtype::F32, float_biases.len(), floats));
        let mut floats = Vec::new();
        for (&id, Float { tensor, kept }) in &self.floats {
            let (kind, shape) = (tensor.kind(), tensor.shape());
            let data = tensor.clone().into_data();
            let bytes = match kind {
                ElementKind::Float => kept.to_bytes(&data.iter::<f32>().collect::<Vec<_>>()),
                ElementKind::Int => data.iter::<i64>().flat_map(i64::to_le_bytes).collect(),
                ElementKind::Bool => data.iter::<bool>().map(u8::from).collect(),
            };
            let stored = (dtype(kind, *kept), shape.clone(), bytes);
            tensors.insert(float_name(&self.graph, id), stored);
            floats.push((id, shape));
        }
        let description = Description {
            format: FORMAT,
            graph: self.graph.clone(),
            quantizers: self.quantizers.clone(),
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

    /// Writes [`to_bytes`](Self::to_bytes) to a file, atomically (see [`calcine_files::write()`]).
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn save(&self, file: &Path) -> Result<(), QuantizedFileError> {
        Ok(calcine_files::write(file, self.to_bytes()?)?)
    }

    /// Reads a file that [`save`](Self::save) wrote.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or as [`from_bytes`](Self::from_bytes).
    pub fn load(file: &Path, device: &Device) -> Result<Self, QuantizedFileError> {
        Self::from_bytes(&std::fs::read(file)?, device)
    }

    /// Bytes of weights, scales and biases, and of what stays in float: what a file has beside its head and its
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
            weights + 4 * layer.scales.len() + 2 * layer.zero_points.len() + 4 * biases
        });
        let floats = self
            .floats
            .values()
            .map(|Float { tensor, kept }| kept.bytes() * tensor.shape().iter().product::<usize>());
        layers.chain(floats).sum()
    }
}

/// What a file calls a type.
fn dtype(kind: ElementKind, kept: FloatType) -> Dtype {
    match (kind, kept) {
        (ElementKind::Int, _) => Dtype::I64,
        (ElementKind::Bool, _) => Dtype::BOOL,
        (ElementKind::Float, FloatType::F32) => Dtype::F32,
        (ElementKind::Float, FloatType::F16) => Dtype::F16,
        (ElementKind::Float, FloatType::Bf16) => Dtype::BF16,
    }
}

/// A layer's integers as bytes.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "they are of that many bits"
)]
fn stored(layer: &Layer) -> (Dtype, Vec<u8>) {
    let ints: Vec<i32> = match layer.zero_points.is_empty() {
        true => layer.ints.clone(),
        false => {
            let ints = layer.ints.iter().enumerate();
            let centred =
                |(at, int): (usize, &i32)| int + layer.zero_point(at) - (1 << (layer.bits - 1));
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

/// What a file calls the integer weights of a layer.
fn integers_name(layer: &str) -> String {
    format!("integers/{layer}.weight")
}

/// What a file calls a value that is not in integers; one that is in integers too, as a tied embedding, is there under both
/// names.
fn float_name(graph: &Graph, id: usize) -> String {
    let value = &graph.values[id];
    match value.source {
        Source::Constant => format!("constant/{id}"),
        _ => format!("float/{}", value.name),
    }
}

fn wrong(name: &str, problem: &str) -> QuantizedFileError {
    QuantizedFileError::Tensor {
        name: name.to_owned(),
        problem: problem.to_owned(),
    }
}
