//! Saves the weights of a layer and loads them into another one.
//!
//! ```text
//! cargo run -p calcine-weights --example round_trip
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what it computed")]

use std::error::Error;

use burn::nn::{Linear, LinearConfig};
use burn::tensor::Device;
use calcine_weights::LoadOptions;

fn main() -> Result<(), Box<dyn Error>> {
    let device = Device::flex();
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("linear.safetensors");

    let layer: Linear = LinearConfig::new(3, 2).init(&device);
    calcine_weights::save(&layer, &path)?;

    let other: Linear = LinearConfig::new(3, 2).init(&device);
    let (other, report) = LoadOptions::default().load(other, &path)?;
    println!("{report}");
    let equal = other.weight.val().into_data() == layer.weight.val().into_data();
    println!("the weights are equal: {equal}");
    Ok(())
}
