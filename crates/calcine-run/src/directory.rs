use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use calcine_train::checkpoint::{self, CheckpointError};
use serde_json::Value;

use crate::{RunError, RunFile};

/// The file that a process locks while it writes to a directory.
const LOCK: &str = ".lock";

/// A directory to which one process writes: other processes that ask for it get an error until this value is dropped.
#[derive(Debug)]
pub struct RunDirectory {
    path: PathBuf,
    /// The lock, which is released when the file is closed. `None` on file systems without locks, and for a finished
    /// run.
    _lock: Option<File>,
}

impl RunDirectory {
    /// Creates the directory if it does not exist, and locks it.
    ///
    /// # Errors
    ///
    /// If another process has locked it, or the directory cannot be created.
    pub fn lock(path: &Path) -> Result<Self, RunError> {
        fs::create_dir_all(path).map_err(|source| RunError::Directory {
            directory: path.to_path_buf(),
            source,
        })?;
        let file = path.join(LOCK);
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&file)
            .map_err(|error| RunError::io(&file, error))?;
        let lock = match lock.try_lock() {
            Ok(()) => Some(lock),
            Err(TryLockError::WouldBlock) => {
                return Err(RunError::Locked {
                    directory: path.to_path_buf(),
                });
            }
            // Some network file systems have no locks; there, the directory is used without one.
            Err(TryLockError::Error(_)) => None,
        };
        // Removes what a killed process left; with the lock, no other process writes here.
        if lock.is_some() {
            for directory in [path.to_path_buf(), path.join("checkpoints")] {
                calcine_files::remove_partial(&directory)
                    .map_err(|error| RunError::io(&directory, error))?;
            }
        }
        Ok(Self {
            path: path.to_path_buf(),
            _lock: lock,
        })
    }

    /// Releases the directory after a failure: if nothing was written to it, it is removed.
    pub fn give_up(self) {
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        if entries
            .map(|entry| entry.file_name())
            .all(|name| name == LOCK)
        {
            let _ = fs::remove_file(self.path.join(LOCK));
            // Fails if the directory is not empty.
            let _ = fs::remove_dir(&self.path);
        }
    }

    /// Locks a directory for the run with this [identity](crate::TrainSettings::identity): an empty directory, or one
    /// that contains the same run.
    ///
    /// A directory with the same run is not changed if the run is finished.
    ///
    /// # Errors
    /// The errors of [`lock`](Self::lock), and an error if the directory contains anything else.
    /// As [`lock`](Self::lock), and if the directory holds anything else.
    pub fn for_run(identity: &Value, path: &Path) -> Result<Self, RunError> {
        if is_finished(path) && RunFile::load(path)?.settings == *identity {
            return Ok(Self {
                path: path.to_path_buf(),
                _lock: None,
            });
        }
        let directory = Self::lock(path)?;
        directory.state(identity)?;
        Ok(directory)
    }

    /// Locks a directory for results that are written once: one that does not contain the report of a run, a scan or
    /// another command.
    ///
    /// If the directory contains the file `progress`, the same command is in progress, and may replace its own report.
    ///
    /// # Errors
    ///
    /// The errors of [`lock`](Self::lock), and an error if the directory contains such a report.
    pub fn for_results(path: &Path, progress: Option<&str>) -> Result<Self, RunError> {
        let has = |file: &str| path.join(file).exists();
        let goes_on = progress.is_some_and(has);
        let directory = path.to_path_buf();
        if has("run.json") || has("scan.json") {
            return Err(RunError::Occupied { directory });
        }
        if has("report.json") && !goes_on {
            return Err(RunError::HasResults { directory });
        }
        Self::lock(path)
    }

    /// The path of the directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it contains a finished run.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        is_finished(&self.path)
    }

    /// Whether it contains nothing except files that are written before a run begins.
    pub(crate) fn is_empty(&self) -> Result<bool, RunError> {
        let entries = fs::read_dir(&self.path).map_err(|error| RunError::io(&self.path, error))?;
        let is_ours = |name: &OsStr| name == LOCK || name == "log.txt";
        Ok(entries.flatten().all(|entry| is_ours(&entry.file_name())))
    }

    /// The state of the run in the directory.
    pub(crate) fn state(&self, identity: &Value) -> Result<RunState, RunError> {
        let occupied = || RunError::Occupied {
            directory: self.path.clone(),
        };
        if !self.path.join("run.json").exists() {
            return if self.is_empty()? {
                Ok(RunState::New)
            } else {
                Err(occupied())
            };
        }
        if RunFile::load(&self.path)?.settings != *identity {
            return Err(occupied());
        }
        if self.is_finished() {
            return Ok(RunState::Finished);
        }
        match checkpoint::latest(&self.path.join("checkpoints")) {
            Ok(_) => Ok(RunState::Checkpointed),
            Err(CheckpointError::None { .. }) => Ok(RunState::Started),
            Err(error) => Err(error.into()),
        }
    }
}

