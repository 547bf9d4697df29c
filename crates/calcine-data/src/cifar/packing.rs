//! The packings, and how they are recognised.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::names::{COARSE, FINE};
use super::{Cifar100Labels, empty, python, records};
use crate::Images;
use crate::cifar10::CLASSES;
use crate::error::{DataError, Problem};

/// Which of the two data sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Set {
    /// Ten classes.
    Cifar10,
    /// 100 classes in 20 superclasses.
    Cifar100,
}

impl Set {
    /// What people call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cifar10 => "CIFAR-10",
            Self::Cifar100 => "CIFAR-100",
        }
    }

    /// The names of the classes, by label.
    pub(crate) fn classes(self, labels: Cifar100Labels) -> &'static [&'static str] {
        match (self, labels) {
            (Self::Cifar10, _) => &CLASSES,
            (Self::Cifar100, Cifar100Labels::Fine) => &FINE,
            (Self::Cifar100, Cifar100Labels::Coarse) => &COARSE,
        }
    }
}

/// One packing: files of training images and a file of test images.
#[derive(Debug)]
pub(crate) struct Packing {
    /// The data set in it.
    pub(crate) set: Set,
    /// The directory's name in the official archive.
    pub(crate) directory: &'static str,
    /// The archive's name.
    archive: &'static str,
    /// The files of training images, then the one of test images.
    pub(crate) files: &'static [&'static str],
    /// Whether the files are dictionaries that Python pickled, rather than records of bytes.
    pickled: bool,
}

/// CIFAR-10 as records of bytes.
pub(crate) static BINARY: Packing = Packing {
    set: Set::Cifar10,
    directory: "cifar-10-batches-bin",
    archive: "cifar-10-binary.tar.gz",
    files: &[
        "data_batch_1.bin",
        "data_batch_2.bin",
        "data_batch_3.bin",
        "data_batch_4.bin",
        "data_batch_5.bin",
        "test_batch.bin",
    ],
    pickled: false,
};

/// CIFAR-10 as pickled dictionaries, as torchvision downloads them.
pub(crate) static PYTHON: Packing = Packing {
    set: Set::Cifar10,
    directory: "cifar-10-batches-py",
    archive: "cifar-10-python.tar.gz",
    files: &[
        "data_batch_1",
        "data_batch_2",
        "data_batch_3",
        "data_batch_4",
        "data_batch_5",
        "test_batch",
    ],
    pickled: true,
};

/// CIFAR-100 as records of bytes.
pub(crate) static BINARY_100: Packing = Packing {
    set: Set::Cifar100,
    directory: "cifar-100-binary",
    archive: "cifar-100-binary.tar.gz",
    files: &["train.bin", "test.bin"],
    pickled: false,
};

/// CIFAR-100 as pickled dictionaries, as torchvision downloads them.
pub(crate) static PYTHON_100: Packing = Packing {
    set: Set::Cifar100,
    directory: "cifar-100-python",
    archive: "cifar-100-python.tar.gz",
    files: &["train", "test"],
    pickled: true,
};

/// All of them, the first preferred.
pub(crate) static ALL: [&Packing; 4] = [&BINARY, &PYTHON, &BINARY_100, &PYTHON_100];

impl Packing {
    /// Training and test images from the files' bytes, which `read` returns for each of `files` in `root`.
    pub(crate) fn assemble(
        &self,
        root: &Path,
        labels: Cifar100Labels,
        mut read: impl FnMut(&Path, usize) -> Result<Vec<u8>, DataError>,
    ) -> Result<(Images, Images), DataError> {
        let (mut train, mut test) = (empty(self.set, labels), empty(self.set, labels));
        for (index, name) in self.files.iter().enumerate() {
            let file = root.join(name);
            let bytes = read(&file, index)?;
            let images = if index + 1 < self.files.len() {
                &mut train
            } else {
                &mut test
            };
            if self.pickled {
                python::append(images, &file, &bytes, self.set, labels)?;
            } else {
                records::append(images, &file, &bytes, self.set, labels)?;
            }
        }
        Ok((train, test))
    }

