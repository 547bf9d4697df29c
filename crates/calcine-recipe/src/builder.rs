use std::fmt::Write as _;
use std::ops::Range;

use burn::module::Module;
use calcine_fold::Granularity;
use calcine_graph::Graph;
use calcine_schedule::{Cosine, Cubic, Exponential, Linear};
use calcine_train::Driver;

use crate::{Recipe, RecipeError};

/// A pruner in code, which is equivalent to a recipe: [`to_toml`](Self::to_toml) returns it.
///
/// By default, it ranks single elements by magnitude, prunes each parameter separately, and fires at the beginning of
/// each epoch of its window; the run ends with the window.
///
/// # Examples
///
/// ```
/// use calcine_recipe::{Pruner, Recipe};
/// use calcine_schedule::Cubic;
/// # use calcine_testkit::{ConvNet, device};
/// # let model = ConvNet::new(&device());
///
/// let pruner = Pruner::new(&model)
///     .weights("*.weight")
///     .level(Cubic::new(0.0, 0.9))
///     .epochs(1..5)
///     .learning_rate(0.01);
/// let driver = pruner.driver(100)?;   // 100 steps per epoch
/// # let _ = driver;
///
/// // The same as a file.
/// let recipe = Recipe::parse(&pruner.to_toml())?;
/// assert_eq!(recipe.train().epochs, 5);
/// # Ok::<(), calcine_recipe::RecipeError>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a pruner does nothing until its driver is used"]
pub struct Pruner<'a, M> {
    model: &'a M,
    graph: Option<&'a Graph>,
    parameters: Vec<String>,
    score: String,
    granularity: Granularity,
    level: Level,
    global: bool,
    dependency: bool,
    window: (Range<u64>, u64, &'static str),
    epochs: Option<u64>,
    learning_rate: Option<f64>,
    seed: u64,
}

/// The share of the units that is pruned: a number from 0 to 1, or a curve over the window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level {
    /// The name of the curve, and its first and last value.
    curve: Option<&'static str>,
    from: f64,
    to: f64,
}

impl From<f64> for Level {
    fn from(level: f64) -> Self {
        Self {
            curve: None,
            from: level,
            to: level,
        }
    }
}

impl Level {
    fn between(curve: &'static str, from: f64, to: f64) -> Self {
        let curve = Some(curve);
        Self { curve, from, to }
    }

    /// The value in TOML. Floats are written as Rust's `Debug` does, which is valid in TOML.
    fn to_toml(self) -> String {
        let Self { curve, from, to } = self;
        match curve {
            Some(curve) => format!("{{ curve = \"{curve}\", from = {from:?}, to = {to:?} }}"),
            None => format!("{to:?}"),
        }
    }
}

impl From<Cubic> for Level {
    fn from(curve: Cubic) -> Self {
        Self::between("cubic", curve.initial, curve.last)
    }
}

impl From<Linear> for Level {
    fn from(curve: Linear) -> Self {
        Self::between("linear", curve.initial, curve.last)
    }
}

impl From<Cosine> for Level {
    fn from(curve: Cosine) -> Self {
        Self::between("cosine", curve.initial, curve.last)
    }
}

impl From<Exponential> for Level {
    fn from(curve: Exponential) -> Self {
        Self::between("exponential", curve.initial, curve.last)
    }
}

impl<'a, M: Module> Pruner<'a, M> {
    /// A pruner for a model. Unless set otherwise, it drops half of the elements of each weight in the first epoch.
    pub fn new(model: &'a M) -> Self {
        Self {
            model,
            graph: None,
            parameters: Vec::new(),
            score: "magnitude".to_owned(),
            granularity: Granularity::Element,
            level: Level::from(0.5),
            global: false,
            dependency: false,
            window: (0..1, 1, "epochs"),
            epochs: None,
            learning_rate: None,
            seed: 0,
        }
    }

    /// Adds parameters by name or pattern; a leading `!` excludes matches. Without any pattern, all weights are pruned
    /// (`**.weight`).
    pub fn weights(mut self, pattern: impl Into<String>) -> Self {
        self.parameters.push(pattern.into());
        self
    }

    /// Sets the criterion by its name in a recipe: `"magnitude"`, `"l1"`, `"taylor"` and so on.
    pub fn score(self, name: impl Into<String>) -> Self {
        let score = name.into();
        Self { score, ..self }
    }

