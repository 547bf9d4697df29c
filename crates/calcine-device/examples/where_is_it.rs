//! Prints whether the tensors of the default device are in host memory.
//!
//! `cargo run -p calcine-device --example where_is_it`
#![allow(
    clippy::print_stdout,
    reason = "what it prints is what the example shows"
)]

use burn::tensor::Device;
use calcine_device::in_host_memory;

fn main() {
    let device = Device::default();
    println!("in host memory: {}", in_host_memory(&device));
}
