//! Images a second of the training loader alone (crop, flip, normalise, off the training thread), beside
//! those of Burn's bare training step of ResNet-20.
#![allow(
    missing_docs,
    reason = "criterion's macros generate undocumented items"
)]

use burn::optim::SgdConfig;
use burn::tensor::Device;
use calcine::data::cifar10::synthetic;
use calcine::data::loader::{Train, TrainSettings};
use calcine_benches::{BATCH, Bare, batch, resnet};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn loader(criterion: &mut Criterion) {
    let images = synthetic(0, 10_000, 10).train;
    let train = Train::new(images.clone(), images.indices(), TrainSettings::default());
    let mut group = criterion.benchmark_group("loader");
    group
        .sample_size(20)
        .throughput(Throughput::Elements(train.images() as u64));
    group.bench_function("augmented epoch", |bencher| {
        bencher.iter(|| train.epoch(0, 0).map(|batch| batch.n).sum::<usize>());
    });
    let device = Device::flex().autodiff();
    let batch = batch(&device);
    let mut bare = Some(Bare::new(resnet(&device), SgdConfig::new().init()));
    group
        .sample_size(10)
        .throughput(Throughput::Elements(BATCH as u64));
    group.bench_function("training step", |bencher| {
        bencher.iter(|| bare = bare.take().map(|bare| bare.step(batch.clone())));
    });
    group.finish();
}

criterion_group!(benches, loader);
criterion_main!(benches);
