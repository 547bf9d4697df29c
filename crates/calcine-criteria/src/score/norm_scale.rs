use burn::tensor::Tensor;

use super::{Evidence, Needs, Score};

/// The magnitude of the scale of a unit in the normalization behind the layer: `|γ|`.
///
/// Network slimming (Liu et al., 2017): train with an L1 penalty on the scales, then drop the filters with
/// the smallest scales in all layers. Only for filters, because each unit must have one scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NormScale;

impl Score for NormScale {
    fn needs(&self) -> Needs {
        Needs::NormScale
    }

    fn score(&self, evidence: &Evidence) -> Tensor<1> {
        let scale = evidence.norm_scale.clone();
        scale
            .expect("this score needs the scale of the norm: see `Score::needs`")
            .abs()
    }
}
