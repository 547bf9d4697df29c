//! All integration tests of the crate, as one binary.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests panic and print; clippy exempts only the test functions themselves"
)]

use calcine_zoo::Architecture;

mod compute;
mod counts;
mod folding;
mod import;
mod initial;
mod mismatch;
mod quantized;
mod saving;
mod tasks;
mod thinning;
mod tracing;

/// One small network of each family, for tests that compute with all weights.
pub(crate) const FAMILIES: [Architecture; 16] = [
    Architecture::ResNet20,
    Architecture::ResNet32,
    Architecture::ResNet44,
    Architecture::ResNet56,
    Architecture::Plain20,
    Architecture::Plain20NoBn,
    Architecture::PreactResNet20,
    Architecture::PreactResNet20ConvDs,
    Architecture::Vgg11,
    Architecture::Vgg11Bn,
    Architecture::DenseNet100,
    Architecture::SimpleNet,
    Architecture::SimpleNetMnist,
    Architecture::SimpleNetV2Mnist,
    Architecture::MobileNet025,
    Architecture::MobileNetV2,
];
