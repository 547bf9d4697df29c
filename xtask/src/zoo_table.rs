//! `cargo xtask zoo-table`: networks of a folder of ONNX files, taken through all stages.

use std::path::PathBuf;
use std::process::Command;

use crate::cargo;
use crate::failure::Failure;

/// Take the networks of a folder of ONNX files through all stages, and print a row for each: read, compared with ONNX Runtime, pruned by
/// 30 % of the channels and thinned, quantized to 8 bits, written and read again.
///
/// `benches/peers/export_torchvision.py` writes such a folder. Fails if a network does not pass all stages.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder.
    folder: PathBuf,
    /// Only the files whose names contain this.
    name: Option<String>,
}

/// Builds the program and runs it.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let program = cargo::built("bin", "zoo_table")?;
    cargo::run(Command::new(program).arg(&args.folder).args(&args.name))
}
