//! `cargo xtask tidy`: the rules of the house that a compiler does not know.
//!
//! A rule is a function from the workspace to a list of problems; [`RULES`] lists them all.

mod architecture;
mod arrows;
mod bare;
mod code;
mod documents;
mod files;
mod manifests;
mod paths;
mod problem;
mod workspace;

use self::problem::Problem;
use self::workspace::Workspace;
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
    manifests::burn_features_belong_to_few,
    manifests::crates_are_furnished,
    manifests::crates_can_be_published,
    manifests::lints_are_inherited,
    code::module_mappers,
    code::device_reads,
    code::file_writes,
    code::device_choices,
    code::ignored_tests,
    code::unfinished,
    paths::vague_names,
    paths::absolute_paths,
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
