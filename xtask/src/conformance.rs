//! `cargo xtask onnx-conformance`: the tests of single operators that the ONNX project has.

use std::path::PathBuf;
use std::process::Command;

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
            let script = scratch.path().join("node_tests.py");
            let folder = scratch.path().join("tests");
            std::fs::write(&script, WRITER).map_err(|error| Failure::new(error.to_string()))?;
            cargo::run(Command::new(&args.python).arg(&script).arg(&folder))?;
            folder
        }
    };
    let program = cargo::built("example", "node_tests")?;
    cargo::run(Command::new(program).arg(folder).args(&args.name))
}
