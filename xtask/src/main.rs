//! Chores of the Calcine workspace: `cargo xtask --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    xtask::main()
}
