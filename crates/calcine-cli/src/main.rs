//! The command `calcine`: `calcine --help`.

mod activations;
mod bench;
#[cfg(test)]
mod documents;
mod evaluate;
mod events;
mod export;
mod failure;
mod interrupt;
mod logs;
mod memory;
mod model;
mod normalization;
mod options;
mod plot;
mod progress;
mod quantize;
mod recipe;
mod run;
mod sensitivity;
mod settings;
mod setup;
mod summary;
mod terminal;
mod thin;
mod train;
mod whole;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser};
use mimalloc::MiMalloc;

use crate::terminal::{WIDTH_HELP, stderr};

/// Training allocates the same megabytes in every step. The system's allocator returns them to the kernel each time,
/// and filling fresh pages then takes a large part of the step.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Prunes, thins, quantizes, trains and measures neural networks.
#[derive(Debug, Parser)]
#[command(name = "calcine", version, after_help = WIDTH_HELP)]
enum Command {
    Summary(summary::Args),
    Activations(Box<activations::Args>),
    Sensitivity(Box<sensitivity::Args>),
    Train(Box<train::Args>),
    Thin(Box<thin::Args>),
    Quantize(Box<quantize::Args>),
    Evaluate(Box<evaluate::Args>),
    Export(Box<export::Args>),
    #[command(subcommand)]
    Recipe(recipe::Command),
    Plot(plot::Args),
    Bench(Box<bench::Args>),
    Run(Box<run::Args>),
    /// The run of `cargo xtask train-cifar`.
    #[command(hide = true)]
    TrainCifar(Box<train::ReferenceArgs>),
}

impl Command {
    /// Parses the command line; if it is invalid, ends the process with a message.
    fn of_line() -> Self {
        let matches = command().get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// The grammar of the command line.
fn command() -> clap::Command {
    with_negative_numbers(Command::command())
}

/// Makes `--epochs -3` an invalid number instead of an unknown option `-3`.
fn with_negative_numbers(command: clap::Command) -> clap::Command {
    command
        .mut_args(|arg| match arg.get_action().takes_values() {
            true => arg.allow_negative_numbers(true),
            false => arg,
        })
        .mut_subcommands(with_negative_numbers)
}

fn main() -> ExitCode {
    let result = match Command::of_line() {
        Command::Summary(args) => summary::run(&args),
        Command::Activations(args) => activations::run(&args),
        Command::Sensitivity(args) => sensitivity::run(&args),
        Command::Train(args) => train::run(&args),
        Command::TrainCifar(args) => train::reference(&args),
        Command::Evaluate(args) => evaluate::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Thin(args) => thin::run(&args),
        Command::Quantize(args) => quantize::run(&args),
        Command::Recipe(command) => recipe::run(&command),
        Command::Plot(args) => plot::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Run(args) => run::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            stderr(&failure.last_line());
            ExitCode::from(failure.exit_code())
        }
    }
}
