use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::path::Path;

use tempfile::NamedTempFile;

/// Writes a file atomically: whoever opens it, at any moment, finds the old contents or the new ones.
///
/// The contents go to a temporary file in the same directory, which is flushed to the disk and then renamed. If
/// anything fails, the temporary file is removed and the old file stays as it was.
///
/// A new file has the permissions that the umask leaves, as those of [`std::fs::write`]. A file that is replaced keeps
/// its permissions, and its owner and group where the system lets us set them. A symbolic link stays; the file that it
/// points to is replaced. What is not a regular file (a terminal, a pipe, `/dev/null`) is written to directly.
///
/// # Errors
///
/// If the directory does not exist or cannot be written to, if `file` is a directory, or if the disk is full.
///
/// # Examples
///
/// ```
/// let directory = tempfile::tempdir()?;
/// let file = directory.path().join("table.csv");
/// calcine_files::write(&file, "layer,sparsity\n")?;
/// assert_eq!(std::fs::read_to_string(&file)?, "layer,sparsity\n");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn write(file: impl AsRef<Path>, contents: impl AsRef<[u8]>) -> io::Result<()> {
    let (file, contents) = (file.as_ref(), contents.as_ref());
    // Follows symbolic links, so that the link stays and its target is replaced.
    match fs::canonicalize(file) {
        Ok(target) => {
            let metadata = fs::metadata(&target)?;
            if metadata.is_dir() {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            if !metadata.is_file() {
                return fs::OpenOptions::new()
                    .write(true)
                    .open(&target)?
                    .write_all(contents);
            }
            replace(&target, contents, Some(&metadata))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => replace(file, contents, None),
        Err(error) => Err(error),
    }
}

/// Writes `contents` to a temporary file beside `file`, and renames it to `file`.
fn replace(file: &Path, contents: &[u8], old: Option<&fs::Metadata>) -> io::Result<()> {
    let directory = file
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut beside = temporary_in(directory)?;
    beside.write_all(contents)?;
    if let Some(old) = old {
        keep_owner(beside.as_file(), old);
        beside.as_file().set_permissions(old.permissions())?;
    }
    beside.as_file().sync_all()?;
    beside.persist(file).map_err(|error| error.error)?;
    sync_directory(directory)
}

/// What the names of temporary files begin with.
const PARTIAL: &str = ".partial-";

/// Removes the temporary files that a killed process left in a directory while it wrote there.
///
/// Does nothing if there is no such directory. Nobody else may be writing in it: their files would be removed, too.
///
/// # Errors
///
/// If the directory cannot be read, or a file cannot be removed.
pub fn remove_partial(directory: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let is_partial = entry.file_name().to_string_lossy().starts_with(PARTIAL);
        if is_partial && entry.file_type()?.is_file() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// A temporary file with the permissions that the umask leaves: `tempfile` asks for 0600 by itself.
fn temporary_in(directory: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PARTIAL);
    let permissions = permissions_of_a_new_file();
    if let Some(permissions) = permissions {
        builder.permissions(permissions);
    }
    builder.tempfile_in(directory)
}

#[cfg(unix)]
fn permissions_of_a_new_file() -> Option<Permissions> {
    use std::os::unix::fs::PermissionsExt;
    Some(Permissions::from_mode(0o666))
}

#[cfg(not(unix))]
fn permissions_of_a_new_file() -> Option<Permissions> {
    None
}

/// Gives a file the owner and the group of the file that it replaces, if the system permits it.
#[cfg(unix)]
fn keep_owner(file: &File, old: &fs::Metadata) {
    use std::os::unix::fs::MetadataExt;
    // Only the superuser may change an owner; others keep at least the group, if it is one of theirs.
    if std::os::unix::fs::fchown(file, Some(old.uid()), Some(old.gid())).is_err() {
        let _ = std::os::unix::fs::fchown(file, None, Some(old.gid()));
    }
}

#[cfg(not(unix))]
fn keep_owner(_: &File, _: &fs::Metadata) {}

/// Flushes the entries of a directory to the disk, so that a rename in it survives a loss of power.
///
/// Does nothing on systems that flush no directories, and nothing on file systems that refuse to.
///
/// # Errors
///
/// If the directory cannot be opened.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    if cfg!(unix) {
        match File::open(directory)?.sync_all() {
            // Some network file systems flush files only.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
            done => return done,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        for name in [".partial-x1", "kept.txt", "a.partial-b"] {
            fs::write(directory.path().join(name), "x").unwrap();
        }
        fs::create_dir(directory.path().join(".partial-directory")).unwrap();
        remove_partial(directory.path()).unwrap();
        let left = [".partial-directory", "a.partial-b", "kept.txt"];
        assert_eq!(names(directory.path()), left);
        remove_partial(&directory.path().join("missing")).unwrap();
    }

    #[test]
    fn contents_are_replaced_and_nothing_is_left_beside() {
        let directory = tempfile::tempdir().unwrap();
        let longest = "n".repeat(255);
        for name in ["plain.txt", "ünïcode", longest.as_str()] {
            let file = directory.path().join(name);
            for contents in ["", "first, and longer", "second"] {
                write(&file, contents).unwrap();
                assert_eq!(fs::read_to_string(&file).unwrap(), contents, "{name}");
            }
            assert_eq!(names(directory.path()), [name]);
            fs::remove_file(&file).unwrap();
        }
    }

    #[test]
    fn what_cannot_be_written_is_an_error_and_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("taken")).unwrap();
        fs::write(directory.path().join("file"), "as it was").unwrap();
        for name in ["taken", "missing/file", "file/file", ""] {
            let error = write(directory.path().join(name), "new");
            assert!(error.is_err(), "`{name}` was written");
        }
        assert_eq!(names(directory.path()), ["file", "taken"]);
        assert_eq!(
            fs::read_to_string(directory.path().join("file")).unwrap(),
            "as it was"
        );
    }

    #[cfg(unix)]
    mod unix {
        use super::*;
        use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};

        fn mode(file: &Path) -> u32 {
            fs::metadata(file).unwrap().permissions().mode() & 0o7777
        }

        #[test]
        fn a_new_file_has_the_permissions_of_any_new_file() {
            let directory = tempfile::tempdir().unwrap();
            let [usual, atomic] = ["usual", "atomic"].map(|name| directory.path().join(name));
            fs::write(&usual, "x").unwrap();
            write(&atomic, "x").unwrap();
            assert_eq!(
                format!("{:o}", mode(&atomic)),
                format!("{:o}", mode(&usual))
            );
        }

        #[test]
        fn a_replaced_file_keeps_its_permissions() {
            let directory = tempfile::tempdir().unwrap();
            let file = directory.path().join("file");
            for permissions in [0o600, 0o640, 0o644, 0o664, 0o666, 0o755, 0o444] {
                fs::write(&file, "old").unwrap();
                fs::set_permissions(&file, Permissions::from_mode(permissions)).unwrap();
                write(&file, "new").unwrap();
                assert_eq!(format!("{:o}", mode(&file)), format!("{permissions:o}"));
                assert_eq!(fs::read_to_string(&file).unwrap(), "new");
                fs::remove_file(&file).unwrap();
            }
        }

        #[test]
        fn a_symbolic_link_stays_and_its_target_is_replaced() {
            let directory = tempfile::tempdir().unwrap();
            let [target, link] = ["target", "link"].map(|name| directory.path().join(name));
            fs::write(&target, "old").unwrap();
            symlink("target", &link).unwrap();
            write(&link, "new").unwrap();
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
            assert_eq!(fs::read_to_string(&target).unwrap(), "new");
        }

        #[test]
        fn devices_are_written_to_and_stay_devices() {
            write("/dev/null", "gone").unwrap();
            let kind = fs::metadata("/dev/null").unwrap().file_type();
            assert!(kind.is_char_device());
        }
    }
}
