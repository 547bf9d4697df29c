//! Batches of images, prepared off the training thread.
//!
//! | item | what it is |
//! |---|---|
//! | [`Train`] | shuffled, cropped, mirrored batches, epoch by epoch |
//! | [`Evaluate`] | batches as they are, in order |
//! | [`Batches`] | the iterator of both: a thread works a few batches ahead |
//! | [`Batch`] | normalised pixels and labels on the host |
//! | [`Normalization`] | how bytes become numbers |
//!
//! Every batch is a function of the settings, the epoch and its own number. Hence a run that is
//! resumed in the midst of an epoch sees exactly the batches that the uninterrupted run sees.

mod ahead;
mod evaluate;
mod normalization;
mod train;
mod view;

pub use ahead::Batches;
pub use evaluate::{Evaluate, EvaluateSettings};
pub use normalization::Normalization;
pub use train::{LastBatch, Train, TrainSettings};

use crate::cifar10::{Images, PIXELS};
use normalization::Table;
use view::View;

/// A batch on the host, ready to be moved into tensors.
///
/// Bytes are normalised as the loader's [`Normalization`] says, by default to numbers from -1 to 1.
///
/// # Shapes
///
/// * `images`: `[n, 3, 32, 32]`
/// * `labels`: `[n]`, 0 to 9
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Normalised pixels.
    pub images: Vec<f32>,
    /// Class indices.
    pub labels: Vec<i32>,
    /// Number of images.
    pub n: usize,
}

impl Batch {
    /// The images at `indices`, each seen through the next view that `view` returns.
    fn gather(
        images: &Images,
        indices: &[u32],
        table: &Table,
        mut view: impl FnMut() -> View,
    ) -> Self {
        let n = indices.len();
        let mut batch = Self {
            images: vec![0.0; n * PIXELS],
            labels: Vec::with_capacity(n),
            n,
        };
        for (&index, target) in indices.iter().zip(batch.images.chunks_exact_mut(PIXELS)) {
            let index = index as usize;
            view().render(images.image(index), table, target);
            batch.labels.push(i32::from(images.labels()[index]));
        }
        batch
    }
}

/// The check that both loaders make of their arguments.
fn check(images: &Images, indices: &[u32], batch_size: usize) {
    assert!(0 < batch_size, "a batch has at least one image");
    let stray = indices
        .iter()
        .find(|&&index| images.len() <= index as usize);
    assert!(
        stray.is_none(),
        "index {stray:?} is beyond the {} images",
        images.len()
    );
}
