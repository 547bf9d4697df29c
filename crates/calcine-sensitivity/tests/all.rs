//! Scans as a caller sees them.
#![allow(clippy::unwrap_used, reason = "tests")]

mod charts;
mod golden_sensitivity;
mod intervals;
mod recipes;
mod resuming;
mod scanning;

use std::ops::ControlFlow;

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use calcine_params::{Inventory, flat};
use calcine_sensitivity::{Evaluation, Measurement, Progress, Scan, ScanError, Sensitivity, scan};
use calcine_testkit::{ConvNet, values};

/// The weights that are not zero, by path, in order.
fn nonzero<M: Module>(model: &M) -> Vec<(String, usize)> {
    let inventory = Inventory::from_module(model);
    let read = |tensor: Tensor<1>| {
        tensor
            .into_data()
            .iter::<f32>()
            .filter(|&weight| weight != 0.0)
            .count()
    };
    let counts = flat(model, inventory.weights()).into_iter().map(read);
    inventory
        .weights()
        .map(|weight| weight.path.clone())
        .zip(counts)
        .collect()
}

/// A measurement that says how many weights are left, in all and of each parameter.
fn counted<M: Module>(model: &M) -> Measurement {
    let left: usize = nonzero(model).iter().map(|(_, count)| count).sum();
    let evaluation = Evaluation::new(1.0 / (1.0 + left as f64), 1);
    let evaluation = evaluation.with_metric("top1", left as f64 / 10.0);
    Measurement::from(evaluation.with_metric("top5", left as f64 / 5.0))
}

/// A net with the same weights every time: 144 in `conv.weight`, 32 in `head.weight`.
fn net() -> ConvNet {
    let device = calcine_testkit::device();
    let mut net = ConvNet::new(&device);
    let kernel = TensorData::new(values(144), [8, 2, 3, 3]);
    net.conv.weight = burn::module::Param::from_tensor(Tensor::from_data(kernel, &device));
    let matrix = TensorData::new(values(32), [8, 4]);
    net.head.weight = burn::module::Param::from_tensor(Tensor::from_data(matrix, &device));
    net
}

fn go_on(_: &Progress<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// A whole scan without a file.
fn whole<M: Module>(
    model: &M,
    plan: &Scan,
    evaluate: impl FnMut(&M) -> Measurement,
) -> Result<Sensitivity, ScanError> {
    scan(model, plan, evaluate, None, go_on).map(|outcome| {
        assert!(!outcome.stopped);
        outcome.sensitivity
    })
}
