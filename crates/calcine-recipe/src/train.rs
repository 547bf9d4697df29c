use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdamConfig, AdamWConfig, ModuleOptimizer, SgdConfig};

use crate::section::{At, Section};

/// `[train]`: how the model is trained. A command line may override all of it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Train {
    /// The reference model of the recipe, such as `resnet20`.
    pub model: Option<String>,
    /// The initial weights: `"default"` for those that come with the model, `"none"`, or a file.
    pub weights: Option<String>,
    /// The number of epochs. They are counted from 0 to `epochs` − 1.
    pub epochs: u64,
    /// The batch size.
    pub batch_size: usize,
    /// The number of images per epoch; all images if `None`.
    pub images_per_epoch: Option<usize>,
    /// The share of the training images that is used for validation.
    pub validation: f64,
    /// The seed of all random streams.
    pub seed: u64,
    /// The optimizer.
    pub optimizer: Optimizer,
}

/// The optimizer and its settings.
///
/// The learning rate has no default, because a good value depends on the optimizer (0.1 is common for SGD, and far too
/// large for Adam). [`Recipe::bind`](crate::Recipe::bind) requires it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Optimizer {
    /// The base learning rate, which `[lr.NAME]` schedules multiply; `None` if the recipe has none.
    pub lr: Option<f64>,
    /// Weight decay: added to the gradient as an L2 penalty by SGD and Adam, decoupled from it by AdamW.
    pub weight_decay: f64,
    /// The update rule, with its own settings.
    pub rule: UpdateRule,
}

/// The update rule of an optimizer.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum UpdateRule {
    /// Stochastic gradient descent, as in PyTorch (with dampening 0).
    Sgd {
        /// Momentum.
        momentum: f64,
        /// Whether it is Nesterov momentum.
        nesterov: bool,
    },
    /// Adam (Kingma and Ba, 2015).
    Adam(Betas),
    /// Adam with decoupled weight decay (Loshchilov and Hutter, 2019).
    AdamW(Betas),
}

/// The settings of Adam's moving averages.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Betas {
    /// The decay of the mean of gradients.
    pub beta_1: f64,
    /// The decay of the mean of squared gradients.
    pub beta_2: f64,
    /// The number that is added to the denominator.
    pub epsilon: f64,
}

impl Default for Betas {
    /// The values of PyTorch: 0.9, 0.999, 1e-8. (Burn's ε is 1e-5.)
    fn default() -> Self {
        Self {
            beta_1: 0.9,
            beta_2: 0.999,
            epsilon: 1e-8,
        }
    }
}

impl Optimizer {
    /// The optimizer of Burn with these settings.
    #[must_use]
    pub fn init(&self) -> ModuleOptimizer {
        let decay = WeightDecayConfig::new(self.weight_decay as f32);
        let decay = (self.weight_decay > 0.0).then_some(decay);
        match self.rule {
            UpdateRule::Sgd { momentum, nesterov } => {
                let config = MomentumConfig::new()
                    .with_momentum(momentum)
                    .with_dampening(0.0)
                    .with_nesterov(nesterov);
                SgdConfig::new()
                    .with_momentum((momentum > 0.0).then_some(config))
                    .with_weight_decay(decay)
                    .init()
            }
            UpdateRule::Adam(betas) => AdamConfig::new()
                .with_beta_1(betas.beta_1 as f32)
                .with_beta_2(betas.beta_2 as f32)
                .with_epsilon(betas.epsilon as f32)
                .with_weight_decay(decay)
                .init(),
            UpdateRule::AdamW(betas) => AdamWConfig::new()
                .with_beta_1(betas.beta_1 as f32)
                .with_beta_2(betas.beta_2 as f32)
                .with_epsilon(betas.epsilon as f32)
                .with_weight_decay(self.weight_decay as f32)
                .init(),
        }
    }

