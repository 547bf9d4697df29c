//! The packings in which CIFAR-10 and CIFAR-100 are distributed.
//!
//! Both sets are 50,000 training and 10,000 test images of 32×32 pixels in three colours (Krizhevsky, *Learning Multiple
//! Layers of Features from Tiny Images*, 2009), as records of bytes or as dictionaries that Python pickled, in a directory or in
//! a `.tar.gz` (<https://www.cs.toronto.edu/~kriz/cifar.html>).

pub(crate) mod archive;
pub(crate) mod directory;
mod names;
pub(crate) mod packing;
mod python;
mod records;

#[cfg(test)]
pub(crate) use records::tests::write_files;

pub(crate) use packing::{Found, Packing, Set, find};

use serde::{Deserialize, Serialize};
use std::path::Path;

use crate::cifar10::{CHANNELS, SIDE};
use crate::error::{DataError, Problem};
use crate::{Images, Source};

/// Which labels of CIFAR-100 are the classes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cifar100Labels {
    /// The 100 classes.
    #[default]
    Fine,
    /// The 20 superclasses.
    Coarse,
}

/// A data set as it was read.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) set: Set,
    pub(crate) train: Images,
    pub(crate) test: Images,
    pub(crate) source: Source,
}

/// What `path` holds, if it is a directory with a packing or its archive, or a file that is called an archive.
///
/// # Errors
///
/// If it is a packing and cannot be read.
pub(crate) fn read(path: &Path, labels: Cifar100Labels) -> Result<Option<Loaded>, DataError> {
    if path.is_dir() {
        return match find(path) {
            Some(Found::Files(packing, root)) => {
                let (train, test) = directory::read(packing, &root, labels)?;
                let source = Source::path(packing.set.name(), root);
                Ok(Some(Loaded {
                    set: packing.set,
                    train,
                    test,
                    source,
                }))
            }
            Some(Found::Archive(archive)) => read(&archive, labels),
            None => Ok(None),
        };
    }
    let name = path.to_string_lossy();
    if !name.ends_with(".tar.gz") && !name.ends_with(".tgz") {
        return Ok(None);
    }
    let (packing, train, test) = archive::read(path, labels)?;
    Ok(Some(Loaded {
        set: packing.set,
        train,
        test,
        source: Source::path(packing.set.name(), path),
    }))
}

/// No images yet of this set.
fn empty(set: Set, labels: Cifar100Labels) -> Images {
    Images::empty([CHANNELS, SIDE, SIDE], set.classes(labels).len())
}

/// The check that a label names a class.
fn label(label: i64, images: &Images) -> Result<u8, Problem> {
    let classes = images.classes;
    match u8::try_from(label) {
        Ok(label) if usize::from(label) < classes => Ok(label),
        _ => Err(Problem::Label {
            found: label,
            classes,
        }),
    }
}
