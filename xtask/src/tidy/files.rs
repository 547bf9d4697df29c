//! The files of the repository, and what holds for any of them.

use std::path::{Path, PathBuf};

use super::{Problem, Workspace, code};
use crate::failure::Failure;

/// Larger files are data.
const LARGEST_TEXT: u64 = 1 << 20;

/// A file of the repository that may hold text.
#[derive(Debug)]
pub(super) struct File {
    /// From the root of the workspace, with `/` between directories.
    pub(super) path: String,
    /// Empty when the file is no text, or too large to have been written by hand.
    pub(super) text: String,
    /// Rust code without comments and literals, line by line as in `text`; empty elsewhere.
    pub(super) code: String,
}

impl File {
    pub(super) fn new(path: &str, text: String) -> Self {
        let is_rust = has_extension(path, "rs");
        Self {
            path: path.to_owned(),
            code: if is_rust {
                code::bare(&text)
            } else {
                String::new()
            },
            text,
        }
    }
}

pub(super) fn has_extension(path: &str, extension: &str) -> bool {
    Path::new(path)
        .extension()
        .is_some_and(|found| found == extension)
}

/// Every file beneath `root` but those of git and those that `.gitignore` names.
pub(super) fn read(root: &Path) -> Result<Vec<File>, Failure> {
    let listed = std::fs::read_to_string(root.join(".gitignore")).unwrap_or_default();
    let mut ignored: Vec<PathBuf> = listed
        .lines()
        .map(|line| root.join(line.trim().trim_matches('/')))
        .collect();
    ignored.push(root.join(".git"));

    let mut files = Vec::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for path in entries(&directory)? {
            if ignored.contains(&path) || path.is_symlink() || path.join("CACHEDIR.TAG").exists() {
                continue;
            } else if path.is_dir() {
                directories.push(path);
            } else {
                files.push(file(root, &path));
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    let unreadable = |error| Failure::new(format!("cannot list {}: {error}", directory.display()));
    let entries = std::fs::read_dir(directory).map_err(unreadable)?;
    entries
        .map(|entry| entry.map(|entry| entry.path()).map_err(unreadable))
        .collect()
}

fn file(root: &Path, path: &Path) -> File {
    let name = path
        .strip_prefix(root)
        .unwrap_or(path)
        .to_string_lossy()
        .replace('\\', "/");
    let small = path
        .metadata()
        .is_ok_and(|metadata| metadata.len() <= LARGEST_TEXT);
    let text = if small {
        std::fs::read_to_string(path).unwrap_or_default()
    } else {
        String::new()
    };
    File::new(&name, text)
}

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
