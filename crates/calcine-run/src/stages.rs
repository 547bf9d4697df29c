//! What is done to a network around the steps of its training: thinning, and the stages of quantization-aware training.

use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::Device;
use calcine_observe::{NetworkActivations, Sums};
use calcine_params::Inventory;
use calcine_quantize::{Calibration, QatNetwork, QatStage, Quantized};
use calcine_recipe::{Duty, Recipe, RecipeQuantization};
use calcine_schedule::Clock;
use calcine_thin::{PaddingEffect, ThinOptions, Thinned, thin_with};
use calcine_trace::{AnyTensor, Network};
use calcine_train::{Driver, KeptIndices, PolicyOutcome, Run};

use crate::error::write;
use crate::{RunError, ThinnedReport};

/// Batch sizes to measure the speed of a thinned network with.
const BATCHES: [usize; 2] = [1, 64];

/// How a kind of network is bound to a recipe, and what the recipe does to it around the steps.
pub(crate) trait Stages<M: Module> {
    /// A driver at the run's beginning.
    fn driver(&self, model: &M) -> Result<Driver<M>, RunError>;

    /// The model as the run begins with it.
    fn first(&self, model: M) -> M {
        model
    }

    /// The epochs before which the model changes, ascending; the number of epochs itself if that is at the end.
    fn moments(&self) -> Vec<u64>;

    /// The model as it was at this moment of a run that was stopped since.
    fn at(&self, model: M, clock: Clock) -> Result<M, RunError>;

    /// The run, going on with the changed model.
    fn change(&self, run: Run<M>) -> Result<Run<M>, RunError>;

    /// What the recipe asked for beside the driver's steps, and what became of it.
    fn outcomes(&self, thinned: Option<&ThinnedReport>) -> Vec<PolicyOutcome>;

    /// The kept model, as it is handed out, and the results of thinning.
    fn finish(&self, model: M) -> Result<(M, Option<ThinnedReport>), RunError>;

    /// The kept model as a float network.
    fn network(&self, model: &M) -> Network;

    /// The kept model as an integer network, if it was trained for that.
    fn integers(&self, model: &M) -> Result<Option<Quantized>, RunError>;
}

/// A network in quantization-aware training.
pub(crate) struct Quantizing<'a> {
    pub(crate) recipe: &'a Recipe,
    pub(crate) asked: &'a RecipeQuantization,
    pub(crate) steps: u64,
}

impl Quantizing<'_> {
    /// The network for quantization-aware training, calibrated with these inputs.
    pub(crate) fn network(
        &self,
        network: Network,
        inputs: &[Vec<AnyTensor>],
    ) -> Result<QatNetwork, RunError> {
        let calibration = Calibration::of(&network, inputs)?;
        let (settings, method) = (&self.asked.settings, self.asked.training.method);
        let qat = QatNetwork::new(network, &calibration, settings, method)?;
        for warning in qat.report().warnings() {
            tracing::warn!("{warning}");
        }
        Ok(qat)
    }

    /// What moves in an epoch.
    fn stage(&self, epoch: u64) -> QatStage {
        let training = &self.asked.training;
        let before = |freeze: Option<u64>| freeze.is_none_or(|freeze| epoch < freeze);
        QatStage {
            activations: epoch >= training.start,
            ranges: before(training.freeze_ranges),
            norms: before(training.freeze_norms),
            ..QatStage::default()
        }
    }
}

impl Stages<QatNetwork> for Quantizing<'_> {
    fn driver(&self, model: &QatNetwork) -> Result<Driver<QatNetwork>, RunError> {
        let graph = model.network().graph();
        let duties = [Duty::Quantize, Duty::Distill];
        let bound = (self.recipe).bind_carrying_out(&duties, model, Some(graph), self.steps);
        Ok(bound?)
    }

    fn first(&self, model: QatNetwork) -> QatNetwork {
        model.with_stage(self.stage(0))
    }

    fn moments(&self) -> Vec<u64> {
        self.asked.training.moments(self.recipe.train().epochs)
    }

    fn at(&self, model: QatNetwork, clock: Clock) -> Result<QatNetwork, RunError> {
        Ok(model.with_stage(self.stage(clock.epoch)))
    }

    fn change(&self, mut run: Run<QatNetwork>) -> Result<Run<QatNetwork>, RunError> {
        let stage = self.stage(run.driver.clock().epoch);
        run.model = run.model.with_stage(stage);
        Ok(run)
    }

    fn outcomes(&self, _: Option<&ThinnedReport>) -> Vec<PolicyOutcome> {
        let (settings, start) = (&self.asked.settings, self.asked.training.start);
        let epochs = self.recipe.train().epochs;
        let bits = |bits: u8| match bits {
            0 => "float".to_owned(),
            1 => "1 bit".to_owned(),
            _ => format!("{bits} bits"),
        };
        let asks = format!(
            "weights of {} and activations of {} from epoch {} on",
            bits(settings.weights.bits),
            bits(settings.activations.bits),
            start
        );
        let trained = epochs.saturating_sub(start);
        let reached = format!("{trained} epochs of training with all of them");
        let missed = (trained == 0).then(|| format!("the run has {epochs} epochs"));
        vec![PolicyOutcome::new(Duty::Quantize.to_string(), asks, reached).with_missed(missed)]
    }

    fn finish(&self, model: QatNetwork) -> Result<(QatNetwork, Option<ThinnedReport>), RunError> {
        Ok((model, None))
    }

    fn network(&self, model: &QatNetwork) -> Network {
        model.network().clone()
    }

    fn integers(&self, model: &QatNetwork) -> Result<Option<Quantized>, RunError> {
        Ok(Some(model.quantized()?))
    }
}

