use burn::tensor::Tensor;

use super::{Evidence, Needs, Score, row_sums};

/// Connection sensitivity: `Σ|w_i·g_i|`.
///
/// The magnitude of the gradient of a 0/1 gate at each weight, which is `w·g` (SNIP; Lee et al., 2019).
/// It is intended for pruning once, at initialization, with scores averaged over several batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Snip;

impl Score for Snip {
    fn needs(&self) -> Needs {
        Needs::Gradient
    }

    fn score(&self, evidence: &Evidence) -> Tensor<1> {
        row_sums(evidence.weight_times_gradient().abs())
    }
}
