use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use burn::store::SafetensorsStoreError;
use burn::store::pytorch_reader::PytorchError;

use super::problem::{self, Problem};

/// The reason why weights cannot be loaded or saved.
#[derive(Debug)]
pub struct WeightsError {
    file: Option<PathBuf>,
    // Boxed, so that results with this error stay small.
    kind: Box<Kind>,
}

#[derive(Debug)]
pub(super) enum Kind {
    Read(io::Error),
    Safetensors(SafetensorsStoreError),
    Pytorch(PytorchError),
    /// A pickle whose root has no names: a list, a tensor.
    Nameless(String),
    /// No tensors at all; what there is instead.
    Empty(String),
    /// Nothing beneath the key or prefix that was asked for; what there is instead.
    NoKey {
        asked: String,
        outline: String,
    },
    /// Weights beneath several prefixes, with how many beneath each.
    SeveralKeys(Vec<(String, usize)>),
    /// Less than half of the parameters by any prefix; what there is, and what was expected.
    Unlike {
        matched: usize,
        parameters: usize,
        tensors: usize,
        outline: String,
        expected: String,
        problems: Vec<Problem>,
    },
    Pattern {
        pattern: String,
        reason: String,
    },
    Mismatch(Vec<Problem>),
    Write(SafetensorsStoreError),
}

impl WeightsError {
    pub(super) fn new(file: Option<&Path>, kind: Kind) -> Self {
        Self {
            file: file.map(Path::to_owned),
            kind: Box::new(kind),
        }
    }

    /// The file, or `None` if the weights were in memory.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// All tensors that do not fit the module; empty if the file could not be read or written at all, or if it is not
    /// known which of its tensors to use.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        match &*self.kind {
            Kind::Mismatch(problems) | Kind::Unlike { problems, .. } => problems,
            _ => &[],
        }
    }

    /// The keys under which the file contains weights that fit, if there are several and none was chosen.
    #[must_use]
    pub fn keys(&self) -> Vec<&str> {
        match &*self.kind {
            Kind::SeveralKeys(keys) => keys.iter().map(|(key, _)| key.as_str()).collect(),
            _ => Vec::new(),
        }
    }
}

/// One line, however many problems there are; [`problems`](WeightsError::problems) lists them all.
impl fmt::Display for WeightsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file: &dyn fmt::Display = match &self.file {
            Some(path) => &path.display(),
            None => &"the file in memory",
        };
        match &*self.kind {
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
            Kind::Nameless(what) => write!(
                f,
                "{file} holds {what}, in which nothing has a name: save `model.state_dict()` instead"
            ),
            Kind::Empty(what) => {
                write!(
                    f,
                    "{file} holds no tensors, but {what}: save `model.state_dict()` instead"
                )
            }
            Kind::NoKey { asked, outline } => {
                write!(
                    f,
                    "{file} has no tensors beneath `{asked}`; it has {outline}"
                )
            }
            Kind::SeveralKeys(keys) => {
                let names: Vec<_> = keys
                    .iter()
                    .map(|(key, count)| match key.as_str() {
                        "" => format!("the root, `\"\"` ({count} tensors)"),
                        key => format!("`{key}` ({count} tensors)"),
                    })
                    .collect();
                let names = names.join(" and ");
                write!(
                    f,
                    "{file} has weights for the model beneath {names}: choose one as the key (`--weights-key`)"
                )
            }
            Kind::Unlike {
                matched,
                parameters,
                tensors,
                outline,
                expected,
                ..
            } => write!(
                f,
                "{file} holds weights of another model: {matched} of {parameters} parameters have one of its {tensors} \
                 tensors, which are {outline}; expected {expected}; a prefix that only the file has can be stripped \
                 (`--weights-strip`)"
            ),
            Kind::Pattern { pattern, reason } => {
                write!(
                    f,
                    "`{pattern}` is not a valid pattern for names to ignore: {reason}"
                )
            }
            Kind::Write(error) => write!(f, "cannot write {file}: {error}"),
            Kind::Mismatch(problems) => {
                write!(
                    f,
                    "{file} does not fit the model: {}",
                    problem::summary(problems)
                )
            }
        }
    }
}

impl Error for WeightsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &*self.kind {
            Kind::Read(error) => Some(error),
            Kind::Safetensors(error) | Kind::Write(error) => Some(error),
            Kind::Pytorch(error) => Some(error),
            _ => None,
        }
    }
}
