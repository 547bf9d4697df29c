//! What can be wrong with a data set.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{fmt, io};

/// A data set that cannot be had: which file, at which byte, and what is wrong with it.
#[derive(Debug)]
pub struct DataError {
    file: PathBuf,
    offset: Option<u64>,
    problem: Problem,
}

impl DataError {
    pub(super) fn new(file: &Path, problem: Problem) -> Self {
        Self {
            file: file.to_owned(),
            offset: None,
            problem,
        }
    }

    pub(super) fn at(file: &Path, offset: u64, problem: Problem) -> Self {
        Self {
            file: file.to_owned(),
            offset: Some(offset),
            problem,
        }
    }

    /// For `map_err`: an operating-system error about `file`.
    pub(super) fn io(file: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::new(file, Problem::Io(source))
    }

    /// The file, directory or address. A member of an archive is named as if the archive were a
    /// directory.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The byte at which it goes wrong, where one can be named. For a broken archive it counts
    /// unpacked bytes.
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        self.offset
    }

    /// What was found and what was expected.
    #[must_use]
    pub fn problem(&self) -> &Problem {
        &self.problem
    }
}

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(offset) = self.offset {
            write!(f, ", byte {offset}")?;
        }
        write!(f, ": {}", self.problem)
    }
}

impl Error for DataError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.problem.source()
    }
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// It does not exist.
    #[error(
        "missing; expected a .tar.gz archive or a directory with data_batch_1.bin to \
         data_batch_5.bin and test_batch.bin, or with cifar-10-batches-bin or cifar-10-batches-py"
    )]
    Missing,
    /// One of the six files does not exist.
    #[error(
        "missing; expected data_batch_1 to data_batch_5 and test_batch, all with .bin or all without"
    )]
    MissingFile,
    /// The data set is CIFAR-100.
    #[error(
        "found CIFAR-100, which has 100 classes; the reference networks tell ten apart: expected CIFAR-10, \
         as cifar-10-batches-bin or cifar-10-batches-py or the archive of either"
    )]
    Cifar100,
    /// Images are there as files.
    #[error(
        "found image files; expected CIFAR-10 in its own files, as cifar-10-batches-bin or cifar-10-batches-py or the \
         archive of either (other images are for a training loop of your own)"
    )]
    ImageFiles,
    /// Other files are there.
    #[error(
        "found {found}; expected cifar-10-batches-bin or cifar-10-batches-py or the archive of either"
    )]
    OtherFiles {
        /// The names of the first few.
        found: String,
    },
    /// A file of the packing for Python that is not of the expected form.
    #[error("no batch of images as pickled by Python: {reason}")]
    Pickle {
        /// What is wrong.
        reason: String,
    },
    /// It is a file of another kind.
    #[error(
        "found a file that ends in neither .tar.gz nor .tgz; expected such, or the directory that holds the six files"
    )]
    NotAnArchive,
    /// It is called an archive and is not compressed by gzip.
    #[error("found first bytes {found:02x?}; expected 1f 8b, the mark of a gzip file")]
    NotGzip {
        /// The first bytes, at most two.
        found: Vec<u8>,
    },
    /// The archive cannot be unpacked.
    #[error("the archive is broken: {0}")]
    BrokenArchive(#[source] io::Error),
    /// The last record is cut off, or there is none.
    #[error("found {found} bytes of a record; expected {expected}")]
    TruncatedRecord {
        /// Bytes from the offset to the end of the file.
        found: usize,
        /// Bytes of a record.
        expected: usize,
    },
    /// A label names no class.
    #[error("found label {found}; expected 0 to 9")]
    Label {
        /// The label byte.
        found: u8,
    },
    /// The file, in the cache or on the server, has another size than the official one.
    #[error("found {found} bytes; expected {expected}")]
    Size {
        /// Bytes there are or, where a server announces no size, bytes sent before we hung up.
        found: u64,
        /// Bytes of the official file.
        expected: u64,
    },
    /// The connection broke off; what arrived is kept, and the next attempt goes on from there.
    #[error("the download broke off ({why}); expected {expected} bytes; run again to resume")]
    Interrupted {
        /// Bytes of the whole file.
        expected: u64,
        /// How it broke off.
        why: String,
    },
    /// The file is not the official one.
    #[error("found SHA-256 {found}; expected {expected}")]
    Hash {
        /// Of the file, in hexadecimal.
        found: String,
        /// Of the official file.
        expected: String,
    },
    /// The system names no directory for caches.
    #[error("no cache directory is known; set CALCINE_DATA or XDG_CACHE_HOME")]
    NoCache,
    /// The operating system refuses.
    #[error("{0}")]
    Io(#[source] io::Error),
}
