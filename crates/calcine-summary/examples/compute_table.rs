//! Prints the compute of a small network, before and after half of its largest layer is pruned.
//!
//! ```text
//! cargo run -p calcine-summary --example compute_table
//! ```
#![allow(clippy::print_stdout, reason = "an example shows what it computed")]

use std::error::Error;

use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use calcine_summary::{ComputeSettings, compute};
use calcine_trace::trace;

#[derive(Module, Debug)]
struct Net {
    stem: Conv2d,
    body: Conv2d,
    head: Linear,
}

impl Net {
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let x = relu(self.stem.forward(images));
        let x = relu(self.body.forward(x));
        self.head.forward(x.mean_dim(3).mean_dim(2).flatten(1, 3))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let device = Device::flex();
    let mut net = Net {
        stem: Conv2dConfig::new([3, 8], [3, 3]).init(&device),
        body: Conv2dConfig::new([8, 16], [3, 3]).init(&device),
        head: LinearConfig::new(16, 4).init(&device),
    };
    let network = trace(&net, Tensor::zeros([1, 3, 16, 16], &device), Net::forward)?;
    let settings = ComputeSettings::default();
    println!("{}\n", compute(network.graph(), &net, &settings)?);

    // The graph stays valid while the model's weights change.
    net.body.weight = Param::from_tensor(net.body.weight.val().slice_fill(0..8, 0.0));
    println!("{}", compute(network.graph(), &net, &settings)?);
    Ok(())
}
