use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use burn::tensor::{Device, TensorData};
use bytemuck::cast_slice;
use calcine_format::{
    Array, BIASES, FLOAT_BIASES, FileError, LayerDescription, NETWORK, Numbers, QUANTIZED_FORMAT,
    QuantizedDescription, QuantizedFile, SCALES, StoredFloat, ZERO_POINTS, dtype, float_name,
    integers_name,
};
use calcine_graph::{ElementKind, GraphError};
use calcine_quant::pack;
use calcine_trace::AnyTensor;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use crate::float::Float;
use crate::layer::{Bias, Layer};
use crate::{QuantizeError, Quantized};

/// Why a file of a quantized network cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QuantizedFileError {
    /// A file operation failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The file is not a safetensors file.
    #[error("no safetensors file: {0}")]
    Format(#[from] safetensors::SafeTensorError),
    /// The safetensors file contains something else.
    #[error("the file has no tensor `{NETWORK}`: it holds no quantized network")]
    NoNetwork,
    /// The description is malformed, or has another version.
    #[error("the file's network is not of format {QUANTIZED_FORMAT}: {0}")]
    Description(String),
    /// The graph is not valid.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A tensor is missing, or has another type or length.
    #[error("the tensor `{name}` {problem}")]
    Tensor {
        /// The name of the tensor.
        name: String,
        /// The problem.
        problem: String,
    },
    /// The integers are not valid for computation.
    #[error(transparent)]
    Quantize(#[from] QuantizeError),
}

impl From<FileError> for QuantizedFileError {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Format(error) => Self::Format(error),
            FileError::NoNetwork(_) => Self::NoNetwork,
            FileError::Graph(error) => Self::Graph(error),
            FileError::Tensor { name, problem } => Self::Tensor { name, problem },
            other => Self::Description(other.to_string()),
        }
    }
}

impl Quantized {
    /// Serializes the network as a safetensors file.
    ///
    ///  tensor | content |
    /// |---|---|
    ///  `integers/LAYER.weight` | the weights of a layer by its name in the graph: packed integers of fewer than 8 bits, 8-bit integers, or 16-bit integers |
    /// | `layers/scales` | the scales of all layers, one after the other |
    ///  `layers/zero_points` | the 16-bit zero points of affine layers |
    ///  `layers/biases` | the 32-bit biases of layers whose inputs have a quantizer |
    ///  `layers/float_biases` | the biases of the other layers |
    ///  `float/PARAMETER` | a parameter that is stored in float, by its path |
    ///  `constant/ID` | a constant by the position of its value in the graph: floats, 64-bit integers or booleans |
    ///  `network.json.deflate` | the graph, its quantizers and the metadata |
    ///
    /// Packed integers are stored without gaps, lowest bits first, as `q + 2^(b−1)`, or as `q` if they are affine, from
    /// 0 to `2^b − 1`; unpacked affine integers are stored as `q − 2^(b−1)`. Equal networks give equal bytes.
    /// Parameters in float are read from the device.
    ///
    /// # Errors
    ///
    /// If safetensors cannot store the tensors.
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
            layers.push(LayerDescription {
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
        let description = QuantizedDescription {
            format: QUANTIZED_FORMAT,
            graph: self.graph.clone(),
            quantizers: self.quantizers.clone(),
            layers,
            floats,
            metadata: self.metadata().clone(),
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

    /// Loads a file that [`save`](Self::save) wrote.
    ///
    /// # Errors
    ///
    /// If the file cannot be read; and those of [`from_bytes`](Self::from_bytes).
    pub fn load(file: &Path, device: &Device) -> Result<Self, QuantizedFileError> {
        Self::from_bytes(&std::fs::read(file)?, device)
    }

    /// Reads the bytes that [`to_bytes`](Self::to_bytes) returned. The network computes the same results, bit for bit.
    ///
    /// # Errors
    ///
    /// If the bytes do not contain a quantized network, or its parts do not fit together.
    pub fn from_bytes(bytes: &[u8], device: &Device) -> Result<Self, QuantizedFileError> {
        let QuantizedFile {
            graph,
            quantizers,
            layers,
            floats,
            metadata,
        } = QuantizedFile::from_bytes(bytes)?;
        let layers = layers.into_iter();
        let layers = layers.map(|(node, layer)| (node, Layer::from(layer)));
        let mut found = BTreeMap::new();
        for (id, StoredFloat { array, kept }) in floats {
            let kind = array.kind();
            let name = float_name(&graph, id);
            let tensor = AnyTensor::from_data(tensor_data(array), kind, device);
            let tensor = tensor.ok_or_else(|| QuantizedFileError::Tensor {
                name,
                problem: "has a rank that no tensor has: expected 1 to 6 axes".to_owned(),
            })?;
            found.insert(id, Float { tensor, kept });
        }
        let network = Self::new(graph, quantizers, layers.collect(), found, None, device)?;
        Ok(network.with_all_metadata(metadata))
    }

    /// The number of bytes of weights, scales, biases and parameters in float: the size of a file without its header
    /// and its graph.
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

/// The integers of a layer as bytes.
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

/// The elements of an array as Burn's tensor data.
fn tensor_data(array: Array) -> TensorData {
    match array.numbers {
        Numbers::Floats(numbers) => TensorData::new(numbers, array.shape),
        Numbers::Ints(numbers) => TensorData::new(numbers, array.shape),
        Numbers::Bools(numbers) => TensorData::new(numbers, array.shape),
    }
}
