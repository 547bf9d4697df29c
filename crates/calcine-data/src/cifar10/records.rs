//! The packing as records of bytes.

use super::{CLASSES, DataError, Images, PIXELS, Problem};
use std::path::Path;

/// Bytes of a record: the label, then the pixels.
pub(super) const RECORD: usize = 1 + PIXELS;

/// Appends the records in `bytes`, the content of `file`.
pub(super) fn append(images: &mut Images, file: &Path, bytes: &[u8]) -> Result<(), DataError> {
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
    use super::super::packing::BINARY;
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
        for (i, name) in BINARY.files().iter().enumerate() {
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
