//! Quantizes a small convolutional network to fewer and fewer bits, and prints the error and the size.
#![allow(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "an example shows what it computed"
)]

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Distribution, Tensor};
use calcine_quantize::{Calibration, QuantizationSettings, RangeEstimator, quantize};
use calcine_trace::trace;

#[derive(Module, Debug)]
struct Net {
    conv: Conv2d,
    norm: BatchNorm,
    head: Linear,
}

impl Net {
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let x = relu(self.norm.forward(self.conv.forward(images)));
        let x: Tensor<2> = x.mean_dim(3).mean_dim(2).flatten(1, 3);
        self.head.forward(x)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::flex();
    device.seed(7);
    let net = Net {
        conv: Conv2dConfig::new([3, 16], [3, 3]).init(&device),
        norm: BatchNormConfig::new(16).init(&device),
        head: LinearConfig::new(16, 10).init(&device),
    };
    let images = Tensor::<4>::random([32, 3, 16, 16], Distribution::Normal(0.0, 1.0), &device);
    let network = trace(&net, images.clone(), |net, images| net.forward(images))?;
    let calibration = Calibration::collect(&network, std::slice::from_ref(&images))?;
    let float: Tensor<2> = network.forward(images.clone());

    for bits in [8, 6, 4, 3, 2] {
        for range_estimator in [RangeEstimator::MinMax, RangeEstimator::Mse] {
            let mut settings = QuantizationSettings::default();
            (settings.weights.bits, settings.activations.bits) = (bits, bits);
            (
                settings.weights.range_estimator,
                settings.activations.range_estimator,
            ) = (range_estimator, range_estimator);
            let quantized = quantize(&network, &calibration, &settings)?;
            let found: Tensor<2> = quantized.forward(images.clone());
            let error = (found - float.clone())
                .square()
                .mean()
                .sqrt()
                .into_scalar::<f32>();
            let bytes = quantized.stored_bytes();
            println!(
                "{bits} bits, {range_estimator}: {bytes} bytes, root mean square error {error:.5}"
            );
        }
    }
    Ok(())
}
