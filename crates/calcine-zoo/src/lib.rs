//! Reference networks and their trained weights.
//!
//! # Should I be using this crate?
//!
//! Yes, to run Calcine's examples, to repeat its published numbers, or to have a small network at
//! hand that is known to work. No, to compress a model of your own: Calcine takes any Burn module
//! as it is, and nothing in the other crates depends on this one.
//!
//! # What is here
//!
//! | wanted | take |
//! |---|---|
//! | a network by name | [`Architecture`] and [`Architecture::build`] |
//! | a residual network of any depth | [`ResNetConfig`] |
//! | the same without skips | [`PlainConfig`] |
//! | a network that trains in seconds | [`SimpleNetConfig`] |
//! | code over all of them | [`Classifier`] |
//! | a trained ResNet-20 | [`RESNET20_CIFAR10`] |
//!
//! Parameters are called as in PyTorch and in Distiller's model zoo (`layer2.0.conv1.weight`,
//! `layer2.0.downsample.1.gamma`, `fc.bias`), except that Burn's batch norms say `gamma` and `beta`
//! where PyTorch says `weight` and `bias`.
//!
//! Initial weights are drawn on the host, from a stream per seed and parameter. They do not depend
//! on the backend, nor on the order in which anything is touched.
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
mod initial;
mod plain;
mod resnet;
mod simplenet;

pub use architecture::{Architecture, ModelTask, UnknownArchitecture};
pub use classifier::Classifier;
pub use plain::{Plain, PlainBlock, PlainConfig};
pub use resnet::{DepthError, ResNet, ResNetBlock, ResNetConfig};
pub use simplenet::{SimpleNet, SimpleNetConfig};

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
