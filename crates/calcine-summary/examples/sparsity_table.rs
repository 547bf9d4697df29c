//! Prints the sparsity table of a small network with pruned elements in the first layer and a pruned filter in the
//! second.
//!
//! ```text
//! cargo run -p calcine-summary --example sparsity_table
//! ```
#![allow(clippy::print_stdout, reason = "an example shows what it computed")]

use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::Device;

#[derive(Module, Debug)]
struct Net {
    stem: Conv2d,
    body: Conv2d,
    head: Linear,
}

fn main() {
    let device = Device::flex();
    device.seed(1);
    let mut net = Net {
        stem: Conv2dConfig::new([3, 8], [3, 3]).init(&device),
        body: Conv2dConfig::new([8, 8], [3, 3]).init(&device),
        head: LinearConfig::new(8, 4).init(&device),
    };
    let weight = net.stem.weight.val();
    let small = weight.clone().abs().lower_scalar(0.1);
    net.stem.weight = Param::from_tensor(weight.mask_fill(small, 0.0));
    net.body.weight = Param::from_tensor(net.body.weight.val().slice_fill(0..1, 0.0));

    let table = calcine_summary::sparsity(&net);
    println!("{table}\n");
    println!("{}\n", table.sheet().to_markdown());
    print!("{}", table.to_csv());
}
