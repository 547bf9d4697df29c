use burn::tensor::{Bool, Tensor, TensorData};
use rayon::prelude::*;

use super::smallest::{in_host_memory, ordered};
use super::{Candidate, Select};

/// Drops ⌊f·M⌋ of every M consecutive units, those with the smallest scores.
///
/// With the grain `group(M)`, whose units are elements numbered along the input axis, this is N:M
/// sparsity: a level of 0.5 with M = 4 is the 2:4 pattern that sparse tensor cores run (Mishra et al.,
/// 2021), 0.75 is 1:4. On a curve, the pattern becomes denser in zeros step by step.
///
/// Among equal scores the lowest index is dropped first, a NaN counts as infinite.
///
/// # Panics
///
/// If M does not divide the number of units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NOfM {
    /// M: how many units compete.
    pub of: usize,
}

impl Select for NOfM {
    fn keep(&self, candidates: &[Candidate], amount: f64) -> Vec<Tensor<1, Bool>> {
        let drop = ((amount * self.of as f64) as usize).min(self.of);
        let keep = |candidate: &Candidate| {
            let scores = candidate.scores.clone();
            let units = scores.dims()[0];
            assert!(
                units.is_multiple_of(self.of),
                "{units} units are no groups of {}",
                self.of
            );
            if in_host_memory(&scores.device()) {
                on_host(scores, self.of, drop)
            } else {
                on_device(scores, self.of, drop)
            }
        };
        candidates.iter().map(keep).collect()
    }
}

fn on_host(scores: Tensor<1>, of: usize, drop: usize) -> Tensor<1, Bool> {
    let device = scores.device();
    let data = ordered(scores).into_data();
    let scores: Vec<f32> = data.try_into_vec().expect("ordered scores are f32");
    let mut keep = vec![true; scores.len()];
    let decide = |(keep, scores): (&mut [bool], &[f32])| {
        for (unit, keep) in keep.iter_mut().enumerate() {
            *keep = drop <= lower_in_rank(scores, unit);
        }
    };
    let groups = keep.par_chunks_mut(of).zip(scores.par_chunks(of));
    groups.with_min_len(4096).for_each(decide);
    let units = keep.len();
    Tensor::from_data(TensorData::new(keep, [units]), &device)
}

/// How many of a group are dropped before `unit`: those below it, and equal ones with a lower index.
fn lower_in_rank(scores: &[f32], unit: usize) -> usize {
    let own = scores[unit];
    let before = scores[..unit].iter().filter(|score| **score <= own).count();
    let after = scores[unit + 1..].iter().filter(|score| **score < own);
    before + after.count()
}

/// The same with one comparison a rank, nothing read.
fn on_device(scores: Tensor<1>, of: usize, drop: usize) -> Tensor<1, Bool> {
    let units = scores.dims()[0];
    let groups = ordered(scores).reshape([units / of, of]);
    let column = |unit: usize| groups.clone().slice([0..units / of, unit..unit + 1]);
    let keep = |unit: usize| {
        let own = column(unit);
        let before = |other: usize| match other.cmp(&unit) {
            std::cmp::Ordering::Less => Some(column(other).lower_equal(own.clone()).int()),
            std::cmp::Ordering::Equal => None,
            std::cmp::Ordering::Greater => Some(column(other).lower(own.clone()).int()),
        };
        let rank = (0..of).filter_map(before).reduce(|a, b| a + b);
        match rank {
            Some(rank) => rank.greater_equal_scalar(drop as i64),
            None => own.equal(column(unit)),
        }
    };
    Tensor::cat((0..of).map(keep).collect(), 1).reshape([units])
}
