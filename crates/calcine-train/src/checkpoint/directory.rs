use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::Device;
use calcine_params::Inventory;
use calcine_schedule::Clock;
use serde::{Deserialize, Serialize};

use super::optimizer::{OptimizerState, Scalars};
use super::{CheckpointError, load_model, save_model};
use crate::{Driver, History, PolicyRecord, Run, Totals};

/// The version of the layout. Checkpoints of another version are rejected.
pub const FORMAT: u32 = 2;

/// The number of complete checkpoints that are kept.
const KEPT: usize = 2;

const HEADER: &str = "checkpoint.json";
const MODEL: &str = "model.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";

/// The content of `checkpoint.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The version of the layout: [`FORMAT`].
    pub format: u32,
    /// The next step.
    pub clock: Clock,
    /// The epochs so far.
    pub history: History,
    /// The totals of the loss and the metrics in the unfinished epoch.
    pub unfinished: Totals,
    /// The state of each learning-rate schedule.
    pub rates: Vec<Vec<f64>>,
    /// The names of the policies, in order.
    pub policies: Vec<String>,
    /// Additional information from the caller, such as the recipe and the seed.
    pub context: serde_json::Value,
    optimizer: Scalars,
}

/// Writes a checkpoint of a run into `directory`, and removes all checkpoints except the newest two.
///
/// # Errors
///
/// If a file cannot be written.
pub fn save<M: Module>(
    run: &Run<M>,
    context: &serde_json::Value,
    directory: &Path,
) -> Result<PathBuf, CheckpointError> {
    let clock = *run.driver.clock();
    let complete = directory.join(format!("step-{:08}", clock.global_step()));
    let partial = directory.join(format!(".step-{:08}.partial", clock.global_step()));
    let io = |file: &Path| {
        let file = file.to_path_buf();
        move |error| CheckpointError::io(&file, error)
    };
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(io(&partial))?;
    }
    fs::create_dir_all(&partial).map_err(io(&partial))?;
    save_model(&run.model, &partial.join(MODEL))?;
    let inventory = Inventory::from_module(&run.model);
    let file = partial.join(OPTIMIZER);
    let malformed = |reason: String| CheckpointError::malformed(&file, reason);
    let optimizer = OptimizerState::new(&run.optimizer, &inventory).map_err(malformed)?;
    let bytes = optimizer.to_bytes().map_err(malformed)?;
    calcine_files::write(&file, bytes).map_err(io(&file))?;
    let mut policies = Vec::new();
    for (index, policy) in run.driver.policies().enumerate() {
        for (name, bytes) in policy.record() {
            let file = partial.join(format!("{}{name}", prefix(index, policy.name())));
            calcine_files::write(&file, bytes).map_err(io(&file))?;
        }
        policies.push(policy.name().to_owned());
    }
    let header = Header {
        format: FORMAT,
        clock,
        history: run.history.clone(),
        unfinished: run.unfinished(),
        rates: run.driver.rates().state(),
        policies,
        context: context.clone(),
        optimizer: optimizer.scalars,
    };
    let file = partial.join(HEADER);
    let text = serde_json::to_string_pretty(&header).expect("a header is plain data");
    calcine_files::write(&file, text).map_err(io(&file))?;
    if complete.exists() {
        fs::remove_dir_all(&complete).map_err(io(&complete))?;
    }
    fs::rename(&partial, &complete).map_err(io(&complete))?;
    calcine_files::sync_directory(directory).map_err(io(directory))?;
    let kept = all(directory)?;
    for (_, old) in kept.iter().rev().skip(KEPT) {
        fs::remove_dir_all(old).map_err(io(old))?;
    }
    Ok(complete)
}

/// Writes the weights of the epoch to keep: `best.safetensors` in the directory of the checkpoints.
///
/// # Errors
///
/// If the file cannot be written.
pub fn save_best<M: Module>(model: &M, directory: &Path) -> Result<(), CheckpointError> {
    fs::create_dir_all(directory).map_err(|error| CheckpointError::io(directory, error))?;
    save_model(model, &best(directory))
}

/// The path of the file that [`save_best`] writes.
#[must_use]
pub fn best(directory: &Path) -> PathBuf {
    directory.join("best.safetensors")
}

