use std::collections::BTreeMap;

use calcine_graph::{Graph, Source, Value};
use safetensors::SafeTensors;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use crate::array::Array;
use crate::error::{FileError, wrong};

/// The key of the description of a network in the metadata of its safetensors file.
pub const NETWORK_KEY: &str = "calcine.network";

/// The format version of the description. Version 1 named constants like `constant.5`, which could also be the name of
/// a parameter.
pub const NETWORK_FORMAT: u32 = 2;

/// The description of a float network: everything in its file except the tensors. `P` represents the path of a
/// parameter, including the types of the modules along it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Description<P> {
    /// The format version; must be [`NETWORK_FORMAT`].
    pub format: u32,
    /// The operations of the network.
    pub graph: Graph,
    /// The path of each parameter.
    pub parameters: Vec<P>,
    /// The names of the batch norms whose running statistics and parameters are not trained.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub frozen: Vec<String>,
    /// Additional information about the network, by key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

impl<P: DeserializeOwned> Description<P> {
    /// Reads the description of a file and checks its graph.
    ///
    /// # Errors
    ///
    /// If the bytes are not a safetensors file or contain no network, or if the description has another format version
    /// or an inconsistent graph.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FileError> {
        let (_, header) = SafeTensors::read_metadata(bytes)?;
        let metadata = header.metadata().as_ref();
        let text = metadata.and_then(|metadata| metadata.get(NETWORK_KEY));
        let text = text.ok_or(FileError::NoNetwork(NETWORK_KEY))?;
        let description: Self = serde_json::from_str(text)
            .map_err(|error| FileError::Description(error.to_string()))?;
        if description.format != NETWORK_FORMAT {
            return Err(FileError::Description(format!(
                "the network has format version {}, expected {NETWORK_FORMAT}: trace the model again",
                description.format
            )));
        }
        description.graph.check()?;
        Ok(description)
    }
}

/// The name of a constant's tensor in a file, where `index` is the position of the value in the graph.
#[must_use]
pub fn constant_name(index: usize) -> String {
    format!("constant:{index}")
}

/// A float network, as `calcine_trace::Network::save` writes it.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkFile {
    /// The operations of the network.
    pub graph: Graph,
    /// The parameters and constants, by the position of their value in the graph.
    pub tensors: BTreeMap<usize, Array>,
}

impl NetworkFile {
    /// Reads a network from the bytes of its file.
    ///
    /// # Errors
    ///
    /// If the bytes contain no network, or if a tensor does not have the type and shape that the graph expects.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FileError> {
        let Description { graph, .. } = Description::<IgnoredAny>::from_bytes(bytes)?;
        let file = SafeTensors::deserialize(bytes)?;
        let mut tensors = BTreeMap::new();
        for (index, value) in graph.values.iter().enumerate() {
            let Some(name) = stored_name(index, value) else {
                continue;
            };
            let array = Array::named(&file, &name)?;
            fits(&name, value, &array)?;
            tensors.insert(index, array);
        }
        Ok(Self { graph, tensors })
    }

    /// Checks that all parts are consistent, as those of a file are.
    ///
    /// # Errors
    ///
    /// If the graph is inconsistent, or if a tensor is missing or has another type or shape than the graph expects.
    pub fn check(&self) -> Result<(), FileError> {
        self.graph.check()?;
        for (index, value) in self.graph.values.iter().enumerate() {
            let Some(name) = stored_name(index, value) else {
                continue;
            };
            let array = self.tensors.get(&index);
            let array = array.ok_or_else(|| wrong(&name, "is missing"))?;
            fits(&name, value, array)?;
            array.check(&name, value.kind)?;
        }
        Ok(())
    }
}

/// The name of the tensor of a parameter or constant.
fn stored_name(index: usize, value: &Value) -> Option<String> {
    match value.source {
        Source::Parameter => Some(value.name.clone()),
        Source::Constant => Some(constant_name(index)),
        Source::Input | Source::Node(_) => None,
    }
}

fn fits(name: &str, value: &Value, array: &Array) -> Result<(), FileError> {
    let expected = value.shape_at(1);
    if array.shape == expected && array.kind() == value.kind {
        return Ok(());
    }
    let found = format!(
        "is {:?} {:?}, the graph has {:?} {expected:?}",
        array.kind(),
        array.shape,
        value.kind
    );
    Err(wrong(name, &found))
}
