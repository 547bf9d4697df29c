use burn::tensor::{Bool, Tensor};

use super::level::units_to_drop;
use super::smallest::drop_smallest;
use super::{Candidate, Select};

/// Drops exactly ⌊f·N⌋ of the N units of *all* parameters together, those with the smallest scores.
///
/// Layers compete: one with small weights may lose most of them. Scores must be comparable between
/// layers (magnitudes, or length-normalised norms). Ties go by parameter, then by lowest index;
/// otherwise as [`Level`](super::Level).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GlobalLevel;

impl Select for GlobalLevel {
    fn keep(&self, candidates: &[Candidate], amount: f64) -> Vec<Tensor<1, Bool>> {
        let scores: Vec<_> = candidates
            .iter()
            .map(|candidate| candidate.scores.clone())
            .collect();
        let units = scores.iter().map(|scores| scores.dims()[0]).sum();
        drop_smallest(scores, units_to_drop(units, amount))
    }
}
