use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use burn::module::{Module, Param};
use burn::tensor::{Device, Int, TensorData, Transaction};
use calcine_format::{
    Array, Description, FileError, NETWORK_FORMAT, NETWORK_KEY, Numbers, constant_name,
};
use calcine_graph::{ElementKind, Source};
use calcine_params::{Inventory, flat};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::error::RewriteError;
use crate::leaf::{Held, Leaf, Leaves, Step, joined, path};
use crate::network::Network;
use crate::tensor::{AnyTensor, with_rank};

/// A character in the names of stored constants that does not occur in paths of parameters.
const OWN: char = ':';

/// Why a network file could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkFileError {
    /// The file could not be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The file is not a safetensors file.
    #[error("not a safetensors file: {0}")]
    Format(#[from] safetensors::SafeTensorError),
    /// A safetensors file without a network, which contains only weights.
    #[error("the file's metadata has no `{NETWORK_KEY}`: it contains tensors, but no network")]
    NoNetwork,
    /// The description of the network is malformed, or of a version that this one does not support.
    #[error("the file's network is not of format {NETWORK_FORMAT}: {0}")]
    Description(String),
    /// A tensor is missing or has another type.
    #[error("the tensor `{name}` {problem}")]
    Tensor {
        /// The name of the tensor.
        name: String,
        /// What is wrong with the tensor.
        problem: String,
    },
    /// The tensors do not fit the graph.
    #[error(transparent)]
    Unfit(#[from] RewriteError),
    /// The graph is not valid.
    #[error(transparent)]
    Graph(#[from] calcine_graph::GraphError),
}

impl Network {
    /// The network as one safetensors file: its parameters under their paths, its constants as `constant:5`, where 5 is
    /// the index among the values of the graph, and the graph in the metadata.
    ///
    /// Paths of parameters contain no colons, because they consist of names and numbers.
    ///
    /// The file can be loaded without the code of the model, and any program that reads safetensors finds the weights
    /// in it. Equal networks give equal bytes. Reads the device once.
    ///
    /// # Errors
    ///
    /// If safetensors cannot store the tensors, if a path contains a colon, or if two parameters have the same path.
    pub fn to_bytes(&self) -> Result<Vec<u8>, NetworkFileError> {
        let network = self.valid();
        let inventory = Inventory::from_module(&network);
        let read = flat(&network, &inventory)
            .into_iter()
            .fold(Transaction::default(), Transaction::register);
        let mut tensors: BTreeMap<String, (Vec<usize>, Dtype, Vec<u8>)> = BTreeMap::new();
        distinct(inventory.iter().map(|parameter| parameter.path.as_str()))?;
        for (parameter, data) in inventory.iter().zip(read.execute()) {
            let bytes = data.iter::<f32>().flat_map(f32::to_le_bytes).collect();
            let tensor = (parameter.shape.clone(), Dtype::F32, bytes);
            tensors.insert(parameter.path.clone(), tensor);
        }
        for (index, constant) in self.constants.iter().enumerate() {
            if let Some(constant) = constant {
                let shape = constant.shape();
                let (dtype, bytes) = stored(constant);
                tensors.insert(constant_name(index), (shape, dtype, bytes));
            }
        }
        let parameters = self.leaves.0.iter().flat_map(Leaf::walks);
        let description = Description {
            format: NETWORK_FORMAT,
            graph: self.graph().clone(),
            parameters: parameters.collect(),
            frozen: self
                .leaves
                .0
                .iter()
                .filter(|leaf| leaf.is_frozen_norm())
                .map(Leaf::path)
                .collect(),
            metadata: self.metadata().clone(),
        };
        let text = serde_json::to_string(&description)
            .map_err(|error| NetworkFileError::Description(error.to_string()))?;
        let mut views = BTreeMap::new();
        for (name, (shape, dtype, bytes)) in &tensors {
            views.insert(
                name.as_str(),
                TensorView::new(*dtype, shape.clone(), bytes)?,
            );
        }
        let metadata = HashMap::from([(NETWORK_KEY.to_owned(), text)]);
        Ok(safetensors::serialize(views, Some(metadata))?)
    }

    /// Reads the result of [`to_bytes`](Self::to_bytes). Parameters are trainable if the device has autodiff, and get
    /// new ids. Frozen parameters become trainable, except for those of batch norms.
    ///
    /// # Errors
    ///
    /// If the bytes contain no network, or one whose tensors do not fit its graph.
    pub fn from_bytes(bytes: &[u8], device: &Device) -> Result<Self, NetworkFileError> {
        let description = Description::<Vec<Step>>::from_bytes(bytes)?;
        let file = SafeTensors::deserialize(bytes)?;
        let paths: Vec<String> = description
            .parameters
            .iter()
            .map(|walk| path(walk))
            .collect();
        distinct(paths.iter().map(String::as_str))?;
        let mut leaves = Vec::new();
        for walk in description.parameters {
            let path = path(&walk);
            let tensor = loaded(&file, &path, device)?;
            let held = Held::new(tensor)
                .ok_or_else(|| wrong(&path, "has a kind or rank that no parameter can have"))?;
            leaves.push(Leaf { walk, held });
        }
        let switches = description
            .frozen
            .into_iter()
            .map(|path| (path, Param::from_bool(false)));
        let leaves = Leaves(joined(leaves, &switches.collect()));
        let mut constants = Vec::new();
        for (index, value) in description.graph.values.iter().enumerate() {
            constants.push(match value.source {
                Source::Constant => Some(loaded(&file, &constant_name(index), device)?),
                _ => None,
            });
        }
        let network =
            Self::new(description.graph, leaves, constants).with_all_metadata(description.metadata);
        network.as_its_graph_says()?;
        Ok(network)
    }

    /// Writes the result of [`to_bytes`](Self::to_bytes) to a file, atomically (see [`calcine_files::write()`]).
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn save(&self, file: &Path) -> Result<(), NetworkFileError> {
        let bytes = self.to_bytes()?;
        Ok(calcine_files::write(file, bytes)?)
    }

    /// Reads a file that [`save`](Self::save) wrote.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, contains no network, or contains one whose tensors do not fit its graph.
    pub fn load(file: &Path, device: &Device) -> Result<Self, NetworkFileError> {
        Self::from_bytes(&std::fs::read(file)?, device)
    }
}

impl From<FileError> for NetworkFileError {
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

/// Checks that no two parameters have the same path, and that no path could be the name of a constant.
fn distinct<'a>(paths: impl Iterator<Item = &'a str>) -> Result<(), NetworkFileError> {
    let mut seen = HashSet::new();
    for path in paths {
        if path.contains(OWN) {
            return Err(wrong(path, "is a parameter whose path has a colon"));
        }
        if !seen.insert(path) {
            return Err(wrong(path, "is the path of two parameters"));
        }
    }
    Ok(())
}

fn wrong(name: &str, problem: &str) -> NetworkFileError {
    NetworkFileError::Tensor {
        name: name.to_owned(),
        problem: problem.to_owned(),
    }
}

fn stored(tensor: &AnyTensor) -> (Dtype, Vec<u8>) {
    let tensor = tensor.clone();
    with_rank!(tensor.rank(), D => match tensor.kind() {
        ElementKind::Float => {
            let data = tensor.of::<D, burn::tensor::Float>().into_data();
            (Dtype::F32, data.iter::<f32>().flat_map(f32::to_le_bytes).collect())
        }
        ElementKind::Int => {
            let data = tensor.of::<D, Int>().into_data();
            (Dtype::I64, data.iter::<i64>().flat_map(i64::to_le_bytes).collect())
        }
        ElementKind::Bool => {
            let data = tensor.of::<D, burn::tensor::Bool>().into_data();
            (Dtype::BOOL, data.iter::<bool>().map(u8::from).collect())
        }
    })
}

fn loaded(
    file: &SafeTensors<'_>,
    name: &str,
    device: &Device,
) -> Result<AnyTensor, NetworkFileError> {
    let array = Array::named(file, name)?;
    let kind = array.kind();
    let data = match array.numbers {
        Numbers::Floats(numbers) => TensorData::new(numbers, array.shape),
        Numbers::Ints(numbers) => TensorData::new(numbers, array.shape),
        Numbers::Bools(numbers) => TensorData::new(numbers, array.shape),
    };
    let tensor = AnyTensor::from_data(data, kind, device);
    tensor.ok_or_else(|| wrong(name, "has a rank that no tensor of a network can have"))
}
