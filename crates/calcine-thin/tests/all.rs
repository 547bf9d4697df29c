//! All integration tests of the crate, as one binary.

#![allow(
    clippy::unwrap_used,
    reason = "tests panic; clippy exempts only the test functions"
)]

mod choosing;
mod computed;
mod constants;
#[path = "../../calcine-trace/tests/operator_table.rs"]
mod operator_table;
mod operators;
mod parts;
mod patterns;
mod plans;
mod products;
mod pruning;
mod random;
mod reports;
mod rows;
mod theorem;

use burn::tensor::Tensor;
use calcine_testkit::numbers;

/// The largest difference of two tensors, in parts of the largest element if that is more than 1.
fn difference<const D: usize>(a: &Tensor<D>, b: &Tensor<D>) -> f32 {
    assert_eq!(a.dims(), b.dims());
    let scale = a.clone().abs().max().into_scalar::<f32>().max(1.0);
    (a.clone() - b.clone()).abs().max().into_scalar::<f32>() / scale
}
