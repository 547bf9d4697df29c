use burn::tensor::{Bool, Tensor};

use super::{Candidate, Select};

/// Keeps units with a score above a threshold: `score > τ`, where τ is the amount, rounded to `f32`.
///
/// Units with a score equal to τ or NaN are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Threshold;

impl Select for Threshold {
    fn keep(&self, candidates: &[Candidate], amount: f64) -> Vec<Tensor<1, Bool>> {
        let keep = |candidate: &Candidate| candidate.scores.values().greater_scalar(amount as f32);
        candidates.iter().map(keep).collect()
    }
}
