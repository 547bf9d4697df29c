//! `cargo xtask train-cifar`: the reference run, which the program `calcine` carries out.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Command;

use clap::Parser;

use crate::cargo;
use crate::failure::Failure;

/// The recipe of the default run, from the root of the workspace.
const RECIPE: &str = "recipes/resnet20-agp.toml";

/// Arguments that say what to do, so that the default recipe is not meant.
const CHOICES: [&str; 5] = ["--recipe", "--resume", "--help", "-h", "--device=list"];

/// Train, prune and report a network on CIFAR-10: builds `calcine` and runs its reference run.
///
/// Without options: takes the trained ResNet-20 that comes with the project, prunes it gradually to
/// 80 % while fine-tuning, and reports top-1 before and after. Ctrl-C and SIGTERM save and stop; --resume goes on.
#[derive(Debug, Parser)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// Options of the run; `--help` lists them.
    #[arg(
        allow_hyphen_values = true,
        trailing_var_arg = true,
        value_name = "OPTIONS"
    )]
    options: Vec<OsString>,
}

/// Builds the program, and runs it in place of this process, so that signals and the exit code are its own.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let root = cargo::members()?.workspace_root;
    let program = cargo::built("bin", "calcine")?;
    replace(Command::new(program).args(arguments(&args.options, root.as_std_path())))
}

/// Arguments of the program.
fn arguments(options: &[OsString], root: &Path) -> Vec<OsString> {
    let mut all = vec![OsString::from("train-cifar")];
    if !options.iter().any(|option| chooses(option)) {
        all.push("--recipe".into());
        all.push(recipe(root).into());
    }
    all.extend(options.iter().cloned());
    all
}

fn chooses(option: &OsStr) -> bool {
    let option = option.to_string_lossy();
    let name = option.split('=').next().unwrap_or_default();
    CHOICES.contains(&name) || CHOICES.contains(&&*option)
}

/// The default recipe, by its name in the workspace if that is where we are.
fn recipe(root: &Path) -> std::path::PathBuf {
    let here = std::env::current_dir().and_then(|here| here.canonicalize());
    let is_root = here.ok() == root.canonicalize().ok();
    if is_root {
        RECIPE.into()
    } else {
        root.join(RECIPE)
    }
}

#[cfg(unix)]
fn replace(command: &mut Command) -> Result<(), Failure> {
    use std::os::unix::process::CommandExt;

    Err(not_started(&command.exec()))
}

/// Where a process cannot be replaced, a console sends Ctrl-C to both.
#[cfg(not(unix))]
fn replace(command: &mut Command) -> Result<(), Failure> {
    let status = command.status().map_err(|error| not_started(&error))?;
    match status.code().and_then(|code| u8::try_from(code).ok()) {
        Some(0) => Ok(()),
        code => Err(Failure::new("the run failed").with_exit_code(code.unwrap_or(1))),
    }
}

fn not_started(error: &std::io::Error) -> Failure {
    Failure::new(format!("the program calcine cannot be started: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_recipe_is_named_where_none_is_chosen() {
        let line = |options: &[&str]| {
            let options: Vec<OsString> = options.iter().map(OsString::from).collect();
            let all = arguments(&options, Path::new("/w"));
            let all: Vec<_> = all
                .iter()
                .map(|word| word.to_string_lossy().into_owned())
                .collect();
            all[1..].join(" ")
        };
        assert_eq!(line(&[]), "--recipe /w/recipes/resnet20-agp.toml");
        assert_eq!(
            line(&["--epochs", "2"]),
            "--recipe /w/recipes/resnet20-agp.toml --epochs 2"
        );
        for options in [
            &["--recipe", "r.toml"][..],
            &["--recipe=r.toml"],
            &["--resume", "runs/a"],
        ] {
            assert_eq!(line(options), options.join(" "));
        }
    }
}
