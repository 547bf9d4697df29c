use burn::tensor::{Tensor, TensorData};
use rand::RngExt;
use rand_distr::StandardNormal;

use super::{Evidence, Needs, Score};
use crate::stream::stream;

/// A score that is randomly perturbed with a given probability.
///
/// With `probability`, drawn once per scoring, all scores are multiplied by standard normal random numbers; otherwise they are
/// unchanged. This is Distiller's `noise`: a schedule that ranks repeatedly is not bound to its first ranking. Random numbers
/// are drawn on the host from [`Evidence::seed`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Noisy<S> {
    /// The score that is perturbed.
    pub score: S,
    /// The probability, from 0 to 1.
    pub probability: f64,
}

impl<S: Score> Score for Noisy<S> {
    fn needs(&self) -> Needs {
        self.score.needs()
    }

    fn draws(&self) -> bool {
        true
    }

    fn score(&self, evidence: &Evidence) -> Tensor<1> {
        self.with_noise(self.score.score(evidence), evidence)
    }

    /// Without noise, which is added once per selection, not once per batch.
    fn of_batch(&self, evidence: &Evidence) -> Tensor<1> {
        self.score.of_batch(evidence)
    }

    fn of_mean(&self, mean: Tensor<1>, evidence: &Evidence) -> Tensor<1> {
        self.with_noise(self.score.of_mean(mean, evidence), evidence)
    }
}

impl<S> Noisy<S> {
    fn with_noise(&self, scores: Tensor<1>, evidence: &Evidence) -> Tensor<1> {
        let mut stream = stream(evidence.expect_seed(), "noise", 0);
        if stream.random::<f64>() >= self.probability {
            return scores;
        }
        let units = evidence.units();
        let noise: Vec<f32> = (0..units).map(|_| stream.sample(StandardNormal)).collect();
        scores * Tensor::from_data(TensorData::new(noise, [units]), &evidence.device())
    }
}
