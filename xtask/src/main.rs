//! Reference runs and chores of the Calcine workspace: `cargo xtask --help`.

mod activations;
mod bench;
mod cargo;
mod check;
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
mod test;
mod thin;
mod tidy;
mod train_cifar;
mod whole;

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;

/// Training asks for the same megabytes in every step. The system's allocator gives them back to the kernel each
/// time, and to fill fresh pages then takes a good part of the step.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Reference runs and chores of the Calcine workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
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

fn main() -> ExitCode {
    let result = match Command::parse() {
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
            eprintln!("error: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}
