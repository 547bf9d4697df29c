//! Running the program.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", ".."].iter().collect()
}

/// The program, in an environment that decides nothing. The reference run has its recipe, as `cargo xtask` gives it.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_calcine"));
    command.args(arguments);
    for variable in ["CALCINE_DATA", "COLUMNS", "CLICOLOR_FORCE"] {
        command.env_remove(variable);
    }
    let chosen = ["--recipe", "--resume"];
    if arguments.first() == Some(&"train-cifar") && !arguments.iter().any(|a| chosen.contains(a)) {
        command
            .arg("--recipe")
            .arg(root().join("recipes/resnet20-agp.toml"));
    }
    command
}

pub(crate) fn calcine(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What a command printed that succeeded.
pub(crate) fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", stderr(output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The JSON that a command printed as the last line of stdout.
pub(crate) fn report(output: &Output) -> Value {
    let stdout = stdout(output);
    serde_json::from_str(stdout.lines().last().unwrap()).unwrap()
}
