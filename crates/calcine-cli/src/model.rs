//! MODEL on the command line: a network of the zoo, or a file that contains a network.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use calcine::run::{Model, ModelFileError};
use calcine::trace::Network;
use calcine::weights::LoadOptions;
use calcine::zoo::ZooModel;

use crate::failure::{Failure, bad};
use crate::options::WeightsOptions;
use crate::terminal::stderr;

/// What MODEL refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Named {
    /// A network of the zoo.
    Zoo(ZooModel),
    /// A file that contains a network with its weights.
    File(PathBuf),
}

impl Named {
    /// The network with this name, or the file with this path.
    pub(crate) fn parse(word: &str) -> Result<Self, Failure> {
        let unknown = match word.parse() {
            Ok(model) => return Ok(Self::Zoo(model)),
            Err(unknown) => unknown,
        };
        let path = Path::new(word);
        if path.is_file() {
            return Ok(Self::File(path.to_path_buf()));
        }
        if path.is_dir() {
            return Err(bad(format!(
                "MODEL is the directory {word}: expected a network of the zoo or a network file, such as \
                 {word}/thinned.safetensors"
            )));
        }
        let is_path = word.contains(['/', '\\']) || path.extension().is_some();
        Err(bad(match is_path {
            true => format!("there is no network file {word}"),
            false => {
                let unknown = unknown.to_string();
                unknown.replacen("unknown architecture", "unknown model", 1)
                    + ", and no file has that name"
            }
        }))
    }
}

/// The initial weights of a network of the zoo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Weights {
    /// The weights that come with the zoo; only ResNet-20 has some.
    Default,
    /// Random weights, drawn from the seed.
    None,
    /// A safetensors or PyTorch file.
    File(PathBuf),
}

impl Weights {
    /// The weights that a word of `--weights` or of a recipe stands for; without a word, those that come with the zoo,
    /// otherwise random ones.
    pub(crate) fn of(model: ZooModel, word: Option<&str>) -> Result<Self, Failure> {
        match (word, model.weights()) {
            (Some("none"), _) | (None, None) => Ok(Self::None),
            (Some("default") | None, Some(_)) => Ok(Self::Default),
            (Some("default"), None) => Err(bad(format!(
                "no weights are shipped for {model}, only for resnet20: name a file, or `none` to begin with random ones"
            ))),
            (Some(file), _) => {
                check_weights(file.as_ref(), model)?;
                Ok(Self::File(file.into()))
            }
        }
    }

    /// Whether a word names a file.
    pub(crate) fn is_file(word: &str) -> bool {
        word != "default" && word != "none"
    }

    /// The network with these weights; `options` are for a file.
    fn load(
        &self,
        network: Network,
        model: ZooModel,
        options: &LoadOptions,
    ) -> Result<Network, Failure> {
        match self {
            Self::File(path) => Ok(options.load(network, path).map_err(bad)?.0),
            weights if !options.is_default() => Err(bad(format!(
                "a key, a prefix and names to ignore are for a file of weights: the weights of {model} are {}",
                match weights {
                    Self::None => "random",
                    _ => "those shipped",
                }
            ))),
            Self::Default => {
                let shipped = model.weights().unwrap_or_default();
                calcine::weights::load_bytes(network, shipped).map_err(bad)
            }
            Self::None => Ok(network),
        }
    }
}

/// Checks that a file named by `--weights` contains weights only: a whole network is a MODEL, and would be ignored
/// beside another one.
fn check_weights(file: &Path, model: ZooModel) -> Result<(), Failure> {
    if !file.is_file() {
        return Err(bad(format!(
            "there is no file of weights {}",
            file.display()
        )));
    }
    match Model::load(file, &Device::flex()) {
        Ok(_) => Err(bad(format!(
            "--weights: {0} holds a whole network, not only weights: give {0} as MODEL instead of `{model}`",
            file.display()
        ))),
        // The loader has a better message for files that contain no weights.
        Err(_) => Ok(()),
    }
}

/// A network with its name.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The name in reports: that of the zoo, or the file.
    pub(crate) name: String,
    /// The network.
    pub(crate) network: Model,
    /// The weights of a network of the zoo; `None` for a file, which has its own.
    pub(crate) weights: Option<Weights>,
}

