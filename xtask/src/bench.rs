//! `cargo xtask bench`: the timings.

use crate::cargo::{self, cargo};
use crate::failure::Failure;

/// Measure, in the profile that everything else is built with.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The bench to run; all of them when absent.
    name: Option<String>,
    /// Passed on to the bench programs.
    #[arg(last = true)]
    args: Vec<String>,
}

/// Runs one bench, or all.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    cargo::run(&mut cargo(arguments(args)))
}

fn arguments(args: &Args) -> Vec<&str> {
    let mut arguments = vec!["bench", "--package", "calcine-benches", "--profile", "dev"];
    if let Some(name) = &args.name {
        arguments.extend(["--bench", name]);
    }
    if !args.args.is_empty() {
        arguments.push("--");
        arguments.extend(args.args.iter().map(String::as_str));
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_arguments_reach_cargo_bench() {
        let all = Args {
            name: None,
            args: vec![],
        };
        assert_eq!(
            arguments(&all).join(" "),
            "bench --package calcine-benches --profile dev"
        );
        let one = Args {
            name: Some("scores".to_owned()),
            args: vec!["--quick".to_owned()],
        };
        assert_eq!(
            arguments(&one).join(" "),
            "bench --package calcine-benches --profile dev --bench scores -- --quick"
        );
    }
}
