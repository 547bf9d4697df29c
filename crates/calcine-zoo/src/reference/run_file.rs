use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{ReferenceError, Settings};

/// What `run.json` holds: the settings of a run, from which it can be resumed, and what made it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RunFile {
    pub(super) settings: Settings,
    /// The version of Calcine that began the run.
    calcine: String,
    /// The command line that began it.
    command: Vec<String>,
    /// The SHA-256 of the recipe's text, in hexadecimal digits.
    recipe_sha256: String,
    /// The seed of every random stream, whether the recipe or the command line gave it.
    seed: u64,
    machine: Machine,
}

/// Where a run began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Machine {
    os: String,
    architecture: String,
    /// The threads that can run at once.
    threads: usize,
}

impl RunFile {
    /// A run that begins here and now.
    pub(super) fn of_this_process(settings: &Settings) -> Result<Self, ReferenceError> {
        let digest = Sha256::digest(settings.recipe.as_bytes());
        let args = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned());
        Ok(Self {
            calcine: env!("CARGO_PKG_VERSION").to_owned(),
            command: args.collect(),
            recipe_sha256: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            seed: settings.recipe()?.train().seed,
            machine: Machine {
                os: std::env::consts::OS.to_owned(),
                architecture: std::env::consts::ARCH.to_owned(),
                threads: std::thread::available_parallelism().map_or(1, usize::from),
            },
            settings: settings.clone(),
        })
    }
}
