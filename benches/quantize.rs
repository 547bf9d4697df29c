//! What quantization costs: fake-quantization of ResNet-50's weights (`peers/` holds PyTorch's), calibration of
//! ResNet-20 beside plain inference, and a quantization-aware step beside the plain step, each pair timed in turn.
#![allow(
    missing_docs,
    reason = "criterion's macros generate undocumented items"
)]
#![allow(clippy::print_stdout, reason = "a bench prints what it measured")]

use std::hint::black_box;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use calcine::quant::{Quantizer, Scheme, fake_quantize, fake_quantize_rows};
use calcine::quantize::{Calibration, QatNetwork, QuantizationSettings};
use calcine_benches::{
    BATCH, ROUNDS, batch, images, in_turn, methods, network, resnet50, step, trained, weights,
};
use criterion::{Criterion, criterion_group, criterion_main};

fn fake(criterion: &mut Criterion) {
    let device = Device::flex().autodiff();
    let shapes = resnet50();
    let weights = weights(&shapes, &device);
    let quantizer = Quantizer::from_range(-1.5, 1.5, 8, Scheme::Symmetric).expect("a quantizer");
    let mut group = criterion.benchmark_group("fake-quantize resnet50");
    group.sample_size(10);
    let inference: Vec<Tensor<1>> = (weights.iter().cloned())
        .map(Tensor::without_autodiff)
        .collect();
    group.bench_function("per tensor, forward", |bencher| {
        bencher.iter(|| {
            let done: Vec<_> = inference
                .iter()
                .map(|w| fake_quantize(w.clone(), &quantizer))
                .collect();
            black_box(done)
        });
    });
    group.bench_function("per tensor, forward and backward", |bencher| {
        bencher.iter(|| {
            for weight in &weights {
                let weight = weight.clone().require_grad();
                let loss = fake_quantize(weight.clone(), &quantizer).sum();
                black_box(weight.grad(&loss.backward()));
            }
        });
    });
    group.bench_function("per channel, forward and backward", |bencher| {
        bencher.iter(|| {
            for (weight, shape) in weights.iter().zip(&shapes) {
                let members = shape[1..].iter().product();
                let rows = weight.clone().reshape([shape[0], members]).require_grad();
                let loss = fake_quantize_rows(rows.clone(), 8).sum();
                black_box(rows.grad(&loss.backward()));
            }
        });
    });
    group.finish();
}

fn pairs(_: &mut Criterion) {
    let network = network();
    let batches: Vec<Tensor<4>> = (0..10).map(|_| images(100)).collect();
    in_turn(
        "calibrating ResNet-20 on 1,000 images, beside inference",
        || {
            for batch in &batches {
                let logits: Tensor<2> = network.forward(batch.clone());
                black_box(logits.into_data());
            }
        },
        || {
            black_box(Calibration::collect(&network, &batches).expect("it calibrates"));
        },
    );
    let calibration = Calibration::collect(&network, &batches[..1]).expect("it calibrates");
    let batch = batch(&Device::flex().autodiff());
    for (_, name, method) in methods() {
        let qat = QatNetwork::new(
            network.clone(),
            &calibration,
            &QuantizationSettings::default(),
            method,
        );
        let qat = qat.expect("it is quantized for training").train();
        let mut plain = Some(trained(network.clone().train()));
        let mut qat = Some(trained(qat));
        in_turn(
            &format!(
                "an 8-bit quantization-aware step of ResNet-20 ({name}), beside the plain step"
            ),
            || plain = plain.take().map(|plain| step(plain, batch.clone())),
            || qat = qat.take().map(|qat| step(qat, batch.clone())),
        );
    }
    println!("(batch {BATCH}, medians of {ROUNDS} in turn)");
}

criterion_group!(benches, fake, pairs);
criterion_main!(benches);
