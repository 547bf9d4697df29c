//! All integration tests of the crate, as one binary.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests panic and print; clippy exempts only the test functions themselves"
)]

mod arrays;
mod folder;
mod loading;
mod packings;

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Int, Tensor};
use calcine_data::{Dataset, Element, Loader, LoaderSettings, Options};
use calcine_train::{BatchIter, Data};

/// Images and their classes.
type Images = Loader<Tensor<4>, Tensor<1, Int>>;

/// A file or directory of `tests/data`.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

/// The data set there, with nothing set aside for validation.
fn whole(name: &str) -> Dataset {
    let options = Options {
        validation: 0.0,
        ..Options::default()
    };
    calcine_data::open(fixture(name), &options).unwrap()
}

fn loader<X: Element, T: Element>(dataset: &Dataset) -> Loader<X, T> {
    Loader::new(dataset, LoaderSettings::default(), &Device::flex()).unwrap()
}

/// Inputs and classes of all batches.
fn all(batches: BatchIter<'_, Tensor<4>, Tensor<1, Int>>) -> (Vec<f32>, Vec<i64>) {
    let (mut inputs, mut labels) = (Vec::new(), Vec::new());
    for batch in batches {
        inputs.extend(batch.input.into_data().iter::<f32>());
        labels.extend(batch.target.into_data().iter::<i64>());
    }
    (inputs, labels)
}

/// The inputs and classes of the test split.
fn tested(dataset: &Dataset) -> (Vec<f32>, Vec<i64>) {
    let loader: Images = loader(dataset);
    let all = all(loader.test());
    assert!(loader.failure().is_none());
    all
}
