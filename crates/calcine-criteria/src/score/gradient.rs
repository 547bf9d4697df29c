use burn::tensor::Tensor;

use super::{Evidence, Needs, Score, row_sums};

/// The magnitude of the gradient: `Σ|g_i|`.
///
/// The growth criterion of `RigL` (Evci et al., 2020): among the weights that are zero, those with the largest gradient would
/// change the loss most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Gradient;

impl Score for Gradient {
    fn needs(&self) -> Needs {
        Needs::Gradient
    }

    fn score(&self, evidence: &Evidence) -> Tensor<1> {
        row_sums(evidence.expect_gradient().abs())
    }
}
