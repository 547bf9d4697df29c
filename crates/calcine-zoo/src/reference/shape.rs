//! What a run's model is bound to, and how it changes shape on the way.

use std::path::{Path, PathBuf};

use burn::module::Module;
use calcine_observe::{NetworkActivations, Sums};
use calcine_params::Inventory;
use calcine_quantize::{
    Calibration, Override, QatNetwork, QatStage, QuantizationSettings, Quantized,
};
use calcine_recipe::{Duty, RecipeQuantization};
use calcine_schedule::Clock;
use calcine_thin::{PaddingEffect, ThinOptions, Thinned, thin_with};
use calcine_trace::Network;
use calcine_train::{Data, Draw, Driver, KeptIndices, PolicyOutcome, Run};

use super::run::write;
use super::setup::Setup;
use super::validation::Validation;
use super::{ReferenceError, ThinnedReport};
use crate::Classifier;

/// Images in a batch of calibration.
const CALIBRATION: usize = 100;

/// Batches to measure speed with.
const BATCHES: [usize; 2] = [1, 64];

/// How a kind of model is bound to the recipe, and what thinning makes of it.
pub(super) trait Shape<M: Classifier> {
    /// A driver at the run's beginning.
    fn driver(&self, model: &M) -> Result<Driver<M>, ReferenceError>;

    /// The model with the weights that the run begins with.
    fn begun(&self, model: M) -> Result<M, ReferenceError>;

    /// The kept model in integers, if it was trained for them.
    fn integers(&self, model: &M) -> Result<Option<Quantized>, ReferenceError> {
        let _ = model;
        Ok(None)
    }

    /// The epochs before which it changes, ascending; the number of epochs itself if that is at the end.
    fn moments(&self) -> Vec<u64> {
        Vec::new()
    }

    /// The model in the shape that it had at this moment of a run that was stopped since.
    fn at(&self, model: M, clock: Clock) -> Result<M, ReferenceError> {
        let _ = clock;
        Ok(model)
    }

    /// The run, going on with the changed model.
    fn change(&self, run: Run<M>) -> Result<Run<M>, ReferenceError> {
        Ok(run)
    }

    /// What it was asked to do to the model beside the driver's steps, and what became of that; of the thinned
    /// network, if there is one.
    fn outcomes(&self, thinned: Option<&ThinnedReport>) -> Vec<PolicyOutcome> {
        let _ = thinned;
        Vec::new()
    }

    /// The kept model, as it is handed out, and what thinning came to.
    fn finish(&self, model: M) -> Result<(M, Option<ThinnedReport>), ReferenceError> {
        Ok((model, None))
    }
}

/// A model that stays as it is.
pub(super) struct Fixed<'a> {
    pub(super) setup: &'a Setup,
}

/// A network that is trained quantization-aware.
pub(super) struct QuantizationAware<'a> {
    pub(super) setup: &'a Setup,
}

/// The quantizers that a recipe's `[quantize]` asks for.
#[must_use]
pub fn quantization_settings(asked: &RecipeQuantization) -> QuantizationSettings {
    let mut settings = QuantizationSettings::default();
    settings.weights.bits = asked.weight_bits;
    settings.weights.per_channel = asked.per_channel;
    settings.weights.range_estimator = asked.range_estimator;
    settings.activations.bits = asked.activation_bits;
    settings.activations.range_estimator = asked.range_estimator;
    settings.layers = (asked.layers.iter())
        .map(|layer| Override {
            name: layer.name.clone(),
            float: layer.float,
            weight_bits: layer.weight_bits,
            activation_bits: layer.activation_bits,
            ..Override::default()
        })
        .collect();
    settings
}

impl QuantizationAware<'_> {
    /// The network on the quantizers that the recipe asks for, calibrated with validation images.
    pub(super) fn network(&self, network: Network) -> Result<QatNetwork, ReferenceError> {
        let (recipe, asked) = (&self.setup.recipe, self.asked());
        let draw = Draw::Random(asked.images);
        let images = Validation::new(&self.setup.images, draw, CALIBRATION, recipe.train().seed);
        let calibration = Calibration::of(&network, &images.batches().collect::<Vec<_>>())?;
        let qat = QatNetwork::new(
            network,
            &calibration,
            &quantization_settings(asked),
            asked.method,
        )?;
        for warning in qat.report().warnings() {
            tracing::warn!("{warning}");
        }
        Ok(qat)
    }

    fn asked(&self) -> &RecipeQuantization {
        let asked = self.setup.recipe.quantization();
        asked.expect("only where the recipe quantizes")
    }

    /// What moves in an epoch.
    fn stage(&self, epoch: u64) -> QatStage {
        let asked = self.asked();
        let before = |freeze: Option<u64>| freeze.is_none_or(|freeze| epoch < freeze);
        QatStage {
            activations: epoch >= asked.start,
            ranges: before(asked.freeze_ranges),
            norms: before(asked.freeze_norms),
            ..QatStage::default()
        }
    }
}

