//! The files of the repository.

use std::path::{Path, PathBuf};

use super::bare::bare;
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
            code: if is_rust { bare(&text) } else { String::new() },
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
