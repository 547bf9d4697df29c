use calcine_graph::GraphError;

use crate::MAX_BITS;

/// Why the file of a network cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The bytes are not a safetensors file.
    #[error("not a safetensors file: {0}")]
    Format(#[from] safetensors::SafeTensorError),
    /// A safetensors file that contains no network of the expected form (float or quantized).
    #[error("the file has no `{0}`: it contains no network of this form")]
    NoNetwork(&'static str),
    /// The description of the network is malformed, or has another format version.
    #[error("{0}")]
    Description(String),
    /// The graph is inconsistent.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A tensor is missing, or has another type or shape than expected.
    #[error("the tensor `{name}` {problem}")]
    Tensor {
        /// The name of the tensor.
        name: String,
        /// What is wrong.
        problem: String,
    },
}

pub(crate) fn wrong(name: &str, problem: &str) -> FileError {
    FileError::Tensor {
        name: name.to_owned(),
        problem: problem.to_owned(),
    }
}

/// A quantizer, or something that consists of quantizers, cannot be created.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum QuantizerError {
    /// The range is invalid.
    #[error(
        "there is no quantizer for the range from {low} to {high}: expected finite numbers of `f32`, the lower one first"
    )]
    Range {
        /// The lower bound.
        low: f64,
        /// The upper bound.
        high: f64,
    },
    /// The number of bits is invalid.
    #[error("{bits} bits: expected {least} to {MAX_BITS}")]
    Bits {
        /// The requested number of bits.
        bits: u8,
        /// The smallest valid number.
        least: u8,
    },
    /// The weights cannot be divided into such rows and groups.
    #[error(
        "{weights} weights in rows of {columns}, groups of {group}: expected complete rows, and a group size of at least 1"
    )]
    Groups {
        /// The number of weights.
        weights: usize,
        /// Columns of a row.
        columns: usize,
        /// Columns of a group.
        group: usize,
    },
    /// No multiplier and shift can represent the factor.
    #[error("the factor {factor} in {bits} bits: expected a positive number, and 1 to 30 bits")]
    Factor {
        /// The factor.
        factor: f64,
        /// Bits of the multiplier.
        bits: u8,
    },
}