impl Shape<QatNetwork> for QuantizationAware<'_> {
    fn driver(&self, model: &QatNetwork) -> Result<Driver<QatNetwork>, ReferenceError> {
        let steps = self.setup.images.steps_per_epoch();
        let graph = model.network().graph();
        let duties = [Duty::Quantize, Duty::Distill];
        let recipe = &self.setup.recipe;
        Ok(recipe.bind_carrying_out(&duties, model, Some(graph), steps)?)
    }

    /// It was calibrated with them.
    fn begun(&self, model: QatNetwork) -> Result<QatNetwork, ReferenceError> {
        Ok(model.with_stage(self.stage(0)))
    }

    fn moments(&self) -> Vec<u64> {
        self.asked().moments(self.setup.recipe.train().epochs)
    }

    fn at(&self, model: QatNetwork, clock: Clock) -> Result<QatNetwork, ReferenceError> {
        Ok(model.with_stage(self.stage(clock.epoch)))
    }

    fn change(&self, mut run: Run<QatNetwork>) -> Result<Run<QatNetwork>, ReferenceError> {
        let stage = self.stage(run.driver.clock().epoch);
        run.model = run.model.with_stage(stage);
        Ok(run)
    }

    fn integers(&self, model: &QatNetwork) -> Result<Option<Quantized>, ReferenceError> {
        Ok(Some(model.quantized()?))
    }

    fn outcomes(&self, _: Option<&ThinnedReport>) -> Vec<PolicyOutcome> {
        let asked = self.asked();
        let epochs = self.setup.recipe.train().epochs;
        let bits = |bits: u8| match bits {
            0 => "float".to_owned(),
            1 => "1 bit".to_owned(),
            _ => format!("{bits} bits"),
        };
        let asks = format!(
            "weights of {} and activations of {} from epoch {} on",
            bits(asked.weight_bits),
            bits(asked.activation_bits),
            asked.start
        );
        let trained = epochs.saturating_sub(asked.start);
        let reached = format!("{trained} epochs of training with all of them");
        let missed = (trained == 0).then(|| format!("the run has {epochs} epochs"));
        vec![PolicyOutcome::new(Duty::Quantize.to_string(), asks, reached).with_missed(missed)]
    }
}

impl<M: Classifier> Shape<M> for Fixed<'_> {
    fn begun(&self, model: M) -> Result<M, ReferenceError> {
        self.setup.load_weights(model)
    }

    fn driver(&self, model: &M) -> Result<Driver<M>, ReferenceError> {
        let steps = self.setup.images.steps_per_epoch();
        let recipe = &self.setup.recipe;
        Ok(recipe.bind_carrying_out(&[Duty::Distill], model, None, steps)?)
    }
}

/// A traced network.
pub(super) struct Thinning<'a> {
    setup: &'a Setup,
    out: &'a Path,
    /// As the run begins with it.
    whole: Network,
}

impl<'a> Thinning<'a> {
    pub(super) fn new(setup: &'a Setup, out: &'a Path, whole: Network) -> Self {
        Self { setup, out, whole }
    }

    /// Where the network thinned before an epoch is.
    fn file(&self, epoch: u64) -> PathBuf {
        self.out.join(format!("thinned-{epoch}.safetensors"))
    }

    fn load(&self, file: &Path) -> Result<Network, ReferenceError> {
        Network::load(file, &self.setup.device).map_err(|error| ReferenceError::Malformed {
            file: file.to_path_buf(),
            reason: error.to_string(),
        })
    }

    fn options(&self) -> ThinOptions {
        let thinning = self.setup.recipe.thinning();
        thinning.map_or_else(ThinOptions::default, |thinning| ThinOptions {
            padding_effect: match thinning.exact {
                true => PaddingEffect::KeepBorder,
                false => PaddingEffect::DropBorder,
            },
            norm_features: thinning.norm_features(),
        })
    }

    fn thinned(&self, network: Network) -> Result<Thinned, ReferenceError> {
        let options = self.options();
        let inputs = self.setup.images_for_norms(options.norm_features);
        Ok(thin_with(network, options, &inputs)?)
    }
}

