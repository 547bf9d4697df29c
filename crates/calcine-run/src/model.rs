use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use calcine_engine::NetworkData;
use calcine_graph::Graph;
use calcine_onnx::{ImportError, ImportOptions, Imported, import_file};
use calcine_quantize::{Quantized, QuantizedFileError, quantize_as};
use calcine_trace::{AnyTensor, ForwardError, Network, NetworkFileError};

use crate::RunError;

/// A float or quantized network.
///
/// # Examples
///
/// ```
/// use burn::nn::LinearConfig;
/// use burn::tensor::{Device, Tensor};
/// use calcine_run::Model;
///
/// let device = Device::flex();
/// let layer = LinearConfig::new(4, 2).init(&device);
/// let network = calcine_trace::trace(&layer, Tensor::<2>::zeros([1, 4], &device), |m, x| m.forward(x))?;
/// let directory = tempfile::tempdir()?;
/// let file = directory.path().join("network.safetensors");
/// network.save(&file)?;
///
/// let model = Model::load(&file, &device)?;
/// assert!(matches!(&model, Model::Float(_)));
/// assert_eq!(model.graph().outputs.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[allow(clippy::large_enum_variant, reason = "an experiment has one of them")]
#[derive(Debug, Clone)]
pub enum Model {
    /// A float network, which can be evaluated, changed and trained.
    Float(Network),
    /// A quantized network, which can be evaluated, and whose activations can be observed.
    Quantized(Quantized),
}

impl Model {
    /// Loads the network of a file: of [`Network::save`], of [`Quantized::save`], or an ONNX file, float or quantized.
    /// The format is recognized by the first bytes and the metadata of the file, whatever its name is.
    ///
    /// An ONNX file with quantization parameters is loaded as a quantized network. If Calcine cannot represent its
    /// integers, it is loaded as the float network that they stand for, and a warning is logged.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, has none of the formats, or is damaged, and if it contains weights without a network
    /// ([`ModelFileError::WeightsOnly`]).
    pub fn load(file: &Path, device: &Device) -> Result<Self, ModelFileError> {
        let wrong = |problem: ModelFileProblem| ModelFileError::Unreadable {
            file: file.to_path_buf(),
            problem: Box::new(problem),
        };
        let weights = |format| ModelFileError::WeightsOnly {
            file: file.to_path_buf(),
            format,
        };
        let start = start(file).map_err(|error| wrong(ModelFileProblem::Io(error)))?;
        if !is_safetensors(&start) && is_onnx(&start) {
            let imported = import_file(file, &ImportOptions::default(), device);
            let imported = imported.map_err(|error| wrong(ModelFileProblem::Onnx(error)))?;
            return Ok(of_onnx(file, imported));
        }
        if !is_safetensors(&start) && is_pytorch(&start) {
            return Err(weights("PyTorch"));
        }
        match Network::load(file, device) {
            Ok(network) => return Ok(Self::Float(network)),
            Err(NetworkFileError::NoNetwork) => {}
            Err(NetworkFileError::Format(error)) => {
                return Err(wrong(ModelFileProblem::Unknown(error.to_string())));
            }
            Err(error) => return Err(wrong(ModelFileProblem::Network(error))),
        }
        match Quantized::load(file, device) {
            Ok(network) => Ok(Self::Quantized(network)),
            Err(QuantizedFileError::NoNetwork) => Err(weights("safetensors")),
            Err(error) => Err(wrong(ModelFileProblem::Quantized(error))),
        }
    }

    /// The graph of the network.
    #[must_use]
    pub fn graph(&self) -> &Graph {
        match self {
            Self::Float(network) => network.graph(),
            Self::Quantized(network) => network.graph(),
        }
    }

    /// The metadata of the network, which its file contains.
    #[must_use]
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        match self {
            Self::Float(network) => network.metadata(),
            Self::Quantized(network) => network.metadata(),
        }
    }

    /// The contents of the network's file, which [`load`](Self::load) and `calcine_engine::Engine::load` read. Reads
    /// the device once.
    ///
    /// # Errors
    ///
    /// The errors of [`Network::to_bytes`] and [`Quantized::to_bytes`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, RunError> {
        match self {
            Self::Float(network) => Ok(network.to_bytes()?),
            Self::Quantized(network) => Ok(network.to_bytes()?),
        }
    }

    /// Computes the outputs for a batch on the device of the network. A quantized network computes with dequantized
    /// values.
    ///
    /// # Errors
    ///
    /// If the inputs do not fit the network.
    pub fn run(&self, inputs: Vec<AnyTensor>) -> Result<Vec<AnyTensor>, ForwardError> {
        match self {
            Self::Float(network) => network.run(inputs, &mut |_, tensor| tensor),
            Self::Quantized(network) => network.run(inputs, &mut |_, _| {}),
        }
    }
}

