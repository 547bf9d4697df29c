use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use burn::store::{PytorchStoreError, SafetensorsStoreError};
use burn::tensor::DType;

/// Why weights could not be loaded or saved.
#[derive(Debug)]
pub struct WeightsError {
    file: Option<PathBuf>,
    kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Read(io::Error),
    Safetensors(SafetensorsStoreError),
    Pytorch(PytorchStoreError),
    Mismatch(Vec<Problem>),
    Write(SafetensorsStoreError),
}

impl WeightsError {
    pub(super) fn new(file: Option<&Path>, kind: Kind) -> Self {
        Self {
            file: file.map(Path::to_owned),
            kind,
        }
    }

    /// The file, unless the weights were in memory.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Everything about the file's tensors that does not fit the module; empty if the file could
    /// not be read or written at all.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        match &self.kind {
            Kind::Mismatch(problems) => problems,
            _ => &[],
        }
    }
}

impl fmt::Display for WeightsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file: &dyn fmt::Display = match &self.file {
            Some(path) => &path.display(),
            None => &"the file in memory",
        };
        match &self.kind {
            Kind::Read(error) => write!(f, "cannot read {file}: {error}"),
            Kind::Safetensors(error) => {
                write!(f, "cannot read {file} as a safetensors file: {error}")
            }
            Kind::Pytorch(error) => {
                write!(
                    f,
                    "cannot read {file}: it is no safetensors file, and {error}"
                )
            }
            Kind::Write(error) => write!(f, "cannot write {file}: {error}"),
            Kind::Mismatch(problems) => {
                let s = if problems.len() == 1 { "" } else { "s" };
                write!(
                    f,
                    "{file} does not fit the model, {} problem{s}:",
                    problems.len()
                )?;
                problems
                    .iter()
                    .try_for_each(|problem| write!(f, "\n  {problem}"))
            }
        }
    }
}

impl Error for WeightsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.kind {
            Kind::Read(error) => Some(error),
            Kind::Safetensors(error) | Kind::Write(error) => Some(error),
            Kind::Pytorch(error) => Some(error),
            Kind::Mismatch(_) => None,
        }
    }
}

/// One thing about a file that does not fit a module.
///
/// Names and shapes are PyTorch's: `bn1.weight` rather than `bn1.gamma`, and `[out, in]` for fully
/// connected weights.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Problem {
    /// The file has no tensor for a parameter.
    Missing {
        /// The parameter.
        parameter: String,
        /// Its shape in the module.
        expected: Vec<usize>,
    },
    /// The module has no parameter for a tensor.
    Unknown {
        /// The tensor's name in the file.
        tensor: String,
        /// Its shape in the file.
        found: Vec<usize>,
    },
    /// A tensor has another shape than its parameter.
    Shape {
        /// The parameter.
        parameter: String,
        /// Its shape in the module.
        expected: Vec<usize>,
        /// Its shape in the file.
        found: Vec<usize>,
    },
    /// A tensor holds another kind of number than its parameter: integers for floats, say.
    Type {
        /// The parameter.
        parameter: String,
        /// Its type in the module.
        expected: DType,
        /// Its type in the file.
        found: DType,
    },
    /// Two tensors are meant for one parameter.
    Ambiguous {
        /// The parameter.
        parameter: String,
        /// The names of the two in the file.
        tensors: [String; 2],
    },
    /// A tensor's values cannot be read or used.
    Unreadable {
        /// The parameter.
        parameter: String,
        /// What the reader says.
        reason: String,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing {
                parameter,
                expected,
            } => {
                write!(f, "`{parameter}` is missing, expected shape {expected:?}")
            }
            Self::Unknown { tensor, found } => {
                write!(
                    f,
                    "`{tensor}` of shape {found:?} is not a parameter of the model"
                )
            }
            Self::Shape {
                parameter,
                expected,
                found,
            } => {
                write!(
                    f,
                    "`{parameter}` has shape {found:?}, expected {expected:?}"
                )
            }
            Self::Type {
                parameter,
                expected,
                found,
            } => {
                write!(f, "`{parameter}` has type {found:?}, expected {expected:?}")
            }
            Self::Ambiguous {
                parameter,
                tensors: [first, second],
            } => {
                write!(
                    f,
                    "`{parameter}` is there twice, as `{first}` and as `{second}`"
                )
            }
            Self::Unreadable { parameter, reason } => {
                write!(f, "`{parameter}` cannot be read: {reason}")
            }
        }
    }
}