impl Shape<Network> for Thinning<'_> {
    fn begun(&self, network: Network) -> Result<Network, ReferenceError> {
        self.setup.load_weights(network)
    }

    fn driver(&self, network: &Network) -> Result<Driver<Network>, ReferenceError> {
        let images = &self.setup.images;
        let epoch = images.steps_per_epoch();
        let duties = [Duty::Thin, Duty::Distill];
        let recipe = &self.setup.recipe;
        let driver = recipe.bind_carrying_out(&duties, network, Some(network.graph()), epoch)?;
        let (wanted, refitted) = (driver.wanted(), driver.reconstructions());
        if wanted.is_empty() && refitted.is_empty() {
            return Ok(driver);
        }
        let scored = wanted.iter().map(|wanted| wanted.batches);
        let counts = scored.chain(refitted.iter().map(|refitted| refitted.batches));
        // What looks at all batches looks at an epoch's.
        let counts = counts.map(|batches| batches.unwrap_or(epoch).min(epoch));
        let batches = images.first(counts.max().unwrap_or(1) as usize);
        let source = NetworkActivations::new(network, batches, Sums::Pass)?;
        Ok(driver.with_activation_source(Box::new(source))?)
    }

    fn moments(&self) -> Vec<u64> {
        let recipe = &self.setup.recipe;
        let thinning = recipe.thinning();
        thinning.map_or(Vec::new(), |thinning| {
            thinning.moments(recipe.train().epochs)
        })
    }

    fn at(&self, network: Network, clock: Clock) -> Result<Network, ReferenceError> {
        let over = |moment: &u64| (*moment, 0) < (clock.epoch, clock.step);
        let last = self.moments().into_iter().rfind(over);
        last.map_or(Ok(network), |moment| self.load(&self.file(moment)))
    }

    fn change(&self, run: Run<Network>) -> Result<Run<Network>, ReferenceError> {
        let epoch = run.driver.clock().epoch;
        let Thinned {
            network,
            plan,
            report,
        } = self.thinned(run.driver.masked_model(&run.model).valid())?;
        tracing::info!("thinned before epoch {epoch}:\n{report}");
        let file = self.file(epoch);
        save(&network, &file)?;
        // A run that is stopped and resumed begins with the file, too.
        let network = self.load(&file)?.train();
        let kept_indices = KeptIndices::of(&plan.cuts(), &Inventory::of(&run.model))?;
        let driver = self.driver(&network)?;
        Ok(run.thinned(network, driver, &kept_indices, &self.setup.device)?)
    }

    fn outcomes(&self, thinned: Option<&ThinnedReport>) -> Vec<PolicyOutcome> {
        let Some(thinned) = thinned else {
            return Vec::new();
        };
        let moments = self.moments();
        let epochs = self.setup.recipe.train().epochs;
        let asked = match moments.as_slice() {
            [end] if *end == epochs => "thinning at the end of the run".to_owned(),
            _ => format!("thinning before the epochs {moments:?}"),
        };
        let (before, after) = (thinned.parameters_before, thinned.parameters);
        let reached = format!("{} of {before} parameters removed", before - after);
        let missed =
            (before == after).then(|| "no channel was pruned whole that can be removed".to_owned());
        vec![PolicyOutcome::new(Duty::Thin.to_string(), asked, reached).with_missed(missed)]
    }

    fn finish(&self, network: Network) -> Result<(Network, Option<ThinnedReport>), ReferenceError> {
        let moments = self.moments();
        let Some(&last) = moments.last() else {
            return Ok((network, None));
        };
        let network = if last == self.setup.recipe.train().epochs {
            let Thinned {
                network, report, ..
            } = self.thinned(network)?;
            tracing::info!("thinned at the end:\n{report}");
            network
        } else {
            network
        };
        let file = self.out.join("thinned.safetensors");
        save(&network, &file)?;
        let (whole, device) = (self.whole.valid(), self.setup.images.inference());
        let report = ThinnedReport::of(&whole, &network, self.options(), &BATCHES, device)?;
        Ok((network, Some(report)))
    }
}

/// The network as one file.
fn save(network: &Network, file: &Path) -> Result<(), ReferenceError> {
    let bytes = network.to_bytes();
    let bytes = bytes.map_err(|error| ReferenceError::Malformed {
        file: file.to_path_buf(),
        reason: error.to_string(),
    })?;
    write(file, bytes)
}
