//! What the benches share: shapes, inputs, and a training step of Burn's own.

use std::time::Instant;

use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer, SgdConfig};
use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use calcine::quantize::Method;
use calcine::trace::{Network, trace};
use calcine::zoo::{Classifier, ResNet, ResNetConfig};
use mimalloc::MiMalloc;

/// As in the reference runs: the system's allocator gives what a round took back to the kernel, and the next is
/// measured filling fresh pages.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Images of a step: few enough to time many steps. What compression adds to a step does not depend on
/// the batch, so this is its worst case.
pub const BATCH: usize = 32;

/// Rounds of two things that are timed in turn, after warming up.
pub const ROUNDS: usize = 7;

/// Images and their classes.
pub type Batch = (Tensor<4>, Tensor<1, Int>);

/// A batch of grey images, all of one class: a step takes as long as with any other.
#[must_use]
pub fn batch(device: &Device) -> Batch {
    batch_of(BATCH, device)
}

/// The same of so many images.
#[must_use]
pub fn batch_of(count: usize, device: &Device) -> Batch {
    let x = Tensor::full([count, 3, 32, 32], 0.1, device);
    (x, Tensor::zeros([count], device))
}

/// An untrained ResNet-20, in training.
#[must_use]
pub fn resnet(device: &Device) -> ResNet {
    let model = ResNetConfig::new(20).init(device);
    model.expect("20 is a depth").train()
}

/// A traced ResNet-20 in evaluation.
#[must_use]
pub fn network() -> Network {
    let device = Device::flex();
    let model = ResNetConfig::new(20).init(&device).expect("20 is a depth");
    let sample = Tensor::zeros([1, 3, 32, 32], &device);
    trace(&model.valid(), sample, |model, images| {
        model.forward(images)
    })
    .expect("it traces")
}

/// So many images, the same every time.
#[must_use]
pub fn images(count: usize) -> Tensor<4> {
    let numbers = (0..count * 3072).map(|i| (i * 7919 % 255) as f32 / 127.5 - 1.0);
    let shape = [count, 3, 32, 32];
    let data = TensorData::new(numbers.collect::<Vec<_>>(), shape);
    Tensor::from_data(data, &Device::flex())
}

/// The methods of quantization-aware training, each with its name on the command line and in words.
#[must_use]
pub fn methods() -> [(&'static str, &'static str, Method); 5] {
    [
        ("lsq", "learned steps", Method::Lsq),
        ("linear", "moving ranges", Method::Linear { decay: 0.99 }),
        ("dorefa", "DoReFa", Method::Dorefa),
        ("pact", "PACT", Method::Pact),
        ("wrpn", "WRPN", Method::Wrpn),
    ]
}

/// Cross entropy.
#[must_use]
pub fn objective<M: Classifier>(model: &M, (x, y): Batch) -> (Tensor<1>, ()) {
    let [n] = y.dims();
    let picked = activation::log_softmax(model.forward(x), 1).gather(1, y.reshape([n, 1]));
    (picked.mean().neg(), ())
}

/// A model and a plain optimizer.
#[must_use]
pub fn trained<M: Module>(model: M) -> (M, ModuleOptimizer) {
    (model, SgdConfig::new().init())
}

/// One step of Burn's bare loop further.
#[must_use]
pub fn step<M: Classifier>(
    (model, mut optimizer): (M, ModuleOptimizer),
    batch: Batch,
) -> (M, ModuleOptimizer) {
    let (loss, ()) = objective(&model, batch);
    let gradients = GradientsParams::from_grads(loss.backward(), &model);
    (optimizer.step(0.01, model, gradients), optimizer)
}

/// Burn's bare training step.
#[allow(missing_debug_implementations, reason = "Burn's optimizer has none")]
pub struct Bare {
    model: ResNet,
    optimizer: ModuleOptimizer,
}

impl Bare {
    /// A model and its optimizer.
    #[must_use]
    pub fn new(model: ResNet, optimizer: ModuleOptimizer) -> Self {
        Self { model, optimizer }
    }

    /// One step further.
    #[must_use]
    pub fn step(self, batch: Batch) -> Self {
        let (model, optimizer) = step((self.model, self.optimizer), batch);
        Self { model, optimizer }
    }
}

/// Shapes of ResNet-50's weights: 25,502,912 in 54 tensors.
#[must_use]
pub fn resnet50() -> Vec<Vec<usize>> {
    let mut shapes = vec![vec![64, 3, 7, 7]];
    let mut input = 64;
    for (blocks, width) in [(3, 64), (4, 128), (6, 256), (3, 512)] {
        for block in 0..blocks {
            shapes.push(vec![width, input, 1, 1]);
            shapes.push(vec![width, width, 3, 3]);
            shapes.push(vec![4 * width, width, 1, 1]);
            if block == 0 {
                shapes.push(vec![4 * width, input, 1, 1]);
            }
            input = 4 * width;
        }
    }
    shapes.push(vec![1000, 2048]);
    shapes
}

/// Shapes of ResNet-20's weights: 270,896 in 22 tensors.
#[must_use]
pub fn resnet20() -> Vec<Vec<usize>> {
    let mut shapes = vec![vec![16, 3, 3, 3]];
    let mut input = 16;
    for width in [16, 32, 64] {
        for block in 0..3 {
            shapes.push(vec![width, input, 3, 3]);
            shapes.push(vec![width, width, 3, 3]);
            if block == 0 && width != input {
                shapes.push(vec![width, input, 1, 1]);
            }
            input = width;
        }
    }
    shapes.push(vec![10, 64]);
    shapes
}

/// Flat weights of these shapes, roughly normal, the same every time.
#[must_use]
pub fn weights(shapes: &[Vec<usize>], device: &Device) -> Vec<Tensor<1>> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut uniform = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    let mut weight = |shape: &Vec<usize>| {
        let count = shape.iter().product();
        let values: Vec<f32> = (0..count)
            .map(|_| uniform() + uniform() + uniform())
            .collect();
        Tensor::from_data(TensorData::new(values, [count]), device)
    };
    shapes.iter().map(&mut weight).collect()
}

/// Times two things in turn, and prints the medians and that of the ratios.
#[allow(clippy::print_stdout, reason = "a bench prints what it measured")]
pub fn in_turn(name: &str, mut base: impl FnMut(), mut own: impl FnMut()) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn total(shapes: &[Vec<usize>]) -> usize {
        shapes
            .iter()
            .map(|shape| shape.iter().product::<usize>())
            .sum()
    }

    #[test]
    fn the_shapes_are_those_of_the_published_networks() {
        assert_eq!((resnet20().len(), total(&resnet20())), (22, 270_896));
        assert_eq!((resnet50().len(), total(&resnet50())), (54, 25_502_912));
    }
}
