//! Data sets as batches for training, validation and testing.
//!
//! # Should I be using this crate?
//!
//! Yes, to train or evaluate on a data set in one of the usual packings, with batches that are made off the training thread and
//! that a resumed run repeats exactly. No, if your program has batches of its own: everything in Calcine takes any
//! [`calcine_train::Data`].
//!
//! | wanted | take |
//! |---|---|
//! | a data set from files, whatever its packing | [`open`] |
//! | CIFAR-10, found, downloaded or synthetic | [`cifar10::load`] |
//! | samples of your own | [`Samples`], [`Dataset::new`] |
//! | what a data set is | [`Dataset`] |
//! | batches of it, for training, validation and testing | [`Loader`] |
//!
//! Bytes of images become numbers as [`Normalization`] says. The validation split is drawn by the seed, unless the data set has
//! one.
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
