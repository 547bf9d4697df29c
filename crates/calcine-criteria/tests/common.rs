//! Numbers to the device and back.

use burn::tensor::{Bool, Tensor, TensorData};
use calcine_criteria::{Candidate, Evidence, Magnitude, Score, Select};
use calcine_testkit::device;

pub(crate) fn vector(numbers: &[f32]) -> Tensor<1> {
    Tensor::from_data(
        TensorData::new(numbers.to_vec(), [numbers.len()]),
        &device(),
    )
}

/// A weight whose units are its elements.
pub(crate) fn elements(numbers: &[f32]) -> Tensor<2> {
    vector(numbers).reshape([numbers.len(), 1])
}

pub(crate) fn candidate(scores: &[f32]) -> Candidate {
    Candidate::new(vector(scores))
}

pub(crate) fn bools(mask: Tensor<1, Bool>) -> Vec<bool> {
    mask.into_data().iter::<bool>().collect()
}

pub(crate) fn floats(tensor: Tensor<1>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

/// What `select` keeps of one parameter with these scores.
pub(crate) fn kept(select: &dyn Select, scores: &[f32], amount: f64) -> Vec<bool> {
    bools(select.keep(&[candidate(scores)], amount).remove(0))
}

/// What `select` keeps of a weight's elements by their magnitude, at its first selection.
pub(crate) fn kept_elements(select: &dyn Select, weight: &[f32], amount: f64) -> Vec<bool> {
    let weight = elements(weight);
    let scores = Magnitude.score(&Evidence::new(weight.clone()));
    let reference = select.measure(&weight, &scores);
    let candidate = Candidate::new(scores).with_reference(reference);
    bools(select.keep(&[candidate], amount).remove(0))
}

pub(crate) fn dropped(mask: &[bool]) -> usize {
    mask.iter().filter(|keep| !**keep).count()
}

/// Reproducible numbers without pattern: a linear congruential generator.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1))
    }

    /// In [0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// In `1..=most`.
    pub(crate) fn count(&mut self, most: usize) -> usize {
        1 + (self.unit() * most as f64) as usize
    }

    /// Numbers in [-1, 1); every other weight has ties, at a spacing of 1/8.
    pub(crate) fn weight(&mut self, count: usize) -> Vec<f32> {
        let ties = self.unit() < 0.5;
        let number = |x: f64| {
            if ties {
                (x * 8.0).round() as f32 / 8.0
            } else {
                x as f32
            }
        };
        (0..count)
            .map(|_| number(2.0 * self.unit() - 1.0) + 0.0)
            .collect()
    }
}
