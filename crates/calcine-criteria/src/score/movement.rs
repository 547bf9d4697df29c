use burn::tensor::Tensor;

use super::{Evidence, Needs, Score, row_sums};

/// How much training moves a weight away from zero: `−Σ w_i·g_i`.
///
/// With scores that are averaged over all steps of a fine-tuning, weights that shrink are dropped, whether they are small or
/// large (movement pruning; Sanh et al., 2020).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Movement;

impl Score for Movement {
    fn needs(&self) -> Needs {
        Needs::Gradient
    }

    fn score(&self, evidence: &Evidence) -> Tensor<1> {
        row_sums(evidence.weight_times_gradient()).neg()
    }
}
