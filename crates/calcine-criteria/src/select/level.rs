use burn::tensor::{Bool, Tensor};

use super::count::Count;
use super::smallest::{drop_smallest, drop_smallest_of_each};
use super::{Candidate, Select};

/// Drops exactly ⌊f·N⌋ of the N units of each parameter, those with the smallest scores.
///
/// f is the amount, clamped to [0, 1]; [`Count`] defines the rounding. Among equal scores, the lowest index is dropped first.
/// Scores below the smallest normal `f32` count as zero, and NaN as infinite. For equal scores, the result is bit-identical on
/// every device.
///
/// With the cubic curve of AGP as the amount, this is automated gradual pruning (Zhu and Gupta, 2017).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Level {
    /// The conversion of a level to a number of units.
    pub count: Count,
}

impl Select for Level {
    fn keep(&self, candidates: &[Candidate], amount: f64) -> Vec<Tensor<1, Bool>> {
        let vector = |candidate: &Candidate| {
            let scores = candidate.scores.clone();
            let count = self.count.to_drop(scores.units(), amount);
            (scores, count)
        };
        drop_smallest_of_each(candidates.iter().map(vector).collect())
    }

    fn to_drop(&self, units: &[usize], amount: f64) -> Option<usize> {
        Some(units.iter().map(|&n| self.count.to_drop(n, amount)).sum())
    }
}

/// The decision for one parameter.
pub(super) fn drop_level(candidate: &Candidate, count: Count, level: f64) -> Tensor<1, Bool> {
    let scores = candidate.scores.clone();
    let count = count.to_drop(scores.units(), level);
    drop_smallest(vec![scores], count).remove(0)
}
