//! Traces a small convolutional network, and prints each of its operations with the share of zeros in its result.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Distribution, Tensor};
use calcine_trace::trace;

#[derive(Module, Debug)]
struct Model {
    conv: Conv2d,
    norm: BatchNorm,
    head: Linear,
}

impl Model {
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let x = relu(self.norm.forward(self.conv.forward(images)));
        self.head.forward(x.mean_dim(2).mean_dim(3).flatten(1, 3))
    }
}

#[allow(clippy::print_stdout, reason = "an example prints")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::flex();
    device.seed(1);
    let model = Model {
        conv: Conv2dConfig::new([3, 8], [3, 3]).init(&device),
        norm: BatchNormConfig::new(8).init(&device),
        head: LinearConfig::new(8, 4).init(&device),
    };
    let sample = Tensor::<4>::zeros([1, 3, 16, 16], &device);
    let network = trace(&model, sample, |model, images| model.forward(images))?;

    let images = Tensor::<4>::random([8, 3, 16, 16], Distribution::Default, &device);
    network.run(vec![images.into()], &mut |node, tensor| {
        let zeros = tensor
            .clone()
            .float::<4>()
            .map(|x| x.equal_scalar(0.0).float().mean());
        let zeros = zeros.map_or_else(String::new, |share| {
            format!("{:.0} % zeros", 100.0 * share.into_scalar::<f32>())
        });
        println!(
            "{:<18} {:<12} {:?} {zeros}",
            node.name,
            node.op.name(),
            tensor.shape()
        );
        tensor
    })?;
    Ok(())
}
