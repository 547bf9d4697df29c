//! Files that are damaged, or lie.

use burn::tensor::Device;
use calcine_graph::{ElementKind, Extent, Op, Source};
use calcine_onnx::{ExportOptions, ImportError, ImportOptions, export, read_bytes, read_file};
use proptest::prelude::*;

use crate::operators::network;

fn file() -> Vec<u8> {
    let given = [
        (
            vec![Extent::BATCH, 5.into()],
            ElementKind::Float,
            Source::Input,
        ),
        (
            vec![5.into(), 3.into()],
            ElementKind::Float,
            Source::Parameter,
        ),
        (vec![3.into()], ElementKind::Float, Source::Parameter),
    ];
    let network = network(
        Op::Linear,
        &given,
        vec![Extent::BATCH, 3.into()],
        ElementKind::Float,
    );
    export(&network, &ExportOptions::default())
        .unwrap()
        .to_bytes()
        .unwrap()
}

fn folder_file(folder: &std::path::Path) -> std::path::PathBuf {
    let given = [
        (
            vec![Extent::BATCH, 50.into()],
            ElementKind::Float,
            Source::Input,
        ),
        (
            vec![50.into(), 30.into()],
            ElementKind::Float,
            Source::Parameter,
        ),
    ];
    let network = network(
        Op::Linear,
        &given,
        vec![Extent::BATCH, 30.into()],
        ElementKind::Float,
    );
    let path = folder.join("model.onnx");
    let model = export(&network, &ExportOptions::default()).unwrap();
    model.save_with_external_data(&path).unwrap();
    path
}

fn refusal(bytes: &[u8]) -> ImportError {
    read_bytes(bytes, &ImportOptions::default(), &Device::flex()).unwrap_err()
}

#[test]
fn what_is_no_model_is_refused() {
    for bytes in [
        &b""[..],
        b"not a model",
        &[0xff; 64],
        &[0x3a, 0x02, 0x0a, 0x00],
    ] {
        assert!(
            matches!(refusal(bytes), ImportError::Malformed(_)),
            "{bytes:?}"
        );
    }
}

#[test]
fn a_truncated_file_is_refused_wherever_it_ends() {
    let file = file();
    for end in 0..file.len() {
        let read = read_bytes(&file[..end], &ImportOptions::default(), &Device::flex());
        // The metadata comes last, and a file without is one.
        if read.is_ok() {
            assert!(end + 200 > file.len());
        }
    }
}

#[test]
fn external_data_is_read_and_stays_in_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder_file(folder.path());
    let options = ImportOptions::default();
    let device = Device::flex();
    assert!(read_file(&path, &options, &device).is_ok());
    let text = std::fs::read(&path).unwrap();
    let place = text
        .windows(15)
        .position(|window| window == b"model.onnx.data")
        .unwrap();
    for outside in [b"../../etc/pass_", b"/etc/passwd____", b"a/../../../pass"] {
        let mut bytes = text.clone();
        bytes[place..place + 15].copy_from_slice(outside);
        std::fs::write(&path, bytes).unwrap();
        let error = read_file(&path, &options, &device).unwrap_err().to_string();
        assert!(error.contains("not in the model's folder"), "{error}");
    }
    std::fs::write(&path, &text).unwrap();
    std::fs::write(folder.path().join("model.onnx.data"), b"short").unwrap();
    let error = read_file(&path, &options, &device).unwrap_err().to_string();
    assert!(error.contains("beyond the end"), "{error}");
    let error = refusal(&text).to_string();
    assert!(error.contains("read the model from its file"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_link_out_of_the_folder_is_refused() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = folder_file(folder.path());
    let data = folder.path().join("model.onnx.data");
    let moved = other.path().join("data");
    std::fs::rename(&data, &moved).unwrap();
    std::os::unix::fs::symlink(&moved, &data).unwrap();
    let error = read_file(&path, &ImportOptions::default(), &Device::flex()).unwrap_err();
    assert!(error.to_string().contains("a link out of"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Bytes changed, cut out, doubled: an error or a network, and no panic.
    #[test]
    fn a_damaged_file_is_an_error(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in prop::option::of((any::<prop::sample::Index>(), 0_usize..40)),
        doubled in prop::option::of((any::<prop::sample::Index>(), 0_usize..80)),
    ) {
        let mut bytes = file();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some((at, length)) = cut {
            let at = at.index(bytes.len());
            bytes.drain(at..(at + length).min(bytes.len()));
        }
        if let Some((at, length)) = doubled && !bytes.is_empty() {
            let at = at.index(bytes.len());
            let again = bytes[at..(at + length).min(bytes.len())].to_vec();
            bytes.splice(at..at, again);
        }
        let _ = read_bytes(&bytes, &ImportOptions::default(), &Device::flex());
    }

    #[test]
    fn any_bytes_are_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(read_bytes(&bytes, &ImportOptions::default(), &Device::flex()).is_err());
    }
}
