use burn::tensor::Tensor;

use super::{Activity, Evidence, Needs, Score};

/// How often a unit is active: the share of its activations that are not zero.
///
/// ```text
/// score = 1 − APoZ        APoZ = #{x = 0} / #x
/// ```
///
/// over all positions of all samples, after the activation function. A filter whose relu hardly ever
/// lets anything through says little (Hu et al., 2016): the highest average percentage of zeros goes
/// first. For filters and outputs of linear layers, behind an activation function that gives zeros.
///
/// A unit whose weights are all zero scores −1, below all others: it gives the constant of its norm or bias,
/// which says nothing of it, and what was dropped stays dropped.
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
