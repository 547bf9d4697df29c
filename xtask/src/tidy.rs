//! `cargo xtask tidy`: the rules of the house that a compiler does not know.
//!
//! A rule is a function from the workspace to a list of problems; [`RULES`] lists them all.

mod arrows;
mod code;
mod documents;
mod files;
mod manifests;

use std::fmt;

use cargo_metadata::Metadata;

use self::arrows::Architecture;
use self::files::File;
use crate::cargo;
use crate::failure::Failure;
use crate::terminal::stderr;

/// Check the rules of the house.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

type Rule = fn(&Workspace) -> Vec<Problem>;

const RULES: &[Rule] = &[
    arrows::table_is_there,
    arrows::table_matches_manifests,
    arrows::no_burn_beneath,
    manifests::burn_is_pinned,
    manifests::burn_features_belong_to_trace,
    manifests::crates_are_furnished,
    manifests::crates_can_be_published,
    manifests::lints_are_inherited,
    code::module_mappers,
    code::device_reads,
    code::file_writes,
    code::device_choices,
    code::ignored_tests,
    code::unfinished,
    files::vague_names,
    files::absolute_paths,
    documents::relative_links,
];

/// Applies every rule and prints all problems.
pub(crate) fn run(_: &Args) -> Result<(), Failure> {
    let workspace = Workspace::load()?;
    let mut problems: Vec<Problem> = RULES.iter().flat_map(|rule| rule(&workspace)).collect();
    problems.sort();
    for problem in &problems {
        stderr(&problem.to_string());
    }
    match problems.len() {
        0 => Ok(()),
        1 => Err(Failure::new("tidy: 1 problem")),
        count => Err(Failure::new(format!("tidy: {count} problems"))),
    }
}

/// All that the rules look at.
#[derive(Debug)]
struct Workspace {
    metadata: Metadata,
    architecture: Architecture,
    files: Vec<File>,
}

impl Workspace {
    fn load() -> Result<Self, Failure> {
        let metadata = cargo::metadata()?;
        let files = files::read(metadata.workspace_root.as_std_path())?;
        let table = files.iter().find(|file| file.path == arrows::TABLE);
        let architecture = Architecture::parse(table.map_or("", |file| &file.text));
        Ok(Self {
            metadata,
            architecture,
            files,
        })
    }

    fn has(&self, path: &str) -> bool {
        self.files.iter().any(|file| file.path == path)
    }
}

/// What breaks a rule, and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Problem {
    path: String,
    line: Option<usize>,
    message: String,
}

impl Problem {
    fn in_file(path: &str, message: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line: None,
            message: message.into(),
        }
    }

    fn at(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self {
            line: Some(line),
            ..Self::in_file(path, message)
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.path, self.message),
            None => write!(f, "{}: {}", self.path, self.message),
        }
    }
}
