use burn::tensor::{Tensor, TensorData};
use rand::RngExt;

use super::{Evidence, Score};
use crate::stream::stream;

/// Random scores: the baseline that every criterion has to beat.
///
/// ```text
/// score = u - 1 for units that are all zero, else u;   u uniform in [0, 1)
/// ```
///
/// Units that are zero are dropped first, so a rising level drops further units. Otherwise, scores that are drawn again each
/// time would restore units whose weights are already zero, and a ramp to 90 % would leave almost nothing of the network. For
/// [regrowth](Evidence::growing), all units have the same chance. Random numbers are drawn on the host from
/// [`Evidence::seed`], so they are equal on every device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Random;

impl Score for Random {
    fn draws(&self) -> bool {
        true
    }

    fn score(&self, evidence: &Evidence) -> Tensor<1> {
        let units = evidence.units();
        let mut stream = stream(evidence.expect_seed(), "random", 0);
        let scores: Vec<f32> = (0..units).map(|_| stream.random()).collect();
        let drawn = TensorData::new(scores, [units]);
        let alive = evidence.is_dead().bool_not().float();
        Tensor::from_data(drawn, &evidence.device()) + alive - 1.0
    }
}
