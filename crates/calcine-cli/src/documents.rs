//! Checks that what the Markdown files of the repository mention exists: commands, recipes, manifests, files.
//!
//! The Rust programs in the guides are doc tests of `calcine-examples`.

mod page;
mod tables;

use std::fs;

use cargo_metadata::{Metadata, MetadataCommand, Package};
use clap::error::ErrorKind;

use self::page::{pages, root};
use self::tables::sound;

/// The packages of the workspace, without their dependencies.
fn members() -> Metadata {
    let members = MetadataCommand::new().no_deps().exec();
    members.unwrap_or_else(|error| panic!("the workspace cannot be read: {error}"))
}

/// Returns the problem of a command line, if it has one.
fn wrong(command: &str, members: &Metadata) -> Result<(), String> {
    // What follows is for the shell or for the reader.
    let command = command.split(" | ").next().unwrap_or(command);
    let words = shlex::split(command).ok_or("its quotes do not match")?;
    let words: Vec<&str> = words
        .iter()
        .map(String::as_str)
        .skip_while(|word| {
            word.split_once('=')
                .is_some_and(|(name, _)| is_variable(name))
        })
        .take_while(|word| !word.starts_with('#'))
        .collect();
    for word in &words {
        exists(word)?;
    }
    match words[..] {
        ["cargo"] | ["cargo", "xtask"] => Ok(()),
        ["cargo", "xtask", "train-cifar", ref options @ ..] => {
            let line = [&["calcine"], &words[2..]].concat();
            let chosen = ["--recipe", "--resume"];
            // `cargo xtask` names the default recipe.
            match options.iter().any(|option| chosen.contains(option)) {
                true => parses(crate::command(), &line),
                false => parses(
                    crate::command(),
                    &[&line[..], &["--recipe", "r.toml"]].concat(),
                ),
            }
        }
        ["cargo", "xtask", ..] => parses(xtask::command(), &words[1..]),
        // Prose names a command without its arguments.
        ["calcine", "COMMAND", ..] => Ok(()),
        ["calcine", command] | ["calcine", command, "check" | "convert" | "new"]
            if crate::command().find_subcommand(command).is_some() =>
        {
            Ok(())
        }
        ["calcine", ..] => parses(crate::command(), &words),
        ["cargo", "run", ref arguments @ ..] => {
            let mut parts = arguments.splitn(2, |word| *word == "--");
            let (own, program) = (parts.next().unwrap_or_default(), parts.next());
            let package = package(own, members)?;
            match program {
                Some(arguments) if package.name == "calcine-cli" => {
                    parses(crate::command(), &[&["calcine"], arguments].concat())
                }
                _ => Ok(()),
            }
        }
        [
            "cargo",
            "test" | "bench" | "check" | "doc",
            ref arguments @ ..,
        ] => package(arguments, members).map(drop),
        [
            "cargo",
            "install" | "add" | "deny" | "build" | "tree" | "fmt" | "clippy" | "metadata"
            | "package" | "semver-checks",
            ..,
        ] => Ok(()),
        ["tensorboard" | "pip" | "git" | "cd" | "bash", ..] => Ok(()),
        [program, ..]
            if program
                .rsplit('/')
                .next()
                .is_some_and(|p| p.starts_with("python")) =>
        {
            Ok(())
        }
        [program, ..] => Err(format!("`{program}` is no command that this test knows")),
        [] => Err("it is empty".to_owned()),
    }
}

/// Whether a word before `=` names a variable of the environment.
fn is_variable(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
}

/// Checks that the program accepts these arguments.
fn parses(command: clap::Command, line: &[&str]) -> Result<(), String> {
    match command.try_get_matches_from(line) {
        Err(error)
            if !matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            ) =>
        {
            Err(error.to_string())
        }
        _ => Ok(()),
    }
}

