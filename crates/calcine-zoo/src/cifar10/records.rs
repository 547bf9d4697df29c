//! Records of the official binary layout.

use super::{CLASSES, DataError, Images, PIXELS, Problem};
use std::path::Path;

/// The directory's name in the official archive.
pub(super) const DIRECTORY: &str = "cifar-10-batches-bin";

/// The six files, the test set last.
pub(super) const FILES: [&str; 6] = [
    "data_batch_1.bin",
    "data_batch_2.bin",
    "data_batch_3.bin",
    "data_batch_4.bin",
    "data_batch_5.bin",
    "test_batch.bin",
];

/// Bytes of a record: the label, then the pixels.
pub(super) const RECORD: usize = 1 + PIXELS;

/// Training and test images from the files' bytes, which `read` returns for each of [`FILES`].
pub(super) fn assemble(
    root: &Path,
    mut read: impl FnMut(&Path, usize) -> Result<Vec<u8>, DataError>,
) -> Result<(Images, Images), DataError> {
    let (mut train, mut test) = (Images::default(), Images::default());
    for (index, name) in FILES.iter().enumerate() {
        let file = root.join(name);
        let bytes = read(&file, index)?;
        let images = if index + 1 < FILES.len() {
            &mut train
        } else {
            &mut test
        };
        append(images, &file, &bytes)?;
    }
    Ok((train, test))
}

/// Appends the records in `bytes`, the content of `file`.
fn append(images: &mut Images, file: &Path, bytes: &[u8]) -> Result<(), DataError> {
    let records = bytes.chunks_exact(RECORD);
    let (count, rest) = (records.len(), records.remainder().len());
    if count == 0 || 0 < rest {
        let problem = Problem::TruncatedRecord {
            found: rest,
            expected: RECORD,
        };
        return Err(DataError::at(file, (count * RECORD) as u64, problem));
    }
    images.pixels.reserve(count * PIXELS);
    for (index, record) in records.enumerate() {
        let label = record[0];
        if CLASSES.len() <= usize::from(label) {
            let problem = Problem::Label { found: label };
            return Err(DataError::at(file, (index * RECORD) as u64, problem));
        }
        images.labels.push(label);
        images.pixels.extend_from_slice(&record[1..]);
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::fs;

    /// `count` records: labels count up, every pixel is `tint`.
    pub(in super::super) fn records(count: usize, tint: u8) -> Vec<u8> {
        (0..count)
            .flat_map(|i| [(i % 10) as u8].into_iter().chain([tint; PIXELS]))
            .collect()
    }

    /// The six files in `directory`, two records each, file i tinted i.
    pub(in super::super) fn write_files(directory: &Path) {
        fs::create_dir_all(directory).unwrap();
        for (i, name) in FILES.iter().enumerate() {
            fs::write(directory.join(name), records(2, i as u8)).unwrap();
        }
    }

    fn problem_with(bytes: &[u8]) -> String {
        append(&mut Images::default(), Path::new("f.bin"), bytes)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_record_is_a_label_and_its_pixels() {
        let mut images = Images::default();
        append(&mut images, Path::new("f.bin"), &records(3, 7)).unwrap();
        assert_eq!(images, Images::new(vec![7; 3 * PIXELS], vec![0, 1, 2]));
    }

    #[test]
    fn a_truncated_file_names_the_byte_where_the_cut_record_starts() {
        let mut bytes = records(3, 0);
        bytes.truncate(2 * RECORD + 100);
        assert_eq!(
            problem_with(&bytes),
            "f.bin, byte 6146: found 100 bytes of a record; expected 3073"
        );
    }

    #[test]
    fn an_empty_file_is_truncated_at_its_start() {
        assert_eq!(
            problem_with(&[]),
            "f.bin, byte 0: found 0 bytes of a record; expected 3073"
        );
    }

    #[test]
    fn a_label_beyond_the_classes_names_its_byte() {
        let mut bytes = records(3, 0);
        bytes[RECORD] = 10;
        assert_eq!(
            problem_with(&bytes),
            "f.bin, byte 3073: found label 10; expected 0 to 9"
        );
    }
}
