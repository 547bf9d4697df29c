use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use burn::module::Module;
use burn::tensor::Device;
use calcine_quantize::{Quantized, QuantizedFileError};
use calcine_recipe::{Recipe, RecipeError};
use calcine_trace::{Network, NetworkFileError};
use calcine_train::Criterion;
use serde::{Deserialize, Serialize};

use super::ReferenceError;
use super::run_file::RunFile;
use crate::Architecture;
use calcine_data::Normalization;
use calcine_data::cifar10::Choice;
use calcine_weights::LoadOptions;

/// Everything that decides a reference run. Saved with the run, so that it can be resumed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What errors call the recipe: its file.
    pub recipe_name: String,
    /// The recipe's text.
    pub recipe: String,
    /// The network, instead of the recipe's.
    pub model: Option<String>,
    /// The weights to begin with, instead of the recipe's: `default`, `none` or a file.
    pub weights: Option<String>,
    /// The data: `auto`, `synthetic`, a directory or an archive.
    pub data: String,
    /// What the report calls the device.
    pub device: String,
    /// Epochs, instead of the recipe's.
    pub epochs: Option<u64>,
    /// Images in a batch, instead of the recipe's.
    pub batch_size: Option<usize>,
    /// Training images in an epoch, instead of the recipe's.
    pub train_limit: Option<usize>,
    /// Test and validation images at most.
    pub test_limit: Option<usize>,
    /// Seed of every random stream, instead of the recipe's.
    pub seed: Option<u64>,
    /// Keep the weights of the most accurate epoch with at least this share of zeros, instead of the most
    /// accurate of the sparsest.
    #[serde(default)]
    pub min_sparsity: Option<f64>,
    /// Where the file of weights has them, and which to leave out.
    #[serde(default, skip_serializing_if = "LoadOptions::is_default")]
    pub weights_options: LoadOptions,
    /// How the bytes of images become numbers, instead of the recipe's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalization: Option<Normalization>,
}

/// The weights to begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Weights {
    /// Those shipped with this crate; only ResNet-20 has some.
    Default,
    /// Fresh ones, drawn from the seed.
    None,
    /// A safetensors or PyTorch file.
    File(PathBuf),
}

impl Settings {
    /// A recipe's own run on flex with whatever data there is.
    #[must_use]
    pub fn new(recipe_name: impl Into<String>, recipe: impl Into<String>) -> Self {
        Self {
            recipe_name: recipe_name.into(),
            recipe: recipe.into(),
            model: None,
            weights: None,
            data: "auto".to_owned(),
            device: "flex".to_owned(),
            epochs: None,
            batch_size: None,
            train_limit: None,
            test_limit: None,
            seed: None,
            min_sparsity: None,
            weights_options: LoadOptions::default(),
            normalization: None,
        }
    }

    /// The recipe with what these settings override.
    ///
    /// # Errors
    ///
    /// If it is not sound.
    pub fn recipe(&self) -> Result<Recipe, RecipeError> {
        let mut recipe = Recipe::parse_as(self.recipe_name.as_str(), &self.recipe)?;
        let train = recipe.train_mut();
        train.model = self.model.clone().or(train.model.take());
        train.weights = self.weights.clone().or(train.weights.take());
        train.epochs = self.epochs.unwrap_or(train.epochs);
        train.batch_size = self.batch_size.unwrap_or(train.batch_size);
        train.images_per_epoch = self.train_limit.or(train.images_per_epoch);
        train.seed = self.seed.unwrap_or(train.seed);
        if let Some(Normalization { mean, std }) = self.normalization {
            let data = recipe.data_mut();
            data.mean = mean.map(f64::from);
            data.std = std.map(f64::from);
        }
        Ok(recipe)
    }

    /// The network: ResNet-20 unless something else is said.
    ///
    /// # Errors
    ///
    /// If no network has that name.
    pub fn architecture(&self, recipe: &Recipe) -> Result<Architecture, ReferenceError> {
        let name = recipe.train().model.as_deref().unwrap_or("resnet20");
        Ok(name.parse()?)
    }

