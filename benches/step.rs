//! A compressed training step of ResNet-20 beside Burn's bare step of the same model, batch and
//! optimizer; and a bare step of the traced network, which Calcine's kernels compute, beside that of the model,
//! which Burn computes, at the batch of the reference runs.
//!
//! The two are timed in turn, step by step, each as often first as second, so that noise falls on both
//! alike; the printed ratio is the median of the ratios of neighbours.
#![allow(
    missing_docs,
    reason = "criterion's macros generate undocumented items"
)]
#![allow(clippy::print_stdout, reason = "a bench prints what it measured")]

use std::time::Instant;

use burn::module::Module;
use burn::optim::ModuleOptimizer;
use burn::tensor::Device;
use calcine::recipe::Recipe;
use calcine::train::Driver;
use calcine::zoo::ResNet;
use calcine_benches::{
    BATCH, Bare, Batch, batch, batch_of, network, objective, resnet, step as bare_step, trained,
};
use criterion::{Criterion, criterion_group, criterion_main};

const RECIPE: &str = include_str!("../recipes/resnet20-agp.toml");

/// Steps of each kind after warming up.
const STEPS: usize = 40;

/// Images of a step of the reference runs, and such steps of each kind after warming up.
const REFERENCE: (usize, usize) = (128, 9);

struct Compressed {
    model: ResNet,
    optimizer: ModuleOptimizer,
    driver: Driver<ResNet>,
}

impl Compressed {
    fn step(mut self, batch: Batch) -> Self {
        let pass = self.driver.forward_backward(&self.model, batch, objective);
        self.model = self
            .driver
            .step(self.model, &mut self.optimizer, pass.gradients);
        self
    }
}

fn step(_: &mut Criterion) {
    let device = Device::flex().autodiff();
    let recipe = Recipe::parse(RECIPE).expect("the shipped recipe is sound");
    let optimizer = || recipe.train().optimizer.init();
    let batch = batch(&device);
    let mut bare = Bare::new(resnet(&device), optimizer());
    let compressed = resnet(&device);
    let driver = recipe
        .bind(&compressed, 100)
        .expect("the shipped recipe fits");
    let mut compressed = Compressed {
        model: compressed,
        optimizer: optimizer(),
        driver,
    };
    let (mut plain, mut pruned) = (Vec::new(), Vec::new());
    for round in 0..STEPS + 3 {
        let mut times = [0.0; 2];
        for turn in [round % 2, (round + 1) % 2] {
            let began = Instant::now();
            if turn == 0 {
                bare = bare.step(batch.clone());
            } else {
                compressed = compressed.step(batch.clone());
            }
            times[turn] = began.elapsed().as_secs_f64();
        }
        if round >= 3 {
            plain.push(times[0]);
            pruned.push(times[1]);
        }
    }
    let ratios = plain
        .iter()
        .zip(&pruned)
        .map(|(plain, pruned)| pruned / plain);
    let overhead = 100.0 * (median(ratios.collect()) - 1.0);
    println!("step of resnet20, batch {BATCH}, median of {STEPS} in turn:");
    println!("  bare        {:.1} ms", 1000.0 * median(plain));
    println!(
        "  compressed  {:.1} ms  ({overhead:+.1} %)",
        1000.0 * median(pruned)
    );
}

fn traced(_: &mut Criterion) {
    let (count, steps) = REFERENCE;
    let device = Device::flex().autodiff();
    let batch = batch_of(count, &device);
    let mut model = Some(trained(resnet(&device)));
    let mut network = Some(trained(network().train()));
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..steps + 2 {
        for turn in [round % 2, (round + 1) % 2] {
            let began = Instant::now();
            match turn {
                0 => model = model.take().map(|model| bare_step(model, batch.clone())),
                _ => {
                    network = network
                        .take()
                        .map(|network| bare_step(network, batch.clone()));
                }
            }
            if round >= 2 {
                times[turn].push(began.elapsed().as_secs_f64());
            }
        }
    }
    let [model, network] = times;
    let ratios = model.iter().zip(&network).map(|(model, own)| own / model);
    let ratio = median(ratios.collect());
    println!("bare step of resnet20, batch {count}, median of {steps} in turn:");
    println!("  model    {:.1} ms", 1000.0 * median(model));
    println!(
        "  network  {:.1} ms  (ratio {ratio:.3})",
        1000.0 * median(network)
    );
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_unstable_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

criterion_group!(benches, step, traced);
criterion_main!(benches);
