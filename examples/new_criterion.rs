//! A new criterion in one file: rank a hidden layer's outputs by how much their weights differ.
//!
//! `cargo run -p calcine-examples --bin new_criterion`
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor};
use calcine::fold::{Fold, Granularity};
use calcine::params::Inventory;
use calcine::prelude::*;
use calcine::schedule::Constant;
use calcine::train::{Prune, RatePlan, Target, Unit, When};

/// The largest minus the smallest weight of a unit: `max(w) - min(w)`.
#[derive(Debug, Clone, Copy)]
struct Span;

impl Score for Span {
    fn score(&self, evidence: &Evidence) -> Tensor<1> {
        let rows = evidence.rows();
        (rows.clone().max_dim(1) - rows.min_dim(1)).reshape([evidence.units()])
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::flex().autodiff();
    let layer: Linear = LinearConfig::new(16, 8).init(&device);

    // The criterion takes its place in a pruner: score × granularity × select × amount, over a window.
    let inventory = Inventory::from_module(&layer);
    let parameters = inventory.select(&["weight"])?.into_iter().map(|parameter| {
        let layout = parameter.layout().expect("a linear layer's axes are known");
        let fold = Fold::new(Granularity::FcOutput, &parameter.shape, layout)?;
        Ok(Unit::new(parameter.clone(), fold))
    });
    let parameters: Result<_, calcine::fold::FoldError> = parameters.collect();
    let target = Target::new(parameters?, Box::new(Constant(0.5)));
    let pruner = Prune::new(
        "span",
        vec![target],
        Box::new(Span),
        Box::new(Level::default()),
        When::epochs(Window::once(0)),
    );

    // One step of a driver prunes half of the outputs and holds them at zero.
    let mut driver = Driver::new(10, vec![Box::new(pruner)], RatePlan::constant(0.1));
    let mut optimizer = burn::optim::SgdConfig::new().init();
    let inputs = Tensor::<2>::ones([4, 16], &device);
    let pass = driver.forward_backward(&layer, inputs, |layer, x| {
        (layer.forward(x).square().mean(), ())
    });
    let layer = driver.step(layer, &mut optimizer, pass.gradients);
    println!("{}", calcine::summary::sparsity(&layer));
    Ok(())
}
