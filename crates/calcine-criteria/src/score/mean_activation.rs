use burn::tensor::Tensor;

use super::{Activity, Evidence, Needs, Score};

/// The mean of the activations of a unit, over all positions of all samples.
///
/// Filters with the smallest mean activation are dropped first (Molchanov et al., 2017). Distiller's *mean activation*
/// ranking drops those with the largest, unlike the cited method.
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
