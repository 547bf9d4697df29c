//! All integration tests of the crate, as one binary.

#![allow(
    clippy::unwrap_used,
    reason = "tests panic; clippy exempts only the test functions"
)]

mod computes;
mod errors;
mod files;
mod kernels;
mod malformed;
mod momentum;
mod names;
mod operator_table;
mod order;
mod properties;
mod refused;
mod replay;
mod rows;
mod trains;
mod weights;

use burn::tensor::Tensor;
use calcine_testkit::numbers;

/// The largest difference of two tensors.
fn difference<const D: usize>(a: &Tensor<D>, b: &Tensor<D>) -> f32 {
    assert_eq!(a.dims(), b.dims());
    (a.clone() - b.clone()).abs().max().into_scalar::<f32>()
}
