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
    // The whole workspace, so that Burn has the features that everything else is built with.
    let name = args.name.as_deref().unwrap_or("*");
    let mut arguments = vec!["bench", "--workspace", "--profile", "dev", "--bench", name];
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
            "bench --workspace --profile dev --bench *"
        );
        let one = Args {
            name: Some("scores".to_owned()),
            args: vec!["--quick".to_owned()],
        };
        assert_eq!(
            arguments(&one).join(" "),
            "bench --workspace --profile dev --bench scores -- --quick"
        );
    }
}
