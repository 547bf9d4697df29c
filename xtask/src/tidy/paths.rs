//! What holds for the path and the text of any file.

use super::problem::Problem;
use super::workspace::Workspace;

/// A name that says nothing invites what belongs elsewhere.
pub(super) fn vague_names(workspace: &Workspace) -> Vec<Problem> {
    let files = workspace.files.iter().filter(|file| is_vague(&file.path));
    files
        .map(|file| Problem::in_file(&file.path, "name the file after what it holds"))
        .collect()
}

fn is_vague(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    ["utils.rs", "helpers.rs", "types.rs", "misc.rs", "mod.rs"].contains(&name)
}

/// A path of somebody's machine is of no use on another.
pub(super) fn absolute_paths(workspace: &Workspace) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in &workspace.files {
        for (number, line) in (1..).zip(file.text.lines()) {
            if let Some(found) = machine_path(line) {
                let message = format!("`{found}` names a place on one machine only");
                problems.push(Problem::at(&file.path, number, message));
            }
        }
    }
    problems
}

/// The first home or temporary directory that the line names.
fn machine_path(line: &str) -> Option<&'static str> {
    // Split, so that this file does not break its own rule.
    const PLACES: [&str; 6] = [
        concat!("/", "home/"),
        concat!("/", "root/"),
        concat!("/", "tmp/"),
        concat!("/", "Users/"),
        concat!("/", "var/folders/"),
        concat!("C:", "\\Users\\"),
    ];
    let starts_there = |at: usize| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "_-.}>)~*".contains(c))
    };
    PLACES
        .into_iter()
        .find(|place| line.match_indices(place).any(|(at, _)| starts_there(at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_say_nothing_are_vague() {
        assert!(is_vague("crates/calcine-fold/src/utils.rs"));
        assert!(is_vague("mod.rs"));
        assert!(!is_vague("crates/calcine-fold/src/granularity.rs"));
        assert!(!is_vague("docs/helpers.md"));
    }

    #[test]
    fn paths_of_a_machine_are_found() {
        let place = concat!("/", "tmp/");
        assert_eq!(
            machine_path(&format!("File::open(\"{place}run\")")),
            Some(place)
        );
        assert_eq!(machine_path(&format!("{place}run")), Some(place));
    }

    #[test]
    fn paths_beneath_something_else_are_fine() {
        let place = concat!("/", "tmp/x");
        let beneath = ["$HOME", "target", "<dir>"].map(|above| format!("{above}{place}"));
        let elsewhere = "https://example.org/home/x".to_owned();
        for fine in beneath.into_iter().chain([elsewhere]) {
            assert_eq!(machine_path(&fine), None, "{fine}");
        }
    }
}
