//! Reference networks, their trained weights, and the data they are measured on.
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
//! | a trained ResNet-20 | [`weights::RESNET20_CIFAR10`] |
//! | images, real or made up | [`cifar10::load`] |
//! | batches of them, shuffled and augmented | [`loader::Train`], [`loader::Evaluate`] |
//! | the reference run: train, prune, report | [`reference::train`] |
//! | how much each layer of a network can lose | [`reference::scan`] |
//! | weights from PyTorch or safetensors, for any Burn module | [`weights::load`] |
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
//! use calcine_zoo::{ResNetConfig, weights};
//!
//! let device = Device::flex();
//! let model = ResNetConfig::new(20).init(&device)?;
//! let model = weights::load_bytes(model, weights::RESNET20_CIFAR10)?;
//! let logits = model.forward(Tensor::zeros([1, 3, 32, 32], &device));
//! assert_eq!(logits.dims(), [1, 10]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod cifar10;
pub mod loader;
pub mod reference;
pub mod weights;

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
