//! The packing for Python: a pickled dictionary a file, with a list of labels and an array of pixels.

use std::path::Path;

use serde_pickle::{DeOptions, HashableValue, Value};

use super::{Cifar100Labels, Set, label};
use crate::Images;
use crate::cifar10::PIXELS;
use crate::error::{DataError, Problem};

/// Appends the images in `bytes`, the content of `file`.
///
/// The dictionary has `labels`, or `fine_labels` and `coarse_labels`, lists of numbers, and `data`, an array of NumPy's of shape `[n, 3072]` and bytes: red,
/// green, blue, row by row.
pub(super) fn append(
    images: &mut Images,
    file: &Path,
    bytes: &[u8],
    set: Set,
    labels: Cifar100Labels,
) -> Result<(), DataError> {
    let pickle = |reason: String| DataError::new(file, Problem::Pickle { reason });
    // An array is a class of NumPy's that is made without contents and then given its state. Classes are unknown here
    // and become nothing; the state is left: a version, the shape, the type, the order, the bytes.
    let options = DeOptions::new().replace_unresolved_globals();
    let root: Value = serde_pickle::value_from_slice(bytes, options)
        .map_err(|error| pickle(error.to_string()))?;
    let Value::Dict(entries) = root else {
        return Err(pickle("it holds no dictionary".to_owned()));
    };
    let entry = |name: &str| {
        let found = entries.iter().find(|(key, _)| match key {
            HashableValue::String(key) => key == name,
            HashableValue::Bytes(key) => key == name.as_bytes(),
            _ => false,
        });
        found.map(|(_, value)| value)
    };
    if set == Set::Cifar10 && entry("fine_labels").is_some() {
        return Err(DataError::new(file, Problem::Cifar100));
    }
    let name = match (set, labels) {
        (Set::Cifar10, _) => "labels",
        (Set::Cifar100, Cifar100Labels::Fine) => "fine_labels",
        (Set::Cifar100, Cifar100Labels::Coarse) => "coarse_labels",
    };
    let missing = |name: &str| pickle(format!("the dictionary has no `{name}`"));
    let Value::List(labels) = entry(name).ok_or_else(|| missing(name))? else {
        return Err(pickle(format!("`{name}` is not a list")));
    };
    let pixels = array(entry("data").ok_or_else(|| missing("data"))?)
        .ok_or_else(|| pickle("`data` is not a two-dimensional array of bytes".to_owned()))?;
    if labels.is_empty() || pixels.len() != labels.len() * PIXELS {
        let found = pixels.len();
        return Err(pickle(format!(
            "`data` has {found} bytes, expected {PIXELS} for each of {} labels",
            labels.len()
        )));
    }
    for found in labels {
        let Value::I64(found) = found else {
            return Err(pickle(format!("found label {found}; expected a number")));
        };
        let found = label(*found, images).map_err(|problem| pickle(problem.to_string()))?;
        images.labels.push(found);
    }
    images.pixels.extend_from_slice(pixels);
    Ok(())
}

