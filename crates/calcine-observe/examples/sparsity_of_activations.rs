//! Prints how sparse the activations of a small convolutional network are.
//!
//! `cargo run -p calcine-observe --example sparsity_of_activations`
#![allow(
    clippy::print_stdout,
    reason = "what it prints is what the example shows"
)]

use burn::tensor::{Device, Distribution, Tensor};
use calcine_observe::{Extrema, Places, Zeros, observe};
use calcine_testkit::networks::Residual;
use calcine_trace::trace;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::flex();
    device.seed(1);
    let images = || Tensor::<4>::random([8, 3, 16, 16], Distribution::Default, &device);
    let model = Residual::new(&device);
    let network = trace(&model, images(), |model, images| model.forward(images))?;
    let batches = [images(), images()];
    let observed = observe(&network, batches, &Places::activations(), &(Zeros, Extrema))?;
    for node in observed.iter() {
        let (zeros, extrema) = &node.value;
        println!(
            "{:<24} {:4.1} % zeros, at most {:.2}",
            node.name,
            100.0 * zeros.sparsity(),
            extrema.high()
        );
    }
    Ok(())
}
