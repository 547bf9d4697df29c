//! Classifies a synthetic batch with the weights that come with the crate.
//!
//! ```text
//! cargo run -p calcine-zoo --example classify
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what it computed")]

use std::error::Error;

use burn::tensor::{Device, Int, Tensor};
use calcine_data::cifar10::CLASSES;
use calcine_zoo::{RESNET20_CIFAR10, ResNetConfig};

fn main() -> Result<(), Box<dyn Error>> {
    let device = Device::flex();
    let model = ResNetConfig::new(20).init(&device)?;
    let model = calcine_weights::load_bytes(model, RESNET20_CIFAR10)?;

    let logits = model.forward(waves(8, &device));
    let best: Tensor<2, Int> = logits.clone().argmax(1);
    let best = best.into_data();
    let logits = logits.max_dim(1).into_data();
    for (image, (class, logit)) in best.iter::<i64>().zip(logits.iter::<f32>()).enumerate() {
        println!(
            "image {image}: {:<10} (logit {logit:.2})",
            CLASSES[class as usize]
        );
    }
    Ok(())
}

/// `count` images of waves of increasing frequency, with pixels from -1 to 1.
fn waves(count: usize, device: &Device) -> Tensor<4> {
    let side = Tensor::<1, Int>::arange(0..32, device).float() / 32.0;
    let rows = side.clone().reshape([1, 1, 32, 1]);
    let columns = side.reshape([1, 1, 1, 32]);
    let images = (1..=count).map(|fineness| {
        let wave = (rows.clone() + columns.clone() * 2.0) * (fineness as f64 * 3.0);
        wave.sin().expand([1, 3, 32, 32])
    });
    Tensor::cat(images.collect(), 0)
}
