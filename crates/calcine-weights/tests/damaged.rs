//! Files that are no files of weights.

use tempfile::tempdir;

use crate::import::{fixture, tiny};

#[test]
fn no_file_and_no_weights_are_errors_that_name_the_file() {
    let directory = tempdir().unwrap();
    let error = calcine_weights::load(tiny(), &directory.path().join("none.pth")).unwrap_err();
    assert!(error.to_string().contains("none.pth"), "{error}");
    assert!(std::error::Error::source(&error).is_some());
    calcine_weights::load(tiny(), directory.path()).unwrap_err();

    let table: [(&str, &[u8], &str); 8] = [
        ("empty.pth", b"", "it is no safetensors file"),
        ("empty.safetensors", b"", "as a safetensors file"),
        (
            "text.pt",
            b"these are not weights",
            "it is no safetensors file",
        ),
        (
            "text.safetensors",
            b"these are not weights",
            "as a safetensors file",
        ),
        (
            "zip.pth",
            b"PK\x03\x04 and no more",
            "it is no safetensors file",
        ),
        ("pickle.pt", b"\x80\x02}q\x00.", "an empty dictionary"),
        (
            "half-pickle.pt",
            b"\x80\x02}q\x00X",
            "it is no safetensors file",
        ),
        (
            "page.pth",
            b"<!DOCTYPE html><title>404</title>",
            "it is no safetensors file",
        ),
    ];
    for (name, content, message) in table {
        let path = directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        let error = calcine_weights::load(tiny(), &path).unwrap_err();
        assert_eq!(error.file(), Some(path.as_path()));
        let text = error.to_string();
        assert!(text.contains(name) && text.contains(message), "{text}");
    }
}

#[test]
fn cut_files_are_errors_and_damaged_ones_never_panic() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("damaged.pth");
    let load = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        calcine_weights::load(tiny(), &path)
    };
    for file in ["legacy.pth", "zip.pth.tar"] {
        let whole = std::fs::read(fixture(file)).unwrap();
        for length in (0..whole.len()).rev().step_by(3) {
            assert!(load(&whole[..length]).is_err(), "{file} cut to {length}");
        }
        for position in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[position] ^= 0x55;
            // Other numbers, or an error: both are answers.
            drop(load(&bytes));
        }
    }
}
