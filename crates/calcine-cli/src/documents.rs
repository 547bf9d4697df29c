//! Checks that what the Markdown files of the repository mention exists: commands, recipes, manifests, files.
//!
//! The Rust programs in the guides are doc tests of `calcine-examples`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use calcine::recipe::Recipe;
use cargo_metadata::{Metadata, MetadataCommand, Package};
use clap::error::ErrorKind;
use toml::{Table, Value};

use crate::recipe::check_recipe;

/// A Markdown file, by its path in the repository.
struct Page {
    path: String,
    text: String,
}

/// A fenced block: its language, its first line and its lines.
struct Block<'a> {
    language: &'a str,
    line: usize,
    body: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The packages of the workspace, without their dependencies.
fn members() -> Metadata {
    let members = MetadataCommand::new().no_deps().exec();
    members.unwrap_or_else(|error| panic!("the workspace cannot be read: {error}"))
}

/// All Markdown files except changelogs, which describe earlier states.
fn pages() -> Vec<Page> {
    fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).expect("it can be listed") {
            let path = entry.expect("it can be listed").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() && name != "target" && name != "runs" && !name.starts_with('.') {
                collect(&path, found);
            } else if name.ends_with(".md") && name != "CHANGELOG.md" {
                found.push(path);
            }
        }
    }
    let root = root();
    let mut found = Vec::new();
    collect(&root, &mut found);
    found.sort();
    let pages = found.into_iter().map(|file| Page {
        path: file
            .strip_prefix(&root)
            .unwrap_or(&file)
            .display()
            .to_string(),
        text: fs::read_to_string(&file).expect("it can be read"),
    });
    pages.collect()
}

impl Page {
    fn blocks(&self) -> Vec<Block<'_>> {
        let mut blocks = Vec::new();
        let mut open: Option<Block<'_>> = None;
        for (number, line) in (1..).zip(self.text.lines()) {
            match (line.trim_start().strip_prefix("```"), open.take()) {
                (Some(language), None) => {
                    let (line, body) = (number + 1, String::new());
                    open = Some(Block {
                        language,
                        line,
                        body,
                    });
                }
                (Some(_), Some(block)) => blocks.push(block),
                (None, Some(mut block)) => {
                    block.body += line;
                    block.body.push('\n');
                    open = Some(block);
                }
                (None, None) => {}
            }
        }
        blocks
    }

    /// The code in running text, each span on one line.
    fn spans(&self) -> Vec<String> {
        let mut prose = String::new();
        let mut in_block = false;
        for line in self.text.lines() {
            if line.trim_start().starts_with("```") {
                in_block = !in_block;
            } else if !in_block {
                prose += line.trim();
                // A span ends with its paragraph at the latest.
                prose.push(if line.trim().is_empty() { '\n' } else { ' ' });
            }
        }
        let paragraphs = prose.split('\n');
        let spans = paragraphs.flat_map(|text| text.split('`').skip(1).step_by(2));
        spans.map(str::to_owned).collect()
    }

    /// All command lines of the page, with their positions.
    fn commands(&self) -> Vec<(String, String)> {
        let mut commands = Vec::new();
        for block in self.blocks() {
            let shell = ["console", "text", "sh"].contains(&block.language);
            let joined = block.body.replace("\\\n", " ");
            for (number, line) in (block.line..).zip(joined.lines()) {
                let command = line.strip_prefix("$ ");
                let command = command.or_else(|| Some(line).filter(|line| is_command(line)));
                let place = format!("{}:{number}", self.path);
                commands.extend(command.filter(|_| shell).map(|c| (place, c.to_owned())));
            }
        }
        let spans = self.spans().into_iter();
        let spans = spans.filter(|span| is_command(span));
        commands.extend(spans.map(|span| (self.path.clone(), span)));
        commands
    }
}

