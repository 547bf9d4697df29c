use std::path::{Path, PathBuf};

use calcine_observe::ObserveError;
use calcine_params::UnknownParameter;
use calcine_plot::PlotError;
use calcine_quantize::{BudgetError, QatError, QuantizeError, QuantizedFileError, SearchError};
use calcine_recipe::RecipeError;
use calcine_sensitivity::ScanError;
use calcine_thin::ThinError;
use calcine_trace::{ForwardError, NetworkFileError, TraceError};
use calcine_train::checkpoint::CheckpointError;
use calcine_train::{ActivationSourceError, FitError, ThinnedError};
use calcine_weights::WeightsError;

/// The reason why a job cannot be executed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The recipe is not valid, or does not fit the network.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// Recipe, network, objective, data and settings do not fit together. All problems are listed.
    #[error("{}", problems.join("\n"))]
    Unfit {
        /// One sentence for each problem.
        problems: Vec<String>,
    },
    /// The weights cannot be saved.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// Training failed.
    #[error(transparent)]
    Fit(#[from] FitError),
    /// The model cannot be traced.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// The network does not accept the inputs, or has other outputs than the objective expects.
    #[error(transparent)]
    Forward(#[from] ForwardError),
    /// The activations of the network cannot be observed.
    #[error(transparent)]
    Observe(#[from] ObserveError),
    /// A policy needs activations, and nothing provides them.
    #[error(transparent)]
    ActivationSource(#[from] ActivationSourceError),
    /// The network cannot be thinned.
    #[error(transparent)]
    Thin(#[from] ThinError),
    /// Training cannot continue with the thinned network.
    #[error(transparent)]
    Thinned(#[from] ThinnedError),
    /// The network cannot be quantized.
    #[error(transparent)]
    Quantize(#[from] QuantizeError),
    /// The search for better quantization settings failed.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// No combination of bit widths is small enough.
    #[error(transparent)]
    BudgetError(#[from] BudgetError),
    /// The network cannot be prepared for quantization-aware training.
    #[error(transparent)]
    Qat(#[from] QatError),
    /// The network cannot be written.
    #[error(transparent)]
    NetworkFile(#[from] NetworkFileError),
    /// The quantized network cannot be written.
    #[error(transparent)]
    QuantizedFile(#[from] QuantizedFileError),
    /// The scan failed.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// The charts cannot be drawn.
    #[error(transparent)]
    Plot(#[from] PlotError),
    /// A pattern that matches no weight.
    #[error(transparent)]
    Params(#[from] UnknownParameter),
    /// A checkpoint cannot be read or written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The network is quantized, and a float network is required.
    #[error(
        "the network is quantized: it can be evaluated and its activations observed, but it cannot be changed or trained; \
         use the float network from which it was made"
    )]
    Quantized,
    /// The split contains no samples to measure on.
    #[error("the data has no samples in its {split} split")]
    NoSamples {
        /// The split.
        split: &'static str,
    },
    /// Another process writes to the directory.
    #[error("{}: another run is writing to it: wait until it ends, or name another directory", directory.display())]
    Locked {
        /// The directory.
        directory: PathBuf,
    },
    /// The directory already contains a run.
    #[error("{} already contains a run: resume it, or name another directory", directory.display())]
    Occupied {
        /// The directory.
        directory: PathBuf,
    },
    /// The directory already contains results that cannot be continued.
    #[error("{} already contains results, which are not replaced: name another directory", directory.display())]
    HasResults {
        /// The directory.
        directory: PathBuf,
    },
    /// The directory contains no run or scan that could be resumed.
    #[error("{} contains nothing to resume: there is no file {file} in it", directory.display())]
    NothingToResume {
        /// The directory.
        directory: PathBuf,
        /// The file that a run or a scan begins with.
        file: &'static str,
    },
    /// The directory cannot be created.
    #[error("{}: the directory cannot be made: {source}", directory.display())]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// The error of the file system.
        source: std::io::Error,
    },
    /// A file of a run is malformed.
    #[error("{}: {reason}", file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// The problem.
        reason: String,
    },
    /// A file cannot be read or written.
    #[error("{}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// The error of the file system.
        source: std::io::Error,
    },
}

impl RunError {
    pub(crate) fn io(file: &Path, source: std::io::Error) -> Self {
        Self::Io {
            file: file.to_path_buf(),
            source,
        }
    }

    /// The failure to read the file that a run or a scan in this directory begins with.
    pub(crate) fn begin(directory: &Path, name: &'static str, source: std::io::Error) -> Self {
        match source.kind() {
            std::io::ErrorKind::NotFound => Self::NothingToResume {
                directory: directory.to_path_buf(),
                file: name,
            },
            _ => Self::io(&directory.join(name), source),
        }
    }

    pub(crate) fn malformed(file: &Path, reason: impl std::fmt::Display) -> Self {
        Self::Malformed {
            file: file.to_path_buf(),
            reason: reason.to_string(),
        }
    }
}

/// Writes a file atomically.
pub(crate) fn write(file: &Path, text: impl AsRef<[u8]>) -> Result<(), RunError> {
    calcine_files::write(file, text).map_err(|error| RunError::io(file, error))
}
