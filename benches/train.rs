//! Training steps of traced networks on flex, at the batch of the reference runs; `peers/step_pytorch.py` measures the same in PyTorch.
#![allow(
    missing_docs,
    reason = "criterion's macros generate undocumented items"
)]
#![allow(clippy::print_stdout, reason = "a bench prints what it measured")]

use std::time::Instant;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use calcine::trace::{Network, trace};
use calcine::zoo::{Architecture, Classifier, ModelTask};
use calcine_benches::{batch_of, step, trained};
use criterion::{Criterion, criterion_group, criterion_main};

/// Images of a step.
const BATCH: usize = 128;

/// Steps of each network after two that are not counted.
const STEPS: usize = 9;

const NETWORKS: [&str; 3] = ["resnet20", "resnet56", "mobilenet_v2"];

/// Traces a network of the zoo.
struct Trace;

impl ModelTask for Trace {
    type Output = Network;

    fn run<M: Classifier>(self, model: M) -> Network {
        let sample = Tensor::zeros([1, 3, 32, 32], &Device::flex());
        trace(&model.valid(), sample, |model, x| model.forward(x)).expect("it traces")
    }
}

fn train(_: &mut Criterion) {
    let device = Device::flex();
    let batch = batch_of(BATCH, &device.clone().autodiff());
    println!("training steps, batch {BATCH}, median of {STEPS}:");
    for name in NETWORKS {
        let architecture: Architecture = name.parse().expect("a network of the zoo");
        let network = architecture.build(0, &device, Trace);
        let mut network = Some(trained(network.train()));
        let mut times: Vec<f64> = (0..STEPS + 2)
            .map(|_| {
                let began = Instant::now();
                network = network.take().map(|network| step(network, batch.clone()));
                began.elapsed().as_secs_f64()
            })
            .skip(2)
            .collect();
        times.sort_unstable_by(f64::total_cmp);
        println!("  {name}  {:.1} ms", 1000.0 * times[STEPS / 2]);
    }
}

criterion_group!(benches, train);
criterion_main!(benches);