    /// Sets the granularity.
    pub fn granularity(self, granularity: Granularity) -> Self {
        Self {
            granularity,
            ..self
        }
    }

    /// Sets the share of units to prune: a number from 0 to 1, or a curve over the window.
    pub fn level(self, level: impl Into<Level>) -> Self {
        let level = level.into();
        Self { level, ..self }
    }

    /// Applies the level to all parameters together, so that those with small scores lose more.
    pub fn global(self) -> Self {
        Self {
            global: true,
            ..self
        }
    }

    /// Prunes filters together with everything that produces the same channels, according to the graph of the traced
    /// model.
    pub fn with_dependencies(self, graph: &'a Graph) -> Self {
        Self {
            graph: Some(graph),
            dependency: true,
            granularity: Granularity::Filter,
            ..self
        }
    }

    /// Fires at the beginning of each of these epochs, counted from 0.
    pub fn epochs(self, epochs: Range<u64>) -> Self {
        let window = (epochs, 1, "epochs");
        Self { window, ..self }
    }

    /// Fires before each of these optimizer steps, counted from 0.
    pub fn steps(self, steps: Range<u64>) -> Self {
        let window = (steps, 1, "steps");
        Self { window, ..self }
    }

    /// Fires only at every n-th epoch or step of the window.
    pub fn every(mut self, every: u64) -> Self {
        self.window.1 = every;
        self
    }

    /// Sets the number of epochs of the run, which by default ends with the window.
    pub fn run_of(self, epochs: u64) -> Self {
        let epochs = Some(epochs);
        Self { epochs, ..self }
    }

    /// Sets the learning rate of the run, which a driver requires.
    pub fn learning_rate(self, rate: f64) -> Self {
        let learning_rate = Some(rate);
        Self {
            learning_rate,
            ..self
        }
    }

    /// Sets the seed of all random numbers; the default is 0.
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// The equivalent recipe as text.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let text = |text: &str| toml::Value::String(text.to_owned()).to_string();
        let (window, every, unit) = &self.window;
        let epochs = self.epochs.unwrap_or(match *unit {
            "epochs" => window.end,
            // A window in steps does not define a number of epochs.
            _ => 1,
        });
        let all = ["**.weight".to_owned()];
        let parameters = match self.parameters.is_empty() {
            true => &all[..],
            false => &self.parameters,
        };
        let parameters: Vec<String> = parameters.iter().map(|name| text(name)).collect();
        let mut recipe = format!("format = 1\n\n[train]\nepochs = {epochs}\n");
        let mut line = |key: &str, value: &str| {
            let _ = writeln!(recipe, "{key} = {value}");
        };
        if let Some(rate) = self.learning_rate {
            line("lr", &format!("{rate:?}"));
        }
        line("seed", &self.seed.to_string());
        line(
            "\n[pruner.pruner]\nparams",
            &format!("[{}]", parameters.join(", ")),
        );
        line("score", &text(&self.score));
        line("granularity", &text(&self.granularity.to_string()));
        line("level", &self.level.to_toml());
        if self.global {
            line("scope", "\"global\"");
        }
        if self.dependency {
            line("dependency", "\"auto\"");
        }
        line("\n[[policy]]\npruner", "\"pruner\"");
        line("start", &window.start.to_string());
        line("end", &window.end.to_string());
        line("every", &every.to_string());
        line("unit", &text(unit));
        recipe
    }

    /// The equivalent recipe.
    ///
    /// # Errors
    ///
    /// Those of [`Recipe::parse`], for numbers that are not valid in a recipe.
    pub fn recipe(&self) -> Result<Recipe, RecipeError> {
        Recipe::parse_as("the pruner's recipe", &self.to_toml())
    }

    /// The driver for training the model, with this number of optimizer steps per epoch.
    ///
    /// # Errors
    ///
    /// Those of [`Recipe::parse`] and [`Recipe::bind`].
    pub fn driver(&self, steps_per_epoch: u64) -> Result<Driver<M>, RecipeError> {
        let recipe = self.recipe()?;
        recipe.bind_for_runner(&[], self.model, self.graph, steps_per_epoch)
    }
}
