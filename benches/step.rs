//! A compressed training step of ResNet-20 beside Burn's bare step of the same model, batch and
//! optimizer.
//!
//! The two are timed in turn, step by step, each as often first as second, so that noise falls on both
//! alike; the printed overhead is the median of the ratios of neighbours.
#![allow(
    missing_docs,
    reason = "criterion's macros generate undocumented items"
)]
#![allow(clippy::print_stdout, reason = "a bench prints what it measured")]

use std::time::Instant;

use burn::optim::ModuleOptimizer;
use burn::tensor::Device;
use calcine::recipe::Recipe;
use calcine::train::Driver;
use calcine::zoo::ResNet;
use calcine_benches::{BATCH, Bare, Batch, batch, objective, resnet};
use criterion::{Criterion, criterion_group, criterion_main};

const RECIPE: &str = include_str!("../recipes/resnet20-agp.toml");

/// Steps of each kind after warming up.
const STEPS: usize = 40;

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

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_unstable_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

criterion_group!(benches, step);
criterion_main!(benches);
