use burn::tensor::{Bool, Tensor, TensorData};
use rayon::prelude::*;

use super::smallest::{key, ordered, read, single_precision};
use super::{Candidate, Select};
use crate::score::Scores;
use crate::share::Rounding;
use calcine_device::in_host_memory;

/// Drops ⌊f·M⌋ of every M consecutive units, those with the smallest scores.
///
/// With the granularity `group(M)`, whose units are elements numbered along the input axis, this is N:M
/// sparsity: a level of 0.5 with M = 4 is the 2:4 pattern of sparse tensor cores (Mishra et al., 2021), and 0.75 is 1:4. With a
/// level on a curve, the number of zeros in each group rises step by step.
///
/// Among equal scores, the lowest index is dropped first; NaN counts as infinite.
///
/// # Panics
///
/// If M is 0 or does not divide the number of units: see [`Select::check`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NOfM {
    /// M: the number of units in a group.
    pub of: usize,
}

impl Select for NOfM {
    fn check(&self, units: usize) -> Result<(), String> {
        if self.of > 0 && units.is_multiple_of(self.of) {
            Ok(())
        } else {
            let of = self.of;
            Err(format!(
                "{units} units cannot be divided into groups of {of}: expected a multiple of it"
            ))
        }
    }

    fn keep(&self, candidates: &[Candidate], amount: f64) -> Vec<Tensor<1, Bool>> {
        let drop = self.of_each(amount);
        let keep = |candidate: &Candidate| {
            let scores = &candidate.scores;
            let units = scores.units();
            if let Err(error) = self.check(units) {
                panic!("{error}");
            }
            if in_host_memory(&scores.device()) {
                on_host(scores, self.of, drop)
            } else {
                on_device(scores.values(), self.of, drop)
            }
        };
        candidates.iter().map(keep).collect()
    }

    fn to_drop(&self, units: &[usize], amount: f64) -> Option<usize> {
        let groups = units.iter().map(|units| units / self.of.max(1));
        Some(groups.sum::<usize>() * self.of_each(amount))
    }
}

impl NOfM {
    /// The number of units to drop in each group.
    fn of_each(&self, amount: f64) -> usize {
        Rounding::Floor.share(amount, self.of)
    }
}

fn on_host(scores: &Scores, of: usize, drop: usize) -> Tensor<1, Bool> {
    let device = scores.device();
    let data = read(&scores.map(single_precision));
    let scores: &[f32] = data.as_slice().expect("scores were cast to f32");
    let mut keep = vec![true; scores.len()];
    let part = of * 4096;
    let parts = keep.par_chunks_mut(part).zip(scores.par_chunks(part));
    parts.for_each(|(keep, scores)| {
        let keys: Vec<i32> = scores.iter().map(|&score| key(score)).collect();
        match of {
            // With a group size that is known at compile time, several groups are compared at once.
            4 => {
                let groups = keep.as_chunks_mut::<4>().0.iter_mut();
                let keys = keys.as_chunks::<4>().0;
                groups
                    .zip(keys)
                    .for_each(|(keep, keys)| decide(keep, keys, drop));
            }
            _ => {
                let groups = keep.chunks_mut(of).zip(keys.chunks(of));
                groups.for_each(|(keep, keys)| decide(keep, keys, drop));
            }
        }
    });
    let units = keep.len();
    Tensor::from_data(TensorData::new(keep, [units]), &device)
}

/// Drops the `drop` smallest units of a group; among equal ones, those with the lowest indices.
#[inline(always)]
fn decide(keep: &mut [bool], keys: &[i32], drop: usize) {
    for (unit, (keep, own)) in keep.iter_mut().zip(keys).enumerate() {
        let lower =
            |(other, key): (usize, &i32)| u32::from((key < own) | ((key == own) & (other < unit)));
        let rank: u32 = keys.iter().enumerate().map(lower).sum();
        *keep = drop <= rank as usize;
    }
}

/// The same on any device, with one comparison per rank and without a device read.
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
