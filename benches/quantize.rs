//! What quantization costs: fake-quantization of ResNet-50's weights (`peers/` holds PyTorch's), calibration of
//! ResNet-20 beside plain inference, and a quantization-aware step beside the plain step, each pair timed in turn.
#![allow(
    missing_docs,
    reason = "criterion's macros generate undocumented items"
)]
#![allow(clippy::print_stdout, reason = "a bench prints what it measured")]

use std::hint::black_box;
use std::time::Instant;

use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer, SgdConfig};
use burn::tensor::{Device, Tensor, TensorData};
use calcine::quant::{Quantizer, Scheme, fake_quantize, fake_quantize_rows};
use calcine::quantize::{Calibration, Method, QatNetwork, QuantizationSettings};
use calcine::trace::{Network, trace};
use calcine::zoo::{Classifier, ResNetConfig};
use calcine_benches::{BATCH, Batch, batch, resnet50, weights};
use criterion::{Criterion, criterion_group, criterion_main};

/// Rounds of each pair after warming up.
const ROUNDS: usize = 7;

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

/// A traced ResNet-20 in evaluation.
fn network() -> Network {
    let device = Device::flex();
    let model = ResNetConfig::new(20).init(&device).expect("20 is a depth");
    let sample = Tensor::zeros([1, 3, 32, 32], &device);
    trace(&model.valid(), sample, |model, images| {
        model.forward(images)
    })
    .expect("it traces")
}

fn images(count: usize) -> Tensor<4> {
    let numbers = (0..count * 3072).map(|i| (i * 7919 % 255) as f32 / 127.5 - 1.0);
    let shape = [count, 3, 32, 32];
    Tensor::from_data(
        TensorData::new(numbers.collect::<Vec<_>>(), shape),
        &Device::flex(),
    )
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
    for (name, method) in [
        ("learned steps", Method::Lsq),
        ("moving ranges", Method::Linear { decay: 0.99 }),
        ("DoReFa", Method::Dorefa),
        ("PACT", Method::Pact),
        ("WRPN", Method::Wrpn),
    ] {
        let qat = QatNetwork::new(
            network.clone(),
            &calibration,
            &QuantizationSettings::default(),
            method,
        );
        let qat = qat.expect("it is quantized for training").train();
        let mut plain = Some((network.clone().train(), SgdConfig::new().init()));
        let mut qat = Some((qat, SgdConfig::new().init()));
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

fn step<M: Classifier>(
    (model, mut optimizer): (M, ModuleOptimizer),
    (x, y): Batch,
) -> (M, ModuleOptimizer) {
    let [n] = y.dims();
    let logits = burn::tensor::activation::log_softmax(model.forward(x), 1);
    let loss = logits.gather(1, y.reshape([n, 1])).mean().neg();
    let gradients = GradientsParams::from_grads(loss.backward(), &model);
    (optimizer.step(0.01, model, gradients), optimizer)
}

fn in_turn(name: &str, mut base: impl FnMut(), mut own: impl FnMut()) {
    let seconds = |run: &mut dyn FnMut()| {
        let began = Instant::now();
        run();
        began.elapsed().as_secs_f64()
    };
    base();
    own();
    let rounds: Vec<[f64; 2]> = (0..ROUNDS)
        .map(|_| [seconds(&mut base), seconds(&mut own)])
        .collect();
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let [before, after] = [0, 1].map(|at| median(rounds.iter().map(|round| round[at]).collect()));
    let ratio = median(rounds.iter().map(|[base, own]| own / base).collect());
    println!("{name}: {before:.3} s, {after:.3} s, ratio {ratio:.2}");
}

criterion_group!(benches, fake, pairs);
criterion_main!(benches);
