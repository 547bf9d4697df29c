//! Files that are whole or absent.

use std::fs;
use std::path::Path;

use crate::failure::Failure;
use crate::train_cifar::bad;

/// Writes beside the file, and renames.
pub(crate) fn write(file: &Path, bytes: impl AsRef<[u8]>) -> Result<(), Failure> {
    let mut partial = file.as_os_str().to_owned();
    partial.push(".partial");
    fs::write(&partial, bytes)
        .and_then(|()| fs::rename(&partial, file))
        .map_err(|error| bad(format!("{}: it cannot be written: {error}", file.display())))
}