impl Loaded {
    /// The initial weights, for messages.
    pub(crate) fn begins_with(&self) -> String {
        match &self.weights {
            None => "its own weights".to_owned(),
            Some(Weights::Default) => "the shipped weights".to_owned(),
            Some(Weights::None) => "random weights".to_owned(),
            Some(Weights::File(file)) => format!("weights from {}", file.display()),
        }
    }

    /// The lines of a recipe's `[train]` that name the network and its weights. A network file is named on the command
    /// line instead.
    pub(crate) fn recipe_lines(&self) -> String {
        let Some(weights) = &self.weights else {
            return String::new();
        };
        let weights = match weights {
            Weights::Default => "default".into(),
            Weights::None => "none".into(),
            Weights::File(file) => file.to_string_lossy(),
        };
        let weights = serde_json::Value::from(&*weights);
        format!("model = \"{}\"\nweights = {weights}\n", self.name)
    }

    /// The network in float, for a command that works with no other.
    pub(crate) fn into_float(self, what: &str) -> Result<Network, Failure> {
        match self.network {
            Model::Float(network) => Ok(network),
            Model::Quantized(_) => Err(bad(format!("{} is quantized: {what}", self.name))),
        }
    }
}

/// Loads the network that MODEL and the weight options name, on a device without autodiff.
pub(crate) fn load(
    model: &str,
    weights: &WeightsOptions,
    device: &Device,
) -> Result<Loaded, Failure> {
    let options = weights.load_options();
    load_with(model, weights.weights.as_deref(), &options, 0, device)
}

/// Like [`load`]; random weights are drawn from this seed.
pub(crate) fn load_with(
    model: &str,
    weights: Option<&str>,
    options: &LoadOptions,
    seed: u64,
    device: &Device,
) -> Result<Loaded, Failure> {
    match Named::parse(model)? {
        Named::File(file) => {
            let name = file.display().to_string();
            if let Some(beside) = weights {
                return Err(beside_file(beside, &name));
            }
            Ok(Loaded {
                network: load_file(&file, device)?,
                name,
                weights: None,
            })
        }
        Named::Zoo(model) => {
            let chosen = Weights::of(model, weights)?;
            if chosen == Weights::None && weights.is_none() {
                stderr(&format!(
                    "no weights are shipped for {model}: they are random"
                ));
            }
            let network = model.network(seed, device).map_err(bad)?;
            Ok(Loaded {
                name: model.to_string(),
                network: chosen.load(network, model, options)?.into(),
                weights: Some(chosen),
            })
        }
    }
}

/// Loads a network file.
pub(crate) fn load_file(file: &Path, device: &Device) -> Result<Model, Failure> {
    Model::load(file, device).map_err(|error| match error {
        ModelFileError::WeightsOnly { .. } => bad(format!(
            "{error}: give the network as MODEL, and the file as --weights {}",
            file.display()
        )),
        error => bad(error),
    })
}

/// Loads a network whose weights do not matter: a network of the zoo gets random ones.
pub(crate) fn load_structure(model: &str) -> Result<Loaded, Failure> {
    let weights = match Named::parse(model)? {
        Named::Zoo(_) => Some("none"),
        Named::File(_) => None,
    };
    load_with(model, weights, &LoadOptions::default(), 0, &Device::flex())
}

/// The failure for `--weights` beside a file that has weights of its own.
pub(crate) fn beside_file(weights: &str, model: &str) -> Failure {
    bad(format!(
        "--weights {weights} has no effect: {model} holds a network with its weights"
    ))
}

/// The failure for a quantized network where a float network is required.
pub(crate) fn quantized(file: &str) -> Failure {
    bad(format!(
        "{file} holds a quantized network, which can be evaluated, summarised, measured and exported, but not trained or \
         changed: use the float network from which it was made"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_a_name_of_the_zoo_or_a_file() {
        assert_eq!(
            Named::parse("resnet20").ok(),
            "resnet20".parse().ok().map(Named::Zoo)
        );
        for (word, expected) in [
            ("resnett20", "did you mean `resnet20`?"),
            ("resnet-20", "unknown model `resnet-20`"),
            (
                "nowhere/net.safetensors",
                "there is no network file nowhere/net.safetensors",
            ),
            ("src", "the directory src"),
        ] {
            let error = Named::parse(word).err().map(|error| error.to_string());
            assert!(
                error.as_deref().is_some_and(|e| e.contains(expected)),
                "{error:?}"
            );
        }
    }
}
