//! The networks that come with Calcine, and their trained weights.
//!
//! # Should I use this crate?
//!
//! Use it to run Calcine's examples, to reproduce its published results, or for a small network that is known to work.
//! It is not needed to compress your own model: Calcine works with any Burn module, and no other library crate depends
//! on this one.
//!
//! # Contents
//!
//! | item | purpose |
//! |---|---|
//! | [`ZooModel`], [`ZooModel::network`] | a network by its name, traced |
//! | [`Architecture`], [`Architecture::build`] | a network by its name, as a module |
//! | [`ResNetConfig`] | a residual network of any depth |
//! | [`PreactResNetConfig`] | the same with norms and activations before the convolutions |
//! | [`PlainConfig`] | the same without skips |
//! | [`VggConfig`] | convolutions one after the other, with and without batch norms |
//! | [`DenseNetConfig`] | each layer sees the outputs of all layers before it |
//! | [`SimpleNetConfig`] | a network that trains in seconds |
//! | [`SimpleNetMnistConfig`], [`SimpleNetV2MnistConfig`] | the same for images of 28x28 in grey |
//! | [`MobileNetConfig`] | depthwise and pointwise convolutions, of any width |
//! | [`MobileNetV2Config`] | inverted residuals with linear bottlenecks |
//! | [`TaskModel`] | a network for another task by its name |
//! | [`NcfConfig`] | recommends items to users: neural collaborative filtering |
//! | [`TranslatorConfig`] | translates: a transformer with encoder and decoder |
//! | [`DetectorConfig`] | finds objects in images: a single-shot detector |
//! | [`Classifier`] | code that works with all of them |
//! | [`RESNET20_CIFAR10`] | a trained ResNet-20 |
//!
//! Parameters have the same names as in PyTorch and in Distiller's model zoo (`layer2.0.conv1.weight`,
//! `layer2.0.downsample.1.gamma`, `fc.bias`), except that Burn's batch norms use `gamma` and `beta` where PyTorch uses
//! `weight` and `bias`.
//!
//! Initial weights are drawn on the host, from a random stream for each seed and parameter. They do not depend on the
//! backend, nor on the order in which parameters are used.
//!
//! # Examples
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use calcine_zoo::{RESNET20_CIFAR10, ResNetConfig};
//!
//! let device = Device::flex();
//! let model = ResNetConfig::new(20).init(&device)?;
//! let model = calcine_weights::load_bytes(model, RESNET20_CIFAR10)?;
//! let logits = model.forward(Tensor::zeros([1, 3, 32, 32], &device));
//! assert_eq!(logits.dims(), [1, 10]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod architecture;
mod classifier;
mod densenet;
mod detector;
mod initial;
mod layer;
mod mnist;
mod mobilenet;
mod mobilenet_v2;
mod ncf;
mod plain;
mod preact;
mod resnet;
mod simplenet;
mod task_model;
mod translator;
mod vgg;
mod zoo_model;

pub use architecture::{Architecture, ModelTask, UnknownArchitecture};
pub use classifier::Classifier;
pub use densenet::{DenseLayer, DenseNet, DenseNetConfig, DenseNetDepthError, DenseTransition};
pub use detector::{Detector, DetectorConfig};
pub use layer::Layer;
pub use mnist::{SimpleNetMnist, SimpleNetMnistConfig, SimpleNetV2Mnist, SimpleNetV2MnistConfig};
pub use mobilenet::{MobileNet, MobileNetConfig, WidthError};
pub use mobilenet_v2::{InvertedResidual, MobileNetV2, MobileNetV2Config};
pub use ncf::{Ncf, NcfConfig};
pub use plain::{Plain, PlainBlock, PlainConfig};
pub use preact::{PreactBlock, PreactResNet, PreactResNetConfig, PreactSkip};
pub use resnet::{DepthError, ResNet, ResNetBlock, ResNetConfig};
pub use simplenet::{SimpleNet, SimpleNetConfig};
pub use task_model::TaskModel;
pub use translator::{Translator, TranslatorAttention, TranslatorBlock, TranslatorConfig};
pub use vgg::{Vgg, VggConfig, VggDepthError};
pub use zoo_model::ZooModel;

/// A trained [`ResNet`] of depth 20, as a safetensors file: 86.67 % top-1 on the 10 000 test images of CIFAR-10.
///
/// Pixels are normalised to `(v / 255 - 0.5) / 0.5`.
///
/// # Examples
///
/// ```
/// use burn::tensor::Device;
/// use calcine_zoo::{RESNET20_CIFAR10, ResNetConfig};
///
/// let model = ResNetConfig::new(20).init(&Device::flex())?;
/// let model = calcine_weights::load_bytes(model, RESNET20_CIFAR10)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub const RESNET20_CIFAR10: &[u8] = include_bytes!("../weights/resnet20-cifar10.safetensors");