    pub(super) fn criterion(&self) -> Criterion {
        self.min_sparsity
            .map_or(Criterion::Sparsest, Criterion::AtLeast)
    }

    pub(super) fn choice(&self) -> Choice {
        self.data.parse().unwrap_or_default()
    }

    /// Reads `run.json`.
    ///
    /// # Errors
    ///
    /// If the directory has none, or it is malformed.
    pub fn of_run(directory: &Path) -> Result<Self, ReferenceError> {
        let file = directory.join("run.json");
        let text = fs::read_to_string(&file).map_err(|error| ReferenceError::io(&file, error))?;
        let run: Result<RunFile, _> = serde_json::from_str(&text);
        let run = run.map_err(|error| ReferenceError::Malformed {
            file,
            reason: error.to_string(),
        });
        run.map(|run| run.settings)
    }
}

impl Weights {
    /// Checks that the file is there, before anything that takes long.
    pub(super) fn check(&self) -> Result<(), ReferenceError> {
        match self {
            Self::File(file) => fs::File::open(file)
                .map(drop)
                .map_err(|error| ReferenceError::io(file, error)),
            Self::Default | Self::None => Ok(()),
        }
    }

    /// The network that the file holds whole, with its weights, as `calcine_trace::Network::save` writes it;
    /// `None` if it holds weights alone.
    ///
    /// # Errors
    ///
    /// If the file's network is malformed.
    pub fn network(&self, device: &Device) -> Result<Option<Network>, ReferenceError> {
        let Self::File(file) = self else {
            return Ok(None);
        };
        match Network::load(file, device) {
            Ok(network) => Ok(Some(network)),
            // Other kinds of files, and those that are not there, are for `load` to judge.
            Err(
                NetworkFileError::NoNetwork | NetworkFileError::Format(_) | NetworkFileError::Io(_),
            ) => Ok(None),
            Err(error) => Err(ReferenceError::Malformed {
                file: file.clone(),
                reason: error.to_string(),
            }),
        }
    }

    /// The quantized network that the file holds, as `calcine_quantize::Quantized::save` writes it; `None` if it holds
    /// something else.
    ///
    /// # Errors
    ///
    /// If the file's network is malformed.
    pub fn quantized(&self, device: &Device) -> Result<Option<Quantized>, ReferenceError> {
        let Self::File(file) = self else {
            return Ok(None);
        };
        match Quantized::load(file, device) {
            Ok(network) => Ok(Some(network)),
            // Other kinds of files, and those that are not there, are for `load` to judge.
            Err(
                QuantizedFileError::NoNetwork
                | QuantizedFileError::Format(_)
                | QuantizedFileError::Io(_),
            ) => Ok(None),
            Err(error) => Err(ReferenceError::Malformed {
                file: file.clone(),
                reason: error.to_string(),
            }),
        }
    }

    /// The network with these weights.
    ///
    /// # Errors
    ///
    /// If no weights are shipped for it, if the file cannot be read or does not fit, or if there are options and no file.
    pub fn load<M: Module>(
        &self,
        model: M,
        architecture: Architecture,
        options: &LoadOptions,
    ) -> Result<M, ReferenceError> {
        if !options.is_default() && !matches!(self, Self::File(_)) {
            return Err(ReferenceError::NoFile {
                weights: self.to_string(),
            });
        }
        Ok(match self {
            Self::None => model,
            Self::File(path) => options.load(model, path)?.0,
            Self::Default if architecture == Architecture::ResNet20 => {
                calcine_weights::load_bytes(model, crate::RESNET20_CIFAR10)?
            }
            Self::Default => return Err(ReferenceError::NoDefault { architecture }),
        })
    }
}

impl FromStr for Weights {
    type Err = std::convert::Infallible;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Ok(match word {
            "default" => Self::Default,
            "none" => Self::None,
            path => Self::File(path.into()),
        })
    }
}

impl fmt::Display for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::None => f.write_str("none"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}
