//! MODEL on the command line: a network of the zoo, or a file that contains a network.

mod contents;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use calcine::graph::Graph;
use calcine::quantize::Quantized;
use calcine::trace::{Network, trace};
use calcine::weights::LoadOptions;
use calcine::zoo::{Architecture, Classifier, ModelTask, RESNET20_CIFAR10, TaskModel};

pub(crate) use self::contents::{Contents, contents};
use crate::failure::{Failure, bad};
use crate::options::WeightsOptions;
use crate::terminal::stderr;

/// What MODEL refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Model {
    /// A network of the zoo.
    Zoo(Architecture),
    /// A network of the zoo for another task than sorting images.
    Task(TaskModel),
    /// A file that contains a network with its weights.
    File(PathBuf),
}

impl Model {
    /// The network with this name, or the file with this path.
    pub(crate) fn parse(word: &str) -> Result<Self, Failure> {
        let unknown = match word.parse() {
            Ok(architecture) => return Ok(Self::Zoo(architecture)),
            Err(unknown) => unknown,
        };
        if let Ok(model) = word.parse() {
            return Ok(Self::Task(model));
        }
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
                unknown
                    .to_string()
                    .replacen("unknown architecture", "unknown model", 1)
                    + ", and no file has that name"
            }
        }))
    }
}

/// Checks that a file named by `--weights` contains weights only: a whole network is a MODEL, and would be ignored
/// beside another one.
pub(crate) fn check_weights(file: &Path, model: &str) -> Result<(), Failure> {
    if !file.is_file() {
        return Err(bad(format!(
            "there is no file of weights {}",
            file.display()
        )));
    }
    match contents(file, &Device::flex()) {
        Ok(Contents::Float(_) | Contents::Quantized(_)) => Err(bad(format!(
            "--weights: {0} holds a whole network, not only weights: give {0} as MODEL instead of `{model}`",
            file.display()
        ))),
        // The loader has a better message for files that contain no weights.
        _ => Ok(()),
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
    /// Parses a value of `--weights` or of a recipe.
    fn parse(word: &str) -> Self {
        match word {
            "default" => Self::Default,
            "none" => Self::None,
            path => Self::File(path.into()),
        }
    }
}

/// A network with its name.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The name in reports: that of the zoo, or the file.
    pub(crate) name: String,
    /// The network.
    pub(crate) network: AnyNetwork,
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
}

impl Loaded {
    /// The lines of a recipe's `[train]` that name the network and its weights. A network file is named on the command
    /// line instead.
    pub(crate) fn recipe_lines(&self) -> String {
        match &self.weights {
            None => String::new(),
            Some(weights) => {
                let weights = match weights {
                    Weights::Default => "default".into(),
                    Weights::None => "none".into(),
                    Weights::File(file) => file.to_string_lossy(),
                };
                let weights = serde_json::Value::from(&*weights);
                format!("model = \"{}\"\nweights = {weights}\n", self.name)
            }
        }
    }
}

/// A network that can be executed.
#[derive(Debug)]
pub(crate) enum AnyNetwork {
    /// A float network.
    Float(Box<Network>),
    /// A quantized network.
    Quantized(Box<Quantized>),
}

impl AnyNetwork {
    /// The metadata of the network.
    pub(crate) fn metadata(&self) -> &BTreeMap<String, String> {
        match self {
            Self::Float(network) => network.metadata(),
            Self::Quantized(network) => network.metadata(),
        }
    }

