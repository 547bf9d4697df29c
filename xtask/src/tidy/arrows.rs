//! Which crate may depend on which.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, Package};

use super::architecture::{Architecture, HEADER, Row, TABLE};
use super::manifests::{crates, manifest};
use super::problem::Problem;
use super::workspace::Workspace;

/// Without the table there is nothing to hold the manifests to.
pub(super) fn table_is_there(workspace: &Workspace) -> Vec<Problem> {
    if !workspace.architecture.rows.is_empty() {
        return Vec::new();
    }
    let header = HEADER.join(" | ");
    vec![Problem::in_file(
        TABLE,
        format!("there is no table headed `| {header} |`"),
    )]
}

/// What the table says is what the manifests do: no arrow more, no arrow less, none upwards.
pub(super) fn table_matches_manifests(workspace: &Workspace) -> Vec<Problem> {
    let members: BTreeMap<String, Member> = workspace
        .metadata
        .workspace_packages()
        .into_iter()
        .map(|package| (package.name.to_string(), Member::new(workspace, package)))
        .collect();
    compare(&workspace.architecture, &members)
}

/// A package of the workspace as its manifest has it.
struct Member {
    manifest: String,
    /// In `crates/`, so that it must be listed.
    is_crate: bool,
    arrows: BTreeSet<String>,
}

impl Member {
    fn new(workspace: &Workspace, package: &Package) -> Self {
        let used = package.dependencies.iter().filter(|dependency| {
            dependency.path.is_some() && dependency.kind != DependencyKind::Development
        });
        Self {
            manifest: manifest(workspace, package),
            is_crate: crates(workspace)
                .iter()
                .any(|member| member.id == package.id),
            arrows: used.map(|dependency| dependency.name.clone()).collect(),
        }
    }
}

fn compare(architecture: &Architecture, members: &BTreeMap<String, Member>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, member) in members {
        match architecture.row(name) {
            Some(row) => problems.extend(compare_row(architecture, row, member)),
            None if member.is_crate => {
                problems.push(Problem::in_file(
                    &member.manifest,
                    format!("not in {TABLE}"),
                ));
            }
            None => {}
        }
    }
    let strangers = architecture
        .rows
        .iter()
        .filter(|row| !members.contains_key(&row.name));
    problems.extend(
        strangers.map(|row| Problem::at(TABLE, row.line, format!("there is no `{}`", row.name))),
    );
    problems
}

fn compare_row(architecture: &Architecture, row: &Row, member: &Member) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut note = |message: String| problems.push(Problem::at(TABLE, row.line, message));
    let from = &row.name;
    for to in &member.arrows {
        if !row.arrows.contains(to) {
            note(format!("`{from}` depends on `{to}`, which is not listed"));
        }
    }
    for to in &row.arrows {
        if !member.arrows.contains(to) {
            note(format!(
                "`{from}` is listed to depend on `{to}` and does not"
            ));
        }
        if architecture
            .row(to)
            .is_some_and(|other| !row.may_point_at(other))
        {
            note(format!("the arrow from `{from}` to `{to}` points up"));
        }
    }
    problems
}

/// The crates that whoever has no use for Burn may build upon.
pub(super) fn no_burn_beneath(workspace: &Workspace) -> Vec<Problem> {
    let graph = graph(&workspace.metadata);
    let mut problems = Vec::new();
    for package in crates(workspace) {
        let is_free = ["calcine-schedule", "calcine-graph"].contains(&package.name.as_str());
        if let Some(path) = is_free
            .then(|| path_to_burn(&graph, &package.name))
            .flatten()
        {
            let message = format!("must not need Burn: {}", path.join(" -> "));
            problems.push(Problem::in_file(&manifest(workspace, package), message));
        }
    }
    problems
}

/// The names of all packages and of what they need to be built.
type Graph<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

fn graph(metadata: &Metadata) -> Graph<'_> {
    let names: BTreeMap<_, _> = metadata
        .packages
        .iter()
        .map(|package| (&package.id, package.name.as_str()))
        .collect();
    let mut graph = Graph::new();
    for node in metadata.resolve.iter().flat_map(|resolve| &resolve.nodes) {
        let needed = node.deps.iter().filter(|dependency| {
            let mut kinds = dependency.dep_kinds.iter();
            kinds.any(|info| info.kind != DependencyKind::Development)
        });
        let needed = needed.filter_map(|dependency| names.get(&dependency.pkg).copied());
        let name = names.get(&node.id).copied().unwrap_or_default();
        graph.entry(name).or_default().extend(needed);
    }
    graph
}

