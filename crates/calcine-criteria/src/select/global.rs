use burn::tensor::{Bool, Tensor, TensorData};

use super::count::AtLeast;
use super::smallest::{drop_smallest, ordered};
use super::{Candidate, Select};
use crate::score::Scores;
use crate::share::Rounding;

/// Drops exactly ⌊f·N⌋ of the N units of *all* parameters together, those with the smallest scores.
///
/// Layers compete: a layer with small weights may lose most of its units, but at least [`at_least`] are kept. Scores must be
/// comparable between layers (magnitudes, length-normalized norms, LAMP). Ties are resolved by parameter, then by the lowest
/// index; otherwise as in [`Level`](super::Level).
///
/// If units have different [costs](Candidate::cost) (the bytes of a filter, its MACs), the level is a share of the total cost:
/// units are dropped in the order of their scores, as long as their total cost does not exceed `f·ΣC`. With equal costs this is
/// the number of units. With different costs, **the scores are read from the device**.
///
/// [`at_least`]: Self::at_least
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct GlobalLevel {
    /// The number of units that are kept in every parameter.
    pub at_least: AtLeast,
}

impl Select for GlobalLevel {
    fn keep(&self, candidates: &[Candidate], amount: f64) -> Vec<Tensor<1, Bool>> {
        let units = |candidate: &Candidate| candidate.scores.units();
        let stay = |candidate: &Candidate| self.at_least.units_kept(units(candidate), amount);
        let count = self.count(candidates.iter().map(units), amount);
        let protect = |candidate: &Candidate| {
            let (scores, stay) = (candidate.scores.clone(), stay(candidate));
            let units = scores.units();
            if count <= units - stay && equal_costs(candidates) {
                // A larger number is not possible, even if all droppable units are dropped.
                return scores;
            }
            let best = drop_smallest(vec![scores.clone()], units - stay).remove(0);
            scores.map(|scores| scores.mask_fill(best, f32::INFINITY))
        };
        let scores: Vec<_> = candidates.iter().map(protect).collect();
        if equal_costs(candidates) {
            drop_smallest(scores, count)
        } else {
            let stay: Vec<_> = candidates.iter().map(stay).collect();
            by_cost(candidates, scores, &stay, amount)
        }
    }

    fn to_drop(&self, units: &[usize], amount: f64) -> Option<usize> {
        Some(self.count(units.iter().copied(), amount))
    }

    fn competes(&self) -> bool {
        true
    }
}

impl GlobalLevel {
    /// The total number of units to drop, if all units have the same cost.
    fn count(&self, units: impl Iterator<Item = usize> + Clone, amount: f64) -> usize {
        let total: usize = units.clone().sum();
        let stay: usize = units
            .map(|units| self.at_least.units_kept(units, amount))
            .sum();
        Rounding::Floor.share(amount, total).min(total - stay)
    }
}

fn equal_costs(candidates: &[Candidate]) -> bool {
    candidates.windows(2).all(|two| two[0].cost == two[1].cost)
}

/// Drops units in the order of (score, parameter, index) as long as the budget is not exceeded. The `stay` protected
/// units of each parameter are ranked last and are never dropped.
fn by_cost(
    candidates: &[Candidate],
    scores: Vec<Scores>,
    stay: &[usize],
    level: f64,
) -> Vec<Tensor<1, Bool>> {
    let devices: Vec<_> = scores.iter().map(Scores::device).collect();
    let scores: Vec<Vec<f32>> = scores
        .into_iter()
        .map(|scores| ordered(scores.values()).into_data().iter::<f32>().collect())
        .collect();
    let mut order: Vec<(f32, usize, usize)> = Vec::new();
    for (parameter, scores) in scores.iter().enumerate() {
        let units = scores.iter().enumerate();
        order.extend(units.map(|(unit, score)| (*score, parameter, unit)));
    }
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    let total: u128 = candidates
        .iter()
        .zip(&scores)
        .map(|(candidate, scores)| u128::from(candidate.cost) * scores.len() as u128)
        .sum();
    let mut budget = Rounding::Floor.share_of_cost(level, total);
    let mut keep: Vec<Vec<bool>> = scores.iter().map(|s| vec![true; s.len()]).collect();
    let mut left: Vec<usize> = scores.iter().map(Vec::len).collect();
    for (_, parameter, unit) in order {
        let cost = u128::from(candidates[parameter].cost);
        if left[parameter] <= stay[parameter] {
            continue;
        }
        if budget < cost {
            break;
        }
        budget -= cost;
        left[parameter] -= 1;
        keep[parameter][unit] = false;
    }
    let upload = |(keep, device): (Vec<bool>, _)| {
        let units = keep.len();
        Tensor::from_data(TensorData::new(keep, [units]), device)
    };
    keep.into_iter().zip(&devices).map(upload).collect()
}