/// A float network, which is thinned if the recipe says so.
pub(crate) struct Thinning<'a> {
    pub(crate) recipe: &'a Recipe,
    pub(crate) steps: u64,
    pub(crate) out: &'a Path,
    /// As the run begins with it.
    pub(crate) whole: Network,
    /// Without autodiff.
    pub(crate) device: Device,
    /// The inputs of the first so many training batches.
    pub(crate) inputs: &'a dyn Fn(usize) -> Vec<Vec<AnyTensor>>,
}

impl Thinning<'_> {
    /// Where the network thinned before an epoch is.
    fn file(&self, epoch: u64) -> PathBuf {
        self.out.join(format!("thinned-{epoch}.safetensors"))
    }

    fn load(&self, file: &Path) -> Result<Network, RunError> {
        let device = self.device.clone().autodiff();
        Network::load(file, &device).map_err(|error| RunError::malformed(file, error))
    }

    fn options(&self) -> ThinOptions {
        let thinning = self.recipe.thinning();
        thinning.map_or_else(ThinOptions::default, |thinning| ThinOptions {
            padding_effect: match thinning.exact {
                true => PaddingEffect::KeepBorder,
                false => PaddingEffect::DropBorder,
            },
            norm_features: thinning.norm_features(),
        })
    }

    fn thinned(&self, network: Network) -> Result<Thinned, RunError> {
        let options = self.options();
        let inputs = match options.norm_features {
            calcine_graph::NormFeatures::Pinned => Vec::new(),
            calcine_graph::NormFeatures::Removable => (self.inputs)(1),
        };
        Ok(thin_with(network, options, &inputs)?)
    }
}

impl Stages<Network> for Thinning<'_> {
    fn driver(&self, network: &Network) -> Result<Driver<Network>, RunError> {
        let duties = [Duty::Thin, Duty::Distill];
        let graph = Some(network.graph());
        let driver = (self.recipe).bind_carrying_out(&duties, network, graph, self.steps)?;
        let (wanted, refitted) = (driver.wanted(), driver.reconstructions());
        if wanted.is_empty() && refitted.is_empty() {
            return Ok(driver);
        }
        let scored = wanted.iter().map(|wanted| wanted.batches);
        let counts = scored.chain(refitted.iter().map(|refitted| refitted.batches));
        // All batches are an epoch's.
        let counts = counts.map(|batches| batches.unwrap_or(self.steps).min(self.steps));
        let batches = (self.inputs)(counts.max().unwrap_or(1) as usize);
        let source = NetworkActivations::new(network, batches, Sums::Pass)?;
        Ok(driver.with_activation_source(Box::new(source))?)
    }

    fn moments(&self) -> Vec<u64> {
        let epochs = self.recipe.train().epochs;
        let thinning = self.recipe.thinning();
        thinning.map_or(Vec::new(), |thinning| thinning.moments(epochs))
    }

    fn at(&self, network: Network, clock: Clock) -> Result<Network, RunError> {
        let over = |moment: &u64| (*moment, 0) < (clock.epoch, clock.step);
        let last = self.moments().into_iter().rfind(over);
        last.map_or(Ok(network), |moment| self.load(&self.file(moment)))
    }

    fn change(&self, run: Run<Network>) -> Result<Run<Network>, RunError> {
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
        Ok(run.thinned(network, driver, &kept_indices, &self.device)?)
    }

    fn outcomes(&self, thinned: Option<&ThinnedReport>) -> Vec<PolicyOutcome> {
        let Some(thinned) = thinned else {
            return Vec::new();
        };
        let moments = self.moments();
        let epochs = self.recipe.train().epochs;
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

    fn finish(&self, network: Network) -> Result<(Network, Option<ThinnedReport>), RunError> {
        let moments = self.moments();
        let Some(&last) = moments.last() else {
            return Ok((network, None));
        };
        let network = if last == self.recipe.train().epochs {
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
        let whole = self.whole.valid();
        let options = self.options();
        let report = ThinnedReport::of(&whole, &network, options, &BATCHES, &self.device)?;
        Ok((network, Some(report)))
    }

    fn network(&self, network: &Network) -> Network {
        network.clone()
    }

    fn integers(&self, _: &Network) -> Result<Option<Quantized>, RunError> {
        Ok(None)
    }
}

/// The network as one file.
fn save(network: &Network, file: &Path) -> Result<(), RunError> {
    let bytes = network.to_bytes();
    let bytes = bytes.map_err(|error| RunError::malformed(file, error))?;
    write(file, bytes)
}
