//! All integration tests of the crate, as one binary.

#![allow(
    clippy::unwrap_used,
    clippy::float_cmp,
    reason = "tests panic, and what is exact is compared exactly"
)]

mod fake;
mod golden;
mod golden_layers;
mod observing;

use burn::tensor::Tensor;

fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}
