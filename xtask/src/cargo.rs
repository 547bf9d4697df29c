//! Running cargo and asking it about the workspace.

use std::env::consts::EXE_SUFFIX;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cargo_metadata::{CargoOpt, Metadata, MetadataCommand};

use crate::failure::Failure;
use crate::terminal::stderr;

/// The cargo that runs us, with nothing on its standard input.
pub(crate) fn cargo<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Prints the command and runs it. Its output goes where ours goes.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    let line = line(command);
    stderr(&format!("$ {line}"));
    let status = command
        .status()
        .map_err(|error| Failure::new(format!("cannot start `{line}`: {error}")))?;
    if status.success() {
        return Ok(());
    }
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Err(Failure::new(format!("`{line}` failed ({status})")).with_exit_code(code.unwrap_or(1)))
}

/// Builds a program or an example of the workspace, and returns its path.
pub(crate) fn built(kind: &str, name: &str) -> Result<PathBuf, Failure> {
    let members = members()?;
    // The whole workspace, so that Burn has the features that everything else is built with.
    let manifest = members.workspace_root.join("Cargo.toml");
    let kind_option = format!("--{kind}");
    let build = [
        "build",
        "--workspace",
        &kind_option,
        name,
        "--manifest-path",
        manifest.as_str(),
    ];
    run(&mut cargo(build))?;
    let debug = members.target_directory.join("debug");
    let folder = match kind {
        "example" => debug.join("examples"),
        _ => debug,
    };
    Ok(folder.join(format!("{name}{EXE_SUFFIX}")).into())
}

/// Lets `cargo check` pass without CUDA, ROCm or the LLVM that Burn's build scripts download for them.
///
/// They all leave that out for docs.rs. What they built so must not be taken for the real thing, so
/// it has a directory of its own.
pub(crate) fn without_toolkits(command: &mut Command, target: &Path) {
    command
        .env("CARGO_TARGET_DIR", target.join("check"))
        .env("DOCS_RS", "1");
}

/// The workspace with every feature on, so that no optional dependency hides.
pub(crate) fn metadata() -> Result<Metadata, Failure> {
    MetadataCommand::new()
        .features(CargoOpt::AllFeatures)
        .exec()
        .map_err(|error| Failure::new(format!("cannot read the workspace: {error}")))
}

/// The workspace's own packages, without their dependencies; needs nothing downloaded.
pub(crate) fn members() -> Result<Metadata, Failure> {
    MetadataCommand::new()
        .no_deps()
        .exec()
        .map_err(|error| Failure::new(format!("cannot read the workspace: {error}")))
}

/// The command as one would type it, environment first.
fn line(command: &Command) -> String {
    let variables = command.get_envs().filter_map(|(name, value)| {
        Some(format!(
            "{}={}",
            name.to_string_lossy(),
            value?.to_string_lossy()
        ))
    });
    let arguments = command
        .get_args()
        .map(|argument| argument.to_string_lossy().into_owned());
    let words: Vec<String> = variables
        .chain(std::iter::once("cargo".to_owned()))
        .chain(arguments)
        .collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_one_would_type_it() {
        let mut command = cargo(["doc", "--workspace"]);
        command.env("RUSTDOCFLAGS", "-Dwarnings");
        assert_eq!(
            line(&command),
            "RUSTDOCFLAGS=-Dwarnings cargo doc --workspace"
        );
    }

    #[test]
    fn a_failing_command_is_named_in_the_failure() {
        let mut command = cargo(["no-such-command-of-cargo"]);
        command.stderr(Stdio::null());
        let failure = run(&mut command).expect_err("cargo knows no such command");
        assert!(
            failure
                .to_string()
                .contains("cargo no-such-command-of-cargo")
        );
        assert_eq!(failure.exit_code(), 101);
    }
}
