//! Batches for a run: the same after a resume, whatever came before.

use burn::tensor::{Device, Int, Tensor};
use calcine_data::{Dataset, Loader, LoaderSettings, Normalization, Options, cifar10, split};
use calcine_train::{Data, Draw};

use crate::{Images, all};

fn dataset(train: usize) -> Dataset {
    Dataset::cifar10(cifar10::synthetic(3, train, 20), &Options::default()).unwrap()
}

fn loader(train: usize, settings: LoaderSettings) -> Images {
    Loader::new(&dataset(train), settings, &Device::flex()).unwrap()
}

const SETTINGS: LoaderSettings = LoaderSettings {
    batch_size: 16,
    evaluation_batch_size: 8,
    samples_per_epoch: None,
    last_batch: calcine_data::LastBatch::Drop,
    seed: 5,
    test_limit: None,
};

#[test]
fn an_epoch_from_any_step_on_is_the_rest_of_the_whole() {
    let loader = loader(100, SETTINGS);
    assert_eq!(loader.steps_per_epoch(), 5);
    let (inputs, labels) = all(loader.epoch(2, 0));
    for first in 0..=6 {
        let from = first.min(5) * 16;
        let (tail, tail_labels) = all(loader.epoch(2, first as u64));
        assert_eq!(tail, inputs[from * 3072..]);
        assert_eq!(tail_labels, labels[from..]);
    }
}

#[test]
fn training_batches_are_on_the_device_with_autodiff_and_others_are_not() {
    let loader = loader(100, SETTINGS);
    assert!(
        loader
            .epoch(0, 0)
            .next()
            .unwrap()
            .input
            .device()
            .is_autodiff()
    );
    for batch in [loader.validation(), loader.test()].map(|mut batches| batches.next().unwrap()) {
        assert!(!batch.input.device().is_autodiff());
    }
    assert!(loader.training_device().is_autodiff() && !loader.inference_device().is_autodiff());
}

#[test]
fn the_validation_split_is_the_one_of_the_seed() {
    let data = cifar10::synthetic(3, 100, 20);
    let expected: Vec<i64> = split(100, 0.1, 0)
        .validation
        .iter()
        .map(|&index| data.train.labels()[index as usize].into())
        .collect();
    assert_eq!(all(loader(100, SETTINGS).validation()).1, expected);
}

#[test]
fn samples_are_drawn_by_the_seed_or_are_the_first() {
    let loader = loader(200, SETTINGS);
    let labels = |draw: Draw, seed| all(loader.sample(draw, 3, seed).unwrap());
    let whole = all(loader.validation());
    assert_eq!(labels(Draw::All, 0), whole);
    let (first, _) = labels(Draw::First(7), 0);
    assert_eq!(first, whole.0[..7 * 3072]);
    assert_eq!(labels(Draw::Random(7), 1), labels(Draw::Random(7), 1));
    assert_ne!(labels(Draw::Random(7), 1), labels(Draw::Random(7), 2));
    assert_eq!(labels(Draw::Random(1000), 1), whole);
}

#[test]
fn the_first_batch_is_for_validation_or_for_testing_if_there_is_none() {
    let loader = loader(100, SETTINGS);
    assert_eq!(loader.first_batch(4).unwrap().input.dims(), [4, 3, 32, 32]);
    let options = Options {
        validation: 0.0,
        ..Options::default()
    };
    let dataset = Dataset::cifar10(cifar10::synthetic(3, 100, 20), &options).unwrap();
    let loader: Loader<Tensor<4>, Tensor<1, Int>> =
        Loader::new(&dataset, SETTINGS, &Device::flex()).unwrap();
    let first = loader.first_batch(1000).unwrap();
    assert_eq!(first.input.dims(), [20, 3, 32, 32]);
}

#[test]
fn a_network_that_was_trained_with_other_constants_is_a_warning() {
    let dataset = dataset(100);
    let same = Normalization::default().to_metadata();
    let other = Normalization::KNOWN[3].0.to_metadata();
    assert_eq!(dataset.normalization_warning(None), None);
    assert_eq!(dataset.normalization_warning(Some(&same)), None);
    let warning = dataset.normalization_warning(Some(&other)).unwrap();
    for words in ["0.485", "0.229", "[0.5, 0.5, 0.5]"] {
        assert!(warning.contains(words), "{warning}");
    }
}