    /// The error of a file that is not there.
    pub(crate) fn missing(&self, file: &Path) -> DataError {
        let expected = self.files.join(", ");
        DataError::new(file, Problem::MissingFile { expected })
    }

    /// Whether its files, not directories of such names, are in `directory`.
    fn is_in(&self, directory: &Path) -> bool {
        let is_there = |file: &&str| directory.join(file).is_file();
        match self.set {
            Set::Cifar10 => self.files.iter().any(is_there),
            // The names alone say little.
            Set::Cifar100 => self.files.iter().all(is_there),
        }
    }
}

/// What a directory holds.
#[derive(Debug)]
pub(crate) enum Found {
    /// Files of a packing, in this directory.
    Files(&'static Packing, PathBuf),
    /// The archive of a packing.
    Archive(PathBuf),
}

/// Looks for a packing in `directory`, or in one of the usual name inside it, or for its archive.
pub(crate) fn find(directory: &Path) -> Option<Found> {
    for packing in ALL {
        let inner = directory.join(packing.directory);
        if inner.is_dir() {
            return Some(Found::Files(packing, inner));
        }
    }
    if let Some(packing) = ALL.into_iter().find(|packing| packing.is_in(directory)) {
        return Some(Found::Files(packing, directory.to_owned()));
    }
    let archives = ALL.iter().map(|packing| directory.join(packing.archive));
    archives
        .into_iter()
        .find(|archive| archive.is_file())
        .map(Found::Archive)
}

/// Why files of these names are no CIFAR-10.
pub(crate) fn other(names: &BTreeSet<String>) -> Problem {
    let is_named = |words: &[&str]| {
        names
            .iter()
            .any(|name| words.iter().any(|word| name.to_lowercase().contains(word)))
    };
    let has = |wanted: &str| {
        names.iter().any(|name| {
            Path::new(name)
                .file_name()
                .is_some_and(|name| name == wanted)
        })
    };
    let has_extension = |wanted: &[&str]| {
        let extensions = names.iter().filter_map(|name| Path::new(name).extension());
        let mut extensions = extensions.map(|extension| extension.to_string_lossy().to_lowercase());
        extensions.any(|extension| wanted.contains(&extension.as_str()))
    };
    let is_cifar100 = is_named(&["cifar-100", "cifar100"])
        || (has("train.bin") && has("test.bin"))
        || (has("train") && has("test") && has("meta"));
    if is_cifar100 {
        return Problem::Cifar100;
    }
    if has_extension(&["png", "jpg", "jpeg", "bmp", "webp", "ppm"]) {
        return Problem::ImageFiles;
    }
    if names.is_empty() {
        return Problem::Missing;
    }
    Problem::OtherFiles {
        found: listed(names),
    }
}

/// The first few of these names.
pub(crate) fn listed(names: &BTreeSet<String>) -> String {
    const SHOWN: usize = 5;
    let mut shown: Vec<String> = names.iter().take(SHOWN).cloned().collect();
    if names.len() > SHOWN {
        shown.push(format!("{} more", names.len() - SHOWN));
    }
    if shown.is_empty() {
        return "nothing".to_owned();
    }
    shown.join(", ")
}

/// The names in a directory and in those inside it; enough of them to know what they are.
pub(crate) fn names(directory: &Path, depth: usize) -> io::Result<BTreeSet<String>> {
    const ENOUGH: usize = 200;
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(directory)?.take(ENOUGH) {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if depth > 0 && entry.path().is_dir() {
            let inner = self::names(&entry.path(), depth - 1)?;
            names.extend(inner.into_iter().map(|inner| format!("{name}/{inner}")));
        }
        names.insert(name);
    }
    Ok(names)
}
