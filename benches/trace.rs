//! Tracing ResNet-56, finding which of its channels go together, and thinning half of them, beside one image
//! through the model itself. The target for tracing and groups is 100 ms together.
#![allow(
    missing_docs,
    reason = "criterion's macros generate undocumented items"
)]

use burn::tensor::{Device, Tensor};
use calcine::criteria::Norm;
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
            b.iter(|| thin(silent.clone(), PaddingEffect::KeepBorder))
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

criterion_group!(benches, resnet56);
criterion_main!(benches);
