//! The data set as six files in a directory.

use super::records::{self, DIRECTORY};
use super::{DataError, Images, Problem};
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Reads the six files in `directory`, or in `cifar-10-batches-bin` inside it if there is one.
/// Returns the directory they were in, the training and the test images.
pub(super) fn read(directory: &Path) -> Result<(PathBuf, Images, Images), DataError> {
    let inner = directory.join(DIRECTORY);
    let root = if inner.is_dir() {
        inner
    } else {
        directory.to_owned()
    };
    let (train, test) = records::assemble(&root, |file, _| {
        fs::read(file).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => DataError::new(file, Problem::Missing),
            _ => DataError::io(file)(error),
        })
    })?;
    Ok((root, train, test))
}

#[cfg(test)]
mod tests {
    use super::super::PIXELS;
    use super::super::records::tests::write_files;
    use super::*;

    #[test]
    fn five_batches_are_training_images_and_the_sixth_is_the_test() {
        let dir = tempfile::tempdir().unwrap();
        write_files(dir.path());
        let (root, train, test) = read(dir.path()).unwrap();
        assert_eq!(root, dir.path());
        assert_eq!(train.labels(), [0, 1, 0, 1, 0, 1, 0, 1, 0, 1]);
        assert!((0..10).all(|i| train.image(i) == [i as u8 / 2; PIXELS]));
        assert_eq!(test, Images::new(vec![5; 2 * PIXELS], vec![0, 1]));
    }

    #[test]
    fn the_files_may_be_one_directory_down() {
        let dir = tempfile::tempdir().unwrap();
        write_files(&dir.path().join(DIRECTORY));
        let (root, train, _) = read(dir.path()).unwrap();
        assert_eq!(root, dir.path().join(DIRECTORY));
        assert_eq!(train.len(), 10);
    }

    #[test]
    fn a_missing_batch_is_named() {
        let dir = tempfile::tempdir().unwrap();
        write_files(dir.path());
        fs::remove_file(dir.path().join("data_batch_4.bin")).unwrap();
        let error = read(dir.path()).unwrap_err();
        assert_eq!(error.file(), dir.path().join("data_batch_4.bin"));
        assert!(matches!(error.problem(), Problem::Missing));
    }
}
