//! The packing for Python: a pickled dictionary a file, with a list of labels and an array of pixels.

use std::path::Path;

use serde_pickle::{DeOptions, HashableValue, Value};

use super::{CLASSES, DataError, Images, PIXELS, Problem};

/// Appends the images in `bytes`, the content of `file`.
///
/// The dictionary has `labels`, a list of numbers, and `data`, an array of NumPy's of shape `[n, 3072]` and bytes: red,
/// green, blue, row by row.
pub(super) fn append(images: &mut Images, file: &Path, bytes: &[u8]) -> Result<(), DataError> {
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
    if entry("fine_labels").is_some() {
        return Err(DataError::new(file, Problem::Cifar100));
    }
    let missing = |name: &str| pickle(format!("the dictionary has no `{name}`"));
    let Value::List(labels) = entry("labels").ok_or_else(|| missing("labels"))? else {
        return Err(pickle("`labels` is no list".to_owned()));
    };
    let pixels = array(entry("data").ok_or_else(|| missing("data"))?)
        .ok_or_else(|| pickle("`data` is no array of bytes by rows".to_owned()))?;
    if labels.is_empty() || pixels.len() != labels.len() * PIXELS {
        let found = pixels.len();
        return Err(pickle(format!(
            "`data` has {found} bytes, expected {PIXELS} for each of {} labels",
            labels.len()
        )));
    }
    for label in labels {
        match label {
            Value::I64(label) if (0..CLASSES.len() as i64).contains(label) => {
                images.labels.push(*label as u8);
            }
            other => {
                let label = format!("label {other}; expected 0 to {}", CLASSES.len() - 1);
                return Err(pickle(format!("found {label}")));
            }
        }
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
pub(super) mod tests {
    use super::*;

    /// What `pickle.dumps` of Python 2 writes of a batch of `count` images: labels count up, every pixel is `tint`.
    pub(in super::super) fn batch(count: usize, tint: u8) -> Vec<u8> {
        pickled(
            "labels",
            &(0..count).map(|i| (i % 10) as u8).collect::<Vec<_>>(),
            &vec![tint; count * PIXELS],
        )
    }

    fn pickled(labels_key: &str, labels: &[u8], pixels: &[u8]) -> Vec<u8> {
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
        append(&mut Images::default(), Path::new("test_batch"), bytes)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_batch_is_a_list_of_labels_and_an_array_of_pixels() {
        let mut images = Images::default();
        append(&mut images, Path::new("f"), &batch(3, 7)).unwrap();
        append(&mut images, Path::new("g"), &batch(1, 8)).unwrap();
        let pixels = [vec![7; 3 * PIXELS], vec![8; PIXELS]].concat();
        assert_eq!(images, Images::new(pixels, vec![0, 1, 2, 0]));
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
                drop(append(&mut Images::default(), Path::new("f"), &bytes));
            }
        }
    }
}
