use burn::tensor::{Bool, Tensor};

use super::{Candidate, Reference, Select};

/// Keeps scores above a multiple of the weight's standard deviation: `score > s·σ`, with s the amount.
///
/// σ is the unbiased deviation of the signed weights. [Frozen](Self::FROZEN) at the first selection, the
/// threshold stays while survivors shrink below it, as in Distiller; [refreshed](Self::REFRESHED), it
/// follows the weights. Of normally distributed weights, s = 1 drops 68.27 % at first. After Han et al.
/// (2015), whose thesis lets the threshold grow each round.
///
/// A parameter of one element has σ = 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sensitivity {
    reference: Reference,
}

impl Sensitivity {
    /// σ of the first selection.
    pub const FROZEN: Self = Self {
        reference: Reference::Frozen,
    };
    /// σ of the weights as they are.
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
