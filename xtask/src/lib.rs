//! Chores of the Calcine workspace: `cargo xtask --help`.
//!
//! A library beside the program, so that the tests of the documents can ask whether a command line is one.

mod bench;
mod cargo;
mod check;
mod conformance;
mod failure;
mod features;
mod reference;
mod terminal;
mod test;
mod tidy;
mod zoo_table;

use std::process::ExitCode;

use clap::{FromArgMatches, Parser};

use crate::terminal::stderr;

/// Chores of the Calcine workspace, and its reference run.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
enum Command {
    TrainCifar(reference::Args),
    Check(check::Args),
    Tidy(tidy::Args),
    Test(test::Args),
    Features(features::Args),
    Bench(bench::Args),
    OnnxConformance(conformance::Args),
    ZooTable(zoo_table::Args),
}

/// What a command line may be.
#[must_use]
pub fn command() -> clap::Command {
    <Command as clap::CommandFactory>::command()
}

/// Does what the command line asks for.
#[must_use]
pub fn main() -> ExitCode {
    let matches = command().get_matches();
    let result = match Command::from_arg_matches(&matches).unwrap_or_else(|error| error.exit()) {
        Command::TrainCifar(args) => reference::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Tidy(args) => tidy::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Features(args) => features::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::OnnxConformance(args) => conformance::run(&args),
        Command::ZooTable(args) => zoo_table::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            stderr(&format!("error: {failure}"));
            ExitCode::from(failure.exit_code())
        }
    }
}
