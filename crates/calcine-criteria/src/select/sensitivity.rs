use burn::tensor::{Bool, Tensor};

use super::{Candidate, Reference, Select};

/// Keeps units whose score exceeds a multiple of the standard deviation of the weight: `score > s·σ`, where s is the amount.
///
/// σ is the unbiased standard deviation of the signed weights. It is either [frozen](Self::FROZEN) at the first selection, as in
/// Distiller, so that the threshold stays while weights shrink below it, or [refreshed](Self::REFRESHED) at each selection. With
/// normally distributed weights, s = 1 drops 68.27 % at first. The method follows Han et al. (2015), who raise the threshold
/// in each round.
///
/// A parameter of one element has σ = 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sensitivity {
    reference: Reference,
}

impl Sensitivity {
    /// σ is that of the first selection.
    pub const FROZEN: Self = Self {
        reference: Reference::Frozen,
    };
    /// σ is that of the current weights.
    pub const REFRESHED: Self = Self {
        reference: Reference::Refreshed,
    };
}

impl Select for Sensitivity {
    fn reference(&self) -> Reference {
        self.reference
    }

    /// σ: `[1]`.
    fn measure(&self, weight: &Tensor<2>, _: &Tensor<1>) -> Option<Tensor<1>> {
        let [units, members] = weight.dims();
        Some(super::deviation(weight.clone().reshape([units * members])))
    }

    fn keep(&self, candidates: &[Candidate], amount: f64) -> Vec<Tensor<1, Bool>> {
        let keep = |candidate: &Candidate| {
            let sigma = candidate.expect_reference();
            let scores = candidate.scores.values();
            scores.greater(sigma.mul_scalar(amount as f32))
        };
        candidates.iter().map(keep).collect()
    }
}
