//! Data sets as their makers and torchvision pack them.

use std::fs;

use calcine_data::{Cifar100Labels, Dataset, Options, Problem, open};
use safetensors::SafeTensors;

use crate::{fixture, tested, whole};

/// The first byte and the class of each test image.
fn bytes_and_labels(dataset: &Dataset) -> Vec<(u8, i64)> {
    let (inputs, labels) = tested(dataset);
    let firsts = inputs.chunks(inputs.len() / labels.len());
    let bytes = firsts.map(|image| ((image[0] * 0.5 + 0.5) * 255.0).round() as u8);
    bytes.zip(labels).collect()
}

#[test]
fn cifar_100_is_the_same_in_every_packing_with_fine_or_coarse_labels() {
    let directory = tempfile::tempdir().unwrap();
    let archive = "cifar-100-python.tar.gz";
    fs::copy(
        fixture("cifar100").join(archive),
        directory.path().join(archive),
    )
    .unwrap();
    let places = [
        fixture("cifar100/cifar-100-python"),
        fixture("cifar100/cifar-100-binary"),
        fixture("cifar100").join(archive),
        directory.path().to_owned(),
    ];
    for (labels, classes, expected) in [
        (Cifar100Labels::Fine, 100, 3),
        (Cifar100Labels::Coarse, 20, 0),
    ] {
        let options = Options {
            validation: 0.0,
            cifar100_labels: labels,
            ..Options::default()
        };
        let mut seen = Vec::new();
        for place in &places {
            let dataset = open(place, &options).unwrap();
            assert!(
                dataset.to_string().starts_with("CIFAR-100 from"),
                "{dataset}"
            );
            assert_eq!((dataset.train_len(), dataset.test_len()), (2, 1));
            assert_eq!(dataset.classes().unwrap().len(), classes);
            seen.push(bytes_and_labels(&dataset));
        }
        assert_eq!(seen[0][0].1, expected);
        assert!(seen.iter().all(|other| *other == seen[0]), "{seen:?}");
    }
}

#[test]
fn mnist_is_found_as_torchvision_leaves_it() {
    let dataset = whole("mnist");
    assert_eq!(dataset.input().shape, [1, 28, 28]);
    assert_eq!((dataset.train_len(), dataset.test_len()), (3, 1));
    assert_eq!(dataset.classes().unwrap()[4], "4");
    let expected = fs::read(fixture("mnist/expected.safetensors")).unwrap();
    let expected = SafeTensors::deserialize(&expected).unwrap();
    let images = expected.tensor("images").unwrap().data().to_vec();
    // Training images of MNIST are not augmented, so that one is among the expected whatever the order.
    let loader: crate::Images = crate::loader(&dataset);
    let first = loader.first_inputs(1).next();
    assert!(first.is_none(), "three images make no batch of 128");
    let settings = calcine_data::LoaderSettings {
        batch_size: 3,
        ..Default::default()
    };
    let loader = crate::Images::new(&dataset, settings, &burn::tensor::Device::flex()).unwrap();
    let first = loader.first_inputs(1).next().unwrap().into_data();
    let found: Vec<u8> = first
        .iter::<f32>()
        .map(|value| ((value * 0.5 + 0.5) * 255.0).round() as u8)
        .collect();
    let mut found: Vec<_> = found.chunks(28 * 28).collect();
    let mut expected: Vec<_> = images.chunks(28 * 28).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn what_is_no_data_set_is_told_with_what_was_found_and_what_is_known() {
    let table: [(&[&str], &str); 6] = [
        (
            &["notes.txt", "b/train.parquet"],
            "found b, b/train.parquet, notes.txt; expected CIFAR-10 or",
        ),
        (&[], "found nothing; expected"),
        (
            &["cat.0.png", "dog.1.png"],
            "found cat.0.png, dog.1.png; expected",
        ),
        (&["train/cat/a.webp"], "only JPEG and PNG are read"),
        (
            &["train/cat/a.png", "val/dog/a.png"],
            "the class `cat` is in",
        ),
        (
            &["cat/a.png", "dog/notes.txt"],
            "no JPEG or PNG images in `dog`",
        ),
    ];
    for (files, words) in table {
        let directory = tempfile::tempdir().unwrap();
        for file in files {
            let file = directory.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, "-").unwrap();
        }
        let error = open(directory.path(), &Options::default())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(words) && !error.contains('\n'),
            "{files:?}: {error}"
        );
    }
    let error = open("/no/such/place", &Options::default()).unwrap_err();
    assert!(matches!(error.problem(), Problem::Missing), "{error}");
    let error = open(fixture("make_data.py"), &Options::default()).unwrap_err();
    assert!(
        error.to_string().contains("a file called make_data.py"),
        "{error}"
    );
}

#[test]
fn shares_and_constants_that_make_no_sense_are_errors() {
    for options in [
        Options {
            validation: 1.5,
            ..Options::default()
        },
        Options {
            validation: f64::NAN,
            ..Options::default()
        },
        Options {
            test: -0.1,
            ..Options::default()
        },
        Options {
            normalization: calcine_data::Normalization::same(0.5, 0.0),
            ..Options::default()
        },
    ] {
        let error = open(fixture("mnist"), &options).unwrap_err();
        assert!(
            matches!(error.problem(), Problem::Mismatch { .. }),
            "{error}"
        );
    }
}
