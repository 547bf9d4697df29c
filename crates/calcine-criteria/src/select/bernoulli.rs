use burn::tensor::{Bool, Tensor};
use rand::RngExt;

use super::{Candidate, Rescale, Select};
use crate::stream::stream;

/// Bernoulli selection: drops each unit with probability p, the amount, independently of its score.
///
/// Kept units are [rescaled](Rescale::Kept) while the mask is active, as in dropout. At least one unit is kept: the one with
/// the largest random number. Random numbers are drawn on the host from [`Candidate::seed`].
///
/// With masks that last one step, this is `DropFilter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bernoulli;

impl Select for Bernoulli {
    fn draws(&self) -> bool {
        true
    }

    fn keep(&self, candidates: &[Candidate], amount: f64) -> Vec<Tensor<1, Bool>> {
        let keep = |candidate: &Candidate| {
            let keep = toss(candidate.expect_seed(), candidate.scores.units(), amount);
            Tensor::from_bool(keep.as_slice(), &candidate.scores.device())
        };
        candidates.iter().map(keep).collect()
    }

    fn rescale(&self) -> Rescale {
        Rescale::Kept
    }
}

fn toss(seed: u64, units: usize, probability: f64) -> Vec<bool> {
    let mut stream = stream(seed, "bernoulli", 0);
    let draws: Vec<f64> = (0..units).map(|_| stream.random()).collect();
    let mut keep: Vec<bool> = draws.iter().map(|draw| *draw >= probability).collect();
    let luckiest = (0..units).max_by(|&a, &b| draws[a].total_cmp(&draws[b]));
    if let Some(unit) = luckiest {
        keep[unit] = true;
    }
    keep
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_as_many_fall_as_the_probability_says_and_one_always_stays() {
        let kept = toss(3, 10_000, 0.3).iter().filter(|keep| **keep).count();
        // Five standard deviations of a binomial.
        assert!(7_000usize.abs_diff(kept) < 230, "{kept}");
        for seed in 0..20 {
            assert_eq!(toss(seed, 5, 1.0).iter().filter(|keep| **keep).count(), 1);
        }
    }

    #[test]
    fn the_seed_decides() {
        assert_eq!(toss(1, 50, 0.5), toss(1, 50, 0.5));
        assert_ne!(toss(1, 50, 0.5), toss(2, 50, 0.5));
    }
}