/// Whether a text is a command line although nothing before it marks it as one.
fn is_command(text: &str) -> bool {
    ["cargo ", "calcine "]
        .iter()
        .any(|program| text.starts_with(program))
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

/// Checks that a block is a valid manifest, or a recipe that fits ResNet-20.
fn sound(page: &Page, block: &Block<'_>, members: &Metadata) -> Result<(), String> {
    let table: Table = block.body.parse().map_err(|error| format!("{error}"))?;
    let has = |key: &str| table.contains_key(key);
    if has("package") || has("dependencies") || has("profile") {
        return manifest(&table, members);
    }
    let whole = has("format") && (has("train") || has("quantize"));
    // The page of the grammar shows parts of recipes. The recipes in guides are complete.
    if !whole && page.path != "docs/recipes.md" {
        return Err("it is no whole recipe".to_owned());
    }
    let text = match whole {
        true => block.body.clone(),
        false => completed(table).to_string(),
    };
    let recipe = Recipe::parse_as("a recipe", &text).map_err(|error| error.to_string())?;
    // The recipe in a crate's README is for a model of that README.
    match page.path.starts_with("crates/") {
        true => Ok(()),
        false => check_recipe(&recipe, None).map(drop),
    }
}

/// Completes a part of a recipe with everything else that a recipe needs, and with a policy for each table that has
/// none.
fn completed(mut table: Table) -> Table {
    let train: Table = toml::toml! { epochs = 100 };
    let rate = Value::Float(0.01);
    table.entry("format").or_insert(Value::Integer(1));
    let train = table.entry("train").or_insert(Value::Table(train));
    if let Some(train) = train.as_table_mut() {
        train.entry("lr").or_insert(rate);
    }
    let mut policies = match table.remove("policy") {
        Some(Value::Array(policies)) => policies,
        _ => Vec::new(),
    };
    let named = |policies: &[Value], kind: &str| -> BTreeSet<String> {
        let names = policies
            .iter()
            .filter_map(|policy| policy.get(kind)?.as_str());
        names.map(str::to_owned).collect()
    };
    for kind in ["pruner", "regularizer", "lr"] {
        let mut acting = table.get(kind).and_then(Value::as_table).cloned();
        for name in named(&policies, kind) {
            let pruner = toml::toml! {
                params = ["**.weight"]
                score = "magnitude"
                level = 0.5
            };
            let acting = acting.get_or_insert_default();
            acting.entry(name).or_insert(Value::Table(pruner));
        }
        let Some(acting) = acting else {
            continue;
        };
        let used = named(&policies, kind);
        for name in acting.keys().filter(|name| !used.contains(*name)) {
            let mut policy: Table = toml::toml! { start = 0 };
            policy.insert("end".to_owned(), Value::Integer(10));
            policy.insert(kind.to_owned(), Value::String(name.clone()));
            policies.push(Value::Table(policy));
        }
        table.insert(kind.to_owned(), Value::Table(acting));
    }
    if !policies.is_empty() {
        table.insert("policy".to_owned(), Value::Array(policies));
    }
    table
}

/// Checks that Calcine's crates and features exist, and that the version of Burn is that of the workspace.
fn manifest(table: &Table, members: &Metadata) -> Result<(), String> {
    let none = Table::new();
    let dependencies = table.get("dependencies").and_then(Value::as_table);
    for (name, wanted) in dependencies.unwrap_or(&none) {
        let version = wanted.as_str().or_else(|| wanted.get("version")?.as_str());
        if name == "burn" {
            let ours = members
                .packages
                .iter()
                .flat_map(|package| &package.dependencies);
            let mut ours = ours.filter(|dependency| dependency.name == "burn");
            let same = ours.any(|ours| {
                let required = ours.req.to_string();
                version.is_some_and(|version| required.trim_start_matches('^') == version)
            });
            if !same {
                return Err(format!("burn {version:?} is not the workspace's"));
            }
            continue;
        }
        let package = members
            .packages
            .iter()
            .find(|package| *package.name == **name);
        let Some(package) = package.filter(|_| name.starts_with("calcine")) else {
            return Err(format!("there is no crate `{name}`"));
        };
        let features = wanted.get("features").and_then(Value::as_array);
        for feature in features.into_iter().flatten().filter_map(Value::as_str) {
            if !package.features.contains_key(feature) {
                return Err(format!("`{name}` has no feature `{feature}`"));
            }
        }
    }
    Ok(())
}
