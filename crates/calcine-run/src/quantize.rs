use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use burn::tensor::Tensor;
use calcine_metric::{Evaluation, Metric, label};
use calcine_plot::{Axis, Chart, Panels};
use calcine_quantize::{
    Calibration, MixedPrecision, QuantizationSettings, Quantized, RangeEstimator, TrialProgress,
    Trials, greedy, lapq, mixed_precision, prepare, quantize_with_batches,
};
use calcine_summary::Sheet;
use calcine_trace::{AnyTensor, Network, Tensors};
use calcine_train::{Batch, Draw, Objective, evaluate};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::error::write;
use crate::experiment::{device_of, without_autodiff};
use crate::metadata::{MEASURED_METADATA, QUANTIZATION_METADATA, measured};
use crate::origin::{add_evaluation, entries, save_report};
use crate::speed::{Subject, speeds};
use crate::{Experiment, Names, Origin, RunError, Speed, Split};

/// How a network is quantized after training.
#[derive(Debug, Clone)]
pub struct QuantizeSettings {
    /// Bit widths, schemes, range estimators, and overrides for single layers.
    pub settings: QuantizationSettings,
    /// The number of validation samples for calibration, drawn by the seed.
    pub samples: usize,
    /// The batch size of calibration.
    pub batch_size: usize,
    /// The calibration of an earlier run, which replaces calibration.
    pub calibration: Option<Calibration>,
    /// The search for better settings, if there is one.
    pub search: Option<SearchSettings>,
    /// The seed that decides which samples are drawn.
    pub seed: u64,
    /// The number of batches of training inputs with which batch-norm statistics are re-estimated, if the settings
    /// request that.
    pub norm_batches: usize,
    /// The batch sizes with which the speed is measured; empty to skip the measurement.
    pub batches: Vec<usize>,
}

impl QuantizeSettings {
    /// Settings of a quantization that calibrates with 1000 samples in batches of 100.
    #[must_use]
    pub fn new(settings: QuantizationSettings) -> Self {
        Self {
            settings,
            samples: 1000,
            batch_size: 100,
            calibration: None,
            search: None,
            seed: 0,
            norm_batches: 8,
            batches: Vec::new(),
        }
    }
}

impl QuantizeSettings {
    /// The largest size of the file in bytes, if a search for mixed precision has one.
    fn budget(&self) -> Option<u64> {
        match self.search.as_ref()?.search {
            Search::MixedPrecision { budget, .. } => budget,
            Search::Lapq { .. } | Search::Greedy => None,
        }
    }
}

/// The settings of a search for better quantization settings.
#[derive(Debug, Clone)]
pub struct SearchSettings {
    /// The search.
    pub search: Search,
    /// The number of validation samples whose outputs are compared with those of the float network. They are drawn by
    /// the seed, after the samples for calibration.
    pub samples: usize,
    /// The file in which the losses are stored and with which a stopped search resumes; and a text that identifies what
    /// determines the search in addition to settings and calibration, such as the network and the data.
    pub trials: Option<(PathBuf, String)>,
}

/// A search for quantization settings.
#[derive(Debug, Clone)]
pub enum Search {
    /// [`lapq`], with this number of rounds.
    Lapq {
        /// The number of rounds over all quantizers.
        rounds: usize,
    },
    /// [`greedy`], over the range estimators of Distiller and the one with the smallest error.
    Greedy,
    /// [`mixed_precision`]: measures the loss with fewer bits for the weights of each layer.
    MixedPrecision {
        /// The bit widths to try.
        bits: Vec<u8>,
        /// The maximum size of the file in bytes; `None` chooses no bit widths.
        budget: Option<u64>,
    },
}

/// The range estimators of a greedy search.
const RANGE_ESTIMATORS: [RangeEstimator; 5] = [
    RangeEstimator::MinMax,
    RangeEstimator::Average,
    RangeEstimator::Gauss,
    RangeEstimator::Laplace,
    RangeEstimator::Mse,
];

