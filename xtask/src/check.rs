//! `cargo xtask check`: everything a change must pass, cheapest first.

use std::process::Stdio;
use std::time::Instant;

use clap::ValueEnum;

use crate::cargo::{self, cargo};
use crate::failure::Failure;
use crate::terminal::stderr;
use crate::tidy;

/// Run every check, cheapest first.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run the later stages although an earlier one failed.
    #[arg(long)]
    keep_going: bool,
    /// Run this stage only; may be given several times.
    #[arg(long, value_name = "STAGE")]
    only: Vec<Stage>,
    /// Let the `deny` stage also read the advisory database (needs the internet).
    #[arg(long)]
    advisories: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Stage {
    /// Formatting.
    Fmt,
    /// The rules of the house.
    Tidy,
    /// Licences, sources and duplicates of the dependencies.
    Deny,
    /// Lints.
    Clippy,
    /// Documentation without warnings.
    Docs,
    /// The tests, on flex.
    Tests,
}

/// Runs the stages and says at the end which failed and how to repeat just those.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let stages = stages(&args.only);
    if args.advisories && !stages.contains(&Stage::Deny) {
        let message = "--advisories has no effect: it is for the stage `deny`";
        return Err(Failure::new(message).with_exit_code(2));
    }
    let mut failed = Vec::new();
    for stage in stages {
        let started = Instant::now();
        let result = stage.run(args.advisories);
        let verdict = if result.is_ok() { "ok" } else { "FAILED" };
        let seconds = started.elapsed().as_secs_f64();
        let name = stage.name();
        stderr(&format!("check {name:<7} {verdict:<6} {seconds:8.1} s"));
        if let Err(failure) = result {
            stderr(&failure.to_string());
            failed.push(stage);
            if !args.keep_going {
                break;
            }
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::new(summary(&failed, args.advisories)))
}

fn stages(only: &[Stage]) -> Vec<Stage> {
    let all = Stage::value_variants().iter().copied();
    all.filter(|stage| only.is_empty() || only.contains(stage))
        .collect()
}

fn summary(failed: &[Stage], advisories: bool) -> String {
    let mut text = "some checks failed; repeat them with".to_owned();
    for stage in failed {
        text += &format!("\n  cargo xtask check --only {}", stage.name());
        if advisories && *stage == Stage::Deny {
            text += " --advisories";
        }
    }
    text
}

impl Stage {
    fn run(self, advisories: bool) -> Result<(), Failure> {
        match self {
            Self::Fmt => cargo::run(&mut cargo(["fmt", "--all", "--check"])),
            Self::Tidy => tidy::run(&tidy::Args {}),
            Self::Deny => deny(advisories),
            Self::Clippy => cargo::run(&mut cargo([
                "clippy",
                "--workspace",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ])),
            Self::Docs => cargo::run(
                cargo(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-Dwarnings"),
            ),
            Self::Tests => cargo::run(&mut cargo(["test", "--workspace"])),
        }
    }

    /// As written on the command line.
    fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

fn deny(advisories: bool) -> Result<(), Failure> {
    let probe = cargo(["deny", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !probe.is_ok_and(|status| status.success()) {
        return Err(Failure::new(
            "cargo-deny is missing; install it with \
             `cargo install cargo-deny --locked --version 0.20.2`",
        ));
    }
    let mut command = cargo(["deny", "check", "bans", "licenses", "sources"]);
    command.current_dir(cargo::members()?.workspace_root);
    if advisories {
        command.arg("advisories");
    }
    cargo::run(&mut command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_run_cheapest_first_whatever_the_order_asked_for() {
        assert_eq!(
            stages(&[Stage::Tests, Stage::Fmt]),
            [Stage::Fmt, Stage::Tests]
        );
        assert_eq!(stages(&[]).len(), 6);
    }

    #[test]
    fn the_summary_repeats_just_what_failed() {
        assert_eq!(
            summary(&[Stage::Deny, Stage::Docs], true),
            "some checks failed; repeat them with\n  \
             cargo xtask check --only deny --advisories\n  \
             cargo xtask check --only docs"
        );
    }
}
