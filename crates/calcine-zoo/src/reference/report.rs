use std::path::PathBuf;

use burn::tensor::Device;
use calcine_graph::Graph;
use calcine_summary::Sheet;
use calcine_thin::{Kept, ThinError, ThinOptions, zeros_that_stay};
use calcine_trace::Network;
use calcine_train::{EpochRow, PolicyOutcome};
use serde::Serialize;

use super::speed::speed;
use super::{ReferenceError, Speed};
use calcine_data::Normalization;

/// Bytes of a parameter.
const NUMBER: usize = size_of::<f32>();

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
    /// How the bytes of images became numbers.
    pub normalization: Normalization,
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
    /// The epoch whose weights were kept, from 0 as in recipes; chosen by the validation split and
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
    /// What thinning came to, if the recipe thins.
    pub thinned: Option<ThinnedReport>,
    /// What the network in integers came to, if the recipe quantizes; it is in `quantized.safetensors`.
    pub quantized: Option<QuantizedReport>,
    /// What the run, each policy, thinning and quantization were asked to do, and what they have reached.
    pub outcomes: Vec<PolicyOutcome>,
    /// What will not, or did not, happen though the recipe says so; a sentence each.
    pub warnings: Vec<String>,
    /// The run's directory; absent where nothing was written.
    pub out: Option<PathBuf>,
}

/// A network in integers, on the test set.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct QuantizedReport {
    /// Top-1, in percent.
    pub top1: f64,
    /// Top-5, in percent.
    pub top5: f64,
    /// Mean cross-entropy.
    pub loss: f64,
    /// Bytes of weights, steps and biases.
    pub bytes: usize,
    /// Bytes of the file, graph and all.
    pub file_bytes: usize,
}

/// A thinned network beside the one that the run began with.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ThinnedReport {
    /// Multiply-accumulates for one image before.
    pub macs_before: u64,
    /// The same after.
    pub macs: u64,
    /// Parameters before, running statistics included.
    pub parameters_before: usize,
    /// The same after.
    pub parameters: usize,
    /// Bytes of the parameters before.
    pub bytes_before: usize,
    /// The same after.
    pub bytes: usize,
    /// Images a second, measured with both in turns.
    pub speed: Vec<Speed>,
    /// Outputs of weights that are zero in the network after, with what needs them.
    pub kept: Vec<Kept>,
}

impl ThinnedReport {
    /// Measures with these batches.
    pub(super) fn of(
        before: &Network,
        after: &Network,
        options: ThinOptions,
        batches: &[usize],
        device: &Device,
    ) -> Result<Self, ReferenceError> {
        let (parameters_before, macs_before) = size(before.graph())?;
        let (parameters, macs) = size(after.graph())?;
        let speed = batches
            .iter()
            .flat_map(|&batch| speed(before, after, batch, device));
        Ok(Self {
            macs_before,
            macs,
            parameters_before,
            parameters,
            bytes_before: NUMBER * parameters_before,
            bytes: NUMBER * parameters,
            speed: speed.collect(),
            kept: zeros_that_stay(after, options)?,
        })
    }

    /// Before and after, with their ratio.
    #[must_use]
    pub fn sheet(&self) -> Sheet {
        let row = |name: String, before: f64, after: f64, ratio: f64, digits: usize| {
            vec![
                name,
                format!("{before:.digits$}"),
                format!("{after:.digits$}"),
                format!("{ratio:.2}"),
            ]
        };
        #[allow(clippy::cast_precision_loss, reason = "shown with two digits")]
        let size = |name: &str, before: u64, after: u64| {
            let (before, after) = (before as f64, after as f64);
            row(name.to_owned(), before, after, before / after, 0)
        };
        let mut rows = vec![
            size(
                "parameters",
                self.parameters_before as u64,
                self.parameters as u64,
            ),
            size("bytes", self.bytes_before as u64, self.bytes as u64),
            size("multiply-accumulates", self.macs_before, self.macs),
        ];
        rows.extend(self.speed.iter().map(|speed| {
            let name = format!("images/s, batch {}, threads {}", speed.batch, speed.threads);
            let (before, after) = (speed.before, speed.after);
            row(name, before, after, after / before, 1)
        }));
        Sheet {
            header: ["", "before", "thinned", "ratio"]
                .map(str::to_owned)
                .to_vec(),
            rows,
        }
    }
}

/// Parameters and multiply-accumulates.
fn size(graph: &Graph) -> Result<(usize, u64), ReferenceError> {
    let parameters = graph.parameters().map(|(_, value)| value.numel_at(1)).sum();
    let macs = graph.compute().map_err(ThinError::from)?.macs;
    Ok((parameters, macs))
}
