//! Running the program.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", ".."].iter().collect()
}

/// The program with the words of a line, in an environment that decides nothing.
pub(crate) fn command(line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_calcine"));
    command.args(line.split_whitespace());
    for variable in ["CALCINE_DATA", "COLUMNS", "CLICOLOR_FORCE"] {
        command.env_remove(variable);
    }
    command
}

pub(crate) fn calcine(line: &str) -> Output {
    command(line).output().unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What a command printed that succeeded.
pub(crate) fn stdout(line: &str) -> String {
    let output = calcine(line);
    assert!(output.status.success(), "{line}: {}", stderr(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The JSON that a command prints as the last line of stdout.
pub(crate) fn report(line: &str) -> Value {
    let stdout = stdout(line);
    let last = stdout.lines().last().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|error| panic!("{line}: {error}: {last}"))
}

/// What is wrong, in one line, with code two.
pub(crate) fn refusal(line: &str) -> String {
    let output = calcine(line);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{line}: {text}");
    let errors = text.lines().filter(|line| line.starts_with("error: "));
    assert_eq!(errors.count(), 1, "{line}: {text}");
    text
}

/// A directory for a test, whose path has no spaces.
pub(crate) fn place() -> (TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap().to_owned();
    assert!(!path.contains(' '), "{path}");
    (directory, path)
}

/// A network file and what it is: `simplenet`, in float, with random weights and half of its channels.
pub(crate) fn network_file(directory: &Path) -> String {
    let out = directory.join("thin");
    let out = out.to_str().unwrap();
    stdout(&format!(
        "thin simplenet --weights none --data synthetic --level 0.5 --batches 1 --test-limit 50 --out {out}"
    ));
    format!("{out}/thinned.safetensors")
}

/// A quantized file of `simplenet`.
pub(crate) fn quantized_file(directory: &Path) -> String {
    let out = directory.join("quantized");
    let out = out.to_str().unwrap();
    stdout(&format!(
        "quantize simplenet --weights none --data synthetic --calibration-images 20 --test-limit 50 --out {out}"
    ));
    format!("{out}/quantized.safetensors")
}
