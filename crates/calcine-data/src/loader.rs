//! Batches of samples, prepared off the training thread.
//!
//! Every batch is a function of the settings, the epoch and its own number. Hence a run that is resumed in the middle of an
//! epoch sees exactly the batches that the uninterrupted run sees.

mod ahead;
mod evaluate;
pub(crate) mod normalization;
mod train;
pub(crate) mod typed;
pub(crate) mod view;

pub use normalization::Normalization;
pub use train::LastBatch;
pub use typed::{Element, Loader, LoaderSettings};
