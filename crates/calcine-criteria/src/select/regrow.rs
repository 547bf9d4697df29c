use burn::tensor::{Bool, Tensor};

use super::count::Count;
use super::level::drop_level;
use super::smallest::drop_smallest;
use super::{Candidate, Select};
use crate::share::Rounding;

/// Drops the weakest active units and regrows as many inactive ones, at a constant level.
///
/// ```text
/// n = N − ⌊level·N⌋ units are active;  k = ⌊amount·n⌋ of them are exchanged
/// dropped: the k smallest scores among the active units
/// grown:   the k largest growth scores among the units that are then inactive
/// ```
///
/// The first selection is a plain [`Level`](super::Level). Growth by |gradient| is `RigL` (Evci et al., 2020), and random growth
/// is SET (Mocanu et al., 2018); both decrease the amount from 0.3 to 0 on a cosine curve. A unit that is dropped and regrown in
/// the same selection keeps its value; other regrown units start at zero. Growth scores are computed from evidence for
/// [regrowth](crate::Evidence::growing): a score that prefers units that are not zero would only restore the units that have just
/// been dropped.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Regrow {
    /// The share of inactive units, which is the same in all selections.
    pub level: f64,
    /// The conversion of a level to a number of units.
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

    /// The level is constant, whichever units are exchanged.
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