/// The state of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunState {
    /// The directory contains no run.
    New,
    /// The settings are written, but no checkpoint.
    Started,
    /// There is a checkpoint from which the run resumes.
    Checkpointed,
    /// There is a report.
    Finished,
}

fn is_finished(path: &Path) -> bool {
    ["run.json", "report.json"]
        .iter()
        .all(|file| path.join(file).exists())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn settings(epochs: u64) -> Value {
        serde_json::json!({ "epochs": epochs })
    }

    fn begin(directory: &Path, files: &[&str]) {
        let file = RunFile::of_this_process(settings(2), "a recipe", 0);
        let text = serde_json::to_string(&file).unwrap();
        files
            .iter()
            .for_each(|file| fs::write(directory.join(file), &text).unwrap());
    }

    #[test]
    fn a_directory_is_locked_until_its_owner_is_gone() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("made/on/demand");
        let owner = RunDirectory::lock(&path).unwrap();
        for error in [
            RunDirectory::lock(&path).unwrap_err(),
            RunDirectory::for_run(&settings(2), &path).unwrap_err(),
            RunDirectory::for_results(&path, None).unwrap_err(),
        ] {
            assert!(matches!(error, RunError::Locked { .. }), "{error}");
        }
        drop(owner);
        RunDirectory::for_run(&settings(2), &path).unwrap();
    }

    #[test]
    fn a_run_takes_an_empty_directory_or_its_own() {
        let state = |files: &[&str]| {
            let directory = tempfile::tempdir().unwrap();
            begin(directory.path(), files);
            let locked = RunDirectory::for_run(&settings(2), directory.path())?;
            locked.state(&settings(2))
        };
        assert_eq!(state(&[]).unwrap(), RunState::New);
        assert_eq!(state(&["log.txt"]).unwrap(), RunState::New);
        assert_eq!(state(&["run.json"]).unwrap(), RunState::Started);
        assert_eq!(
            state(&["run.json", "report.json"]).unwrap(),
            RunState::Finished
        );
        for files in [&["report.json"][..], &["notes.txt"]] {
            let error = state(files).unwrap_err();
            assert!(matches!(error, RunError::Occupied { .. }), "{error}");
        }
    }

    #[test]
    fn the_directory_of_another_run_is_refused_and_a_finished_one_is_not_touched() {
        let directory = tempfile::tempdir().unwrap();
        begin(directory.path(), &["run.json", "report.json"]);
        for error in [
            RunDirectory::for_run(&settings(3), directory.path()).unwrap_err(),
            RunDirectory::for_results(directory.path(), None).unwrap_err(),
        ] {
            assert!(matches!(error, RunError::Occupied { .. }), "{error}");
        }
        let _ = fs::remove_file(directory.path().join(LOCK));
        assert!(
            RunDirectory::for_run(&settings(2), directory.path())
                .unwrap()
                .is_finished()
        );
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }

    #[test]
    fn results_replace_no_report_but_that_of_the_same_command_gone_on_with() {
        let take = |files: &[&str], progress| {
            let directory = tempfile::tempdir().unwrap();
            begin(directory.path(), files);
            RunDirectory::for_results(directory.path(), progress).is_ok()
        };
        let progress = Some("trials.json");
        for (files, progress, taken) in [
            (&[][..], None, true),
            (&["notes.txt"], None, true),
            (&["report.json"], None, false),
            (&["report.json"], progress, false),
            (&["run.json"], progress, false),
            (&["scan.json", "trials.json"], progress, false),
            (&["report.json", "trials.json"], None, false),
            (&["report.json", "trials.json"], progress, true),
        ] {
            assert_eq!(take(files, progress), taken, "{files:?} {progress:?}");
        }
    }

    #[test]
    fn a_path_that_holds_no_run_is_said_to() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("notes.txt");
        fs::write(&file, "").unwrap();
        for (error, words) in [
            (
                RunDirectory::lock(&file).map(drop),
                "notes.txt: the directory cannot be made",
            ),
            (
                RunFile::load(directory.path()).map(drop),
                "nothing to resume: there is no file run.json",
            ),
        ] {
            let error = error.unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
