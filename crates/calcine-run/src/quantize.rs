use std::ops::ControlFlow;
use std::path::PathBuf;

use burn::tensor::Tensor;
use calcine_metric::Evaluation;
use calcine_quantize::{
    Calibration, MixedPrecision, QuantizationSettings, Quantized, RangeEstimator, TrialProgress,
    Trials, greedy, lapq, mixed_precision, prepare, quantize_with_batches,
};
use calcine_trace::{AnyTensor, Network, Tensors};
use calcine_train::{Batch, Draw, Objective, evaluate};

use crate::experiment::without_autodiff;
use crate::{Experiment, RunError, Split};

/// How a network is quantized after training.
#[derive(Debug, Clone)]
pub struct QuantizeSettings {
    /// Bit mixed_precision, schemes, range estimators, overrides for single layers.
    pub settings: QuantizationSettings,
    /// Validation samples to calibrate with, drawn by the seed.
    pub samples: usize,
    /// Samples in a batch of calibration.
    pub batch_size: usize,
    /// The calibration of an earlier run, instead.
    pub calibration: Option<Calibration>,
    /// How better settings are searched for, if they are.
    pub search: Option<SearchSettings>,
    /// Decides which samples are drawn.
    pub seed: u64,
    /// Batches of training inputs for batch norms whose statistics are estimated anew, if the settings say so.
    pub norm_batches: usize,
}

impl QuantizeSettings {
    /// With these settings, calibrated with 1000 samples in batches of 100.
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
        }
    }
}

/// How better quantization settings are searched for.
#[derive(Debug, Clone)]
pub struct SearchSettings {
    /// The search.
    pub search: Search,
    /// Validation samples whose outputs are compared with those of the float network: drawn by the seed after that of the
    /// calibration.
    pub samples: usize,
    /// Where the losses are kept, from which a search that was stopped is resumed; with what decides the search beside
    /// settings and calibration, such as the network and the data.
    pub trials: Option<(PathBuf, String)>,
}

/// A search for quantization settings.
#[derive(Debug, Clone)]
pub enum Search {
    /// [`lapq`], for so many rounds.
    Lapq {
        /// Rounds over all quantizers.
        rounds: usize,
    },
    /// [`greedy`], over the range estimators that Distiller knows, and the one of the least error.
    Greedy,
    /// [`mixed_precision`], mixed precision: what fewer bits of the weights of each layer cost.
    MixedPrecision {
        /// The bit widths that are tried.
        bits: Vec<u8>,
        /// Bytes that the file may take; without, nothing is chosen.
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
    /// Of the float network.
    pub before: Evaluation,
    /// Of the quantized network.
    pub after: Evaluation,
    /// The split that both were measured on.
    pub split: Split,
    /// Bytes of the float network's parameters.
    pub bytes_before: usize,
    /// The quantized network.
    pub quantized: Quantized,
    /// The calibration statistics.
    pub calibration: Calibration,
    /// The settings of the quantized network: those given, or what the search made of them.
    pub settings: QuantizationSettings,
    /// What the bit widths of each layer cost, if that was searched for.
    pub mixed_precision: Option<MixedPrecision>,
}

impl<X, O> Experiment<'_, X, O>
where
    X: Tensors + Clone + 'static,
    O: Objective,
    O::Output: Tensors,
{
    /// Calibrates and quantizes the network, and measures it before and after. `progress` is called after every trial of a
    /// search; when it breaks, the search stops with an error.
    ///
    /// # Errors
    ///
    /// If the network is quantized already, cannot be quantized so, or does not fit inputs and objective, or the data has no
    /// samples to calibrate with or to measure on.
    pub fn quantize(
        &self,
        settings: &QuantizeSettings,
        progress: &mut dyn FnMut(&TrialProgress) -> ControlFlow<()>,
    ) -> Result<QuantizeRun, RunError> {
        self.check_forward()?;
        let network = self.network()?;
        let (before, split) = self.measure(|x| network.forward(x))?;
        let draw = Draw::Random(settings.samples);
        let batches = self.sample(draw, settings.batch_size, settings.seed)?;
        let batches = batches.into_iter();
        let batches: Vec<Vec<AnyTensor>> =
            batches.map(|batch| without_autodiff(batch.input)).collect();
        let network = prepare(network, &batches, &settings.settings.prepare)?;
        let calibration = match &settings.calibration {
            Some(calibration) => calibration.clone(),
            None => Calibration::of(&network, &batches)?,
        };
        let (found, mixed_precision) = self.searched(settings, &network, &calibration, progress)?;
        // What norms are given in training is augmented, and differs from what is tested.
        let batches = match found.weights.reestimate {
            true => self.first_inputs(settings.norm_batches),
            false => batches,
        };
        let quantized = quantize_with_batches(&network, &calibration, &found, &batches)?;
        let (after, _) = self.measure(|x| quantized.forward(x))?;
        let parameters = network.graph().parameters();
        let numbers: usize = parameters.map(|(_, value)| value.numel_at(1)).sum();
        Ok(QuantizeRun {
            before,
            after,
            split,
            bytes_before: size_of::<f32>() * numbers,
            quantized,
            calibration,
            settings: found,
            mixed_precision,
        })
    }

    /// The settings that the search comes to.
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
        // Other samples than those of the calibration.
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
                // A budget that no bit widths meet is known before hours of trials.
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

    /// The mean divergence of the outputs of a quantized network from those of the float network, which a search makes
    /// small: the loss on samples that the network was trained on tells less. `None` if the objective has no divergence.
    fn divergence(&self, float: &[O::Output], found: &[O::Output], count: u64) -> Option<f64> {
        let pairs = float.iter().zip(found);
        let sums = pairs
            .map(|(float, found)| (self.objective).divergence(found.clone(), float.clone(), 1.0));
        let sums: Vec<Tensor<1>> = sums.collect::<Option<_>>()?;
        let sum = sums.into_iter().reduce(|a, b| a + b);
        sum.map(|sum| f64::from(sum.into_scalar::<f32>()) / count as f64)
    }
}
