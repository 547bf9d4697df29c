//! The checkpoints of a run: directories that are either complete or absent.
//!
//! ```text
//! checkpoint/
//!   step-00000468/
//!     checkpoint.json            format, clock, seed, learning-rate schedules, history
//!     model.safetensors          every float parameter and running statistic, with Burn's names and layouts
//!     optimizer.safetensors      optimizer state, by parameter path and field
//!     policy-0-NAME.FILE         the state of each policy: masks, frozen references
//!   best.safetensors             the weights of the epoch to keep
//! ```
//!
//! A checkpoint is written under a temporary name and renamed when it is complete on disk, so a run that is killed
//! leaves the last complete one. Tensors are keyed by parameter *path* (Burn's own records are keyed by random
//! identifiers), and nothing in a checkpoint depends on the time or the machine: equal runs give equal bytes.

mod directory;
mod model;
mod optimizer;

pub(crate) use directory::all;
pub use directory::{FORMAT, Header, best, latest, load, save, save_best};
pub use model::{load_model, save_model};
pub(crate) use optimizer::OptimizerState;

use std::path::{Path, PathBuf};

/// Why a checkpoint cannot be written, read or restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// A file operation failed.
    #[error("{}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// A file does not have the expected content.
    #[error("{}: {reason}", file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// What is wrong, and what was expected.
        reason: String,
    },
    /// The directory contains checkpoints of a run that has done more steps. New checkpoints would be older than those.
    #[error(
        "{} is a checkpoint of a run that has done more than {step} steps: resume that run, or choose another directory",
        checkpoint.display()
    )]
    Ahead {
        /// The newest checkpoint there.
        checkpoint: PathBuf,
        /// The step of this run.
        step: u64,
    },
    /// The directory contains no complete checkpoint.
    #[error("{} contains no complete checkpoint", directory.display())]
    None {
        /// The directory.
        directory: PathBuf,
    },
}

impl CheckpointError {
    fn io(file: &Path, source: std::io::Error) -> Self {
        Self::Io {
            file: file.to_path_buf(),
            source,
        }
    }

    fn malformed(file: &Path, reason: impl std::fmt::Display) -> Self {
        Self::Malformed {
            file: file.to_path_buf(),
            reason: reason.to_string(),
        }
    }
}
