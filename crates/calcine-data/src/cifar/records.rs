//! The packing as records of bytes.

use super::{Cifar100Labels, Set, label};
use crate::Images;
use crate::cifar10::PIXELS;
use crate::error::{DataError, Problem};
use std::path::Path;

/// Appends the records in `bytes`, the content of `file`.
///
/// A record of CIFAR-10 is a label and the pixels, one of CIFAR-100 the coarse label, the fine label and the pixels.
pub(super) fn append(
    images: &mut Images,
    file: &Path,
    bytes: &[u8],
    set: Set,
    labels: Cifar100Labels,
) -> Result<(), DataError> {
    let (before, position) = match (set, labels) {
        (Set::Cifar10, _) => (1, 0),
        (Set::Cifar100, Cifar100Labels::Coarse) => (2, 0),
        (Set::Cifar100, Cifar100Labels::Fine) => (2, 1),
    };
    let size = before + PIXELS;
    let records = bytes.chunks_exact(size);
    let (count, rest) = (records.len(), records.remainder().len());
    if count == 0 || 0 < rest {
        let problem = Problem::TruncatedRecord {
            found: rest,
            expected: size,
        };
        return Err(DataError::at(file, (count * size) as u64, problem));
    }
    images.pixels.reserve(count * PIXELS);
    for (index, record) in records.enumerate() {
        let found = label(record[position].into(), images)
            .map_err(|problem| DataError::at(file, (index * size + position) as u64, problem))?;
        images.labels.push(found);
        images.pixels.extend_from_slice(&record[before..]);
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::packing::BINARY;
    use super::*;
    use crate::cifar10;
    use std::fs;

    /// `count` records: labels count up, every pixel is `tint`.
    pub(crate) fn records(count: usize, tint: u8) -> Vec<u8> {
        (0..count)
            .flat_map(|i| [(i % 10) as u8].into_iter().chain([tint; PIXELS]))
            .collect()
    }

    /// The six files in `directory`, two records each, file i tinted i.
    pub(crate) fn write_files(directory: &Path) {
        fs::create_dir_all(directory).unwrap();
        for (i, name) in BINARY.files.iter().enumerate() {
            fs::write(directory.join(name), records(2, i as u8)).unwrap();
        }
    }

    fn problem_with(bytes: &[u8]) -> String {
        append(
            &mut cifar10::images(vec![], vec![]),
            Path::new("f.bin"),
            bytes,
            Set::Cifar10,
            Cifar100Labels::Fine,
        )
        .unwrap_err()
        .to_string()
    }

    #[test]
    fn a_record_is_a_label_and_its_pixels() {
        let mut images = cifar10::images(vec![], vec![]);
        append(
            &mut images,
            Path::new("f.bin"),
            &records(3, 7),
            Set::Cifar10,
            Cifar100Labels::Fine,
        )
        .unwrap();
        assert_eq!(images, cifar10::images(vec![7; 3 * PIXELS], vec![0, 1, 2]));
    }

    #[test]
    fn a_truncated_file_names_the_byte_where_the_cut_record_starts() {
        let mut bytes = records(3, 0);
        bytes.truncate(2 * (1 + PIXELS) + 100);
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
        bytes[1 + PIXELS] = 10;
        assert_eq!(
            problem_with(&bytes),
            "f.bin, byte 3073: found label 10; expected 0 to 9"
        );
    }

    #[test]
    fn a_record_of_cifar_100_has_a_coarse_and_a_fine_label() {
        let bytes = [
            [&[19, 99][..], &[7; PIXELS]].concat(),
            [&[0, 3][..], &[8; PIXELS]].concat(),
        ]
        .concat();
        for (labels, expected) in [
            (Cifar100Labels::Coarse, [19, 0]),
            (Cifar100Labels::Fine, [99, 3]),
        ] {
            let mut images = super::super::empty(Set::Cifar100, labels);
            append(
                &mut images,
                Path::new("train.bin"),
                &bytes,
                Set::Cifar100,
                labels,
            )
            .unwrap();
            assert_eq!(images.labels(), expected);
            assert!(images.image(1).iter().all(|&byte| byte == 8));
        }
        let mut images = super::super::empty(Set::Cifar100, Cifar100Labels::Coarse);
        let stray = [&[20, 99][..], &[7; PIXELS]].concat();
        let error = append(
            &mut images,
            Path::new("train.bin"),
            &stray,
            Set::Cifar100,
            Cifar100Labels::Coarse,
        );
        assert_eq!(
            error.unwrap_err().to_string(),
            "train.bin, byte 0: found label 20; expected 0 to 19"
        );
    }
}
