use burn::tensor::Tensor;

use super::{Activity, Evidence, Needs, Score};

/// The mean of a unit's activations, over all positions of all samples.
///
/// A filter that is weak on average goes first (Molchanov et al., 2017). Distiller's *mean activation*
/// ranking drops the strongest ones, which is not what the cited method does.
///
/// A unit whose weights are all zero scores lowest, as under [`Apoz`](super::Apoz).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MeanActivation;

impl Score for MeanActivation {
    fn needs(&self) -> Needs {
        Needs::Activity(Activity::Mean)
    }

    fn score(&self, evidence: &Evidence) -> Tensor<1> {
        let lowest = f32::MIN;
        evidence
            .expect_activity()
            .mask_fill(evidence.is_dead(), lowest)
    }
}