/// The bytes of an array's state, if its elements are bytes by rows.
fn array(state: &Value) -> Option<&[u8]> {
    let Value::Tuple(state) = state else {
        return None;
    };
    match state.as_slice() {
        [
            _,
            Value::Tuple(shape),
            _,
            Value::Bool(false),
            Value::Bytes(bytes),
        ] => {
            let sizes = shape.iter().map(|size| match size {
                Value::I64(size) => usize::try_from(*size).ok(),
                _ => None,
            });
            let elements = sizes.product::<Option<usize>>()?;
            (elements == bytes.len()).then_some(bytes)
        }
        _ => None,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::cifar10;

    fn append_10(images: &mut Images, file: &Path, bytes: &[u8]) -> Result<(), DataError> {
        append(images, file, bytes, Set::Cifar10, Cifar100Labels::Fine)
    }

    /// What `pickle.dumps` of Python 2 writes of a batch of `count` images: labels count up, every pixel is `tint`.
    pub(crate) fn batch(count: usize, tint: u8) -> Vec<u8> {
        pickled(
            "labels",
            &(0..count).map(|i| (i % 10) as u8).collect::<Vec<_>>(),
            &vec![tint; count * PIXELS],
        )
    }

    pub(crate) fn pickled(labels_key: &str, labels: &[u8], pixels: &[u8]) -> Vec<u8> {
        let key = |name: &str| [&[b'U', name.len() as u8], name.as_bytes()].concat();
        let int = |value: usize| [&b"J"[..], &(value as u32).to_le_bytes()].concat();
        let mut bytes = b"\x80\x02}q\x01(".to_vec();
        bytes.extend(key("batch_label"));
        bytes.extend(key("training batch 1 of 5"));
        bytes.extend(key(labels_key));
        bytes.extend(b"](");
        labels.iter().for_each(|label| bytes.extend([b'K', *label]));
        bytes.push(b'e');
        bytes.extend(key("data"));
        bytes.extend(
            b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01",
        );
        bytes.extend(int(pixels.len() / PIXELS));
        bytes.extend(int(PIXELS));
        bytes.extend(b"\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T");
        bytes.extend((pixels.len() as u32).to_le_bytes());
        bytes.extend(pixels);
        bytes.extend(b"tb");
        bytes.extend(b"u.");
        bytes
    }

    fn error_of(bytes: &[u8]) -> String {
        append_10(
            &mut cifar10::images(vec![], vec![]),
            Path::new("test_batch"),
            bytes,
        )
        .unwrap_err()
        .to_string()
    }

    #[test]
    fn a_batch_is_a_list_of_labels_and_an_array_of_pixels() {
        let mut images = cifar10::images(vec![], vec![]);
        append_10(&mut images, Path::new("f"), &batch(3, 7)).unwrap();
        append_10(&mut images, Path::new("g"), &batch(1, 8)).unwrap();
        let pixels = [vec![7; 3 * PIXELS], vec![8; PIXELS]].concat();
        assert_eq!(images, cifar10::images(pixels, vec![0, 1, 2, 0]));
    }

    #[test]
    fn a_damaged_batch_names_its_file_and_what_is_wrong() {
        let whole = batch(2, 7);
        let table: [(Vec<u8>, &str); 7] = [
            (Vec::new(), "pickle"),
            (whole[..whole.len() / 2].to_vec(), "pickle"),
            (b"\x80\x02]q\x01.".to_vec(), "no dictionary"),
            (b"\x80\x02}q\x01.".to_vec(), "no `labels`"),
            (
                pickled("labels", &[3], &vec![0; 2 * PIXELS]),
                "6144 bytes, expected 3072 for each of 1",
            ),
            (pickled("labels", &[10], &vec![0; PIXELS]), "label 10"),
            (pickled("fine_labels", &[3], &vec![0; PIXELS]), "CIFAR-100"),
        ];
        for (bytes, words) in table {
            let told = error_of(&bytes);
            assert!(
                told.contains("test_batch") && told.contains(words),
                "{told}"
            );
        }
    }

    #[test]
    fn damaged_bytes_never_panic() {
        let whole = batch(1, 7);
        for position in (0..120).chain(whole.len() - 10..whole.len()) {
            for flip in [0x01, 0x55, 0xff] {
                let mut bytes = whole.clone();
                bytes[position] ^= flip;
                // Other images, or an error: both are answers.
                drop(append_10(
                    &mut cifar10::images(vec![], vec![]),
                    Path::new("f"),
                    &bytes,
                ));
            }
        }
    }

    #[test]
    fn fine_and_coarse_labels_are_those_of_their_lists() {
        let bytes = pickled(
            "fine_labels",
            &[99, 4],
            &[vec![1; PIXELS], vec![2; PIXELS]].concat(),
        );
        let read = |labels| {
            let mut images = super::super::empty(Set::Cifar100, labels);
            append(
                &mut images,
                Path::new("train"),
                &bytes,
                Set::Cifar100,
                labels,
            )
            .map(|()| images)
        };
        assert_eq!(read(Cifar100Labels::Fine).unwrap().labels(), [99, 4]);
        let error = read(Cifar100Labels::Coarse).unwrap_err();
        assert!(error.to_string().contains("no `coarse_labels`"), "{error}");
    }
}
