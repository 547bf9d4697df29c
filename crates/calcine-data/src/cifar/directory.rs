//! The data set as files in a directory.

use super::{Cifar100Labels, Packing};
use crate::Images;
use crate::error::DataError;
use std::path::Path;
use std::{fs, io};

/// Reads the files of a packing in `root`: the training and the test images.
pub(crate) fn read(
    packing: &Packing,
    root: &Path,
    labels: Cifar100Labels,
) -> Result<(Images, Images), DataError> {
    packing.assemble(root, labels, |file, _| {
        fs::read(file).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => packing.missing(file),
            _ => DataError::io(file)(error),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::packing::{BINARY, PYTHON};
    use super::super::python::tests::batch;
    use super::super::records::tests::write_files;
    use super::*;
    use crate::cifar10::{self, PIXELS};
    use crate::error::Problem;

    #[test]
    fn five_batches_are_training_images_and_the_sixth_is_the_test() {
        let dir = tempfile::tempdir().unwrap();
        write_files(dir.path());
        for (i, name) in PYTHON.files.iter().enumerate() {
            fs::write(dir.path().join(name), batch(2, i as u8)).unwrap();
        }
        for packing in [&BINARY, &PYTHON] {
            let (train, test) = read(packing, dir.path(), Cifar100Labels::Fine).unwrap();
            assert_eq!(train.labels(), [0, 1, 0, 1, 0, 1, 0, 1, 0, 1]);
            assert!((0..10).all(|i| train.image(i) == [i as u8 / 2; PIXELS]));
            assert_eq!(test, cifar10::images(vec![5; 2 * PIXELS], vec![0, 1]));
        }
    }

    #[test]
    fn a_missing_batch_is_named() {
        let dir = tempfile::tempdir().unwrap();
        write_files(dir.path());
        fs::remove_file(dir.path().join("data_batch_4.bin")).unwrap();
        let error = read(&BINARY, dir.path(), Cifar100Labels::Fine).unwrap_err();
        assert_eq!(error.file(), dir.path().join("data_batch_4.bin"));
        assert!(matches!(error.problem(), Problem::MissingFile { .. }));
    }
}
