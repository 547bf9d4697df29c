use burn::tensor::Tensor;

use super::norm::Norm;
use super::scores::Scores;
use super::{Evidence, Score};

/// The mean magnitude of the weights of a unit.
///
/// ```text
/// score(w) = Σ|w_i| / n
/// ```
///
/// The criterion of Han et al. (2015) for elements, and of Li et al. (2017) for filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Magnitude;

impl Score for Magnitude {
    fn score(&self, evidence: &Evidence) -> Tensor<1> {
        Norm::L1.length_normalised().score(evidence)
    }

    fn deferred(&self, evidence: &Evidence) -> Scores {
        Norm::L1.length_normalised().deferred(evidence)
    }
}
