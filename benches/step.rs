//! A compressed training step of ResNet-20 beside Burn's bare step of the same model, batch and
//! optimizer.
//!
//! The two are timed in turn, step by step, so that noise falls on both alike; the printed overhead is
//! the ratio of their medians.
#![allow(
    missing_docs,
    reason = "criterion's macros generate undocumented items"
)]
#![allow(clippy::print_stdout, reason = "a bench prints what it measured")]

use std::time::{Duration, Instant};

use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Int, Tensor, activation};
use calcine::recipe::Recipe;
use calcine::train::Driver;
use calcine::zoo::{ResNet, ResNetConfig};
use criterion::{Criterion, criterion_group, criterion_main};

const RECIPE: &str = include_str!("../recipes/resnet20-agp.toml");

/// Steps of each kind after warming up.
const STEPS: usize = 15;

/// Small enough to time many steps; overhead does not depend on the batch, so this is its worst case.
const BATCH: usize = 32;

fn objective(model: &ResNet, (x, y): (Tensor<4>, Tensor<1, Int>)) -> (Tensor<1>, ()) {
    let [n] = y.dims();
    let picked = activation::log_softmax(model.forward(x), 1).gather(1, y.reshape([n, 1]));
    (picked.mean().neg(), ())
}

struct Bare {
    model: ResNet,
    optimizer: ModuleOptimizer,
}

impl Bare {
    fn step(mut self, batch: (Tensor<4>, Tensor<1, Int>)) -> Self {
        let (loss, ()) = objective(&self.model, batch);
        let gradients = GradientsParams::from_grads(loss.backward(), &self.model);
        self.model = self.optimizer.step(0.01, self.model, gradients);
        self
    }
}

struct Compressed {
    model: ResNet,
    optimizer: ModuleOptimizer,
    driver: Driver<ResNet>,
}

impl Compressed {
    fn step(mut self, batch: (Tensor<4>, Tensor<1, Int>)) -> Self {
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
    let model = || {
        ResNetConfig::new(20)
            .init(&device)
            .expect("20 is a depth")
            .train()
    };
    let optimizer = || recipe.train().optimizer.init();
    let x = Tensor::<4>::ones([BATCH, 3, 32, 32], &device) * 0.1;
    let y = Tensor::<1, Int>::zeros([BATCH], &device);
    let mut bare = Bare {
        model: model(),
        optimizer: optimizer(),
    };
    let compressed = model();
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
        let began = Instant::now();
        bare = bare.step((x.clone(), y.clone()));
        let middle = Instant::now();
        compressed = compressed.step((x.clone(), y.clone()));
        if round >= 3 {
            plain.push(middle - began);
            pruned.push(middle.elapsed());
        }
    }
    let (plain, pruned) = (median(plain), median(pruned));
    let overhead = 100.0 * (pruned.as_secs_f64() / plain.as_secs_f64() - 1.0);
    println!("step of resnet20, batch {BATCH}, median of {STEPS} in turn:");
    println!("  bare        {plain:?}");
    println!("  compressed  {pruned:?}  ({overhead:+.1} %)");
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

criterion_group!(benches, step);
criterion_main!(benches);
