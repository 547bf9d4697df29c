use std::path::{Path, PathBuf};

use calcine_observe::ObserveError;
use calcine_params::UnknownParameter;
use calcine_plot::PlotError;
use calcine_quantize::{BudgetError, QatError, QuantizeError, QuantizedFileError, SearchError};
use calcine_recipe::RecipeError;
use calcine_sensitivity::ScanError;
use calcine_thin::ThinError;
use calcine_trace::{ForwardError, TraceError};
use calcine_train::checkpoint::CheckpointError;
use calcine_train::{ActivationSourceError, FitError, ThinnedError};
use calcine_weights::WeightsError;

/// A job that cannot be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The recipe is not sound, or does not fit the network.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// Recipe, network, objective, data and settings do not fit together; every problem at once.
    #[error("{}", problems.join("\n"))]
    Unfit {
        /// A sentence for each.
        problems: Vec<String>,
    },
    /// The weights cannot be saved.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// Training could not go on.
    #[error(transparent)]
    Fit(#[from] FitError),
    /// The model cannot be traced.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// The network cannot compute the inputs, or computes other outputs than the objective takes.
    #[error(transparent)]
    Forward(#[from] ForwardError),
    /// Its activations cannot be observed.
    #[error(transparent)]
    Observe(#[from] ObserveError),
    /// A policy looks at activations that nothing shows it.
    #[error(transparent)]
    ActivationSource(#[from] ActivationSourceError),
    /// The network cannot be thinned.
    #[error(transparent)]
    Thin(#[from] ThinError),
    /// Training cannot go on with the thinned network.
    #[error(transparent)]
    Thinned(#[from] ThinnedError),
    /// The network cannot be quantized.
    #[error(transparent)]
    Quantize(#[from] QuantizeError),
    /// The search for better quantization settings did not come to an end.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// No bit widths are small enough.
    #[error(transparent)]
    BudgetError(#[from] BudgetError),
    /// The network cannot be trained for quantization.
    #[error(transparent)]
    Qat(#[from] QatError),
    /// The quantized network cannot be written.
    #[error(transparent)]
    QuantizedFile(#[from] QuantizedFileError),
    /// The scan could not go on.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// Its charts cannot be drawn.
    #[error(transparent)]
    Plot(#[from] PlotError),
    /// A pattern that matches no weight.
    #[error(transparent)]
    Params(#[from] UnknownParameter),
    /// A checkpoint cannot be read or written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A quantized network where a float network is needed.
    #[error(
        "the network is quantized: it can be evaluated and its activations observed, but it cannot be changed or trained; \
         give the float network that it was made of"
    )]
    Quantized,
    /// No sample was left to measure on.
    #[error("the data has no samples in its {split} split")]
    NoSamples {
        /// The split.
        split: &'static str,
    },
    /// Another process writes there.
    #[error("{}: another run is writing there: wait for it, or give another directory", directory.display())]
    Locked {
        /// The directory.
        directory: PathBuf,
    },
    /// The directory has a run already.
    #[error("{} holds a run already: resume it, or give another directory", directory.display())]
    Occupied {
        /// The directory.
        directory: PathBuf,
    },
    /// A file of a run that is not what it should be.
    #[error("{}: {reason}", file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The file system refused.
    #[error("{}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// Why.
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
