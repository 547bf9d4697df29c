use burn::tensor::{Bool, Tensor};

use super::smallest::drop_smallest;
use super::{Candidate, Select};

/// Drops exactly ⌊f·N⌋ of the N units of each parameter, those with the smallest scores.
///
/// f is the amount, clamped to [0, 1]; the product is taken in `f64`. Among equal scores the lowest
/// index is dropped first. Scores below the smallest normal `f32` count as zero, a NaN as infinite.
/// The result is the same bit for bit on every device for equal scores.
///
/// With AGP's cubic curve as the amount this is automated gradual pruning (Zhu and Gupta, 2017).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Level;

impl Select for Level {
    fn keep(&self, candidates: &[Candidate], amount: f64) -> Vec<Tensor<1, Bool>> {
        let keep = |candidate: &Candidate| {
            let scores = candidate.scores.clone();
            let count = units_to_drop(scores.dims()[0], amount);
            drop_smallest(vec![scores], count).remove(0)
        };
        candidates.iter().map(keep).collect()
    }
}

/// ⌊f·N⌋.
pub(super) fn units_to_drop(units: usize, level: f64) -> usize {
    ((level * units as f64) as usize).min(units)
}
