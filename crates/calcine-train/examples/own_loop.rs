//! Training with pruning in a hand-written loop. The driver does not contain the model.
//!
//! `cargo run -p calcine-train --example own_loop`
#![allow(
    clippy::print_stdout,
    reason = "what it prints is what the example shows"
)]

use burn::nn::{Linear, LinearConfig};
use burn::optim::SgdConfig;
use burn::tensor::{Device, Tensor};
use calcine_criteria::{Level, Magnitude};
use calcine_fold::{Fold, Granularity, Layout};
use calcine_params::Inventory;
use calcine_schedule::{Cubic, Window};
use calcine_train::{Driver, Prune, RatePlan, Target, Unit, When};

const STEPS_PER_EPOCH: u64 = 10;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::flex().autodiff();
    device.seed(1);
    let mut layer: Linear = LinearConfig::new(16, 4).init(&device);

    // Single elements of `weight` are pruned from 10 % to 90 %, before the epochs 1 to 4.
    let parameter = Inventory::from_module(&layer).select(&["weight"])?[0].clone();
    let fold = Fold::new(Granularity::Element, &parameter.shape, Layout::LINEAR)?;
    let (units, [initial, last]) = (vec![Unit::new(parameter, fold)], [0.1, 0.9]);
    let amount = Box::new(Cubic { initial, last });
    let prune = Prune::new(
        "agp",
        vec![Target::new(units, amount)],
        Box::new(Magnitude),
        Box::new(Level::default()),
        When::epochs(Window::new(1, 5, 1)?),
    );
    let rates = RatePlan::constant(0.1);
    let mut driver = Driver::new(STEPS_PER_EPOCH, vec![Box::new(prune)], rates);
    let mut optimizer = SgdConfig::new().init();

    for epoch in 0..6 {
        let mut loss = Tensor::zeros([1], &device);
        for _ in 0..STEPS_PER_EPOCH {
            let input = Tensor::<2>::ones([8, 16], &device);
            let pass = driver.forward_backward(&layer, input, |layer, input| {
                ((layer.forward(input) - 1.0).powi_scalar(2).mean(), ())
            });
            loss = pass.loss;
            layer = driver.step(layer, &mut optimizer, pass.gradients);
        }
        let (loss, zeros) = (loss.into_data(), layer.weight.val().equal_scalar(0.0));
        let zeros = zeros.int().sum().into_data();
        println!("epoch {epoch}: loss {loss}, {zeros} of 64 weights are zero");
    }
    Ok(())
}
