//! Arrays as NumPy and safetensors write them.

use std::fs;

use burn::tensor::{Device, Int, Tensor};
use calcine_data::{ArrayTargets, Loader, LoaderSettings, Options, open};
use calcine_train::Data;
use safetensors::SafeTensors;

use crate::{fixture, loader, tested};

/// Everything for testing, so that it comes in order.
fn options() -> Options {
    Options {
        test: 1.0,
        ..Options::default()
    }
}

#[test]
fn the_same_numbers_come_from_every_form_and_type() {
    let expected: Vec<f32> = (0..60).map(|i| i as f32 / 8.0).collect();
    for (name, n) in [
        ("whole.npz", 5),
        ("whole.safetensors", 5),
        ("splits.npz", 2),
    ] {
        let dataset = open(fixture("arrays").join(name), &options()).unwrap();
        assert_eq!(dataset.input().shape, [3, 4]);
        assert_eq!(dataset.classes().unwrap(), ["0", "1", "2"]);
        assert_eq!((dataset.normalization(), dataset.test_len()), (None, n));
        let loader: Loader<Tensor<3>, Tensor<1, Int>> = loader(&dataset);
        let batch = loader.test().next().unwrap();
        let found: Vec<f32> = batch.input.into_data().iter::<f32>().collect();
        assert_eq!(found, expected[..n * 12], "{name}");
        let labels: Vec<i64> = batch.target.into_data().iter::<i64>().collect();
        assert_eq!(labels, [0, 2, 1, 0, 2][..n]);
    }
}

#[test]
fn floating_point_targets_of_one_number_are_columns_or_not() {
    let dataset = open(fixture("arrays/npy"), &options()).unwrap();
    assert_eq!(dataset.classes(), None);
    let column: Loader<Tensor<3>, Tensor<2>> = loader(&dataset);
    let batch = column.test().next().unwrap();
    assert_eq!(batch.target.dims(), [5, 1]);
    let sums = batch.input.clone().flatten::<2>(1, 2).sum_dim(1) / 4.0;
    assert_eq!(batch.target.into_data(), sums.into_data());
    let flat: Loader<Tensor<3>, Tensor<1>> = loader(&dataset);
    assert_eq!(flat.test().next().unwrap().target.dims(), [5]);
}

#[test]
fn bytes_of_images_are_normalised_with_the_channels_first() {
    let dataset = open(fixture("arrays/images.npz"), &options()).unwrap();
    assert!(dataset.normalization().is_some());
    assert_eq!(dataset.input().shape, [3, 6, 5]);
    let expected = fs::read(fixture("arrays/images-expected.safetensors")).unwrap();
    let expected = SafeTensors::deserialize(&expected).unwrap();
    let bytes = expected.tensor("images").unwrap().data().iter();
    let expected: Vec<f32> = bytes
        .map(|&byte| (f32::from(byte) / 255.0 - 0.5) / 0.5)
        .collect();
    assert_eq!(tested(&dataset), (expected, vec![1, 0, 1, 1]));
}

#[test]
fn integers_are_values_if_asked_for() {
    let options = Options {
        array_targets: ArrayTargets::Values,
        ..options()
    };
    let dataset = open(fixture("arrays/whole.npz"), &options).unwrap();
    assert_eq!(dataset.classes(), None);
    let loader: Loader<Tensor<3>, Tensor<2>> = loader(&dataset);
    let target = loader.test().next().unwrap().target;
    assert_eq!(
        target.into_data().iter::<f32>().collect::<Vec<_>>(),
        [0.0, 2.0, 1.0, 0.0, 2.0]
    );
}

#[test]
fn tensors_of_another_rank_or_type_are_refused_when_the_loader_is_made() {
    let dataset = open(fixture("arrays/whole.npz"), &options()).unwrap();
    let device = Device::flex();
    let settings = LoaderSettings::default();
    let error = Loader::<Tensor<4>, Tensor<1, Int>>::new(&dataset, settings, &device).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("the inputs are floats of shape [3, 4]"),
        "{error}"
    );
    let error = Loader::<Tensor<3>, Tensor<1>>::new(&dataset, settings, &device).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("the targets are integers of shape []"),
        "{error}"
    );
    let none = LoaderSettings {
        batch_size: 0,
        ..settings
    };
    Loader::<Tensor<3>, Tensor<1, Int>>::new(&dataset, none, &device).unwrap_err();
}

#[test]
fn arrays_that_do_not_belong_together_are_errors() {
    let floats = |shape: &[usize], value: f32| {
        let bytes: Vec<u8> = std::iter::repeat_n(value.to_le_bytes(), shape.iter().product())
            .flatten()
            .collect();
        (safetensors::Dtype::F32, shape.to_vec(), bytes)
    };
    let ints = |values: &[i64]| {
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        (safetensors::Dtype::I64, vec![values.len()], bytes)
    };
    type Tensor = (safetensors::Dtype, Vec<usize>, Vec<u8>);
    let table: [(Vec<(&str, Tensor)>, &str); 9] = [
        (
            vec![("conv.weight", floats(&[2], 0.0))],
            "found conv.weight; expected arrays called inputs and targets",
        ),
        (
            vec![("x", floats(&[2, 3], 0.0))],
            "not both inputs and targets for training",
        ),
        (
            vec![("x", floats(&[2, 3], 0.0)), ("y", ints(&[1]))],
            "2 inputs and 1 targets",
        ),
        (
            vec![("x", floats(&[2, 3], 0.0)), ("y", ints(&[1, -1]))],
            "target 1 is -1",
        ),
        (
            vec![("x", floats(&[2, 3], f32::NAN)), ("y", ints(&[1, 0]))],
            "input 0 has a number that is not finite",
        ),
        (
            vec![("x", floats(&[], 0.0)), ("y", ints(&[1]))],
            "a single number",
        ),
        (
            vec![("x", floats(&[0, 3], 0.0)), ("y", ints(&[]))],
            "0 inputs",
        ),
        (
            vec![
                ("x", floats(&[1, 3], 0.0)),
                ("inputs", floats(&[1, 3], 0.0)),
                ("y", ints(&[1])),
            ],
            "are both inputs",
        ),
        (
            vec![("x_test", floats(&[1, 3], 0.0)), ("y_test", ints(&[1]))],
            "no arrays for training",
        ),
    ];
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.safetensors");
    for (tensors, words) in table {
        let views: Vec<_> = tensors
            .iter()
            .map(|(name, (dtype, shape, bytes))| {
                (
                    *name,
                    safetensors::tensor::TensorView::new(*dtype, shape.clone(), bytes).unwrap(),
                )
            })
            .collect();
        fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
        let error = open(&path, &Options::default()).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    let mut parts = floats(&[2, 3], 0.0);
    parts.1 = vec![2, 3];
    let lone = fixture("arrays/npy/inputs.npy");
    let error = open(lone, &Options::default()).unwrap_err().to_string();
    assert!(
        error.contains("expected the directory of inputs.npy and targets.npy"),
        "{error}"
    );
}

#[test]
fn damaged_archives_never_panic() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.npz");
    let whole = fs::read(fixture("arrays/splits.npz")).unwrap();
    for position in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[position] ^= 0x55;
        fs::write(&path, bytes).unwrap();
        // Other numbers, or an error: both are answers.
        drop(open(&path, &Options::default()));
    }
    for length in (0..whole.len()).step_by(5) {
        fs::write(&path, &whole[..length]).unwrap();
        open(&path, &Options::default()).unwrap_err();
    }
}
