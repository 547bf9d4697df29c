use std::fmt;
use std::str::FromStr;

use burn::tensor::Device;
use calcine_names::closest;

use crate::initial::Layers;
use crate::{
    Classifier, DenseNet, MobileNet, MobileNetV2, Plain, PreactResNet, PreactSkip, ResNet,
    SimpleNet, SimpleNetMnist, SimpleNetV2Mnist, TaskModel, Vgg,
};

/// Declares the enum, its list, and the name and the construction of each variant.
macro_rules! architectures {
    ($($(#[$doc:meta])+ $variant:ident, $name:literal, $build:expr;)+) => {
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
            $($(#[$doc])+ $variant,)+
        }

        impl Architecture {
            /// All of them, in the order of the enum.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The name, as in a recipe.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// Builds the network with initial weights drawn from `seed`, and hands it to `task`.
            ///
            /// Each network has a type of its own, so code that learns the name at run time goes through a
            /// [`ModelTask`], which is generic over that type.
            pub fn build<T: ModelTask>(self, seed: u64, device: &Device, task: T) -> T::Output {
                let layers = Layers { seed, device };
                match self {
                    $(Self::$variant => task.run(with($build, layers)),)+
                }
            }
        }
    };
}

fn with<M>(build: impl FnOnce(Layers<'_>) -> M, layers: Layers<'_>) -> M {
    build(layers)
}

architectures! {
    /// [`ResNet`] of depth 20, 272 474 trainable parameters.
    ResNet20, "resnet20", |layers| ResNet::with_blocks(3, layers);
    /// [`ResNet`] of depth 32, 466 906 trainable parameters.
    ResNet32, "resnet32", |layers| ResNet::with_blocks(5, layers);
    /// [`ResNet`] of depth 44, 661 338 trainable parameters.
    ResNet44, "resnet44", |layers| ResNet::with_blocks(7, layers);
    /// [`ResNet`] of depth 56, 855 770 trainable parameters.
    ResNet56, "resnet56", |layers| ResNet::with_blocks(9, layers);
    /// [`Plain`] network of depth 20, 269 722 trainable parameters.
    Plain20, "plain20", |layers| Plain::with_blocks(3, true, layers);
    /// [`Plain`] network of depth 20 without batch norms, 268 346 trainable parameters.
    Plain20NoBn, "plain20_nobn", |layers| Plain::with_blocks(3, false, layers);
    /// [`PreactResNet`] of depth 20, 269 722 trainable parameters.
    PreactResNet20, "preact_resnet20", |layers| PreactResNet::with_blocks(3, PreactSkip::Pad, layers);
    /// [`PreactResNet`] of depth 20 with convolutions as skips, 272 282 trainable parameters.
    PreactResNet20ConvDs, "preact_resnet20_conv_ds", |layers| {
        PreactResNet::with_blocks(3, PreactSkip::Convolution, layers)
    };
    /// [`PreactResNet`] of depth 32, 464 154 trainable parameters.
    PreactResNet32, "preact_resnet32", |layers| PreactResNet::with_blocks(5, PreactSkip::Pad, layers);
    /// [`PreactResNet`] of depth 44, 658 586 trainable parameters.
    PreactResNet44, "preact_resnet44", |layers| PreactResNet::with_blocks(7, PreactSkip::Pad, layers);
    /// [`PreactResNet`] of depth 56, 853 018 trainable parameters.
    PreactResNet56, "preact_resnet56", |layers| PreactResNet::with_blocks(9, PreactSkip::Pad, layers);
    /// [`PreactResNet`] of depth 110, 1 727 962 trainable parameters.
    PreactResNet110, "preact_resnet110", |layers| PreactResNet::with_blocks(18, PreactSkip::Pad, layers);
    /// [`Vgg`] of depth 11, 9 225 610 trainable parameters.
    Vgg11, "vgg11", |layers| Vgg::with_stages([1, 1, 2, 2, 2], false, layers);
    /// [`Vgg`] of depth 11 with batch norms, 9 231 114 trainable parameters.
    Vgg11Bn, "vgg11_bn", |layers| Vgg::with_stages([1, 1, 2, 2, 2], true, layers);
    /// [`Vgg`] of depth 13, 9 410 122 trainable parameters.
    Vgg13, "vgg13", |layers| Vgg::with_stages([2, 2, 2, 2, 2], false, layers);
    /// [`Vgg`] of depth 13 with batch norms, 9 416 010 trainable parameters.
    Vgg13Bn, "vgg13_bn", |layers| Vgg::with_stages([2, 2, 2, 2, 2], true, layers);
    /// [`Vgg`] of depth 16, 14 719 818 trainable parameters.
    Vgg16, "vgg16", |layers| Vgg::with_stages([2, 2, 3, 3, 3], false, layers);
    /// [`Vgg`] of depth 16 with batch norms, 14 728 266 trainable parameters.
    Vgg16Bn, "vgg16_bn", |layers| Vgg::with_stages([2, 2, 3, 3, 3], true, layers);
    /// [`Vgg`] of depth 19, 20 029 514 trainable parameters.
    Vgg19, "vgg19", |layers| Vgg::with_stages([2, 2, 4, 4, 4], false, layers);
    /// [`Vgg`] of depth 19 with batch norms, 20 040 522 trainable parameters.
    Vgg19Bn, "vgg19_bn", |layers| Vgg::with_stages([2, 2, 4, 4, 4], true, layers);
    /// [`DenseNet`] of depth 100, 769 162 trainable parameters.
    DenseNet100, "densenet100", |layers| DenseNet::with_blocks(16, layers);
    /// [`SimpleNet`], 62 006 trainable parameters.
    SimpleNet, "simplenet", SimpleNet::with_layers;
    /// [`SimpleNetMnist`] for MNIST, 431 080 trainable parameters.
    SimpleNetMnist, "simplenet_mnist", SimpleNetMnist::with_layers;
    /// [`SimpleNetV2Mnist`] for MNIST, 26 080 trainable parameters.
    SimpleNetV2Mnist, "simplenet_v2_mnist", SimpleNetV2Mnist::with_layers;
    /// [`MobileNet`] of width 1, 3 217 226 trainable parameters.
    MobileNet, "mobilenet", |layers| MobileNet::with_quarters(4, layers);
    /// [`MobileNet`] of width 0.75, 1 824 250 trainable parameters.
    MobileNet075, "mobilenet_075", |layers| MobileNet::with_quarters(3, layers);
    /// [`MobileNet`] of width 0.5, 823 722 trainable parameters.
    MobileNet050, "mobilenet_050", |layers| MobileNet::with_quarters(2, layers);
    /// [`MobileNet`] of width 0.25, 215 642 trainable parameters.
    MobileNet025, "mobilenet_025", |layers| MobileNet::with_quarters(1, layers);
    /// [`MobileNetV2`], 2 236 682 trainable parameters.
    MobileNetV2, "mobilenet_v2", MobileNetV2::with_layers;
}

impl Architecture {
    /// The shape of its images: channels, height and width. It is `[3, 32, 32]` of networks for CIFAR-10 and `[1, 28, 28]` of
    /// those for MNIST.
    #[must_use]
    pub fn image_shape(self) -> [usize; 3] {
        match self {
            Self::SimpleNetMnist | Self::SimpleNetV2Mnist => [1, 28, 28],
            _ => [3, 32, 32],
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
            .iter()
            .find(|architecture| architecture.name() == name)
            .copied()
            .ok_or_else(|| UnknownArchitecture::new(name))
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

/// A name that no [`Architecture`] has, and no [`TaskModel`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownArchitecture {
    name: String,
}

impl UnknownArchitecture {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
        }
    }

    /// The name that was asked for.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name of a network that is most like it, if any is similar at all.
    #[must_use]
    pub fn nearest(&self) -> Option<&'static str> {
        closest(&self.name, names())
    }
}

impl fmt::Display for UnknownArchitecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown architecture `{}`", self.name)?;
        if let Some(nearest) = self.nearest() {
            write!(f, ", did you mean `{nearest}`?")?;
        }
        let names: Vec<&str> = names().collect();
        write!(f, " (there are: {})", names.join(", "))
    }
}

fn names() -> impl Iterator<Item = &'static str> {
    Architecture::ALL
        .iter()
        .map(|architecture| architecture.name())
        .chain(TaskModel::ALL.iter().map(|model| model.name()))
}

impl std::error::Error for UnknownArchitecture {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_parses_to_what_displays_it() {
        for &architecture in Architecture::ALL {
            assert_eq!(architecture.to_string().parse(), Ok(architecture));
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest_and_all() {
        let error = "ResNet-20".parse::<Architecture>().unwrap_err();
        let text = error.to_string();
        let all = "unknown architecture `ResNet-20`, did you mean `resnet20`? (there are: resnet20, resnet32, ";
        assert!(text.starts_with(all), "{text}");
        assert!(text.ends_with(", detector)"), "{text}");
        assert_eq!(text.matches(", ").count(), names().count());
        assert_eq!("word".parse::<Architecture>().unwrap_err().nearest(), None);
    }
}
