//! Files that are either complete or absent.

use std::fs;
use std::path::Path;

use crate::failure::{Failure, bad};
use crate::terminal::stderr;

/// Writes a file atomically.
pub(crate) fn write(file: &Path, bytes: impl AsRef<[u8]>) -> Result<(), Failure> {
    calcine_files::write(file, bytes)
        .map_err(|error| bad(format!("{}: it cannot be written: {error}", file.display())))
}

/// Creates a directory for the results of a command before its work, so that no work is lost if this fails.
pub(crate) fn create(directory: &Path) -> Result<(), Failure> {
    fs::create_dir_all(directory).map_err(|error| {
        bad(format!(
            "{}: the directory cannot be made: {error}",
            directory.display()
        ))
    })
}

/// Runs the work of a command in a directory that [`create`] made; if it fails and has written nothing, the directory
/// is removed.
pub(crate) fn or_none<T>(directory: &Path, result: Result<T, Failure>) -> Result<T, Failure> {
    if result.is_err() {
        // Only an empty directory can be removed in this way.
        drop(fs::remove_dir(directory));
    }
    result
}

/// Prints where the results will be, before the work of the command.
pub(crate) fn announce(directory: &Path) {
    stderr(&format!("results go to {}", directory.display()));
}

/// Lists the files of a directory, as the last line of the command that filled it.
pub(crate) fn wrote(directory: &Path) -> String {
    let mut names: Vec<String> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            match entry.path().is_dir() {
                true => name + "/",
                false => name,
            }
        })
        .filter(|name| !name.starts_with('.') && !name.ends_with(".partial"))
        .collect();
    names.sort();
    format!("wrote {}: {}", directory.display(), names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_a_command_wrote_is_named() {
        let directory = tempfile::tempdir().expect("there is a place for it");
        for name in ["report.json", "a.csv", ".lock", "b.csv.partial"] {
            write(&directory.path().join(name), "x").unwrap_or_else(|error| panic!("{error}"));
        }
        fs::create_dir(directory.path().join("checkpoints")).expect("it can be made");
        let expected = format!(
            "wrote {}: a.csv, checkpoints/, report.json",
            directory.path().display()
        );
        assert_eq!(wrote(directory.path()), expected);
    }
}
