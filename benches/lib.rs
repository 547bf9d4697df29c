//! What the benches share: shapes, inputs, and a training step of Burn's own.

use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use calcine::zoo::{ResNet, ResNetConfig};
use mimalloc::MiMalloc;

/// As in the reference runs: the system's allocator gives what a round took back to the kernel, and the next is
/// measured filling fresh pages.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Images of a step: few enough to time many steps. What compression adds to a step does not depend on
/// the batch, so this is its worst case.
pub const BATCH: usize = 32;

/// Images and their classes.
pub type Batch = (Tensor<4>, Tensor<1, Int>);

/// A batch of grey images, all of one class: a step takes as long as with any other.
#[must_use]
pub fn batch(device: &Device) -> Batch {
    let x = Tensor::full([BATCH, 3, 32, 32], 0.1, device);
    (x, Tensor::zeros([BATCH], device))
}

/// An untrained ResNet-20, in training.
#[must_use]
pub fn resnet(device: &Device) -> ResNet {
    let model = ResNetConfig::new(20).init(device);
    model.expect("20 is a depth").train()
}

/// Cross entropy.
#[must_use]
pub fn objective(model: &ResNet, (x, y): Batch) -> (Tensor<1>, ()) {
    let [n] = y.dims();
    let picked = activation::log_softmax(model.forward(x), 1).gather(1, y.reshape([n, 1]));
    (picked.mean().neg(), ())
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
    pub fn step(mut self, batch: Batch) -> Self {
        let (loss, ()) = objective(&self.model, batch);
        let gradients = GradientsParams::from_grads(loss.backward(), &self.model);
        self.model = self.optimizer.step(0.01, self.model, gradients);
        self
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