    /// The bytes of the network's file.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, Failure> {
        match self {
            Self::Float(network) => network.to_bytes().map_err(bad),
            Self::Quantized(network) => network.to_bytes().map_err(bad),
        }
    }

    /// The graph of the network.
    pub(crate) fn graph(&self) -> &Graph {
        match self {
            Self::Float(network) => network.graph(),
            Self::Quantized(network) => network.graph(),
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
    let file = match Model::parse(model)? {
        Model::File(file) => file,
        Model::Task(task) => {
            let weights = zoo_weights(task.name(), weights)?;
            let network = task.network(seed, device).map_err(bad)?;
            return Ok(Loaded {
                name: task.to_string(),
                network: AnyNetwork::Float(Box::new(filled(
                    network,
                    task.name(),
                    &weights,
                    options,
                )?)),
                weights: Some(weights),
            });
        }
        Model::Zoo(architecture) => {
            let weights = zoo_weights(architecture.name(), weights)?;
            let fill = Fill {
                architecture,
                weights: &weights,
                options,
                device,
            };
            let network = architecture.build(seed, device, fill)?;
            return Ok(Loaded {
                name: architecture.to_string(),
                network: AnyNetwork::Float(Box::new(network)),
                weights: Some(weights),
            });
        }
    };
    let name = file.display().to_string();
    if let Some(beside) = weights {
        return Err(beside_file(beside, &name));
    }
    let network = match contents(&file, device)? {
        Contents::Float(network) => AnyNetwork::Float(network),
        Contents::Quantized(network) => AnyNetwork::Quantized(network),
        Contents::Weights(format) => return Err(without_network(&name, format)),
    };
    Ok(Loaded {
        name,
        network,
        weights: None,
    })
}

/// Loads a network whose weights do not matter: a network of the zoo gets random ones.
pub(crate) fn load_structure(model: &str) -> Result<Loaded, Failure> {
    let weights = match Model::parse(model)? {
        Model::Zoo(_) | Model::Task(_) => Some("none"),
        Model::File(_) => None,
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

/// The failure for a file of weights as MODEL.
pub(crate) fn without_network(file: &str, format: &str) -> Failure {
    bad(format!(
        "{file} holds {format} weights without a network: give the network as MODEL, and the file as --weights {file}"
    ))
}

/// The weights of a network of the zoo: the requested ones, otherwise those that come with the zoo, otherwise random
/// ones.
fn zoo_weights(name: &str, asked: Option<&str>) -> Result<Weights, Failure> {
    let shipped = name == Architecture::ResNet20.name();
    match asked.map(Weights::parse) {
        Some(Weights::File(file)) => {
            check_weights(&file, name)?;
            Ok(Weights::File(file))
        }
        Some(Weights::Default) if !shipped => Err(bad(format!(
            "no weights are shipped for {name}, only for resnet20: name a file, or `none` to begin with random ones"
        ))),
        Some(weights) => Ok(weights),
        None if shipped => Ok(Weights::Default),
        None => {
            stderr(&format!(
                "no weights are shipped for {name}: they are random"
            ));
            Ok(Weights::None)
        }
    }
}

/// The model with these weights.
fn filled<M: Module>(
    model: M,
    name: &str,
    weights: &Weights,
    options: &LoadOptions,
) -> Result<M, Failure> {
    match weights {
        Weights::File(path) => Ok(options.load(model, path).map_err(bad)?.0),
        weights if !options.is_default() => Err(bad(format!(
            "a key, a prefix and names to ignore are for a file of weights: the weights of {name} are {}",
            match weights {
                Weights::None => "random",
                _ => "those shipped",
            }
        ))),
        Weights::Default => calcine::weights::load_bytes(model, RESNET20_CIFAR10).map_err(bad),
        Weights::None => Ok(model),
    }
}

/// Loads weights into a network of the zoo, and traces it.
struct Fill<'a> {
    architecture: Architecture,
    weights: &'a Weights,
    options: &'a LoadOptions,
    device: &'a Device,
}

impl ModelTask for Fill<'_> {
    type Output = Result<Network, Failure>;

    fn run<M: Classifier + 'static>(self, model: M) -> Self::Output {
        let name = self.architecture.name();
        let model = filled(model, name, self.weights, self.options)?;
        let [channels, height, width] = self.architecture.image_shape();
        let images = Tensor::zeros([1, channels, height, width], self.device);
        trace(&model, images, M::forward).map_err(bad)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_a_name_of_the_zoo_or_a_file() {
        assert_eq!(
            Model::parse("resnet20").ok(),
            Some(Model::Zoo(Architecture::ResNet20))
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
            let error = Model::parse(word).err().map(|error| error.to_string());
            assert!(
                error.as_deref().is_some_and(|e| e.contains(expected)),
                "{error:?}"
            );
        }
    }
}
