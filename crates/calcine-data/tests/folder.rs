//! Folders of images, against what torchvision reads.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use burn::tensor::Device;
use calcine_data::{
    Augmentation, Color, DataError, ImageOptions, LoaderSettings, Normalization, Options, open,
};
use calcine_train::Data;
use safetensors::SafeTensors;

use crate::{Images, all, fixture, tested};

/// 36 pixels, cut to 32, as `make_data.py` does.
fn options() -> Options {
    Options {
        images: ImageOptions {
            size: 32,
            resize: Some(36),
            ..ImageOptions::default()
        },
        normalization: Normalization {
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
        },
        ..Options::default()
    }
}

#[test]
fn images_of_every_mode_are_those_of_torchvision() {
    let dataset = open(fixture("folder"), &options()).unwrap();
    assert_eq!(dataset.classes().unwrap(), ["cat", "dog"]);
    assert_eq!(
        (
            dataset.train_len(),
            dataset.validation_len(),
            dataset.test_len()
        ),
        (7, 7, 7)
    );
    let (inputs, labels) = tested(&dataset);
    let bytes = fs::read(fixture("folder-expected.safetensors")).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let names = header.metadata().as_ref().unwrap()["names"].clone();
    let expected = SafeTensors::deserialize(&bytes).unwrap();
    let read = |name: &str| expected.tensor(name).unwrap().data().to_vec();
    let floats = |bytes: Vec<u8>| -> Vec<f32> {
        let chunks = bytes.chunks_exact(4);
        chunks
            .map(|chunk| f32::from_le_bytes(chunk.try_into().unwrap()))
            .collect()
    };
    let ints = |bytes: Vec<u8>| -> Vec<i64> {
        let chunks = bytes.chunks_exact(8);
        chunks
            .map(|chunk| i64::from_le_bytes(chunk.try_into().unwrap()))
            .collect()
    };
    assert_eq!(labels, ints(read("labels")));
    let expected = floats(read("images"));
    assert_eq!(inputs.len(), expected.len());
    let image = 3 * 32 * 32;
    for ((name, found), expected) in names
        .split(' ')
        .zip(inputs.chunks(image))
        .zip(expected.chunks(image))
    {
        // In steps of a byte: decoders of JPEG differ by rounding.
        let differences = found
            .iter()
            .zip(expected)
            .map(|(a, b)| (a - b).abs() * 255.0 * 0.225);
        let worst = differences.fold(0.0, f32::max);
        // Resizing rounds as Pillow does, but for ties.
        let bound = if name.ends_with("png") { 1.1 } else { 4.1 };
        println!("{name}: {worst} steps of a byte");
        assert!(worst < bound, "{name}: {worst}");
    }
}

#[test]
fn one_folder_is_split_by_the_seed() {
    let split = |seed| {
        let options = Options {
            validation: 0.2,
            test: 0.3,
            seed,
            ..options()
        };
        let dataset = open(fixture("folder/train"), &options).unwrap();
        assert_eq!(
            (
                dataset.train_len(),
                dataset.validation_len(),
                dataset.test_len()
            ),
            (4, 1, 2)
        );
        tested(&dataset)
    };
    assert_eq!(split(1), split(1));
    let seeds: BTreeSet<String> = (0..8)
        .map(|seed| format!("{:?}", &split(seed).0[..4]))
        .collect();
    assert!(seeds.len() > 1);
}

#[test]
fn training_images_are_windows_of_the_image_and_evaluation_is_not_augmented() {
    let settings = LoaderSettings {
        batch_size: 7,
        ..LoaderSettings::default()
    };
    let epochs = |augmentation, cache_bytes| {
        let mut options = Options {
            augmentation,
            ..options()
        };
        options.images.cache_bytes = cache_bytes;
        let dataset = open(fixture("folder"), &options).unwrap();
        let loader = Images::new(&dataset, settings, &Device::flex()).unwrap();
        let epochs = [
            loader.epoch(0, 0),
            loader.epoch(1, 0),
            loader.validation(),
            loader.validation(),
        ];
        epochs.map(|batches| {
            let (inputs, labels) = all(batches);
            let mut images: Vec<_> = inputs
                .chunks(3 * 32 * 32)
                .zip(labels)
                .map(|(image, label)| {
                    (
                        image
                            .iter()
                            .map(|value| value.to_bits())
                            .collect::<Vec<_>>(),
                        label,
                    )
                })
                .collect();
            images.sort();
            images
        })
    };
    let [first, second, validation, again] = epochs(None, 1 << 20);
    assert_ne!(first, second);
    assert_eq!(validation, again);
    let [first, second, ..] = epochs(Some(Augmentation::NONE), 1 << 20);
    assert_eq!(first, second);
    // The same without a cache, and with room for some.
    for cache_bytes in [0, 10_000] {
        assert_eq!(epochs(None, cache_bytes), epochs(None, 1 << 20));
    }
}

