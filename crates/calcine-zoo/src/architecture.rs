use std::fmt;
use std::str::FromStr;

use burn::tensor::Device;
use calcine_names::closest;

use crate::plain::Plain;
use crate::resnet::ResNet;
use crate::{Classifier, SimpleNetConfig};

/// The networks that recipes and commands know by name.
///
/// # Examples
///
/// ```
/// use calcine_zoo::Architecture;
///
/// let architecture: Architecture = "resnet20".parse()?;
/// assert_eq!(architecture, Architecture::ResNet20);
/// assert_eq!(architecture.to_string(), "resnet20");
/// # Ok::<(), calcine_zoo::UnknownArchitecture>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Architecture {
    /// [`ResNet`] of depth 20, 272 474 trainable parameters.
    ResNet20,
    /// [`ResNet`] of depth 32, 466 906 trainable parameters.
    ResNet32,
    /// [`ResNet`] of depth 44, 661 338 trainable parameters.
    ResNet44,
    /// [`ResNet`] of depth 56, 855 770 trainable parameters.
    ResNet56,
    /// [`Plain`] network of depth 20, 269 722 trainable parameters.
    Plain20,
    /// [`SimpleNet`](crate::SimpleNet), 62 006 trainable parameters.
    SimpleNet,
}

impl Architecture {
    /// All of them, in the order of the enum.
    pub const ALL: [Self; 6] = [
        Self::ResNet20,
        Self::ResNet32,
        Self::ResNet44,
        Self::ResNet56,
        Self::Plain20,
        Self::SimpleNet,
    ];

    /// The name, as in a recipe.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ResNet20 => "resnet20",
            Self::ResNet32 => "resnet32",
            Self::ResNet44 => "resnet44",
            Self::ResNet56 => "resnet56",
            Self::Plain20 => "plain20",
            Self::SimpleNet => "simplenet",
        }
    }

    /// Builds the network with initial weights drawn from `seed`, and hands it to `task`.
    ///
    /// Each network has a type of its own, so code that learns the name at run time goes through a
    /// [`ModelTask`], which is generic over that type.
    pub fn build<T: ModelTask>(self, seed: u64, device: &Device, task: T) -> T::Output {
        match self {
            Self::ResNet20 => task.run(ResNet::with_blocks(3, seed, device)),
            Self::ResNet32 => task.run(ResNet::with_blocks(5, seed, device)),
            Self::ResNet44 => task.run(ResNet::with_blocks(7, seed, device)),
            Self::ResNet56 => task.run(ResNet::with_blocks(9, seed, device)),
            Self::Plain20 => task.run(Plain::with_blocks(3, seed, device)),
            Self::SimpleNet => task.run(SimpleNetConfig::new().with_seed(seed).init(device)),
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Architecture {
    type Err = UnknownArchitecture;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|architecture| architecture.name() == name)
            .ok_or_else(|| UnknownArchitecture {
                name: name.to_owned(),
            })
    }
}

/// What to do with a network whose type is known only at run time.
///
/// # Examples
///
/// ```
/// use burn::tensor::Device;
/// use calcine_zoo::{Architecture, Classifier, ModelTask};
///
/// struct Count;
///
/// impl ModelTask for Count {
///     type Output = usize;
///
///     fn run<M: Classifier + 'static>(self, model: M) -> usize {
///         model.num_params()
///     }
/// }
///
/// assert_eq!(Architecture::SimpleNet.build(0, &Device::flex(), Count), 62_006);
/// ```
pub trait ModelTask {
    /// What comes of it.
    type Output;

    /// Does it.
    fn run<M: Classifier + 'static>(self, model: M) -> Self::Output;
}

/// A name that no [`Architecture`] has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownArchitecture {
    name: String,
}

impl UnknownArchitecture {
    /// The name that was asked for.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The architecture whose name is most like it, if any is similar at all.
    #[must_use]
    pub fn nearest(&self) -> Option<Architecture> {
        let names = Architecture::ALL.map(Architecture::name);
        closest(&self.name, names)?.parse().ok()
    }
}

impl fmt::Display for UnknownArchitecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown architecture `{}`", self.name)?;
        if let Some(nearest) = self.nearest() {
            write!(f, ", did you mean `{nearest}`?")?;
        }
        let names = Architecture::ALL.map(Architecture::name).join(", ");
        write!(f, " (there are: {names})")
    }
}

impl std::error::Error for UnknownArchitecture {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_parses_to_what_displays_it() {
        for architecture in Architecture::ALL {
            assert_eq!(architecture.to_string().parse(), Ok(architecture));
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest_and_all() {
        let error = "ResNet-20".parse::<Architecture>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown architecture `ResNet-20`, did you mean `resnet20`? (there are: resnet20, \
             resnet32, resnet44, resnet56, plain20, simplenet)"
        );
        assert_eq!("vgg".parse::<Architecture>().unwrap_err().nearest(), None);
    }
}
