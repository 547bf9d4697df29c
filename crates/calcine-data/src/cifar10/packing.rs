//! The packings in which CIFAR-10 is handed round.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::{DataError, Images, Problem, python, records};

/// One packing: a directory of six files, the test images in the last.
pub(super) struct Packing {
    /// The directory's name in the official archive.
    pub(super) directory: &'static str,
    /// The archive's name.
    archive: &'static str,
    /// What the files' names end with.
    extension: &'static str,
    /// Appends the images in a file's bytes.
    append: fn(&mut Images, &Path, &[u8]) -> Result<(), DataError>,
}

/// Records of bytes.
pub(super) const BINARY: Packing = Packing {
    directory: "cifar-10-batches-bin",
    archive: "cifar-10-binary.tar.gz",
    extension: ".bin",
    append: records::append,
};

/// Pickled dictionaries, as torchvision downloads them.
pub(super) const PYTHON: Packing = Packing {
    directory: "cifar-10-batches-py",
    archive: "cifar-10-python.tar.gz",
    extension: "",
    append: python::append,
};

/// All of them, the first preferred.
pub(super) const ALL: [&Packing; 2] = [&BINARY, &PYTHON];

/// How many files each packing has.
pub(super) const FILES: usize = 6;

impl Packing {
    /// The six files, the test images last.
    pub(super) fn files(&self) -> [String; FILES] {
        [
            "data_batch_1",
            "data_batch_2",
            "data_batch_3",
            "data_batch_4",
            "data_batch_5",
            "test_batch",
        ]
        .map(|name| format!("{name}{}", self.extension))
    }

    /// Training and test images from the files' bytes, which `read` returns for each of [`Self::files`] in `root`.
    pub(super) fn assemble(
        &self,
        root: &Path,
        mut read: impl FnMut(&Path, usize) -> Result<Vec<u8>, DataError>,
    ) -> Result<(Images, Images), DataError> {
        let (mut train, mut test) = (Images::default(), Images::default());
        for (index, name) in self.files().iter().enumerate() {
            let file = root.join(name);
            let bytes = read(&file, index)?;
            let images = if index + 1 < FILES {
                &mut train
            } else {
                &mut test
            };
            (self.append)(images, &file, &bytes)?;
        }
        Ok((train, test))
    }
}

/// What a directory holds.
pub(super) enum Found {
    /// Files of a packing, in this directory.
    Files(&'static Packing, PathBuf),
    /// The archive of a packing.
    Archive(PathBuf),
}

/// Looks for a packing in `directory`, or in one of the usual name inside it, or for its archive.
pub(super) fn find(directory: &Path) -> Result<Found, DataError> {
    for packing in ALL {
        let inner = directory.join(packing.directory);
        if inner.is_dir() {
            return Ok(Found::Files(packing, inner));
        }
    }
    for packing in ALL {
        if packing
            .files()
            .iter()
            .any(|file| directory.join(file).is_file())
        {
            return Ok(Found::Files(packing, directory.to_owned()));
        }
    }
    for packing in ALL {
        let archive = directory.join(packing.archive);
        if archive.is_file() {
            return Ok(Found::Archive(archive));
        }
    }
    let names = names(directory, 2).map_err(DataError::io(directory))?;
    Err(DataError::new(directory, other(&names)))
}

/// Why files of these names are no CIFAR-10.
pub(super) fn other(names: &BTreeSet<String>) -> Problem {
    const SHOWN: usize = 5;
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
    let mut shown: Vec<String> = names.iter().take(SHOWN).cloned().collect();
    if names.len() > SHOWN {
        shown.push(format!("{} more", names.len() - SHOWN));
    }
    Problem::OtherFiles {
        found: shown.join(", "),
    }
}

/// The names in a directory and in those inside it; enough of them to know what they are.
fn names(directory: &Path, depth: usize) -> io::Result<BTreeSet<String>> {
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
