//! Finds weights by a pattern, halves one while the model trains, and shows the error for an unknown name.
//!
//! ```text
//! cargo run -p calcine-params --example edit_weights
//! ```
#![allow(clippy::print_stdout, reason = "an example shows what it computed")]

use burn::module::{Module, ParamId};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::tensor::{Device, Tensor};
use calcine_params::{Edit, Inventory, UnknownParameter, edit};

#[derive(Module, Debug)]
struct Net {
    layers: Vec<Linear>,
    bn: BatchNorm,
}

struct Halve(ParamId);

impl Edit for Halve {
    fn wants(&self, id: ParamId) -> bool {
        id == self.0
    }
    fn edit<const D: usize>(&mut self, _: ParamId, value: Tensor<D>) -> Tensor<D> {
        value * 0.5
    }
}

fn main() -> Result<(), UnknownParameter> {
    let device = Device::flex().autodiff();
    let linear = || LinearConfig::new(3, 3).init(&device);
    let (layers, bn) = (
        vec![linear(), linear()],
        BatchNormConfig::new(3).init(&device),
    );
    let net = Net { layers, bn };

    let inventory = Inventory::from_module(&net);
    let everything_but = ["**", "!**.bias"];
    for patterns in [&["layers.*.weight"][..], &everything_but, &["bn.weight"]] {
        let found = inventory.select(patterns)?;
        let paths: Vec<&str> = found
            .iter()
            .map(|parameter| parameter.path.as_str())
            .collect();
        println!("{patterns:?}: {}", paths.join(", "));
    }

    let weight = inventory.select(&["layers.0.weight"])?[0].id;
    let net = edit(net, &mut Halve(weight));
    let trains = net.layers[0].weight.val().is_require_grad();
    println!("halved, and trains on: {trains}");

    if let Err(error) = inventory.select(&["layers.0.wieght"]) {
        println!("{error}");
    }
    Ok(())
}
