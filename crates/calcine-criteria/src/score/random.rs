use burn::tensor::{Tensor, TensorData};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use super::{Evidence, Score};

/// A number drawn uniformly from `[0, 1)`: the baseline every criterion has to beat.
///
/// Drawn on the host from [`Evidence::seed`]: the same on every device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Random;

impl Score for Random {
    fn score(&self, evidence: &Evidence) -> Tensor<1> {
        let units = evidence.units();
        let mut stream = ChaCha8Rng::seed_from_u64(evidence.seed);
        let scores: Vec<f32> = (0..units).map(|_| stream.random()).collect();
        Tensor::from_data(TensorData::new(scores, [units]), &evidence.weight.device())
    }
}
