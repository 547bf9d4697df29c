//! Trains a linear layer with momentum and weight decay while half of its weights stay zero.
//!
//! ```text
//! cargo run -p calcine-mask --example hold_zeros
//! ```
#![allow(clippy::print_stdout, reason = "an example shows what it computed")]

use burn::nn::{Linear, LinearConfig};
use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::{Device, Distribution, Tensor};
use calcine_mask::Masks;
use calcine_params::Inventory;

fn main() {
    let device = Device::flex().autodiff();
    device.seed(1);
    let mut layer: Linear = LinearConfig::new(8, 4).init(&device);
    let weight = Inventory::from_module(&layer)
        .get("weight")
        .expect("a linear layer has one")
        .clone();

    // Keep the weights whose magnitudes are above the median, approximately.
    let mut masks = Masks::default();
    masks.insert(&weight, layer.weight.val().abs().greater_scalar(0.18));
    layer = masks.apply(layer);

    let mut optimizer = SgdConfig::new()
        .with_momentum(Some(MomentumConfig::new()))
        .with_weight_decay(Some(WeightDecayConfig::new(1e-3)))
        .init();
    for step in 0..=100 {
        let input = Tensor::<2>::random([32, 8], Distribution::Normal(0.0, 1.0), &device);
        let target = input.clone().slice([0..32, 0..4]) * 2.0;
        let loss = (layer.forward(input) - target).square().mean();
        if step % 25 == 0 {
            let zeros = layer
                .weight
                .val()
                .equal_scalar(0.0)
                .int()
                .sum()
                .into_scalar::<i64>();
            let loss = loss.clone().into_scalar::<f32>();
            println!("step {step:>3}: loss {loss:.3}, {zeros} of 32 weights are zero");
        }
        let gradients = GradientsParams::from_grads(loss.backward(), &layer);
        layer = masks.apply(optimizer.step(0.05, layer, gradients)); // the masks come last
    }
}