    fn read(section: &Section<'_>) -> Self {
        #[derive(Clone, Copy, PartialEq)]
        enum Name {
            Sgd,
            Adam,
            AdamW,
        }
        let names = [
            ("sgd", Name::Sgd),
            ("adam", Name::Adam),
            ("adamw", Name::AdamW),
        ];
        let name = section.word("optimizer", &names);
        let name = name.map_or(Name::Sgd, |name| name.value);
        let lr = section.number_in("lr", 0.0..=f64::INFINITY);
        let momentum = section.number_in("momentum", 0.0..=1.0);
        let nesterov = section.flag("nesterov");
        let decay = section.number_in("weight_decay", 0.0..=1.0);
        let [beta_1, beta_2] =
            ["beta_1", "beta_2"].map(|key| section.number_in(key, 0.0..=0.999_999));
        let epsilon = section.number_in("epsilon", 1e-30..=1.0);
        let sgd = [
            ("momentum", momentum.as_ref().map(|at| &at.span)),
            ("nesterov", nesterov.as_ref().map(|at| &at.span)),
        ];
        let adam = [
            ("beta_1", beta_1.as_ref().map(|at| &at.span)),
            ("beta_2", beta_2.as_ref().map(|at| &at.span)),
            ("epsilon", epsilon.as_ref().map(|at| &at.span)),
        ];
        let (foreign, valid): (&[_], _) = match name {
            Name::Sgd => (&adam, "`optimizer = \"adam\"` or `\"adamw\"`"),
            Name::Adam | Name::AdamW => (&sgd, "`optimizer = \"sgd\"`"),
        };
        for (key, span) in foreign {
            if let Some(span) = span {
                section
                    .problems
                    .add(span, format!("`{key}` is for {valid}"));
            }
        }
        let value =
            |number: Option<At<f64>>, default: f64| number.map_or(default, |number| number.value);
        let usual = Betas::default();
        let momentum = value(momentum, 0.9);
        if let (0.0, Some(At { value: true, span })) = (momentum, &nesterov) {
            let message = "`nesterov` needs a `momentum` above 0";
            section.problems.add(span, message);
        }
        let betas = Betas {
            beta_1: value(beta_1, usual.beta_1),
            beta_2: value(beta_2, usual.beta_2),
            epsilon: value(epsilon, usual.epsilon),
        };
        let (rule, usual_decay) = match name {
            Name::Sgd => {
                let nesterov = nesterov.is_some_and(|flag| flag.value);
                (UpdateRule::Sgd { momentum, nesterov }, 1e-4)
            }
            Name::Adam => (UpdateRule::Adam(betas), 0.0),
            Name::AdamW => (UpdateRule::AdamW(betas), 1e-2),
        };
        Self {
            lr: lr.map(|lr| lr.value),
            weight_decay: value(decay, usual_decay),
            rule,
        }
    }
}

impl Train {
    /// Checks settings that code may have changed, and returns the first problem.
    pub(crate) fn problem(&self) -> Option<String> {
        let Some(lr) = self.optimizer.lr else {
            return Some(
                "`lr` is missing in `[train]`: the learning rate, which depends on the optimizer (SGD often \
                 takes 0.1, Adam 0.001)"
                    .to_owned(),
            );
        };
        let sound = |x: f64| x.is_finite() && x >= 0.0;
        if !sound(lr) {
            return Some(format!("`lr` is {lr}, expected a number of at least 0"));
        }
        let decay = self.optimizer.weight_decay;
        if !sound(decay) {
            return Some(format!(
                "`weight_decay` is {decay}, expected a number of at least 0"
            ));
        }
        if self.epochs == 0 {
            return Some("`epochs` is 0, expected at least 1".to_owned());
        }
        None
    }

    /// For a recipe whose `[train]` cannot be read, in which no moment is too late.
    pub(crate) fn of_unknown_length() -> Self {
        Self {
            model: None,
            weights: None,
            epochs: u64::MAX,
            batch_size: 1,
            images_per_epoch: None,
            validation: 0.0,
            seed: 0,
            optimizer: Optimizer {
                lr: None,
                weight_decay: 0.0,
                rule: UpdateRule::AdamW(Betas::default()),
            },
        }
    }

    pub(crate) fn read(section: Section<'_>) -> Option<Self> {
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
            validation: section
                .number_in("validation", 0.0..=0.9)
                .map_or(0.1, |share| share.value),
            seed: section.count("seed").map_or(0, |seed| seed.value),
            optimizer: Optimizer::read(&section),
        };
        section.close();
        epochs.map(|_| train)
    }
}
