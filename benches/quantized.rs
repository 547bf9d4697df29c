//! The hot paths of quantization, one figure a run, so that two builds can be measured in turn (`compare.sh`).
//!
//! `quantized forward` prints the time of `Quantized::forward` of ResNet-20 over 128 images, by the engine and by Burn's operations, `quantized step METHOD` that
//! of a training step of a quantization-aware ResNet-20 over 32 images, `quantized plain` that of the float network, and `quantized memory` the peak memory that a
//! forward pass of 128 images adds. Without arguments it prints all of them.
#![allow(missing_docs, reason = "a bench is a program")]
#![allow(clippy::print_stdout, reason = "a bench prints what it measured")]

use std::hint::black_box;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use calcine::quantize::{
    Calibration, Method, QatNetwork, QuantizationSettings, Quantized, quantize,
};
use calcine::trace::AnyTensor;
use calcine_benches::{batch, images, methods, network, trained};

/// Images of a forward pass.
const IMAGES: usize = 128;

/// Repetitions of a forward pass or a step, after two that are not counted.
const ROUNDS: usize = 9;

fn quantized() -> Quantized {
    let network = network();
    let calibration = Calibration::collect(&network, &[images(20)]).expect("it calibrates");
    quantize(&network, &calibration, &QuantizationSettings::default()).expect("it is quantized")
}

/// Prints the least and the median time of a round, in milliseconds.
fn time(name: &str, mut round: impl FnMut()) {
    round();
    round();
    let times = (0..ROUNDS).map(|_| {
        let began = Instant::now();
        round();
        began.elapsed().as_secs_f64() * 1e3
    });
    let mut times: Vec<f64> = times.collect();
    times.sort_by(f64::total_cmp);
    println!(
        "{name}: {:.1} ms, at least {:.1} ms",
        times[ROUNDS / 2],
        times[0]
    );
}

fn forward() {
    let (quantized, images) = (quantized(), images(IMAGES));
    time("forward", || {
        let logits: Tensor<2> = quantized.forward(images.clone());
        black_box(logits.into_data());
    });
    time("forward by Burn's operations", || {
        let inputs = vec![AnyTensor::from(images.clone())];
        let logits = quantized.run(inputs, &mut |_, _| {});
        for logits in logits.expect("the images fit") {
            black_box(logits.into_data());
        }
    });
}

/// The largest resident memory of this process so far, in MiB, since it was last cleared.
fn peak() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes / 1024.0)
}

fn memory() {
    let (quantized, images) = (quantized(), images(IMAGES));
    let one = images.clone().narrow(0, 0, 1);
    black_box(quantized.forward::<_, Tensor<2>>(one).into_data());
    // Linux begins to count anew.
    let cleared = std::fs::write("/proc/self/clear_refs", "5").is_ok();
    let before = peak();
    black_box(quantized.forward::<_, Tensor<2>>(images).into_data());
    match (before, peak()) {
        (Some(before), Some(after)) if cleared => {
            println!("memory: {:.1} MiB", after - before);
        }
        _ => println!("memory: this system does not tell"),
    }
}

fn step(name: &str, method: Method) {
    let network = network();
    let calibration = Calibration::collect(&network, &[images(20)]).expect("it calibrates");
    let qat = QatNetwork::new(
        network,
        &calibration,
        &QuantizationSettings::default(),
        method,
    );
    let qat = qat.expect("it is prepared").train();
    let mut qat = Some(trained(qat));
    let batch = batch(&Device::flex().autodiff());
    time(&format!("step {name}"), || {
        qat = qat
            .take()
            .map(|qat| calcine_benches::step(qat, batch.clone()));
    });
}

/// A training step of the network that is not quantized, for comparison.
fn plain() {
    let mut plain = Some(trained(network().train()));
    let batch = batch(&Device::flex().autodiff());
    time("step plain", || {
        plain = plain
            .take()
            .map(|plain| calcine_benches::step(plain, batch.clone()));
    });
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let wanted = |name: &str| {
        let mut named = arguments.iter().filter(|a| !a.starts_with("--")).peekable();
        named.peek().is_none() || named.any(|argument| argument == name)
    };
    if wanted("memory") {
        memory();
    }
    if wanted("forward") {
        forward();
    }
    if wanted("plain") {
        plain();
    }
    for (name, _, method) in methods() {
        if wanted("step") || wanted(name) {
            step(name, method);
        }
    }
}
