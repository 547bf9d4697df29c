//! What decides a job, put together from the command line and the recipe; saved with runs and scans, which resume by it.

use burn::tensor::Device;
use calcine::data::Normalization;
use calcine::recipe::{Recipe, RecipeError};
use calcine::weights::LoadOptions;
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, bad};
use crate::model::{
    Contents, Model, beside_file, check_weights, contents, quantized, without_network,
};

/// Everything that decides a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// What errors call the recipe: its file.
    pub(crate) recipe_name: String,
    /// The recipe's text.
    pub(crate) recipe: String,
    /// MODEL, instead of the recipe's.
    pub(crate) model: Option<String>,
    /// The weights to begin with, instead of the recipe's: `default`, `none` or a file.
    pub(crate) weights: Option<String>,
    /// Where the file of weights has them, and which to leave out.
    #[serde(default, skip_serializing_if = "LoadOptions::is_default")]
    pub(crate) weights_options: LoadOptions,
    /// The data: `auto`, `synthetic`, a directory or a file.
    pub(crate) data: String,
    /// How the bytes of images become numbers, instead of the recipe's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) normalization: Option<Normalization>,
    /// The share of the training samples that is for validation, instead of the recipe's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) validation: Option<f64>,
    /// The device's name.
    pub(crate) device: String,
    /// Epochs, instead of the recipe's.
    pub(crate) epochs: Option<u64>,
    /// Samples in a batch, instead of the recipe's.
    pub(crate) batch_size: Option<usize>,
    /// Training samples in an epoch, instead of the recipe's.
    pub(crate) train_limit: Option<usize>,
    /// Test samples at most.
    pub(crate) test_limit: Option<usize>,
    /// Seed of every random stream, instead of the recipe's.
    pub(crate) seed: Option<u64>,
    /// Whether the command trains or changes the network, which a quantized one does not allow.
    #[serde(skip)]
    pub(crate) changes: bool,
    /// Keep the weights of the best epoch with at least this share of zeros, instead of the best of the sparsest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) min_sparsity: Option<f64>,
}

impl Settings {
    /// A recipe's own run.
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
            changes: false,
            min_sparsity: None,
        }
    }

    /// Settings of what is no training: `name` stands for the recipe in messages.
    pub(crate) fn without_recipe(name: &str) -> Self {
        Self::new(name, "format = 1\n[train]\nepochs = 1\n")
    }

    /// The recipe with what these settings override.
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

    /// MODEL and `--weights` as a command line or a recipe has them, with the recipe's where the command line has none.
    pub(crate) fn model(&self, recipe: &Recipe) -> (String, Option<String>) {
        let train = recipe.train();
        let file = |model: &str| matches!(Model::parse(model), Ok(Model::File(_)));
        match &self.model {
            // A file has its own weights, and the recipe's are for the recipe's model.
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

    /// Checks MODEL and the weights beside it, before anything that takes long.
    pub(crate) fn check(self) -> Result<Self, Failure> {
        let recipe = self.recipe().map_err(bad)?;
        let (model, weights) = self.model(&recipe);
        match Model::parse(&model)? {
            Model::Zoo(architecture) => {
                if let Some(weights) = weights.filter(|word| word != "default" && word != "none") {
                    check_weights(weights.as_ref(), architecture.name())?;
                }
            }
            Model::File(file) => {
                if let Some(beside) = weights {
                    return Err(beside_file(&beside, &model));
                }
                match contents(&file, &Device::flex())? {
                    Contents::Weights(format) => return Err(without_network(&model, format)),
                    Contents::Quantized(_) if self.changes => return Err(quantized(&model)),
                    _ => {}
                }
            }
        }
        Ok(self)
    }
}
