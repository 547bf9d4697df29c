//! Data sets as batches for training, validation and testing.
//!
//! # Should I use this crate?
//!
//! Use it to train or evaluate on a data set in one of the usual formats. Batches are made on separate threads, and a
//! resumed run sees exactly the same ones. It is not needed if your program creates its own batches: everything in
//! Calcine accepts any [`calcine_train::Data`].
//!
//! | item | purpose |
//! |---|---|
//! | [`open`] | a data set from files, in any of the supported formats |
//! | [`cifar10::load`] | CIFAR-10: found, downloaded or synthetic |
//! | [`Samples`], [`Dataset::new`] | samples of your own |
//! | [`Dataset`] | the properties and the splits of a data set |
//! | [`Loader`] | batches for training, validation and testing |
//!
//! [`Normalization`] defines how the bytes of images become numbers. The validation split is drawn by the seed, unless
//! the data set has one.
//!
//! # Examples
//!
//! ```
//! use burn::tensor::{Device, Int, Tensor};
//! use calcine_data::{Dataset, Loader, LoaderSettings, Options, cifar10};
//! use calcine_train::Data;
//!
//! let dataset = Dataset::cifar10(cifar10::synthetic(7, 100, 10), &Options::default())?;
//! assert_eq!(dataset.classes().map(<[String]>::len), Some(10));
//! let settings = LoaderSettings { batch_size: 30, ..LoaderSettings::default() };
//! let loader: Loader<Tensor<4>, Tensor<1, Int>> = Loader::new(&dataset, settings, &Device::flex())?;
//! assert_eq!(loader.epoch(0, 0).count(), 3);
//! # Ok::<(), calcine_data::DataError>(())
//! ```

pub mod cifar10;

mod arrays;
mod byte_images;
mod cifar;
mod dataset;
mod error;
mod folder;
mod idx;
mod images;
mod loader;
mod open;
mod options;
mod samples;
mod source;
mod split;

pub use arrays::read_npy;
pub use cifar::Cifar100Labels;
pub use dataset::Dataset;
pub use error::{DataError, Problem};
pub use images::Images;
pub use loader::{Element, LastBatch, Loader, LoaderSettings, Normalization};
pub use open::{load, open};
pub use options::{ArrayTargets, Augmentation, Color, ImageOptions, Options};
pub use samples::{Samples, Spec, Target};
pub use source::Source;
pub use split::{Split, split};
