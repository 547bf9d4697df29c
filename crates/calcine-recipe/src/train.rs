use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{ModuleOptimizer, SgdConfig};

use crate::section::Section;

/// `[train]`: how the model is trained. A command line may override any of it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Train {
    /// The reference model that the recipe is for: `resnet20`.
    pub model: Option<String>,
    /// The weights to begin with: `"default"` for those shipped, `"none"`, or a file.
    pub weights: Option<String>,
    /// Epochs of the run.
    pub epochs: u64,
    /// Images in a batch.
    pub batch_size: usize,
    /// Images in an epoch; all of them if absent.
    pub images_per_epoch: Option<usize>,
    /// Share of the training images that is held out for validation.
    pub validation: f64,
    /// Seed of every random stream.
    pub seed: u64,
    /// The optimizer.
    pub optimizer: Optimizer,
}

/// Stochastic gradient descent, as PyTorch does it (dampening 0).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Optimizer {
    /// Base learning rate.
    pub lr: f64,
    /// Momentum.
    pub momentum: f64,
    /// Whether momentum is Nesterov's.
    pub nesterov: bool,
    /// L2 penalty added to the gradient of every parameter.
    pub weight_decay: f64,
}

impl Optimizer {
    /// Burn's optimizer with these settings.
    #[must_use]
    pub fn init(&self) -> ModuleOptimizer {
        let momentum = MomentumConfig::new()
            .with_momentum(self.momentum)
            .with_dampening(0.0)
            .with_nesterov(self.nesterov);
        let decay = WeightDecayConfig::new(self.weight_decay as f32);
        SgdConfig::new()
            .with_momentum((self.momentum > 0.0).then_some(momentum))
            .with_weight_decay((self.weight_decay > 0.0).then_some(decay))
            .init()
    }
}

impl Train {
    pub(crate) fn read(section: Section<'_>) -> Option<Self> {
        let value = |number: Option<crate::section::At<f64>>, default: f64| {
            number.map_or(default, |number| number.value)
        };
        let epochs = section.positive("epochs");
        let epochs = section.need("epochs", "the number of epochs of the run", epochs);
        let train = Self {
            model: section.text("model").map(|text| text.value),
            weights: section.text("weights").map(|text| text.value),
            epochs: epochs.as_ref().map_or(1, |epochs| epochs.value),
            batch_size: section
                .positive("batch_size")
                .map_or(128, |n| n.value as usize),
            images_per_epoch: section
                .positive("images_per_epoch")
                .map(|n| n.value as usize),
            validation: value(section.number_in("validation", 0.0..=0.9), 0.1),
            seed: section.count("seed").map_or(0, |seed| seed.value),
            optimizer: Optimizer {
                lr: value(section.number_in("lr", 0.0..=f64::INFINITY), 0.1),
                momentum: value(section.number_in("momentum", 0.0..=1.0), 0.9),
                nesterov: section.flag("nesterov").is_some_and(|flag| flag.value),
                weight_decay: value(section.number_in("weight_decay", 0.0..=1.0), 1e-4),
            },
        };
        section.close();
        epochs.map(|_| train)
    }
}
