use std::path::PathBuf;

use crate::checkpoint::CheckpointError;
use crate::data::DataFailure;
use crate::finite::NotFinite;
use crate::history::MetricError;
use crate::source_error::ActivationSourceError;

/// Why a training run ended with an error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FitError {
    /// The loss is NaN or infinite.
    #[error(
        "the loss is {loss} in epoch {epoch}, at or before step {step}: the run diverged \
         (try a smaller learning rate){}",
        kept.as_ref().map(|path| format!("; the last good checkpoint is {}", path.display()))
            .unwrap_or_default()
    )]
    Diverged {
        /// The mean loss of the epoch so far, or of the validation at its end.
        loss: f64,
        /// The epoch, from 0.
        epoch: u64,
        /// The number of steps since the run began.
        step: u64,
        /// The last checkpoint after which the loss was still finite.
        kept: Option<PathBuf>,
    },
    /// An epoch had fewer batches than the data announced.
    #[error("epoch {epoch} ended after {found} batches, expected {expected}")]
    ShortEpoch {
        /// The epoch, from 0.
        epoch: u64,
        /// The number of batches in the epoch.
        found: u64,
        /// The announced number of batches.
        expected: u64,
    },
    /// The data cannot be read.
    #[error(transparent)]
    Data(DataFailure),
    /// A parameter or a running statistic is not finite, although the loss may be.
    #[error(
        "{source}, in epoch {epoch}, at or before step {step}: the run diverged (try a smaller learning \
         rate){}",
        kept.as_ref().map(|path| format!("; the last good checkpoint is {}", path.display()))
            .unwrap_or_default()
    )]
    NotFinite {
        /// The parameters.
        source: NotFinite,
        /// The epoch, from 0.
        epoch: u64,
        /// The number of steps since the run began.
        step: u64,
        /// The last checkpoint after which everything was still finite.
        kept: Option<PathBuf>,
    },
    /// The driver and the data have different numbers of steps per epoch.
    #[error(
        "the data has {data} batches per epoch, but the driver was created for {driver} steps per epoch: `fit` \
         does one step per batch"
    )]
    Steps {
        /// The number of batches per epoch of the data.
        data: u64,
        /// The number of steps per epoch of the driver.
        driver: u64,
    },
    /// A checkpoint cannot be read or written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A policy needs activations, and there is no source for them.
    #[error(transparent)]
    ActivationSource(#[from] ActivationSourceError),
    /// The metric for comparing epochs is invalid.
    #[error(transparent)]
    Metric(#[from] MetricError),
}