/// The results of quantization after training.
#[derive(Debug)]
#[non_exhaustive]
pub struct QuantizeRun {
    /// The experiment.
    pub origin: Origin,
    /// The evaluation of the float network.
    pub before: Evaluation,
    /// The evaluation of the quantized network.
    pub after: Evaluation,
    /// The split on which both were measured.
    pub split: Split,
    /// The size of the float network's parameters in bytes.
    pub bytes_before: usize,
    /// The quantized network.
    pub quantized: Quantized,
    /// The calibration statistics.
    pub calibration: Calibration,
    /// The settings of the quantized network: the given ones, or those that the search found.
    pub settings: QuantizationSettings,
    /// Samples per second of the prepared float network, and of the quantized one.
    pub speed: Vec<Speed>,
    /// The losses of the bit widths of each layer, if the search measured them.
    pub mixed_precision: Option<MixedPrecision>,
    /// The size of the quantized network's file in bytes.
    pub file_bytes: u64,
    /// The size of the file that was estimated when the bit widths were chosen, if they were chosen for a budget.
    pub file_bytes_forecast: Option<u64>,
}

impl QuantizeRun {
    /// The float and the quantized network side by side: the metrics, the loss, the bytes of parameters, the speed, and the
    /// bytes of the file.
    #[must_use]
    pub fn sheet(&self) -> Sheet {
        let loss = Metric::loss();
        let mut rows: Vec<Vec<String>> = Vec::new();
        for metric in self.origin.metrics.iter().chain([&loss]) {
            let [before, after] = [&self.before, &self.after].map(|of| of.value(&metric.name));
            let name = label(&metric.name);
            rows.push(vec![name, metric.shown(before), metric.shown(after)]);
        }
        rows.push(vec![
            "bytes of parameters".to_owned(),
            self.bytes_before.to_string(),
            self.quantized.stored_bytes().to_string(),
        ]);
        rows.extend(self.speed.iter().map(|speed| {
            let [before, after] = [speed.before, speed.after].map(|speed| format!("{speed:.1}"));
            vec![speed.to_string(), before, after]
        }));
        let mut file = |name: &str, bytes: u64| {
            rows.push(vec![name.to_owned(), String::new(), bytes.to_string()]);
        };
        file("bytes of the file", self.file_bytes);
        if let Some(bytes) = self.file_bytes_forecast {
            file("bytes of the file, forecast", bytes);
        }
        Sheet {
            header: ["", "float", "quantized"].map(str::to_owned).to_vec(),
            rows,
        }
    }

    /// Writes these files to a directory, and returns the report:
    ///
    /// | file | contents |
    /// |---|---|
    /// | `quantized.safetensors` | the quantized network |
    /// | `calibration.json` | the calibration statistics |
    /// | `recipe.toml` | [`settings`](Self::settings) as a recipe |
    /// | `mixed_precision.csv`, `mixed_precision.{svg,png}`, `panels.{svg,png}` | the losses of the bit widths, if the search measured them |
    /// | `report.json` | these results, with `out` |
    ///
    /// # Errors
    ///
    /// If a file cannot be written, or a chart cannot be drawn.
    pub fn save(&self, out: &Path) -> Result<Value, RunError> {
        write(
            &out.join("quantized.safetensors"),
            self.quantized.to_bytes()?,
        )?;
        let calibration = out.join("calibration.json");
        let saved = self.calibration.save(&calibration);
        saved.map_err(|error| RunError::malformed(&calibration, error))?;
        write(&out.join("recipe.toml"), self.settings.to_toml())?;
        if let (Some(found), Some(chart)) = (
            &self.mixed_precision,
            self.chart(&self.origin.main_metric()),
        ) {
            write(&out.join("mixed_precision.csv"), found.to_csv())?;
            let panels = Panels::from(chart.clone());
            write(&out.join("mixed_precision.svg"), chart.to_svg()?)?;
            write(&out.join("mixed_precision.png"), chart.to_png()?)?;
            write(&out.join("panels.svg"), panels.to_svg()?)?;
            write(&out.join("panels.png"), panels.to_png()?)?;
        }
        save_report(self, out)
    }

    /// Draws the metric against the bit width of the weights of each layer, if the search was for
    /// [mixed precision](Search::MixedPrecision).
    #[must_use]
    pub fn chart(&self, metric: &Metric) -> Option<Chart> {
        let layers = &self.mixed_precision.as_ref()?.layers;
        let (name, model) = (label(&metric.name), &self.origin.names.model);
        let title = format!("{model}: {name} with fewer bits for the weights of one layer");
        let x = Axis::new("bits of a weight", "").descending();
        let chart = Chart::new(title, x, Axis::new(name, metric.unit.as_str()));
        Some(layers.iter().fold(chart, |chart, layer| {
            let widths = layer.bit_widths.iter();
            let points =
                widths.map(|width| (f64::from(width.bits), width.score.value(&metric.name)));
            chart.with_series(layer.name.as_str(), points)
        }))
    }
}