/// The package that Cargo's own arguments name, together with the target and the features that they name.
fn package<'a>(arguments: &[&str], members: &'a Metadata) -> Result<&'a Package, String> {
    let value = |names: &[&str]| {
        let at = arguments.iter().position(|word| names.contains(word))?;
        arguments.get(at + 1).copied()
    };
    let named = value(&["-p", "--package"]).unwrap_or("calcine-cli");
    let package = members
        .packages
        .iter()
        .find(|package| package.name == named);
    let package = package.ok_or_else(|| format!("there is no package `{named}`"))?;
    let features = value(&["--features"])
        .into_iter()
        .flat_map(|f| f.split(','));
    for feature in features {
        let (of, feature) = match feature.split_once('/') {
            Some((of, feature)) => (members.packages.iter().find(|p| p.name == of), feature),
            None => (Some(package), feature),
        };
        if !of.is_some_and(|package| package.features.contains_key(feature)) {
            return Err(format!("there is no feature `{feature}`"));
        }
    }
    for kind in ["--example", "--bin", "--bench"] {
        let Some(target) = value(&[kind]) else {
            continue;
        };
        let mut targets = members.packages.iter().flat_map(|package| &package.targets);
        if !targets.any(|found| found.name == target) {
            return Err(format!("there is no target `{target}`"));
        }
    }
    Ok(package)
}

/// Directories of the repository, whose files are named in the pages.
const DIRECTORIES: [&str; 7] = [
    "benches/",
    "crates/",
    "docs/",
    "examples/",
    "findings/",
    "recipes/",
    "xtask/",
];

/// The files that commands write to the directory of a run.
const OF_RUNS: [&str; 18] = [
    "calibration.json",
    "checkpoints",
    "log.txt",
    "metrics.csv",
    "model.safetensors",
    "network.safetensors",
    "panels.svg",
    "plan.json",
    "quantized.safetensors",
    "recipe.toml",
    "report.json",
    "run.json",
    "scalars.csv",
    "sensitivity.csv",
    "sparsity.csv",
    "suggested.toml",
    "thinned.safetensors",
    "mixed_precision.csv",
];

/// Checks that a file exists, if the word names one of the repository or of a run. `recipes/NAME.toml` and similar
/// names are placeholders.
fn exists(word: &str) -> Result<(), String> {
    if let Some((_, file)) = word
        .strip_prefix("runs/")
        .and_then(|run| run.split_once('/'))
    {
        return match OF_RUNS.contains(&file) {
            true => Ok(()),
            false => Err(format!("no run has a file `{file}`")),
        };
    }
    let ours = DIRECTORIES
        .iter()
        .any(|directory| word.starts_with(directory));
    let placeholder = word
        .split(['/', '.', '-'])
        .any(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_uppercase() || c == '_'));
    if !ours || placeholder {
        return Ok(());
    }
    let found = match word.split_once("*.") {
        None => root().join(word).exists(),
        Some((directory, end)) => fs::read_dir(root().join(directory)).is_ok_and(|mut entries| {
            entries.any(|entry| entry.is_ok_and(|e| e.path().extension().is_some_and(|x| x == end)))
        }),
    };
    match found {
        true => Ok(()),
        false => Err(format!("there is no `{word}`")),
    }
}

fn all_well(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn every_command_is_one_that_the_program_takes_on_files_that_there_are() {
    let members = members();
    let mut problems = Vec::new();
    let mut count = 0;
    for page in pages() {
        for (place, command) in page.commands() {
            count += 1;
            if let Err(error) = wrong(&command, &members) {
                problems.push(format!("{place}: `{command}`: {error}"));
            }
        }
    }
    all_well(&problems);
    assert!(
        count > 60,
        "{count} commands are too few: they are not found"
    );
}

#[test]
fn every_file_that_a_page_names_is_there() {
    let mut problems = Vec::new();
    for page in pages() {
        for span in page.spans() {
            for word in span.split_whitespace() {
                if let Err(error) = exists(word) {
                    problems.push(format!("{}: `{span}`: {error}", page.path));
                }
            }
        }
    }
    all_well(&problems);
}

#[test]
fn every_recipe_and_manifest_is_sound() {
    let members = members();
    let mut problems = Vec::new();
    let mut count = 0;
    for page in pages() {
        for block in page.blocks().iter().filter(|b| b.language == "toml") {
            count += 1;
            if let Err(error) = sound(&page, block, &members) {
                problems.push(format!("{}:{}: {error}", page.path, block.line));
            }
        }
    }
    all_well(&problems);
    assert!(count > 15, "{count} blocks are too few: they are not found");
}
