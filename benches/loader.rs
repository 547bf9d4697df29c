//! Images a second of the training loader alone (crop, flip, normalise, off the training thread), beside
//! those of Burn's bare training step of ResNet-20.
#![allow(
    missing_docs,
    reason = "criterion's macros generate undocumented items"
)]

use burn::optim::SgdConfig;
use burn::tensor::Device;
use burn::tensor::{Int, Tensor};
use calcine::data::cifar10::synthetic;
use calcine::data::{Dataset, Loader, LoaderSettings, Options};
use calcine::train::Data;
use calcine_benches::{BATCH, Bare, batch, resnet};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn loader(criterion: &mut Criterion) {
    let options = Options {
        validation: 0.0,
        ..Options::default()
    };
    let settings = LoaderSettings::default();
    let dataset = Dataset::cifar10(synthetic(0, 10_000, 10), &options).expect("there are images");
    let loader: Loader<Tensor<4>, Tensor<1, Int>> =
        Loader::new(&dataset, settings, &Device::flex()).expect("images are of rank four");
    let mut group = criterion.benchmark_group("loader");
    group.sample_size(20).throughput(Throughput::Elements(
        loader.steps_per_epoch() * settings.batch_size as u64,
    ));
    group.bench_function("augmented epoch", |bencher| {
        bencher.iter(|| {
            loader
                .epoch(0, 0)
                .map(|batch| batch.input.dims()[0])
                .sum::<usize>()
        });
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
