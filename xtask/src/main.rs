//! Reference runs and chores of the Calcine workspace: `cargo xtask --help`.

mod activations;
mod bench;
mod cargo;
mod check;
#[cfg(test)]
mod documents;
mod failure;
mod features;
mod interrupt;
mod logs;
mod network;
mod plot;
mod progress;
mod quantize;
mod recipe;
mod sensitivity;
mod summary;
mod terminal;
mod test;
mod thin;
mod tidy;
mod train_cifar;
mod whole;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser};
use mimalloc::MiMalloc;

use crate::terminal::{WIDTH_HELP, stderr};

/// Training asks for the same megabytes in every step. The system's allocator gives them back to the kernel each
/// time, and to fill fresh pages then takes a good part of the step.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Reference runs and chores of the Calcine workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, after_help = WIDTH_HELP)]
enum Command {
    TrainCifar(Box<train_cifar::Args>),
    Sensitivity(Box<sensitivity::Args>),
    Summary(summary::Args),
    Activations(Box<activations::Args>),
    Plot(plot::Args),
    #[command(subcommand)]
    Recipe(recipe::Command),
    Check(check::Args),
    Quantize(Box<quantize::Args>),
    Thin(Box<thin::Args>),
    Tidy(tidy::Args),
    Test(test::Args),
    Features(features::Args),
    Bench(bench::Args),
}

impl Command {
    /// What the command line asks for; ends the process with a message if that is nothing.
    fn of_line() -> Self {
        let matches = with_negative_numbers(Self::command()).get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// `--epochs -3` is a wrong number rather than an unknown option `-3`.
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
        Command::TrainCifar(args) => train_cifar::run(&args),
        Command::Sensitivity(args) => sensitivity::run(&args),
        Command::Summary(args) => summary::run(&args),
        Command::Activations(args) => activations::run(&args),
        Command::Plot(args) => plot::run(&args),
        Command::Recipe(command) => recipe::run(&command),
        Command::Check(args) => check::run(&args),
        Command::Quantize(args) => quantize::run(&args),
        Command::Thin(args) => thin::run(&args),
        Command::Tidy(args) => tidy::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Features(args) => features::run(&args),
        Command::Bench(args) => bench::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            stderr(&failure.last_line());
            ExitCode::from(failure.exit_code())
        }
    }
}
