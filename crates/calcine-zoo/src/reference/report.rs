use std::path::PathBuf;

use calcine_train::EpochRow;
use serde::Serialize;

/// What a reference run came to. Top-1, top-5 and loss are those of the test set.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The network.
    pub model: String,
    /// Where the images came from.
    pub data: String,
    /// Whether they are made up: then no number here says anything about CIFAR-10.
    pub data_is_synthetic: bool,
    /// The device.
    pub device: String,
    /// The recipe's file.
    pub recipe: String,
    /// Seed of every random stream.
    pub seed: u64,
    /// Epochs of the run.
    pub epochs: u64,
    /// Steps of the run.
    pub steps: u64,
    /// Top-1 before the first step, in percent.
    pub top1_before: f64,
    /// Top-1 of the kept weights, in percent.
    pub top1: f64,
    /// Top-5 of the kept weights, in percent.
    pub top5: f64,
    /// Mean cross-entropy of the kept weights.
    pub loss: f64,
    /// Share of zeros in the kept weights (rank 2 or more).
    pub sparsity: f64,
    /// Weights (rank 2 or more).
    pub parameters: u64,
    /// Weights that are not zero.
    pub nonzero: u64,
    /// All trainable parameters, biases and norms too.
    pub trainable_parameters: u64,
    /// Trainable parameters that are not zero.
    pub trainable_nonzero: u64,
    /// The epoch whose weights were kept, from 1; chosen by the validation split and
    /// [`Settings::min_sparsity`](super::Settings::min_sparsity).
    pub kept_epoch: Option<u64>,
    /// The epochs that no other beats in both sparsity and validation top-1, from the sparsest to the
    /// most accurate. Empty without a validation split.
    pub front: Vec<EpochRow>,
    /// Test images that top-1, top-5 and loss were measured on.
    pub test_images: u64,
    /// Wall-clock seconds of this process's part of the run.
    pub seconds: f64,
    /// Training images a second, validation and checkpoints not counted.
    pub images_per_second: f64,
    /// The run's directory; absent where nothing was written.
    pub out: Option<PathBuf>,
}
