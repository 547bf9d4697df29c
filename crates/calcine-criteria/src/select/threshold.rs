use burn::tensor::{Bool, Tensor};

use super::{Candidate, Select};

/// Keeps scores above a threshold: `score > τ`, with τ the amount, rounded to `f32` first.
///
/// A score equal to τ is dropped, and so is a NaN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Threshold;

impl Select for Threshold {
    fn keep(&self, candidates: &[Candidate], amount: f64) -> Vec<Tensor<1, Bool>> {
        let keep = |candidate: &Candidate| candidate.scores.values().greater_scalar(amount as f32);
        candidates.iter().map(keep).collect()
    }
}
