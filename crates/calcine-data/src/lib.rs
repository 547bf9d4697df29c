//! Data sets as batches for training, validation and testing.
//!
//! # Should I be using this crate?
//!
//! Yes, to train or evaluate on CIFAR-10 from its usual packings, with batches that a resumed run repeats exactly.
//!
//! | wanted | take |
//! |---|---|
//! | images, real or synthetic | [`cifar10::load`] |
//! | batches of them, shuffled and augmented | [`loader::Train`], [`loader::Evaluate`] |
//!
//! # Examples
//!
//! ```
//! use calcine_data::cifar10::synthetic;
//! use calcine_data::loader::{Train, TrainSettings};
//!
//! let data = synthetic(7, 100, 10);
//! let settings = TrainSettings { batch_size: 32, ..TrainSettings::default() };
//! let train = Train::new(data.train.clone(), data.train.indices(), settings);
//! assert_eq!(train.epoch(0, 0).count(), 3);
//! ```

pub mod cifar10;
pub mod loader;
