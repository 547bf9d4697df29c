//! The reference network, quantized after training: what it loses, and how small it gets.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor};
use calcine_quantize::{
    Calibration, MixedPrecision, QuantizationSettings, Quantized, RangeEstimator, TrialProgress,
    Trials, greedy, lapq, mixed_precision, prepare, quantize_with_batches,
};
use calcine_trace::Network;
use calcine_train::{Batch, Classification, Draw, Evaluation, evaluate};

use super::setup::Setup;
use super::validation::Validation;
use super::{ReferenceError, Settings};
use crate::{Architecture, Classifier, ModelTask};
use calcine_data::Source;

/// Images in a batch of calibration.
const BATCH: usize = 100;

/// What to quantize, and how.
#[derive(Debug, Clone)]
pub struct QuantizeSettings {
    /// The network, its weights, data and device. The recipe counts for nothing else.
    pub network: Settings,
    /// The quantizers.
    pub quantization: QuantizationSettings,
    /// Validation images to calibrate with, drawn by the seed.
    pub images: usize,
    /// What was seen before, instead.
    pub calibration: Option<PathBuf>,
    /// How better quantizers are looked for, if they are.
    pub search: Option<SearchSettings>,
}

/// How better quantizers are looked for.
#[derive(Debug, Clone)]
pub struct SearchSettings {
    /// By what.
    pub search: Search,
    /// Validation images whose answers are compared with the float network's, drawn by the seed, others than those of the
    /// calibration as a rule.
    pub images: usize,
    /// Where the losses are kept: a search that was stopped goes on from there.
    pub trials: Option<PathBuf>,
}

/// A way to look for quantizers.
#[derive(Debug, Clone)]
pub enum Search {
    /// [`lapq`], for so many rounds.
    Lapq {
        /// Over all quantizers.
        rounds: usize,
    },
    /// [`greedy`], over the range estimators that Distiller knows, and the least error.
    Greedy,
    /// [`mixed_precision`]: what fewer bits of each layer's weights cost.
    MixedPrecision {
        /// The widths that are tried.
        bits: Vec<u8>,
        /// Bytes that the file may take; without, nothing is chosen.
        budget: Option<u64>,
    },
}

/// What quantizing came to.
#[derive(Debug)]
#[non_exhaustive]
pub struct QuantizeRun {
    /// The network's name.
    pub architecture: Architecture,
    /// Where the images came from.
    pub source: Source,
    /// Of the float network, on the test set.
    pub before: Evaluation,
    /// Of the quantized one.
    pub after: Evaluation,
    /// Bytes of the float network's parameters.
    pub bytes_before: usize,
    /// The network.
    pub quantized: Quantized,
    /// What calibration saw.
    pub calibration: Calibration,
    /// The quantizers it has: those of the settings, or what the search made of them.
    pub quantization: QuantizationSettings,
    /// What each layer's widths cost, if that was looked for.
    pub mixed_precision: Option<MixedPrecision>,
}

/// Calibrates and quantizes a reference network, and measures it on the test set, before and after.
///
/// # Errors
///
/// If anything it needs is missing or malformed, or the network cannot be quantized.
pub fn quantize_network(
    settings: &QuantizeSettings,
    device: &Device,
    download: &mut dyn FnMut(u64, u64),
    progress: &mut dyn FnMut(&TrialProgress) -> ControlFlow<()>,
) -> Result<QuantizeRun, ReferenceError> {
    let calibration = settings.calibration.as_deref().map(load).transpose()?;
    let setup = Setup::new(&settings.network, device, download)?;
    setup.announce("quantizing");
    let seed = setup.recipe.train().seed;
    setup.build(
        seed,
        Quantize {
            setup: &setup,
            settings,
            calibration,
            progress,
        },
    )
}

/// The calibration of an earlier run.
fn load(file: &Path) -> Result<Calibration, ReferenceError> {
    Calibration::load(file).map_err(|error| ReferenceError::Malformed {
        file: file.to_path_buf(),
        reason: error.to_string(),
    })
}

struct Quantize<'a> {
    setup: &'a Setup,
    settings: &'a QuantizeSettings,
    /// What was seen before, if the settings name it.
    calibration: Option<Calibration>,
    progress: &'a mut dyn FnMut(&TrialProgress) -> ControlFlow<()>,
}

