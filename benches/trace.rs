//! Tracing ResNet-56, finding which of its channels go together, and thinning half of them, beside one image
//! through the model itself. The target for tracing and groups is 100 ms together. Zeroing three tenths of the units of a
//! linear layer of 4096 × 4096 weights is to take less than 100 ms.
#![allow(
    missing_docs,
    reason = "criterion's macros generate undocumented items"
)]

use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor};
use calcine::criteria::Norm;
use calcine::graph::UnitId;
use calcine::thin::{ChannelSelection, PaddingEffect, thin, zero_out_channels};
use calcine::trace::trace;
use calcine::zoo::{Architecture, Classifier, ModelTask};
use criterion::{Criterion, criterion_group, criterion_main};

struct Measure<'a> {
    criterion: &'a mut Criterion,
    device: Device,
}

impl ModelTask for Measure<'_> {
    type Output = ();

    fn run<M: Classifier + 'static>(self, model: M) {
        let image = Tensor::<4>::zeros([1, 3, 32, 32], &self.device);
        let traced = || trace(&model, image.clone(), M::forward).expect("it can be traced");
        let network = traced();
        let groups = || network.graph().axes().expect("the graph is sound");
        let axes = groups();
        let units = ChannelSelection::new(0.5).units(&network, &axes, &Norm::L1, |_| true);
        let silent = zero_out_channels(network.clone(), &axes, units).expect("they are its axes");
        let mut group = self.criterion.benchmark_group("resnet56");
        group.sample_size(20);
        group.bench_function("one image", |b| b.iter(|| model.forward(image.clone())));
        group.bench_function("trace", |b| b.iter(traced));
        group.bench_function("groups", |b| b.iter(groups));
        group.bench_function("thin", |b| {
            b.iter(|| thin(silent.clone(), PaddingEffect::KeepBorder));
        });
        group.finish();
    }
}

fn resnet56(criterion: &mut Criterion) {
    let device = Device::flex();
    let measure = Measure {
        criterion,
        device: device.clone(),
    };
    Architecture::ResNet56.build(0, &device, measure);
}

fn wide_layer(criterion: &mut Criterion) {
    let device = Device::flex();
    // The outputs of a network stay, so that another layer follows.
    let layer = |outputs| LinearConfig::new(4096, outputs).init(&device);
    let model = vec![layer(4096), layer(1)];
    let row = Tensor::<2>::zeros([1, 4096], &device);
    let forward =
        |model: &Vec<Linear>, row: Tensor<2>| model.iter().fold(row, |x, layer| layer.forward(x));
    let network = trace(&model, row, forward).expect("it can be traced");
    let axes = network.graph().axes().expect("the graph is sound");
    let mut groups = axes.groups().iter();
    let group = groups.position(|group| group.units.len() == 4096);
    let group = group.expect("the layer has 4096 outputs");
    let units: Vec<_> = (0..4096)
        .filter(|unit| unit % 10 < 3)
        .map(|unit| UnitId { group, unit })
        .collect();
    criterion.bench_function("zero units of 4096 x 4096", |b| {
        b.iter(|| {
            zero_out_channels(network.clone(), &axes, units.clone()).expect("they are its axes")
        });
    });
}

criterion_group!(benches, resnet56, wide_layer);
criterion_main!(benches);
