//! Score, select and apply, per granularity, on ResNet-50's weights; `peers/` holds the same in PyTorch.
//!
//! As a pruner does it: all weights are scored, then all are selected from, then all are masked.
#![allow(
    missing_docs,
    reason = "criterion's macros generate undocumented items"
)]

use std::hint::black_box;

use burn::tensor::{Bool, Device, Tensor};
use calcine::criteria::{Candidate, Evidence, Level, Magnitude, NOfM, Score, Select};
use calcine::fold::{Fold, Granularity, Layout};
use calcine_benches::{resnet50, weights};
use criterion::{Criterion, criterion_group, criterion_main};

const CASES: [(&str, Granularity, f64); 7] = [
    ("elements 0.5", Granularity::Element, 0.5),
    ("elements 0.8", Granularity::Element, 0.8),
    ("filters 0.5", Granularity::Filter, 0.5),
    ("channels 0.5", Granularity::Channel, 0.5),
    ("kernels 0.5", Granularity::Kernel, 0.5),
    ("blocks 1x8x1x1 0.5", BLOCK, 0.5),
    ("2:4", Granularity::Group { of: 4 }, 0.5),
];

const BLOCK: Granularity = Granularity::Block {
    rep: 1,
    depth: 8,
    height: 1,
    width: 1,
};

fn structured(criterion: &mut Criterion) {
    let shapes = resnet50();
    let weights = weights(&shapes, &Device::flex());
    let mut group = criterion.benchmark_group("prune resnet50");
    group.sample_size(10);
    for (name, granularity, level) in CASES {
        // Not every weight has such units: three inputs make no block. The classifier's are its elements.
        let fold = |shape: &Vec<usize>| Fold::new(granularity, shape, Layout::OutputFirst).ok();
        let folds = shapes.iter().map(fold);
        let targets: Vec<(Fold, &Tensor<1>)> = folds
            .zip(&weights)
            .filter_map(|(fold, weight)| Some((fold?, weight)))
            .filter(|(fold, _)| fold.shape().len() == 4 || granularity == Granularity::Element)
            .collect();
        let select: Box<dyn Select + Send> = match granularity {
            Granularity::Group { of } => Box::new(NOfM { of }),
            _ => Box::new(Level::default()),
        };
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(pruned(&targets, &*select, level)));
        });
    }
    group.finish();
}

fn pruned(targets: &[(Fold, &Tensor<1>)], select: &dyn Select, level: f64) -> Vec<Tensor<1>> {
    let score = |(fold, weight): &(Fold, &Tensor<1>)| {
        let weight = (*weight).clone();
        let evidence = match fold.in_place(weight.clone()) {
            Some(weight) => Evidence::in_place(weight),
            None => Evidence::new(fold.rows(weight)),
        };
        Candidate::new(Magnitude.deferred(&evidence))
    };
    let scored: Vec<Candidate> = targets.iter().map(score).collect();
    let keep = select.keep(&scored, level);
    drop(scored);
    let apply = |((fold, weight), keep): (&(Fold, &Tensor<1>), Tensor<1, Bool>)| {
        let dropped: Tensor<1, Bool> = fold.spread(keep.bool_not());
        (*weight).clone().mask_fill(dropped, 0.0)
    };
    targets.iter().zip(keep).map(apply).collect()
}

criterion_group!(benches, structured);
criterion_main!(benches);
