//! An AGP mask over all weights, beside eight reads of the same weights.
//!
//! One read is what it costs Burn to sum a tensor: every element once, nothing written.
#![allow(
    missing_docs,
    reason = "criterion's macros generate undocumented items"
)]

use std::hint::black_box;

use burn::tensor::{Device, Tensor};
use calcine::criteria::{Candidate, Evidence, Level, Magnitude, Score, Select};
use calcine_benches::{resnet20, resnet50, weights};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

fn masks(criterion: &mut Criterion) {
    let device = Device::flex();
    let models = [("resnet20", resnet20(), 50), ("resnet50", resnet50(), 10)];
    for (name, shapes, samples) in models {
        let weights = weights(&shapes, &device);
        let mut group = criterion.benchmark_group(format!("agp mask of {name}"));
        group.sample_size(samples);
        group.bench_function("eight reads", |bencher| {
            bencher.iter(|| {
                for _ in 0..8 {
                    weights.iter().for_each(read);
                }
            });
        });
        for level in [0.5, 0.8] {
            group.bench_function(BenchmarkId::new("level", level), |bencher| {
                let select = Level::default();
                bencher.iter(|| black_box(select.keep(&scored(&weights), level)));
            });
        }
        group.finish();
    }
}

fn read(weight: &Tensor<1>) {
    black_box(weight.clone().sum().into_scalar::<f32>());
}

/// All of them before the first is selected from, as a pruner does.
fn scored(weights: &[Tensor<1>]) -> Vec<Candidate> {
    let score = |weight: &Tensor<1>| {
        let rows = weight.clone().reshape([weight.dims()[0], 1]);
        Candidate::new(Magnitude.deferred(&Evidence::new(rows)))
    };
    weights.iter().map(score).collect()
}

criterion_group!(benches, masks);
criterion_main!(benches);