/// Restores the newest complete checkpoint in `directory`: the model, the optimizer, the policies, the clock and the
/// history. Returns the context that was saved with it.
///
/// # Errors
///
/// If there is no checkpoint, or it has another format, or it does not belong to the model or the policies.
pub fn load<M: Module>(
    run: Run<M>,
    directory: &Path,
    device: &Device,
) -> Result<(Run<M>, serde_json::Value), CheckpointError> {
    let (checkpoint, header) = latest(directory)?;
    let file = checkpoint.join(HEADER);
    let Run {
        model,
        mut driver,
        optimizer,
        ..
    } = run;
    // Masks and references on an autodiff device would make autodiff record every selection.
    let device = &device.clone().without_autodiff();
    fits(&driver, &header).map_err(|reason| CheckpointError::malformed(&file, reason))?;
    let model = load_model(model, &checkpoint.join(MODEL))?;
    let inventory = Inventory::from_module(&model);
    let state = checkpoint.join(OPTIMIZER);
    let bytes = fs::read(&state).map_err(|error| CheckpointError::io(&state, error))?;
    let optimizer = OptimizerState::from_bytes(&bytes, header.optimizer)
        .and_then(|state| state.load_into(optimizer, &inventory))
        .map_err(|reason| CheckpointError::malformed(&state, reason))?;
    let (policies, rates) = driver.parts_mut();
    for (index, policy) in policies.iter_mut().enumerate() {
        let record = record(&checkpoint, &prefix(index, policy.name()))?;
        policy
            .restore(&record, &inventory, device)
            .map_err(|error| CheckpointError::malformed(&checkpoint, error))?;
    }
    rates
        .restore(&header.rates)
        .map_err(|error| CheckpointError::malformed(&file, error))?;
    driver.resume_at(header.clock);
    let run = Run::resumed(
        model,
        driver,
        optimizer,
        header.history,
        header.unfinished,
        device,
    );
    Ok((run, header.context))
}

/// Checks whether a checkpoint belongs to this driver.
fn fits<M: Module>(driver: &Driver<M>, header: &Header) -> Result<(), String> {
    driver.goes_on(&header.policies, header.rates.len(), header.clock)
}

/// The newest complete checkpoint in `directory`, and its header.
///
/// # Errors
///
/// If there is none, or it has another format.
pub fn latest(directory: &Path) -> Result<(PathBuf, Header), CheckpointError> {
    let (_, newest) = all(directory)?.pop().ok_or_else(|| CheckpointError::None {
        directory: directory.to_path_buf(),
    })?;
    let file = newest.join(HEADER);
    let text = fs::read_to_string(&file).map_err(|error| CheckpointError::io(&file, error))?;
    let format = serde_json::from_str::<serde_json::Value>(&text)
        .map_err(|error| CheckpointError::malformed(&file, error))?["format"]
        .clone();
    if format != FORMAT {
        let reason = format!("it has format {format}, but this version reads format {FORMAT}");
        return Err(CheckpointError::malformed(&file, reason));
    }
    let header = serde_json::from_str(&text);
    let header = header.map_err(|error| CheckpointError::malformed(&file, error))?;
    Ok((newest, header))
}

/// The complete checkpoints and their steps, oldest first; empty if the directory does not exist.
pub(crate) fn all(directory: &Path) -> Result<Vec<(u64, PathBuf)>, CheckpointError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(CheckpointError::io(directory, error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry
            .map_err(|error| CheckpointError::io(directory, error))?
            .path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let step = name
            .strip_prefix("step-")
            .and_then(|step| step.parse::<u64>().ok());
        if let Some(step) = step.filter(|_| path.is_dir()) {
            found.push((step, path));
        }
    }
    found.sort();
    Ok(found)
}

/// The prefix of the file names of a policy. The name of the policy is for human readers, the index makes it unique,
/// and characters that a file system may reject become `_`.
fn prefix(index: usize, name: &str) -> String {
    let safe = |c: char| {
        if c.is_ascii_alphanumeric() || "-_.".contains(c) {
            c
        } else {
            '_'
        }
    };
    let name: String = name.chars().take(64).map(safe).collect();
    format!("policy-{index}-{name}.")
}

/// The record of a policy: the files whose name begins with `prefix`.
fn record(checkpoint: &Path, prefix: &str) -> Result<PolicyRecord, CheckpointError> {
    let mut record = BTreeMap::new();
    let entries = fs::read_dir(checkpoint);
    for entry in entries.map_err(|error| CheckpointError::io(checkpoint, error))? {
        let path = entry
            .map_err(|error| CheckpointError::io(checkpoint, error))?
            .path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if let Some(name) = name.strip_prefix(prefix) {
            let bytes = fs::read(&path).map_err(|error| CheckpointError::io(&path, error))?;
            record.insert(name.to_owned(), bytes);
        }
    }
    Ok(record)
}
