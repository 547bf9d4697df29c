//! The settings of a job, combined from the command line and the recipe. Runs and scans save them, and are resumed with
//! them.

use std::fs;
use std::path::Path;

use burn::tensor::Device;
use calcine::data::Normalization;
use calcine::recipe::{Recipe, RecipeError};
use calcine::run::Model;
use calcine::weights::LoadOptions;
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, bad};
use crate::model::{Named, Weights, beside_file, load_file, quantized};

/// All settings that determine a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// The name of the recipe in errors: its file.
    pub(crate) recipe_name: String,
    /// The text of the recipe.
    pub(crate) recipe: String,
    /// MODEL, instead of that of the recipe.
    pub(crate) model: Option<String>,
    /// The initial weights, instead of those of the recipe: `default`, `none` or a file.
    pub(crate) weights: Option<String>,
    /// Where the weights are in their file, and which are skipped.
    #[serde(default, skip_serializing_if = "LoadOptions::is_default")]
    pub(crate) weights_options: LoadOptions,
    /// The data: `auto`, `synthetic`, a directory or a file.
    pub(crate) data: String,
    /// The normalization of images, instead of that of the recipe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) normalization: Option<Normalization>,
    /// The share of the training samples for validation, instead of that of the recipe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) validation: Option<f64>,
    /// The name of the device.
    pub(crate) device: String,
    /// The number of epochs, instead of that of the recipe.
    pub(crate) epochs: Option<u64>,
    /// The batch size, instead of that of the recipe.
    pub(crate) batch_size: Option<usize>,
    /// The number of training samples in an epoch, instead of that of the recipe.
    pub(crate) train_limit: Option<usize>,
    /// The maximum number of test samples.
    pub(crate) test_limit: Option<usize>,
    /// The seed of every random stream, instead of that of the recipe.
    pub(crate) seed: Option<u64>,
    /// Whether the recipe is a file, not the default of a command.
    #[serde(skip)]
    pub(crate) has_recipe: bool,
    /// Whether the command trains or changes the network, which is not possible with a quantized one.
    #[serde(skip)]
    pub(crate) changes: bool,
    /// Keep the weights of the best epoch with at least this share of zeros, instead of the best among the sparsest
    /// epochs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) min_sparsity: Option<f64>,
}

impl Settings {
    /// The settings of a recipe's own run.
    pub(crate) fn new(recipe_name: impl Into<String>, recipe: impl Into<String>) -> Self {
        Self {
            recipe_name: recipe_name.into(),
            recipe: recipe.into(),
            model: None,
            weights: None,
            weights_options: LoadOptions::default(),
            data: "auto".to_owned(),
            normalization: None,
            validation: None,
            device: "flex".to_owned(),
            epochs: None,
            batch_size: None,
            train_limit: None,
            test_limit: None,
            seed: None,
            has_recipe: false,
            changes: false,
            min_sparsity: None,
        }
    }

    /// The settings of a recipe's own run, from its file.
    pub(crate) fn from_file(file: &Path) -> Result<Self, Failure> {
        let name = file.display().to_string();
        let text = fs::read_to_string(file)
            .map_err(|error| bad(format!("{name}: the recipe cannot be read: {error}")))?;
        Ok(Self {
            has_recipe: true,
            ..Self::new(name, text)
        })
    }

    /// The settings of a job that does not train; `name` takes the place of the recipe's name in messages.
    pub(crate) fn without_recipe(name: &str) -> Self {
        Self::new(name, "format = 1\n[train]\nepochs = 1\n")
    }

    /// The recipe, with the values that these settings override.
    pub(crate) fn recipe(&self) -> Result<Recipe, RecipeError> {
        let mut recipe = Recipe::parse_as(self.recipe_name.as_str(), &self.recipe)?;
        let train = recipe.train_mut();
        train.epochs = self.epochs.unwrap_or(train.epochs);
        train.batch_size = self.batch_size.unwrap_or(train.batch_size);
        train.images_per_epoch = self.train_limit.or(train.images_per_epoch);
        train.seed = self.seed.unwrap_or(train.seed);
        train.validation = self.validation.unwrap_or(train.validation);
        if let Some(Normalization { mean, std }) = self.normalization {
            let data = recipe.data_mut();
            data.mean = mean.map(f64::from);
            data.std = std.map(f64::from);
        }
        Ok(recipe)
    }

    /// MODEL and `--weights` from the command line, or otherwise from the recipe.
    pub(crate) fn model(&self, recipe: &Recipe) -> (String, Option<String>) {
        let train = recipe.train();
        let file = |model: &str| matches!(Named::parse(model), Ok(Named::File(_)));
        match &self.model {
            // A file has its own weights, and those of the recipe are for the recipe's model.
            Some(model) if file(model) => (model.clone(), self.weights.clone()),
            Some(model) => {
                let weights = self.weights.clone().or(train.weights.clone());
                (model.clone(), weights)
            }
            None => {
                let weights = self.weights.clone().or(train.weights.clone());
                let model = train.model.clone().unwrap_or_else(|| "resnet20".to_owned());
                (model, weights)
            }
        }
    }

    /// Checks MODEL and its weights, before anything that takes long.
    pub(crate) fn check(self) -> Result<Self, Failure> {
        let recipe = self.recipe().map_err(bad)?;
        let (model, weights) = self.model(&recipe);
        match Named::parse(&model)? {
            Named::Zoo(model) => drop(Weights::of(model, weights.as_deref())?),
            Named::File(file) => {
                if let Some(beside) = weights {
                    return Err(beside_file(&beside, &model));
                }
                let network = load_file(&file, &Device::flex())?;
                if self.changes && matches!(network, Model::Quantized(_)) {
                    return Err(quantized(&model));
                }
            }
        }
        Ok(self)
    }
}
