use std::fmt;
use std::str::FromStr;

use burn::tensor::{Device, Tensor};
use calcine_trace::{Network, TraceError, trace};

use crate::{
    Architecture, Classifier, ModelTask, RESNET20_CIFAR10, TaskModel, UnknownArchitecture,
};

/// A network of the zoo by its name, whatever its task is.
///
/// # Examples
///
/// ```
/// use burn::tensor::Device;
/// use calcine_zoo::ZooModel;
///
/// let model: ZooModel = "resnet20".parse()?;
/// let network = model.network(0, &Device::flex())?;
/// let weights = model.weights().expect("they come with the zoo");
/// let trained = calcine_weights::load_bytes(network, weights)?;
/// assert_eq!(trained.graph().compute()?.macs, 40_813_184);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ZooModel {
    /// A network that sorts images into classes.
    Classifier(Architecture),
    /// A network for another task.
    Task(TaskModel),
}

impl ZooModel {
    /// All networks, in the order of [`Architecture::ALL`] and [`TaskModel::ALL`].
    pub fn all() -> impl Iterator<Item = Self> {
        let classifiers = Architecture::ALL.iter().copied().map(Self::Classifier);
        classifiers.chain(TaskModel::ALL.iter().copied().map(Self::Task))
    }

    /// The name, as in a recipe and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Classifier(architecture) => architecture.name(),
            Self::Task(model) => model.name(),
        }
    }

    /// The trained weights that come with the zoo, as a safetensors file; `None` for all networks but `resnet20`.
    #[must_use]
    pub fn weights(self) -> Option<&'static [u8]> {
        match self {
            Self::Classifier(Architecture::ResNet20) => Some(RESNET20_CIFAR10),
            _ => None,
        }
    }

    /// The traced network, with initial weights drawn from `seed`. Inputs and outputs are those of
    /// [`Architecture::image_shape`] and [`TaskModel::network`].
    ///
    /// # Errors
    ///
    /// Those of [`trace`], none of which is known to occur.
    pub fn network(self, seed: u64, device: &Device) -> Result<Network, TraceError> {
        match self {
            Self::Classifier(architecture) => {
                let [channels, height, width] = architecture.image_shape();
                let sample = Tensor::zeros([1, channels, height, width], device);
                architecture.build(seed, device, Trace { sample })
            }
            Self::Task(model) => model.network(seed, device),
        }
    }
}

struct Trace {
    sample: Tensor<4>,
}

impl ModelTask for Trace {
    type Output = Result<Network, TraceError>;

    fn run<M: Classifier + 'static>(self, model: M) -> Self::Output {
        trace(&model, self.sample, M::forward)
    }
}

impl fmt::Display for ZooModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for ZooModel {
    type Err = UnknownArchitecture;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let mut all = Self::all();
        all.find(|model| model.name() == name)
            .ok_or_else(|| UnknownArchitecture::new(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_parses_to_what_displays_it() {
        for model in ZooModel::all() {
            assert_eq!(model.to_string().parse(), Ok(model));
        }
        let error = "detectr".parse::<ZooModel>().unwrap_err();
        assert_eq!(error.nearest(), Some("detector"));
    }

    /// Weights are loaded into a traced network as into its module.
    #[test]
    fn the_weights_that_come_with_a_network_load_into_its_trace() {
        let device = Device::flex();
        for model in ZooModel::all() {
            let Some(weights) = model.weights() else {
                continue;
            };
            let ZooModel::Classifier(architecture) = model else {
                panic!("{model} is no classifier");
            };
            let network = model.network(1, &device).unwrap();
            let network = calcine_weights::load_bytes(network, weights).unwrap();
            struct Loaded(&'static [u8]);
            impl ModelTask for Loaded {
                type Output = Network;
                fn run<M: Classifier + 'static>(self, model: M) -> Network {
                    let model = calcine_weights::load_bytes(model, self.0).unwrap();
                    let sample = Tensor::zeros([1, 3, 32, 32], &Device::flex());
                    trace(&model, sample, M::forward).unwrap()
                }
            }
            let expected = architecture.build(2, &device, Loaded(weights));
            assert!(
                network.to_bytes().unwrap() == expected.to_bytes().unwrap(),
                "{model}"
            );
        }
    }
}
