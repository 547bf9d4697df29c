use std::fmt;
use std::path::PathBuf;

use burn::tensor::Device;
use calcine_graph::Graph;
use calcine_metric::{Evaluation, Metric, label};
use calcine_summary::Sheet;
use calcine_thin::{KeptZeros, ThinError, ThinOptions, zeros_that_stay};
use calcine_trace::Network;
use calcine_train::{EpochRow, PolicyOutcome};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::speed::{Subject, speeds};
use crate::{Names, Origin, RunError, Speed, Split};

/// The size of a parameter in bytes.
const NUMBER: usize = size_of::<f32>();

/// The results of a run. As JSON, it is one object whose keys contain the names of metrics and samples: a classifier of
/// images has `top1_before`, `top1`, `top5`, `loss`, `test_images` and `images_per_second`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// The experiment.
    pub origin: Origin,
    /// The file of the recipe; empty if there is none.
    pub recipe: String,
    /// The seed of every random stream.
    pub seed: u64,
    /// The number of epochs of the run.
    pub epochs: u64,
    /// The number of optimizer steps of the run.
    pub steps: u64,
    /// The metric by which epochs are compared.
    pub metric: Metric,
    /// The evaluation of the network before the first step.
    pub before: Evaluation,
    /// The evaluation of the network with the kept weights.
    pub after: Evaluation,
    /// The split on which both were measured.
    pub split: Split,
    /// The share of zeros in the kept weights (rank 2 or more).
    pub sparsity: f64,
    /// The number of weights (rank 2 or more).
    pub parameters: u64,
    /// The number of weights that are not zero.
    pub nonzero: u64,
    /// The number of all trainable parameters, including biases and norms.
    pub trainable_parameters: u64,
    /// The number of trainable parameters that are not zero.
    pub trainable_nonzero: u64,
    /// The epoch whose weights were kept, counted from 0 as in recipes.
    pub kept_epoch: Option<u64>,
    /// The epochs to which no other is superior in both sparsity and the validation metric, from the sparsest to the
    /// best. Empty if there is no validation split.
    pub front: Vec<EpochRow>,
    /// The duration of this process's part of the run, in seconds.
    pub seconds: f64,
    /// Training samples per second, without validation and checkpoints.
    pub samples_per_second: f64,
    /// The results of thinning, if the recipe contains it.
    pub thinned: Option<ThinnedReport>,
    /// The results of the integer network, if the recipe contains quantization-aware training. The network is in
    /// `quantized.safetensors`.
    pub quantized: Option<QuantizedReport>,
    /// What the run, each policy, thinning and quantization requested, and what was reached.
    pub outcomes: Vec<PolicyOutcome>,
    /// The requests of the recipe that could not be fulfilled, a sentence each.
    pub warnings: Vec<String>,
    /// The directory of the run.
    pub out: Option<PathBuf>,
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        let samples = &self.origin.names.samples;
        for (key, value) in self.origin.to_map() {
            map.serialize_entry(&key, &value)?;
        }
        map.serialize_entry("recipe", &self.recipe)?;
        map.serialize_entry("seed", &self.seed)?;
        map.serialize_entry("epochs", &self.epochs)?;
        map.serialize_entry("steps", &self.steps)?;
        let main = &self.metric.name;
        map.serialize_entry(&format!("{main}_before"), &finite(self.before.value(main)))?;
        serialize_evaluation(&mut map, &self.after)?;
        map.serialize_entry("sparsity", &self.sparsity)?;
        map.serialize_entry("parameters", &self.parameters)?;
        map.serialize_entry("nonzero", &self.nonzero)?;
        map.serialize_entry("trainable_parameters", &self.trainable_parameters)?;
        map.serialize_entry("trainable_nonzero", &self.trainable_nonzero)?;
        map.serialize_entry("kept_epoch", &self.kept_epoch)?;
        map.serialize_entry("front", &self.front)?;
        map.serialize_entry(
            &format!("{}_{samples}", self.split.name()),
            &self.after.count,
        )?;
        map.serialize_entry("seconds", &self.seconds)?;
        map.serialize_entry(&format!("{samples}_per_second"), &self.samples_per_second)?;
        map.serialize_entry("thinned", &self.thinned)?;
        map.serialize_entry("quantized", &self.quantized)?;
        map.serialize_entry("outcomes", &self.outcomes)?;
        map.serialize_entry("warnings", &self.warnings)?;
        map.serialize_entry("out", &self.out)?;
        map.end()
    }
}

