//! Counts that stay exact in `f32` for any size and number of batches.
//!
//! A count is `low + high · 2²⁰`, stored as two vectors of whole numbers. A batch is counted in integers, up to 2³¹.
//! What exceeds 2²⁰ is carried to `high`, so all numbers stay below 2²⁴, where `f32` is exact, and sums up to 2⁴⁴ are
//! possible.

use burn::tensor::{Int, Tensor};

const STEP: f64 = 1_048_576.0;

/// The counts of a batch as `[low, high]`.
pub(crate) fn split(count: Tensor<1, Int>) -> Vec<Tensor<1>> {
    let high = count.clone().div_scalar(STEP as i64);
    let low = count - high.clone().mul_scalar(STEP as i64);
    vec![low.float(), high.float()]
}

/// The sum of two counts.
pub(crate) fn add(all: Vec<Tensor<1>>, one: Vec<Tensor<1>>) -> Vec<Tensor<1>> {
    let mut sums = all.into_iter().zip(one).map(|(all, one)| all + one);
    match (sums.next(), sums.next()) {
        (Some(low), Some(high)) => carried(low, high),
        _ => Vec::new(),
    }
}

/// The counts as integers.
pub(crate) fn total(vectors: &[Vec<f64>]) -> Vec<u64> {
    let [low, high] = vectors else {
        return Vec::new();
    };
    let both = low.iter().zip(high);
    both.map(|(low, high)| (low + high * STEP) as u64).collect()
}

fn carried(low: Tensor<1>, high: Tensor<1>) -> Vec<Tensor<1>> {
    let carry = low.clone().div_scalar(STEP).floor();
    vec![low - carry.clone().mul_scalar(STEP), high + carry]
}