/// The network as plain data, which `calcine_engine::Engine::compile` takes.
impl From<&Model> for NetworkData {
    fn from(model: &Model) -> Self {
        match model {
            Model::Float(network) => network.into(),
            Model::Quantized(network) => network.into(),
        }
    }
}

impl From<Network> for Model {
    fn from(network: Network) -> Self {
        Self::Float(network)
    }
}

impl From<Quantized> for Model {
    fn from(network: Quantized) -> Self {
        Self::Quantized(network)
    }
}

/// The reason why a file cannot be loaded as a [`Model`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelFileError {
    /// The file contains weights, and no network that they belong to. `calcine_weights` loads them into one.
    #[error("{} holds {format} weights without a network", file.display())]
    WeightsOnly {
        /// The file.
        file: PathBuf,
        /// The format of the weights: `PyTorch` or `safetensors`.
        format: &'static str,
    },
    /// The file cannot be read.
    #[error("{}: {problem}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The problem.
        #[source]
        problem: Box<ModelFileProblem>,
    },
}

/// The problem of a file that cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelFileProblem {
    /// The file system reports an error.
    #[error("the file cannot be read: {0}")]
    Io(#[source] io::Error),
    /// The file has none of the known formats.
    #[error("neither a network file nor a file of weights in a format that Calcine knows: {0}")]
    Unknown(String),
    /// The float network is damaged.
    #[error(transparent)]
    Network(NetworkFileError),
    /// The quantized network is damaged.
    #[error(transparent)]
    Quantized(QuantizedFileError),
    /// The ONNX file is damaged, or contains an operator that Calcine does not have.
    #[error(transparent)]
    Onnx(ImportError),
}

/// The network of an ONNX file: a quantized one if the file has quantization parameters that Calcine can represent.
fn of_onnx(file: &Path, imported: Imported) -> Model {
    let Imported {
        network,
        parameters,
        left_out,
        ..
    } = imported;
    let file = file.display();
    if !left_out.is_empty() {
        tracing::warn!(
            "{file}: these values and parameters are quantized in a way that Calcine does not have, and stay in float: {}",
            left_out.join(", ")
        );
    }
    if parameters.is_empty() {
        return Model::Float(network);
    }
    match quantize_as(&network, &parameters) {
        Ok(quantized) => Model::Quantized(quantized),
        Err(error) => {
            tracing::warn!(
                "{file}: the file is quantized, but is read as the float network that its integers represent: {error}"
            );
            Model::Float(network)
        }
    }
}

fn start(file: &Path) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    File::open(file)?.take(16).read_to_end(&mut start)?;
    Ok(start)
}

/// Whether bytes begin like a safetensors file: the length of the header in eight bytes, and the header.
fn is_safetensors(start: &[u8]) -> bool {
    start.get(8) == Some(&b'{')
}

/// Whether bytes begin like a zip archive or a pickle.
fn is_pytorch(start: &[u8]) -> bool {
    start.starts_with(b"PK\x03\x04") || start.first() == Some(&0x80)
}

/// Whether bytes begin like an ONNX model: `ir_version` as field 1, a small number, and another field of the model.
fn is_onnx(start: &[u8]) -> bool {
    match start {
        // Fields 2 to 4, 6 to 8 and 14 are texts and messages; field 5 is a number.
        [0x08, version, tag, ..] => {
            *version < 0x40 && [0x12, 0x1a, 0x22, 0x28, 0x32, 0x3a, 0x42, 0x72].contains(tag)
        }
        _ => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_apart_by_their_first_bytes() {
        let directory = tempfile::tempdir().unwrap();
        let told = |bytes: &[u8]| {
            let file = directory.path().join("file.bin");
            std::fs::write(&file, bytes).unwrap();
            match Model::load(&file, &Device::flex()) {
                Err(ModelFileError::WeightsOnly { format, .. }) => format.to_owned(),
                Err(error) => error.to_string(),
                Ok(_) => "a network".to_owned(),
            }
        };
        assert!(told(b"\x08\x09\x12\x07pytorch").contains("not an ONNX model"));
        assert!(told(b"\x08\x03:\x80\x10").contains("not an ONNX model"));
        assert_eq!(told(b"PK\x03\x04rest"), "PyTorch");
        assert_eq!(told(b"\x80\x02rest"), "PyTorch");
        assert_eq!(told(b"\x02\0\0\0\0\0\0\0{}"), "safetensors");
        assert!(told(b"nothing that is known").contains("neither a network file"));
    }
}
