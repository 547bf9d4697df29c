//! An AGP mask over all weights, beside eight reads of the same weights.
//!
//! One read is what it costs Burn to sum a tensor: every element once, nothing written.
#![allow(
    missing_docs,
    reason = "criterion's macros generate undocumented items"
)]

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
                bencher.iter(|| {
                    for weight in &weights {
                        let count = weight.dims()[0];
                        let rows = weight.clone().reshape([count, 1]);
                        let scores = Magnitude.score(&Evidence::new(rows));
                        std::hint::black_box(Level.keep(&[Candidate::new(scores)], level));
                    }
                });
            });
        }
        group.finish();
    }
}

fn read(weight: &Tensor<1>) {
    std::hint::black_box(weight.clone().sum().into_scalar::<f32>());
}

criterion_group!(benches, masks);
criterion_main!(benches);
