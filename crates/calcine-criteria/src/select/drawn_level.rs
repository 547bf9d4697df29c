use burn::tensor::{Bool, Tensor};
use rand::RngExt;

use super::count::Count;
use super::level::drop_level;
use super::{Candidate, Select};
use crate::stream::stream;

/// A random [`Level`](super::Level) for every parameter and selection, drawn uniformly from `[f, f + width)`, where f is the
/// amount.
///
/// Random numbers are drawn on the host from [`Candidate::seed`]. This is Distiller's random-level pruner; used as a
/// regularizer, it drops a varying share of the weakest filters.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct DrawnLevel {
    /// The width of the interval above the amount.
    pub width: f64,
    /// The conversion of a level to a number of units.
    pub count: Count,
}

impl Select for DrawnLevel {
    fn draws(&self) -> bool {
        true
    }

    fn keep(&self, candidates: &[Candidate], amount: f64) -> Vec<Tensor<1, Bool>> {
        let keep = |candidate: &Candidate| {
            let draw: f64 = stream(candidate.expect_seed(), "level", 0).random();
            drop_level(candidate, self.count, amount + self.width * draw)
        };
        candidates.iter().map(keep).collect()
    }

    /// The number is known if all levels in the interval give the same one.
    fn to_drop(&self, units: &[usize], amount: f64) -> Option<usize> {
        let of = |level: f64| -> usize {
            let dropped = units.iter().map(|&n| self.count.to_drop(n, level));
            dropped.sum()
        };
        let (least, most) = (of(amount), of(amount + self.width));
        (least == most).then_some(least)
    }
}
