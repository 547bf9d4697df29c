use burn::tensor::{Bool, Tensor};

use super::{Candidate, Select};

/// Keeps scores above a multiple of the weight's standard deviation: `score > s·σ`, with s the amount.
///
/// σ is the unbiased deviation of the signed weights, measured at the first selection and frozen, so
/// that the threshold stays while survivors shrink below it. Of normally distributed weights, s = 1
/// drops 68.27 % at first. After Han et al. (2015), whose thesis lets the threshold grow each round.
///
/// A parameter of one element has σ = 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sensitivity;

impl Select for Sensitivity {
    fn reference(&self, weight: &Tensor<2>, _: &Tensor<1>) -> Option<Tensor<1>> {
        Some(deviation(weight.clone()))
    }

    fn keep(&self, candidates: &[Candidate], amount: f64) -> Vec<Tensor<1, Bool>> {
        let keep = |candidate: &Candidate| {
            let sigma = candidate
                .reference
                .clone()
                .expect("the reference of a sensitivity is σ");
            candidate
                .scores
                .clone()
                .greater(sigma.mul_scalar(amount as f32))
        };
        candidates.iter().map(keep).collect()
    }
}

/// The unbiased standard deviation of all elements: `[1]`.
fn deviation(weight: Tensor<2>) -> Tensor<1> {
    let count: usize = weight.dims().iter().product();
    let flat = weight.reshape([count]);
    let mean = flat.clone().mean();
    (flat - mean)
        .square()
        .sum()
        .div_scalar(count.saturating_sub(1).max(1) as f64)
        .sqrt()
}
