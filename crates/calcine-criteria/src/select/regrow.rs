use burn::tensor::{Bool, Tensor};

use super::count::Count;
use super::level::drop_level;
use super::smallest::drop_smallest;
use super::{Candidate, Select};
use crate::share::Rounding;

/// Drops the weakest of what is alive and grows as many elsewhere, at a constant level.
///
/// ```text
/// n = N − ⌊level·N⌋ are alive;  k = ⌊amount·n⌋ of them change places
/// dropped: the k smallest scores among the living
/// grown:   the k largest growth scores among all that are then dead
/// ```
///
/// The first selection is a plain [`Level`](super::Level). Growing by |gradient| is `RigL` (Evci et al.,
/// 2020), growing at random is SET (Mocanu et al., 2018); both let the amount fall from 0.3 to 0 on a cosine.
/// A unit that falls and grows in the same selection goes on with its value; the others begin at zero. Growth scores
/// are of evidence for [growing](crate::Evidence::growing): one that preferred units that are not zero would only
/// take back what has just fallen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Regrow {
    /// The share of dead units, held from selection to selection.
    pub level: f64,
    /// How many units a level is.
    pub count: Count,
}

impl Select for Regrow {
    fn grows(&self) -> bool {
        true
    }

    fn keep(&self, candidates: &[Candidate], amount: f64) -> Vec<Tensor<1, Bool>> {
        let keep = |candidate: &Candidate| match &candidate.kept {
            None => drop_level(candidate, self.count, self.level),
            Some(kept) => self.exchange(candidate, kept, amount),
        };
        candidates.iter().map(keep).collect()
    }

    /// A level, whatever changes places.
    fn to_drop(&self, units: &[usize], _: f64) -> Option<usize> {
        let dead = units.iter().map(|&n| self.count.to_drop(n, self.level));
        Some(dead.sum())
    }
}

impl Regrow {
    fn exchange(
        &self,
        candidate: &Candidate,
        kept: &Tensor<1, Bool>,
        amount: f64,
    ) -> Tensor<1, Bool> {
        let units = candidate.scores.units();
        let dead = self.count.to_drop(units, self.level);
        let alive = units - dead;
        let change = Rounding::Floor.share(amount, alive);
        let lowest = f32::NEG_INFINITY;
        let living = candidate.scores.values();
        let living = living.mask_fill(kept.clone().bool_not(), lowest);
        let stays = drop_smallest(vec![living.into()], dead + change).remove(0);
        let growth = candidate.growth.clone();
        let growth = growth.expect("a selection that regrows needs growth scores");
        let growth = growth.mask_fill(stays.clone(), lowest);
        let grown = drop_smallest(vec![growth.into()], units - change).remove(0);
        stays.bool_or(grown)
    }
}
