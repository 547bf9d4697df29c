//! A run's checkpoints: directories that are complete or absent.
//!
//! ```text
//! checkpoint/
//!   step-00000468/
//!     checkpoint.json            format, clock, seed, learning-rate schedules, history
//!     model.safetensors          every float parameter and running statistic, Burn's names and layouts
//!     optimizer.safetensors      optimizer state, by parameter path and field
//!     policy-0-NAME.FILE         what each policy keeps: masks, frozen references
//!   best.safetensors             the weights of the epoch to keep
//! ```
//!
//! A checkpoint is written under a temporary name and renamed when all of it is on disk, so a run that
//! is killed leaves the last complete one. Tensors are keyed by parameter *path* (Burn's own records
//! key by random identifiers), and nothing in a checkpoint depends on the time or the machine: equal
//! runs give equal bytes.

mod directory;
mod model;
mod optimizer;

pub(crate) use directory::all;
pub use directory::{FORMAT, Header, best, latest, load, save, save_best};
pub use model::{load_model, save_model};
pub(crate) use optimizer::OptimizerState;

use std::path::{Path, PathBuf};

/// A checkpoint that cannot be written, read or taken up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The file system refused.
    #[error("{}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file that is not what it should be.
    #[error("{}: {reason}", file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// What is wrong and what was expected.
        reason: String,
    },
    /// The directory holds the checkpoints of a run that is further on. Saved ones would be taken for
    /// older than those.
    #[error(
        "{} is a checkpoint of a run that is further on than step {step}: resume it, or save elsewhere",
        checkpoint.display()
    )]
    Ahead {
        /// The newest checkpoint there.
        checkpoint: PathBuf,
        /// Where this run is.
        step: u64,
    },
    /// No complete checkpoint in the directory.
    #[error("{} holds no complete checkpoint", directory.display())]
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
