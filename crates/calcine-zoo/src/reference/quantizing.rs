//! The reference network, quantized after training: what it loses, and how small it gets.

use std::path::PathBuf;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use calcine_quantize::{Calibration, Quantized, Settings as Grids, quantize_over};
use calcine_train::{Evaluation, evaluate};

use super::setup::Setup;
use super::validation::{Draw, Validation};
use super::{ReferenceError, Settings};
use crate::cifar10::Source;
use crate::{Architecture, Classifier, ModelTask};

/// Images in a batch of calibration.
const BATCH: usize = 100;

/// What to quantize, and how.
#[derive(Debug, Clone)]
pub struct QuantizeSettings {
    /// The network, its weights, data and device. The recipe counts for nothing else.
    pub network: Settings,
    /// The grids.
    pub grids: Grids,
    /// Validation images to calibrate with, drawn by the seed.
    pub images: usize,
    /// What was seen before, instead.
    pub seen: Option<PathBuf>,
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
    pub seen: Calibration,
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
) -> Result<QuantizeRun, ReferenceError> {
    let setup = Setup::new(&settings.network, device, download)?;
    let seed = setup.recipe.train().seed;
    setup.build(
        seed,
        Quantize {
            setup: &setup,
            settings,
        },
    )
}

struct Quantize<'a> {
    setup: &'a Setup,
    settings: &'a QuantizeSettings,
}

impl ModelTask for Quantize<'_> {
    type Output = Result<QuantizeRun, ReferenceError>;

    fn run<M: Classifier + 'static>(self, model: M) -> Self::Output {
        let Self { setup, settings } = self;
        let model = setup.load_weights(model)?;
        let network = setup.traced(&model)?.valid();
        let before = setup.test(&network);
        let draw = Draw::Random(settings.images);
        let images = Validation::new(&setup.images, draw, BATCH, setup.recipe.train().seed);
        let batches: Vec<_> = images.batches().collect();
        let seen = match &settings.seen {
            Some(file) => Calibration::load(file).map_err(|error| ReferenceError::Malformed {
                file: file.clone(),
                reason: error.to_string(),
            })?,
            None => Calibration::of(&network, &batches)?,
        };
        let quantized = quantize_over(&network, &seen, &settings.grids, &batches)?;
        let forward = |images: Tensor<4>| -> Tensor<2> { quantized.forward(images) };
        let after = evaluate(setup.images.test(), forward);
        let parameters = network.graph().parameters();
        let numbers: usize = parameters.map(|(_, value)| value.numel_at(1)).sum();
        Ok(QuantizeRun {
            architecture: setup.architecture,
            source: setup.source.clone(),
            before,
            after,
            bytes_before: size_of::<f32>() * numbers,
            quantized,
            seen,
        })
    }
}
