use std::path::{Path, PathBuf};

use calcine_observe::ObserveError;
use calcine_params::UnknownParameter;
use calcine_quantize::{BudgetError, QatError, QuantizeError, QuantizedFileError, SearchError};
use calcine_recipe::RecipeError;
use calcine_thin::ThinError;
use calcine_trace::TraceError;
use calcine_train::checkpoint::CheckpointError;
use calcine_train::{ActivationSourceError, FitError, ThinnedError};

use crate::{Architecture, UnknownArchitecture};
use calcine_data::DataError;
use calcine_weights::WeightsError;

/// A reference run that cannot be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// The recipe is not sound or does not fit.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// No such network.
    #[error(transparent)]
    Architecture(#[from] UnknownArchitecture),
    /// The images cannot be had.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The weights cannot be loaded or saved.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// Training could not go on.
    #[error(transparent)]
    Fit(#[from] FitError),
    /// The network cannot be looked at from inside.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// Its activations cannot be looked at.
    #[error(transparent)]
    Observe(#[from] ObserveError),
    /// Nothing shows a policy the activations that it looks at.
    #[error(transparent)]
    ActivationSource(#[from] ActivationSourceError),
    /// It cannot be thinned.
    #[error(transparent)]
    Thin(#[from] ThinError),
    /// Training cannot go on with the thinned network.
    #[error(transparent)]
    Thinned(#[from] ThinnedError),
    /// It cannot be quantized.
    #[error(transparent)]
    Quantize(#[from] QuantizeError),
    /// Looking for better quantizers did not come to an end.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// No widths are small enough.
    #[error(transparent)]
    BudgetError(#[from] BudgetError),
    /// It cannot be trained quantization-aware.
    #[error(transparent)]
    Qat(#[from] QatError),
    /// The quantized network cannot be written.
    #[error(transparent)]
    QuantizedFile(#[from] QuantizedFileError),
    /// A teacher without weights.
    #[error(
        "the run begins from scratch, so its teacher has learned nothing: name `weights` in `[distill]`"
    )]
    NoTeacher,
    /// A pattern that matches no weight.
    #[error(transparent)]
    Params(#[from] UnknownParameter),
    /// A checkpoint could not be taken up.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// No weights are shipped for this network.
    #[error(
        "no weights are shipped for {architecture}, only for resnet20: give a file, or `none` to \
         begin from scratch"
    )]
    NoDefault {
        /// The network.
        architecture: Architecture,
    },
    /// Options about a file of weights, and no such file.
    #[error(
        "a key, a prefix or names to ignore are for a file of weights: the weights are `{weights}`"
    )]
    NoFile {
        /// What is given as weights.
        weights: String,
    },
    /// A network in integers where one in float is needed.
    #[error(
        "{} holds a quantized network, which can be evaluated, summarised and looked at, but not changed: give the \
         network that it was made of",
        file.display()
    )]
    Quantized {
        /// The file.
        file: PathBuf,
    },
    /// Another process writes there.
    #[error("{}: another run is writing there: wait for it, or give another directory", directory.display())]
    Locked {
        /// The directory.
        directory: PathBuf,
    },
    /// An epoch without a single batch.
    #[error("{images} training images make no batch of {batch_size}")]
    NoBatch {
        /// Training images in an epoch.
        images: usize,
        /// Images in a batch.
        batch_size: usize,
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

impl ReferenceError {
    pub(super) fn io(file: &Path, source: std::io::Error) -> Self {
        Self::Io {
            file: file.to_path_buf(),
            source,
        }
    }
}
