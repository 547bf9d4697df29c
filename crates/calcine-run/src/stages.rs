//! What is done to a network around its training steps: thinning, and the stages of quantization-aware training.

use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::Device;
use calcine_observe::{AtAddition, NetworkActivations};
use calcine_params::Inventory;
use calcine_quantize::{Calibration, QatNetwork, QatStage, Quantized};
use calcine_recipe::{Recipe, RecipeQuantization, RunnerTable};
use calcine_schedule::Clock;
use calcine_thin::{PaddingEffect, ThinOptions, Thinned, thin_with};
use calcine_trace::{AnyTensor, Network};
use calcine_train::{Driver, KeptIndices, PolicyOutcome, Run};

use crate::error::write;
use crate::{RunError, ThinnedReport};

/// The batch sizes with which the speed of a thinned network is measured.
const BATCHES: [usize; 2] = [1, 64];

/// How one kind of network is bound to a recipe and changed around the training steps.
pub(crate) trait Stages<M: Module> {
    /// Creates the driver at the beginning of the run.
    fn driver(&self, model: &M) -> Result<Driver<M>, RunError>;

    /// The initial model of the run.
    fn first(&self, model: M) -> M {
        model
    }

    /// The epochs before which the model changes, in ascending order; the number of epochs stands for the end of the
    /// run.
    fn moments(&self) -> Vec<u64>;

    /// Restores the model as it was at this moment of a run that was stopped later.
    fn at(&self, model: M, clock: Clock) -> Result<M, RunError>;

    /// Changes the model, and returns the run that continues with it.
    fn change(&self, run: Run<M>) -> Result<Run<M>, RunError>;

    /// What the recipe requested in addition to the driver's steps, and what was reached.
    fn outcomes(&self, thinned: Option<&ThinnedReport>) -> Vec<PolicyOutcome>;

    /// The kept model as it is returned, and the results of thinning.
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
    /// Prepares the network for quantization-aware training, calibrated with these inputs.
    pub(crate) fn network(
        &self,
        network: Network,
        inputs: &[Vec<AnyTensor>],
    ) -> Result<QatNetwork, RunError> {
        let calibration = Calibration::collect(&network, inputs)?;
        let (settings, method) = (&self.asked.settings, self.asked.training.method);
        let qat = QatNetwork::new(network, &calibration, settings, method)?;
        for warning in qat.report().warnings() {
            tracing::warn!("{warning}");
        }
        Ok(qat)
    }

    /// The parts that are changed by an epoch.
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
        let tables = [RunnerTable::Quantize, RunnerTable::Distill];
        let bound = (self.recipe).bind_for_runner(&tables, model, Some(graph), self.steps);
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
        vec![
            PolicyOutcome::new(RunnerTable::Quantize.to_string(), asks, reached)
                .with_missed(missed),
        ]
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

/// A float network, which is thinned if the recipe requests it.
pub(crate) struct Thinning<'a> {
    pub(crate) recipe: &'a Recipe,
    pub(crate) steps: u64,
    pub(crate) out: &'a Path,
    /// The initial network of the run.
    pub(crate) whole: Network,
    /// The device without autodiff.
    pub(crate) device: Device,
    /// The inputs of the first training batches, this number of them.
    pub(crate) inputs: &'a dyn Fn(usize) -> Vec<Vec<AnyTensor>>,
}

impl Thinning<'_> {
    /// The file of the network that was thinned before an epoch.
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
        let tables = [RunnerTable::Thin, RunnerTable::Distill];
        let graph = Some(network.graph());
        let driver = (self.recipe).bind_for_runner(&tables, network, graph, self.steps)?;
        let (wanted, refitted) = (driver.activation_requests(), driver.reconstructions());
        if wanted.is_empty() && refitted.is_empty() {
            return Ok(driver);
        }
        let scored = wanted.iter().map(|wanted| wanted.batches);
        let counts = scored.chain(refitted.iter().map(|refitted| refitted.batches));
        // All batches of an epoch.
        let counts = counts.map(|batches| batches.unwrap_or(self.steps).min(self.steps));
        let batches = (self.inputs)(counts.max().unwrap_or(1) as usize);
        let source = NetworkActivations::new(network, batches, AtAddition::Continue)?;
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
        // A run that is stopped and resumed also begins with the file.
        let network = self.load(&file)?.train();
        let kept_indices =
            KeptIndices::from_cuts(&plan.cuts(), &Inventory::from_module(&run.model))?;
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
            (before == after).then(|| "no removable channel is completely zero".to_owned());
        vec![PolicyOutcome::new(RunnerTable::Thin.to_string(), asked, reached).with_missed(missed)]
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
        let whole = self.whole.valid();
        let options = self.options();
        let report = ThinnedReport::new(&whole, &network, options, &BATCHES, &self.device)?;
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
pub(crate) fn save(network: &Network, file: &Path) -> Result<(), RunError> {
    let bytes = network.to_bytes();
    let bytes = bytes.map_err(|error| RunError::malformed(file, error))?;
    write(file, bytes)
}
