use burn::tensor::{Tensor, TensorData};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;

use super::{Evidence, Needs, Score};

/// Another score, with noise in its ranking now and then.
///
/// With `probability`, drawn once a scoring, all scores are multiplied by standard normal numbers; else
/// they are as they are. Distiller's `noise`: it lets a schedule that ranks again and again look beyond the
/// first ranking. Drawn on the host from [`Evidence::seed`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Noisy<S> {
    /// What is made noisy.
    pub score: S,
    /// How often, between 0 and 1.
    pub probability: f64,
}

impl<S: Score> Score for Noisy<S> {
    fn needs(&self) -> Needs {
        self.score.needs()
    }

    fn score(&self, evidence: &Evidence) -> Tensor<1> {
        let scores = self.score.score(evidence);
        let mut stream = ChaCha8Rng::seed_from_u64(evidence.seed);
        if stream.random::<f64>() >= self.probability {
            return scores;
        }
        let units = evidence.units();
        let noise: Vec<f32> = (0..units).map(|_| stream.sample(StandardNormal)).collect();
        scores * Tensor::from_data(TensorData::new(noise, [units]), &evidence.device())
    }
}