#[test]
fn shades_of_grey_have_one_channel() {
    let mut options = options();
    options.images.color = Color::Gray;
    let dataset = open(fixture("folder"), &options).unwrap();
    assert_eq!(dataset.input().shape, [1, 32, 32]);
    assert_eq!(tested(&dataset).0.len(), 7 * 32 * 32);
}

#[test]
fn a_broken_image_is_an_error_with_its_path_wherever_it_is_cut() {
    let directory = tempfile::tempdir().unwrap();
    for class in ["a", "b"] {
        fs::create_dir(directory.path().join(class)).unwrap();
        fs::copy(
            fixture("folder/val/cat/rgb.png"),
            directory.path().join(class).join("whole.png"),
        )
        .unwrap();
    }
    let failure = |name: &str, bytes: &[u8]| -> DataError {
        let path = directory.path().join("b").join(name);
        fs::write(&path, bytes).unwrap();
        let options = Options {
            test: 1.0,
            ..options()
        };
        let dataset = open(directory.path(), &options).unwrap();
        let loader = Images::new(&dataset, LoaderSettings::default(), &Device::flex()).unwrap();
        let batches = all(loader.test());
        assert!(batches.1.is_empty(), "the batch with the image");
        let error = *loader.failure().unwrap().downcast::<DataError>().unwrap();
        assert_eq!(error.file(), path);
        fs::remove_file(path).unwrap();
        error
    };
    for name in ["cat/tall.JPG", "dog/grey.jpeg", "dog/small.png"] {
        let path = fixture("folder/val").join(name);
        let whole = fs::read(&path).unwrap();
        let name = Path::new(name).file_name().unwrap().to_str().unwrap();
        for length in [
            0,
            1,
            2,
            10,
            whole.len() / 3,
            whole.len() / 2,
            // All pixels of a PNG image may be there without its last bytes.
            if name.ends_with("png") {
                whole.len() / 2 + 1
            } else {
                whole.len() - 3
            },
        ] {
            println!("{name} cut to {length}");
            let error = failure(name, &whole[..length]);
            assert!(
                error.to_string().contains("the image cannot be read"),
                "{name} cut to {length}: {error}"
            );
        }
    }
    failure("page.jpg", b"<!DOCTYPE html><title>404</title>");
}

#[test]
fn damaged_images_never_panic() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a/x.png");
    fs::create_dir(directory.path().join("a")).unwrap();
    for name in ["cat/tall.JPG", "dog/palette.png"] {
        let whole = fs::read(fixture("folder/val").join(name)).unwrap();
        for position in (0..whole.len()).step_by(7) {
            let mut bytes = whole.clone();
            bytes[position] ^= 0x55;
            fs::write(&path, bytes).unwrap();
            let dataset = open(
                directory.path(),
                &Options {
                    test: 1.0,
                    ..options()
                },
            )
            .unwrap();
            let loader = Images::new(&dataset, LoaderSettings::default(), &Device::flex()).unwrap();
            // Other pixels, or an error: both are answers.
            let (_, labels) = all(loader.test());
            assert_eq!(labels.is_empty(), loader.failure().is_some());
        }
    }
}

#[test]
fn a_limit_takes_images_of_all_classes() {
    let dataset = open(fixture("folder"), &options()).unwrap();
    let settings = LoaderSettings {
        test_limit: Some(2),
        ..LoaderSettings::default()
    };
    let loader = Images::new(&dataset, settings, &Device::flex()).unwrap();
    assert_eq!(all(loader.test()).1, [0, 1]);
}