/// A few lines: the metric by which epochs are compared before and after, all metrics, the sparsity, the speed, the integer
/// network, and the epochs of the Pareto front if there are several.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (main, metrics) = (&self.metric, &self.origin.metrics);
        let Names { model, samples, .. } = &self.origin.names;
        let [before, after] =
            [&self.before, &self.after].map(|of| main.shown(of.value(&main.name)));
        let (name, split) = (label(&main.name), self.split.name());
        writeln!(
            f,
            "{model}: {name} {before} before, {after} after ({} {split} {samples})",
            self.after.count
        )?;
        writeln!(f, "{}", self.after.shown(metrics))?;
        writeln!(
            f,
            "sparsity {:.2} %: {} of {} weights are not zero; kept from epoch {}",
            100.0 * self.sparsity,
            self.nonzero,
            self.parameters,
            self.kept_epoch.unwrap_or_default()
        )?;
        write!(
            f,
            "{} steps at {:.0} {samples}/s, {:.0} s in all",
            self.steps, self.samples_per_second, self.seconds
        )?;
        if let Some(integers) = &self.quantized {
            write!(
                f,
                "\nin integer arithmetic: {}; {} bytes of parameters, {} bytes of the file",
                integers.evaluation.shown(metrics),
                integers.bytes,
                integers.file_bytes
            )?;
        }
        if self.front.len() > 1 {
            write!(f, "\nPareto front, epoch (sparsity, validation {name}): ")?;
            for (at, row) in self.front.iter().enumerate() {
                let validation = row.validation.as_ref();
                let value = validation.map_or(f64::NAN, |found| found.value(&main.name));
                let (comma, shown) = (if at > 0 { ", " } else { "" }, main.shown(value));
                write!(
                    f,
                    "{comma}{} ({:.2} %, {shown})",
                    row.epoch,
                    100.0 * row.sparsity
                )?;
            }
        }
        Ok(())
    }
}

/// The metrics in their order, followed by the loss.
fn serialize_evaluation<M: SerializeMap>(map: &mut M, of: &Evaluation) -> Result<(), M::Error> {
    for metric in &of.metrics {
        map.serialize_entry(&metric.name, &finite(metric.value))?;
    }
    map.serialize_entry("loss", &finite(of.loss))
}

/// JSON has no NaN and no infinity.
fn finite(number: f64) -> Option<f64> {
    number.is_finite().then_some(number)
}

/// The results of an integer network.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct QuantizedReport {
    /// The loss and the metrics.
    pub evaluation: Evaluation,
    /// The size of weights, scales and biases in bytes.
    pub bytes: usize,
    /// The size of the file in bytes, including the graph.
    pub file_bytes: usize,
}

impl Serialize for QuantizedReport {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        serialize_evaluation(&mut map, &self.evaluation)?;
        map.serialize_entry("bytes", &self.bytes)?;
        map.serialize_entry("file_bytes", &self.file_bytes)?;
        map.end()
    }
}

/// A thinned network compared with the initial network of the run.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ThinnedReport {
    /// The multiply-accumulates for one sample before thinning.
    pub macs_before: u64,
    /// The multiply-accumulates for one sample after thinning.
    pub macs: u64,
    /// The number of parameters before thinning, including running statistics.
    pub parameters_before: usize,
    /// The number of parameters after thinning.
    pub parameters: usize,
    /// The size of the parameters before thinning, in bytes.
    pub bytes_before: usize,
    /// The size of the parameters after thinning, in bytes.
    pub bytes: usize,
    /// Samples per second, measured with both networks alternately.
    pub speed: Vec<Speed>,
    /// The outputs of weights that are zero in the thinned network, with the nodes that need them.
    pub kept: Vec<KeptZeros>,
}

impl ThinnedReport {
    /// Measures the speed with these batch sizes.
    pub(crate) fn new(
        before: &Network,
        after: &Network,
        options: ThinOptions,
        batches: &[usize],
        device: &Device,
    ) -> Result<Self, RunError> {
        let (parameters_before, macs_before) = size(before.graph())?;
        let (parameters, macs) = size(after.graph())?;
        let both = [before, after].map(Subject::Float);
        Ok(Self {
            macs_before,
            macs,
            parameters_before,
            parameters,
            bytes_before: NUMBER * parameters_before,
            bytes: NUMBER * parameters,
            speed: speeds(both, batches, device),
            kept: zeros_that_stay(after, options)?,
        })
    }

    /// The values before and after, with their ratio.
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
                "parameters and running statistics",
                self.parameters_before as u64,
                self.parameters as u64,
            ),
            size("bytes", self.bytes_before as u64, self.bytes as u64),
            size("multiply-accumulates", self.macs_before, self.macs),
        ];
        rows.extend(self.speed.iter().map(|speed| {
            let (before, after) = (speed.before, speed.after);
            row(speed.to_string(), before, after, after / before, 1)
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
fn size(graph: &Graph) -> Result<(usize, u64), RunError> {
    let parameters = graph.parameters().map(|(_, value)| value.numel_at(1)).sum();
    let macs = graph.compute().map_err(ThinError::from)?.macs;
    Ok((parameters, macs))
}
