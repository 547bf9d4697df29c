//! Prunes the channels of a residual network by dependency group, thins the network, and saves it as one file.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Distribution, Tensor};
use calcine_criteria::Norm;
use calcine_thin::{ChannelSelection, PaddingEffect, thin, zero_out_channels};
use calcine_trace::{Network, trace};

#[derive(Module, Debug)]
struct Model {
    stem: Conv2d,
    conv1: Conv2d,
    bn1: BatchNorm,
    conv2: Conv2d,
    bn2: BatchNorm,
    head: Linear,
}

impl Model {
    fn new(device: &Device) -> Self {
        let conv = |from, to| {
            Conv2dConfig::new([from, to], [3, 3])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .init(device)
        };
        Self {
            stem: conv(3, 16),
            conv1: conv(16, 32),
            bn1: BatchNormConfig::new(32).init(device),
            conv2: conv(32, 16),
            bn2: BatchNormConfig::new(16).init(device),
            head: LinearConfig::new(16, 10).init(device),
        }
    }

    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let x = relu(self.stem.forward(images));
        let y = relu(self.bn1.forward(self.conv1.forward(x.clone())));
        let x = relu(x + self.bn2.forward(self.conv2.forward(y)));
        self.head.forward(x.mean_dim(2).mean_dim(3).flatten(1, 3))
    }
}

#[allow(clippy::print_stdout, reason = "an example prints")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::flex();
    device.seed(1);
    let model = Model::new(&device);
    let sample = Tensor::<4>::zeros([1, 3, 16, 16], &device);
    let network = trace(&model, sample, |model, images| model.forward(images))?;

    // The outputs of the stem and conv2 are added, so their channels form one group; the channels of conv1 form
    // another.
    let axes = network.graph().axes()?;
    for group in axes.groups() {
        let (path, _) = group.name();
        println!(
            "{} channels made by {path} and {} more",
            group.units.len(),
            group.members.len() - 1
        );
    }
    let weakest = ChannelSelection::new(0.5).units(&network, &axes, &Norm::L1, |_| true);
    let masked = zero_out_channels(network, &axes, weakest)?;
    let thinned = thin(masked.clone(), PaddingEffect::KeepBorder)?;
    println!("{}", thinned.report);

    let images = Tensor::<4>::random([4, 3, 16, 16], Distribution::Default, &device);
    let before: Tensor<2> = masked.forward(images.clone());
    let after: Tensor<2> = thinned.network.forward(images.clone());
    let difference = (before - after.clone()).abs().max().into_scalar::<f32>();
    println!("largest difference of the logits: {difference:e}");
    assert!(difference < 1e-5);

    let directory = tempfile::tempdir()?;
    let file = directory.path().join("thinned.safetensors");
    thinned.network.save(&file)?;
    let loaded: Tensor<2> = Network::load(&file, &device)?.forward(images);
    assert_eq!((loaded - after).abs().max().into_scalar::<f32>(), 0.0);
    println!("saved, and loaded without the model's code");
    Ok(())
}
