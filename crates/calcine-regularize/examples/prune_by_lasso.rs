//! Fits a weight to noisy data under a group lasso: with its gradient, then with its proximal step.
//!
//! ```text
//! cargo run -p calcine-regularize --example prune_by_lasso
//! ```
#![allow(clippy::print_stdout, reason = "an example shows what it computed")]

use burn::tensor::{Device, Distribution, Tensor};
use calcine_regularize::{Criterion, GroupLasso, Regularizer, Scale};

const RATE: f64 = 0.1;
const STRENGTH: f64 = 0.1;

fn main() {
    let device = Device::flex();
    device.seed(1);
    // Eight filters of nine weights; the data depend only on the first three filters.
    let noise = || Tensor::<2>::random([8, 9], Distribution::Normal(0.0, 0.05), &device);
    let wanted = Tensor::cat(
        vec![
            Tensor::<2>::ones([3, 9], &device),
            Tensor::<2>::zeros([5, 9], &device),
        ],
        0,
    );
    let data: Vec<Tensor<2>> = (0..200).map(|_| wanted.clone() + noise()).collect();
    let lasso = GroupLasso {
        scale: Scale::SqrtSize,
        smoothing: 0.0,
    };

    let mut weight = noise();
    for sample in &data {
        let slope = weight.clone() - sample.clone();
        let penalty = lasso.gradient(weight.clone(), STRENGTH);
        weight = weight - (slope + penalty).mul_scalar(RATE);
    }
    show("by gradient", &weight);

    let mut weight = noise();
    for sample in &data {
        let slope = weight.clone() - sample.clone();
        let moved = weight - slope.mul_scalar(RATE);
        let stepped = lasso.proximal(moved, RATE * STRENGTH);
        weight = stepped.expect("a lasso without smoothing has a proximal step");
    }
    show("by proximal step", &weight);
}

fn show(how: &str, weight: &Tensor<2>) {
    let norms = Criterion::L2.norms(weight.clone()).into_data();
    let norms: Vec<String> = norms
        .iter::<f32>()
        .map(|norm| format!("{norm:.4}"))
        .collect();
    println!("norms of the filters, {how}: {}", norms.join(" "));
}
