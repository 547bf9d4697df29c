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
    pub(crate) fn new(file: &Path, problem: Problem) -> Self {
        Self {
            file: file.to_owned(),
            offset: None,
            problem,
        }
    }

    pub(crate) fn at(file: &Path, offset: u64, problem: Problem) -> Self {
        Self {
            file: file.to_owned(),
            offset: Some(offset),
            problem,
        }
    }

    /// For `map_err`: an operating-system error about `file`.
    pub(crate) fn io(file: &Path) -> impl FnOnce(io::Error) -> Self {
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

/// What is wrong with a file or directory.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// It does not exist.
    #[error("there is no such file or directory; expected {LOOKED_FOR}")]
    Missing,
    /// One of the files of a data set does not exist.
    #[error("missing; the data set has the files {expected}")]
    MissingFile {
        /// The files that belong together.
        expected: String,
    },
    /// The data set is CIFAR-100, where CIFAR-10 is needed.
    #[error(
        "found CIFAR-100, which has 100 classes; expected CIFAR-10, as cifar-10-batches-bin or cifar-10-batches-py or the \
         archive of either"
    )]
    Cifar100,
    /// Image files are there, where CIFAR-10 is needed.
    #[error(
        "found image files; expected CIFAR-10 in its own files, as cifar-10-batches-bin or cifar-10-batches-py or the \
         archive of either"
    )]
    ImageFiles,
    /// Other files are there, where CIFAR-10 is needed.
    #[error(
        "found {found}; expected cifar-10-batches-bin or cifar-10-batches-py or the archive of either"
    )]
    OtherFiles {
        /// The names of the first few.
        found: String,
    },
    /// No packing was recognised.
    #[error("found {found}; expected {LOOKED_FOR}")]
    Unrecognized {
        /// The names of the first few files.
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
    #[error("found label {found}; expected 0 to {}", classes - 1)]
    Label {
        /// The label.
        found: i64,
        /// The number of classes.
        classes: usize,
    },
    /// A file of MNIST's format that is not of the expected form.
    #[error("no IDX file of the expected form: {reason}")]
    Idx {
        /// What is wrong.
        reason: String,
    },
    /// An image that cannot be read.
    #[error("the image cannot be read: {reason}")]
    Image {
        /// What is wrong.
        reason: String,
    },
    /// A folder of images that is not of the expected form.
    #[error("no folder of images by class: {reason}")]
    Folder {
        /// What is wrong.
        reason: String,
    },
    /// Arrays that are not of the expected form.
    #[error("no arrays of inputs and targets: {reason}")]
    Arrays {
        /// What is wrong.
        reason: String,
    },
    /// What is asked of the data does not fit them.
    #[error("the data do not fit what is asked of them: {reason}")]
    Mismatch {
        /// What is asked, and what is there.
        reason: String,
    },
    /// The file, in the cache or on the server, has another size than the official one.
    #[error("found {found} bytes; expected {expected}")]
    Size {
        /// Bytes there are or, where a server announces no size, bytes sent before the download was stopped.
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

/// What [`open`](crate::open) recognises.
const LOOKED_FOR: &str = "CIFAR-10 or CIFAR-100 (cifar-10-batches-bin, cifar-10-batches-py, cifar-100-binary, \
    cifar-100-python, or the .tar.gz of one), MNIST or Fashion-MNIST (train-images-idx3-ubyte and its three companions, with or \
    without .gz), image folders (train/CLASS/*.jpg, or CLASS/*.png), or arrays (.npz, .safetensors, or inputs.npy with \
    targets.npy)";
