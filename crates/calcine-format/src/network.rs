use std::collections::BTreeMap;

use calcine_graph::{Graph, Source};
use safetensors::SafeTensors;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use crate::array::Array;
use crate::error::{FileError, wrong};

/// The key of a network's description in the metadata of its file.
pub const NETWORK_KEY: &str = "calcine.network";

/// The version of the description. The first called constants `constant.5`, as a model may call a parameter.
pub const NETWORK_FORMAT: u32 = 2;

/// What a file says of a network in float besides its tensors. `P` is the path of a parameter, with the types that have its
/// elements as fields.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Description<P> {
    /// [`NETWORK_FORMAT`].
    pub format: u32,
    /// The network's operations.
    pub graph: Graph,
    /// The path of each parameter.
    pub parameters: Vec<P>,
    /// The batch norms that take no part in training.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub frozen: Vec<String>,
    /// What is recorded beside the network.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

impl<P: DeserializeOwned> Description<P> {
    /// Reads the description of a file and checks its graph.
    ///
    /// # Errors
    ///
    /// If the bytes are no safetensors file, hold no network, or one of another format.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FileError> {
        let (_, header) = SafeTensors::read_metadata(bytes)?;
        let metadata = header.metadata().as_ref();
        let text = metadata.and_then(|metadata| metadata.get(NETWORK_KEY));
        let text = text.ok_or(FileError::NoNetwork(NETWORK_KEY))?;
        let description: Self = serde_json::from_str(text)
            .map_err(|error| FileError::Description(error.to_string()))?;
        if description.format != NETWORK_FORMAT {
            return Err(FileError::Description(format!(
                "it is of format {}; trace the model again",
                description.format
            )));
        }
        description.graph.check()?;
        Ok(description)
    }
}

/// What a file calls a constant, by the position of its value in the graph.
#[must_use]
pub fn constant_name(index: usize) -> String {
    format!("constant:{index}")
}

/// A network in float, as `calcine_trace::Network::save` writes it.
#[derive(Debug, Clone)]
pub struct NetworkFile {
    /// Its operations.
    pub graph: Graph,
    /// Its parameters and constants, by the position of their value in the graph.
    pub tensors: BTreeMap<usize, Array>,
}

impl NetworkFile {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// If the bytes hold no network, or one whose tensors do not fit its graph.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FileError> {
        let Description { graph, .. } = Description::<IgnoredAny>::from_bytes(bytes)?;
        let file = SafeTensors::deserialize(bytes)?;
        let mut tensors = BTreeMap::new();
        for (index, value) in graph.values.iter().enumerate() {
            let name = match value.source {
                Source::Parameter => value.name.clone(),
                Source::Constant => constant_name(index),
                Source::Input | Source::Node(_) => continue,
            };
            let array = Array::named(&file, &name)?;
            let expected = value.shape_at(1);
            if array.shape != expected || array.kind() != value.kind {
                let found = format!(
                    "is {:?} {:?}, the graph has {:?} {expected:?}",
                    array.kind(),
                    array.shape,
                    value.kind
                );
                return Err(wrong(&name, &found));
            }
            tensors.insert(index, array);
        }
        Ok(Self { graph, tensors })
    }
}