/// How a package comes to need Burn or what is beneath it, if it does.
fn path_to_burn<'a>(graph: &Graph<'a>, from: &'a str) -> Option<Vec<&'a str>> {
    let mut seen = BTreeSet::from([from]);
    let mut paths = vec![vec![from]];
    while let Some(path) = paths.pop() {
        let last = *path.last()?;
        if ["burn", "cubecl"].contains(&last.split('-').next()?) {
            return Some(path);
        }
        let next = graph
            .get(last)
            .into_iter()
            .flatten()
            .filter(|name| seen.insert(name));
        paths.extend(next.map(|name| [&path[..], &[*name]].concat()));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# Architecture

| layer | crate | may depend on |
|---|---|---|
| 0 | `low` | – |
| 1 | `mid` | `low` |
| 1 | `side` | low, mid |
| dev | `kit` | `mid` |

| 9 | `other table` | |
";

    fn members(arrows: &[(&str, &[&str])]) -> BTreeMap<String, Member> {
        let member = |(name, to): &(&str, &[&str])| {
            let member = Member {
                manifest: format!("crates/{name}/Cargo.toml"),
                is_crate: true,
                arrows: to.iter().map(|&name| name.to_owned()).collect(),
            };
            ((*name).to_owned(), member)
        };
        arrows.iter().map(member).collect()
    }

    fn check(text: &str, arrows: &[(&str, &[&str])]) -> Vec<String> {
        let problems = compare(&Architecture::parse(text), &members(arrows));
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_table_that_matches_has_no_problems() {
        let arrows: &[(&str, &[&str])] = &[
            ("low", &[]),
            ("mid", &["low"]),
            ("side", &["low", "mid"]),
            ("kit", &["mid"]),
        ];
        assert_eq!(check(TEXT, arrows), Vec::<String>::new());
        assert_eq!(Architecture::parse(TEXT).layer("side"), Some(1));
        assert_eq!(Architecture::parse(TEXT).layer("kit"), None);
    }

    #[test]
    fn arrows_more_less_and_unknown_crates_are_problems() {
        let arrows: &[(&str, &[&str])] = &[
            ("low", &["mid"]),
            ("mid", &["low"]),
            ("side", &["low"]),
            ("new", &[]),
        ];
        assert_eq!(
            check(TEXT, arrows),
            [
                "ARCHITECTURE.md:5: `low` depends on `mid`, which is not listed",
                "crates/new/Cargo.toml: not in ARCHITECTURE.md",
                "ARCHITECTURE.md:7: `side` is listed to depend on `mid` and does not",
                "ARCHITECTURE.md:8: there is no `kit`",
            ]
        );
    }

    #[test]
    fn arrows_upwards_or_to_development_crates_are_problems() {
        let header = "| layer | crate | may depend on |\n|---|---|---|\n";
        let text = format!("{header}| 0 | low | high |\n| 1 | high | kit |\n| dev | kit | - |\n");
        assert_eq!(
            check(
                &text,
                &[("low", &["high"]), ("high", &["kit"]), ("kit", &[])]
            ),
            [
                "ARCHITECTURE.md:4: the arrow from `high` to `kit` points up",
                "ARCHITECTURE.md:3: the arrow from `low` to `high` points up",
            ]
        );
    }

    #[test]
    fn the_way_to_burn_is_named() {
        let graph = Graph::from([
            ("a", BTreeSet::from(["b", "c"])),
            ("b", BTreeSet::from(["a"])),
            ("c", BTreeSet::from(["burn-core"])),
        ]);
        assert_eq!(path_to_burn(&graph, "a"), Some(vec!["a", "c", "burn-core"]));
        assert_eq!(
            path_to_burn(&graph, "b"),
            Some(vec!["b", "a", "c", "burn-core"])
        );
        assert_eq!(path_to_burn(&graph, "burnless"), None);
    }
}