/// One line: the model, and the number of samples for the measurement and for calibration.
impl fmt::Display for QuantizeRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Names { model, samples, .. } = &self.origin.names;
        let (count, split) = (self.after.count, self.split.name());
        let calibrated = self.calibration.samples;
        write!(
            f,
            "{model} on {count} {split} {samples}, calibrated with {calibrated} {samples}"
        )
    }
}

/// One JSON object: a classifier of images has `top1_before`, `top1`, and so on for every metric and the loss, `images` for
/// calibration and `test_images` for the measurement, the sizes, the speeds, what was quantized, and warnings.
impl Serialize for QuantizeRun {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let samples = &self.origin.names.samples;
        let mut map = self.origin.to_map();
        add_evaluation(&mut map, &self.before, "_before");
        add_evaluation(&mut map, &self.after, "");
        map.insert(samples.clone(), self.calibration.samples.into());
        map.insert(
            format!("{}_{samples}", self.split.name()),
            self.after.count.into(),
        );
        map.extend(entries(json!({
            "bytes_before": self.bytes_before,
            "bytes": self.quantized.stored_bytes(),
            "file_bytes": self.file_bytes,
            "file_bytes_forecast": self.file_bytes_forecast,
            "speed": self.speed,
            "report": self.quantized.report(),
            "warnings": self.quantized.report().warnings(),
        })));
        map.serialize(to)
    }
}

