//! Finds out which layer of a small network is sensitive, and prints a recipe that prunes it less.
//!
//! ```text
//! cargo run -p calcine-sensitivity --example scan_layers
//! ```
#![allow(clippy::print_stdout, reason = "an example shows what it found")]

use std::ops::ControlFlow;

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Distribution, Tensor, activation};
use calcine_fold::Granularity;
use calcine_sensitivity::{
    Evaluation, Measurement, Metric, Scan, ScanError, recipe, scan, suggest,
};

#[derive(Module, Debug)]
struct Net {
    first: Linear,
    second: Linear,
}

impl Net {
    fn forward(&self, input: Tensor<2>) -> Tensor<2> {
        self.second
            .forward(activation::relu(self.first.forward(input)))
    }
}

fn main() -> Result<(), ScanError> {
    let device = Device::flex();
    device.seed(1);
    let net = Net {
        first: LinearConfig::new(16, 64).init(&device),
        second: LinearConfig::new(64, 4).init(&device),
    };
    // The outputs of the dense network are the labels.
    let inputs = Tensor::<2>::random([512, 16], Distribution::Normal(0.0, 1.0), &device);
    let right = net.forward(inputs.clone()).argmax(1);
    let evaluate = |net: &Net| {
        let logits = net.forward(inputs.clone());
        let hits = logits.clone().argmax(1).equal(right.clone()).float().mean();
        let loss = activation::log_softmax(logits, 1)
            .gather(1, right.clone())
            .mean()
            .neg();
        let evaluation = Evaluation::new(loss.into_scalar(), 512);
        Measurement::from(evaluation.with_metric("top1", 100.0 * hits.into_scalar::<f64>()))
    };

    let plan = Scan::new(Granularity::Element).with_levels([0.0, 0.25, 0.5, 0.75, 0.9]);
    let outcome = scan(&net, &plan, evaluate, None, |progress| {
        println!("evaluation {} of {}", progress.done, progress.total);
        ControlFlow::Continue(())
    })?;
    print!("\n{}", outcome.sensitivity.to_csv());
    let suggestions = suggest(&outcome.sensitivity, &Metric::higher("top1", "%"), 10.0);
    print!(
        "\n{}",
        recipe(&suggestions, Granularity::Element, "epochs = 10")
    );
    Ok(())
}
