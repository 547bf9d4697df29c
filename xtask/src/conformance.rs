//! `cargo xtask onnx-conformance`: the tests of single operators that the ONNX project has.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cargo;
use crate::failure::Failure;

/// The program that writes the tests.
const WRITER: &str = include_str!("node_tests.py");

/// Run ONNX's own tests of single operators through the importer: prints those that are unsupported or wrong, and the sums.
///
/// The tests come with the Python package `onnx`, which generates them (`pip install onnx numpy ml_dtypes pillow`). Fails if any is wrong.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The Python that has the package.
    #[arg(long, default_value = "python3", value_name = "PROGRAM")]
    python: String,
    /// A folder of tests, `NAME/model.onnx` and `NAME/test_data_set_0/input_0.pb`, instead of those of the package.
    #[arg(long, value_name = "DIR", conflicts_with = "python")]
    data: Option<PathBuf>,
    /// Only the tests whose names contain this.
    name: Option<String>,
}

/// Writes the tests unless they are given, and runs them.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let scratch = tempfile::tempdir().map_err(|error| Failure::new(error.to_string()))?;
    let folder = match &args.data {
        Some(folder) => {
            std::path::absolute(folder).map_err(|error| Failure::new(error.to_string()))?
        }
        None => {
            let folder = scratch.path().join("tests");
            write(&args.python, &folder)?;
            folder
        }
    };
    let program = cargo::built("example", "node_tests")?;
    cargo::run(Command::new(program).arg(folder).args(&args.name))
}

/// Has Python write the tests: the program goes to its standard input.
fn write(python: &str, folder: &Path) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::new(format!("cannot run `{python}`: {error}"));
    let mut child = Command::new(python)
        .arg("-")
        .arg(folder)
        .stdin(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut input) = child.stdin.take() {
        // If Python has ended early, its exit code tells why.
        input.write_all(WRITER.as_bytes()).ok();
    }
    match child.wait().map_err(failed)?.success() {
        true => Ok(()),
        false => Err(Failure::new(format!(
            "`{python}` cannot write the tests: it needs the packages onnx, numpy, ml_dtypes and pillow"
        ))),
    }
}