impl<X, O> Experiment<'_, X, O>
where
    X: Tensors + Clone + 'static,
    O: Objective,
    O::Output: Tensors,
{
    /// Calibrates and quantizes the network, and measures it before and after. `progress` is called after every trial
    /// of a search; if it returns `Break`, the search stops with an error.
    ///
    /// # Errors
    ///
    /// If the network is already quantized, cannot be quantized with these settings, or does not fit inputs and
    /// objective, or if the data has no samples for calibration or measurement.
    pub fn quantize(
        &self,
        settings: &QuantizeSettings,
        progress: &mut dyn FnMut(&TrialProgress) -> ControlFlow<()>,
    ) -> Result<QuantizeRun, RunError> {
        self.check_forward()?;
        let network = self.network()?;
        let (before, split) = self.measure_float(&network)?;
        let draw = Draw::Random(settings.samples);
        let batches = self.sample(draw, settings.batch_size, settings.seed)?;
        let batches = batches.into_iter();
        let batches: Vec<Vec<AnyTensor>> =
            batches.map(|batch| without_autodiff(batch.input)).collect();
        let network = prepare(network, &batches, &settings.settings.prepare)?;
        let calibration = match &settings.calibration {
            Some(calibration) => calibration.clone(),
            None => Calibration::collect(&network, &batches)?,
        };
        let (mut found, mixed_precision) =
            self.searched(settings, &network, &calibration, progress)?;
        // The inputs of norms in training are augmented, and differ from those of the test.
        let batches = match found.weights.reestimate {
            true => self.first_inputs(settings.norm_batches),
            false => batches,
        };
        let mut budget = settings.budget();
        let (quantized, after, file_bytes) = loop {
            let quantized = quantize_with_batches(&network, &calibration, &found, &batches)?;
            let (after, _) = self.measure(|x| quantized.forward(x))?;
            let quantized = quantized
                .with_metadata(QUANTIZATION_METADATA, found.to_toml())
                .with_metadata(MEASURED_METADATA, measured(&after, split));
            let bytes = quantized.to_bytes()?.len() as u64;
            // The forecast that bit widths are chosen by leaves out the metadata.
            let (Some(mixed_precision), Some(whole)) = (&mixed_precision, settings.budget()) else {
                break (quantized, after, bytes);
            };
            let excess = bytes.saturating_sub(whole);
            if excess == 0 {
                break (quantized, after, bytes);
            }
            let room = budget.unwrap_or(whole).saturating_sub(excess);
            found = mixed_precision.allocate(&settings.settings, room)?;
            budget = Some(room);
        };
        let both = [Subject::Float(&network), Subject::Quantized(&quantized)];
        let speed = speeds(both, &settings.batches, &device_of(&network));
        let parameters = network.graph().parameters();
        let numbers: usize = parameters.map(|(_, value)| value.numel_at(1)).sum();
        let chosen = mixed_precision
            .as_ref()
            .filter(|_| settings.budget().is_some());
        let file_bytes_forecast = chosen.map(|chosen| chosen.forecast(&found));
        Ok(QuantizeRun {
            origin: self.origin(),
            before,
            after,
            split,
            bytes_before: size_of::<f32>() * numbers,
            quantized,
            calibration,
            settings: found,
            speed,
            mixed_precision,
            file_bytes,
            file_bytes_forecast,
        })
    }

    /// The settings that the search finds.
    fn searched(
        &self,
        asked: &QuantizeSettings,
        network: &Network,
        calibration: &Calibration,
        progress: &mut dyn FnMut(&TrialProgress) -> ControlFlow<()>,
    ) -> Result<(QuantizationSettings, Option<MixedPrecision>), RunError> {
        let settings = &asked.settings;
        let Some(search) = &asked.search else {
            return Ok((settings.clone(), None));
        };
        // Other samples than those for calibration.
        let draw = Draw::Random(search.samples);
        let batches = self.sample(draw, asked.batch_size, asked.seed.wrapping_add(1))?;
        let float = batches.iter();
        let float: Vec<O::Output> = float.map(|b| network.forward(b.input.clone())).collect();
        let score = |quantized: &Quantized| {
            let found = batches.iter();
            let found: Vec<O::Output> = found.map(|b| quantized.forward(b.input.clone())).collect();
            let targets = batches.iter().map(|batch| batch.target.clone());
            let outputs = found.iter().cloned().zip(targets);
            let outputs = outputs.map(|(output, target)| Batch::new(output, target));
            let evaluation = evaluate(outputs, |output| output, &self.objective);
            let loss = self.divergence(&float, &found, evaluation.count);
            Evaluation {
                loss: loss.unwrap_or(evaluation.loss),
                ..evaluation
            }
        };
        let mut trials = Trials::new(score).with_progress(progress);
        if let Some((file, about)) = &search.trials {
            let about = format!("{about}, divergence over {} samples", search.samples);
            trials = trials.with_file(file, &about)?;
        }
        let trials = &mut trials;
        Ok(match &search.search {
            Search::Lapq { rounds } => {
                let found = lapq(network, calibration, settings, *rounds, trials)?;
                (found, None)
            }
            Search::Greedy => (
                greedy(network, calibration, settings, &RANGE_ESTIMATORS, trials)?,
                None,
            ),
            Search::MixedPrecision { bits, budget } => {
                // A budget that no bit widths meet is detected before hours of trials.
                if let (Some(budget), Some(&least)) = (budget, bits.iter().min()) {
                    let mut size_alone = Trials::new(|_| Evaluation::new(0.0, 1));
                    let smallest =
                        mixed_precision(network, calibration, settings, &[least], &mut size_alone)?;
                    smallest.allocate(settings, *budget)?;
                }
                let found = mixed_precision(network, calibration, settings, bits, trials)?;
                let chosen = budget.map(|budget| found.allocate(settings, budget));
                let chosen = chosen.transpose()?;
                (chosen.unwrap_or_else(|| settings.clone()), Some(found))
            }
        })
    }

    /// The mean divergence of the outputs of a quantized network from those of the float network, which a search
    /// minimizes: the loss on samples with which the network was trained is less informative. `None` if the objective
    /// has no divergence.
    fn divergence(&self, float: &[O::Output], found: &[O::Output], count: u64) -> Option<f64> {
        let pairs = float.iter().zip(found);
        let sums = pairs
            .map(|(float, found)| (self.objective).divergence(found.clone(), float.clone(), 1.0));
        let sums: Vec<Tensor<1>> = sums.collect::<Option<_>>()?;
        let sum = sums.into_iter().reduce(|a, b| a + b);
        sum.map(|sum| f64::from(sum.into_scalar::<f32>()) / count as f64)
    }
}
