use burn::tensor::Tensor;

use super::{Activity, Evidence, Needs, Score};

/// The share of the activations of a unit that are not zero.
///
/// ```text
/// score = 1 − APoZ        APoZ = #{x = 0} / #x
/// ```
///
/// over all positions of all samples, after the activation function. Units with the highest average percentage of zeros
/// (APoZ) are dropped first (Hu et al., 2016). For filters and outputs of linear layers, behind an activation function
/// whose outputs can be zero.
///
/// A unit whose weights are all zero scores −1, below all others: its output is the constant of its norm or bias, so its
/// activations say nothing about it. Dropped units therefore stay dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Apoz;

impl Score for Apoz {
    fn needs(&self) -> Needs {
        Needs::Activity(Activity::ZeroShare)
    }

    fn score(&self, evidence: &Evidence) -> Tensor<1> {
        let active = evidence.expect_activity().neg().add_scalar(1.0);
        active.mask_fill(evidence.is_dead(), -1.0)
    }
}