impl Quantize<'_> {
    /// The quantizers that the search comes to.
    fn searched(
        &mut self,
        network: &Network,
        calibration: &Calibration,
    ) -> Result<(QuantizationSettings, Option<MixedPrecision>), ReferenceError> {
        let quantization = &self.settings.quantization;
        let Some(asked) = &self.settings.search else {
            return Ok((quantization.clone(), None));
        };
        // Other images than those of the calibration.
        let seed = self.setup.recipe.train().seed.wrapping_add(1);
        let draw = Draw::Random(asked.images);
        let images = Validation::new(&self.setup.images, draw, BATCH, seed);
        let batches: Vec<_> = images.labelled().collect();
        let float = batches
            .iter()
            .map(|batch| network.forward(batch.input.clone()));
        let float: Vec<Tensor<2>> = float.collect();
        let score = |quantized: &Quantized| {
            let found = batches
                .iter()
                .map(|batch| quantized.forward(batch.input.clone()));
            let found: Vec<Tensor<2>> = found.collect();
            let labels = batches.iter().map(|batch| batch.target.clone());
            let answers = found.iter().cloned().zip(labels);
            let answers = answers.map(|(logits, labels)| Batch::new(logits, labels));
            Evaluation {
                loss: divergence(&float, &found),
                ..evaluate(answers, |logits| logits, &Classification)
            }
        };
        let mut trials = Trials::new(score).with_progress(|progress| (self.progress)(progress));
        if let Some(file) = &asked.trials {
            let network = serde_json::to_string(&self.settings.network);
            let network = network.expect("settings are plain data");
            trials = trials.with_file(
                file,
                &format!("{network}, divergence over {} images", asked.images),
            )?;
        }
        let trials = &mut trials;
        Ok(match &asked.search {
            Search::Lapq { rounds } => (
                lapq(network, calibration, quantization, *rounds, trials)?,
                None,
            ),
            Search::Greedy => (
                greedy(
                    network,
                    calibration,
                    quantization,
                    &RANGE_ESTIMATORS,
                    trials,
                )?,
                None,
            ),
            Search::MixedPrecision { bits, budget } => {
                let found = mixed_precision(network, calibration, quantization, bits, trials)?;
                let chosen = budget
                    .map(|budget| found.allocate(quantization, budget))
                    .transpose()?;
                (chosen.unwrap_or_else(|| quantization.clone()), Some(found))
            }
        })
    }
}

/// The mean Kullback-Leibler divergence, `Σ p · ln(p / q)`, of what a network answers, q, from what another does, p: what a
/// search makes small. Labels of images that it was trained on tell less, and only of one class.
fn divergence(float: &[Tensor<2>], found: &[Tensor<2>]) -> f64 {
    let both = float.iter().zip(found);
    let sums = both.map(|(p, q)| {
        let [p, q] = [p, q].map(|logits| log_softmax(logits.clone(), 1));
        (p.clone().exp() * (p - q)).sum()
    });
    let count: usize = found.iter().map(|logits| logits.dims()[0]).sum();
    let sum = sums.reduce(|a, b| a + b);
    sum.map_or(0.0, |sum| {
        f64::from(sum.into_scalar::<f32>()) / count as f64
    })
}

/// What a greedy search chooses from.
const RANGE_ESTIMATORS: [RangeEstimator; 5] = [
    RangeEstimator::MinMax,
    RangeEstimator::Average,
    RangeEstimator::Gauss,
    RangeEstimator::Laplace,
    RangeEstimator::Mse,
];

impl ModelTask for Quantize<'_> {
    type Output = Result<QuantizeRun, ReferenceError>;

    fn run<M: Classifier + 'static>(mut self, model: M) -> Self::Output {
        let Self {
            setup, settings, ..
        } = self;
        let model = setup.load_weights(model)?;
        let network = setup.traced(&model)?.valid();
        let before = setup.test(&network);
        let draw = Draw::Random(settings.images);
        let images = Validation::new(&setup.images, draw, BATCH, setup.recipe.train().seed);
        let batches: Vec<_> = images.batches().collect();
        let network = prepare(network, &batches, &settings.quantization.prepare)?;
        let calibration = match self.calibration.take() {
            Some(calibration) => calibration,
            None => Calibration::of(&network, &batches)?,
        };
        let (quantization, mixed_precision) = self.searched(&network, &calibration)?;
        // What norms see in training is cropped and flipped, and differs from what is tested.
        let batches = match quantization.weights.reestimate {
            true => (setup.images).first(settings.images.div_ceil(setup.recipe.train().batch_size)),
            false => batches,
        };
        let quantized = quantize_with_batches(&network, &calibration, &quantization, &batches)?;
        let forward = |images: Tensor<4>| -> Tensor<2> { quantized.forward(images) };
        let after = evaluate(setup.images.test(), forward, &Classification);
        let parameters = network.graph().parameters();
        let numbers: usize = parameters.map(|(_, value)| value.numel_at(1)).sum();
        Ok(QuantizeRun {
            architecture: setup.architecture,
            source: setup.source.clone(),
            before,
            after,
            bytes_before: size_of::<f32>() * numbers,
            quantized,
            calibration,
            quantization,
            mixed_precision,
        })
    }
}
