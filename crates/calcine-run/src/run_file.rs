use std::fs;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::RunError;
use crate::error::write;

/// The name of the file in the directory of a run.
const FILE: &str = "run.json";

/// The contents of `run.json`: the settings that determine a run and with which it is resumed, and its origin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunFile {
    /// The settings that determine the run: [`TrainSettings::identity`](crate::TrainSettings::identity).
    pub settings: Value,
    /// The version of Calcine with which the run began.
    pub calcine: String,
    /// The command line with which it began.
    pub command: Vec<String>,
    /// The SHA-256 hash of the recipe's text, in hexadecimal digits.
    pub recipe_sha256: String,
    /// The seed of every random stream.
    pub seed: u64,
    /// The machine on which it began.
    pub machine: Machine,
}

/// The machine on which a run began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// The operating system.
    pub os: String,
    /// The processor architecture.
    pub architecture: String,
    /// The number of threads that can run at the same time.
    pub threads: usize,
}

impl RunFile {
    /// The data of a run that begins now, on this machine.
    pub(crate) fn of_this_process(settings: Value, recipe: &str, seed: u64) -> Self {
        let digest = Sha256::digest(recipe.as_bytes());
        let args = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned());
        Self {
            settings,
            calcine: env!("CARGO_PKG_VERSION").to_owned(),
            command: args.collect(),
            recipe_sha256: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            seed,
            machine: Machine {
                os: std::env::consts::OS.to_owned(),
                architecture: std::env::consts::ARCH.to_owned(),
                threads: std::thread::available_parallelism().map_or(1, usize::from),
            },
        }
    }

    /// Reads the `run.json` of a directory.
    ///
    /// # Errors
    ///
    /// If the file does not exist or is malformed.
    pub fn load(directory: &Path) -> Result<Self, RunError> {
        let file = directory.join(FILE);
        let text = fs::read_to_string(&file);
        let text = text.map_err(|error| RunError::begin(directory, FILE, error))?;
        serde_json::from_str(&text).map_err(|error| RunError::malformed(&file, error))
    }

    /// The settings that determine the run, as the type that was given to
    /// [`TrainSettings::with_identity`](crate::TrainSettings::with_identity).
    ///
    /// # Errors
    ///
    /// The errors of [`load`](Self::load), and an error if the settings are not of that type.
    pub fn settings_of<S: DeserializeOwned>(directory: &Path) -> Result<S, RunError> {
        let run = Self::load(directory)?;
        let file = directory.join(FILE);
        serde_json::from_value(run.settings).map_err(|error| RunError::malformed(&file, error))
    }

    pub(crate) fn save(&self, directory: &Path) -> Result<(), RunError> {
        let text = serde_json::to_string_pretty(self).expect("settings are plain data");
        write(&directory.join(FILE), text)
    }
}
