use burn::tensor::{Bool, Tensor};

use super::{Candidate, Reference, Select};

/// Drops units below a low threshold, restores units above a high one, and leaves those in between unchanged.
///
/// ```text
/// t    = μ + s·σ                     mean and unbiased deviation of the scores, s the amount
/// a, b = t·low, t·high, the smaller one first (if t is negative, this is t·high)
/// keep = score ≥ b  or  (kept before and score ≥ a)
/// ```
///
/// μ and σ are measured at the first selection and then frozen; before it, everything is kept. This is dynamic network surgery
/// (Guo et al., 2016), *splicing* in Distiller. The dense weights should continue to train behind the mask
/// (`Hold::Shadow`), with a selection in every step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hysteresis {
    /// Factor of the threshold below which units are dropped.
    pub low: f64,
    /// Factor of the threshold above which units are restored.
    pub high: f64,
}

impl Default for Hysteresis {
    /// `low` 0.9 and `high` 1.1.
    fn default() -> Self {
        Self {
            low: 0.9,
            high: 1.1,
        }
    }
}

impl Select for Hysteresis {
    fn reference(&self) -> Reference {
        Reference::Frozen
    }

    /// μ and σ: `[2]`.
    fn measure(&self, _: &Tensor<2>, scores: &Tensor<1>) -> Option<Tensor<1>> {
        let mean = scores.clone().mean();
        Some(Tensor::cat(vec![mean, super::deviation(scores.clone())], 0))
    }

    fn keep(&self, candidates: &[Candidate], amount: f64) -> Vec<Tensor<1, Bool>> {
        let keep = |candidate: &Candidate| {
            let reference = candidate.expect_reference();
            let (mean, sigma) = (reference.clone().slice(0..1), reference.slice(1..2));
            let threshold = mean + sigma.mul_scalar(amount);
            let scores = candidate.scores.values();
            let low = threshold.clone().mul_scalar(self.low);
            let high = threshold.mul_scalar(self.high);
            let reaches = |threshold: Tensor<1>| scores.clone().greater_equal(threshold);
            let (lower, upper) = (low.clone().min_pair(high.clone()), low.max_pair(high));
            let stays = match &candidate.kept {
                Some(kept) => kept.clone().bool_and(reaches(lower)),
                None => reaches(lower),
            };
            reaches(upper).bool_or(stays)
        };
        candidates.iter().map(keep).collect()
    }
}
