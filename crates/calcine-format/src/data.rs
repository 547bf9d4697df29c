use calcine_graph::Graph;

use crate::{FileError, NetworkFile, QuantizedFile};

/// A network as plain data, float or quantized: what an engine compiles.
///
/// `calcine_trace::Network` and `calcine_quantize::Quantized` are converted to it by `From`, without their files.
#[derive(Debug, Clone, PartialEq)]
pub enum NetworkData {
    /// A float network.
    Float(NetworkFile),
    /// A quantized network.
    Quantized(QuantizedFile),
}

impl NetworkData {
    /// Reads a network, float or quantized, from the bytes of its file.
    ///
    /// # Errors
    ///
    /// Those of [`NetworkFile::from_bytes`] and [`QuantizedFile::from_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FileError> {
        match NetworkFile::from_bytes(bytes) {
            Ok(network) => Ok(Self::Float(network)),
            Err(FileError::NoNetwork(_)) => Ok(Self::Quantized(QuantizedFile::from_bytes(bytes)?)),
            Err(error) => Err(error),
        }
    }

    /// Checks that all parts are consistent, as those of a file are.
    ///
    /// # Errors
    ///
    /// Those of [`NetworkFile::check`] and [`QuantizedFile::check`].
    pub fn check(&self) -> Result<(), FileError> {
        match self {
            Self::Float(network) => network.check(),
            Self::Quantized(network) => network.check(),
        }
    }

    /// The operations of the network.
    #[must_use]
    pub const fn graph(&self) -> &Graph {
        match self {
            Self::Float(network) => &network.graph,
            Self::Quantized(network) => &network.graph,
        }
    }
}

impl From<NetworkFile> for NetworkData {
    fn from(network: NetworkFile) -> Self {
        Self::Float(network)
    }
}

impl From<QuantizedFile> for NetworkData {
    fn from(network: QuantizedFile) -> Self {
        Self::Quantized(network)
    }
}
