use burn::tensor::Tensor;

use super::{Evidence, Needs, Score, row_sums};

/// The second-order change of the loss at a minimum, with a diagonal Hessian: `½ Σ w_i²·g_i²`.
///
/// Optimal brain damage (LeCun et al., 1990), with the Hessian's diagonal estimated by squared gradients,
/// the empirical Fisher information. Average the scores of many batches: the mean of `g²` is the estimate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SecondOrder;

impl Score for SecondOrder {
    fn needs(&self) -> Needs {
        Needs::Gradient
    }

    fn score(&self, evidence: &Evidence) -> Tensor<1> {
        row_sums(evidence.weight_times_gradient().square()).mul_scalar(0.5)
    }
}
