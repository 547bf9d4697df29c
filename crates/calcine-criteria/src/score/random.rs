use burn::tensor::{Tensor, TensorData};
use rand::RngExt;

use super::{Evidence, Score};
use crate::stream::stream;

/// Random scores: the baseline every criterion has to beat.
///
/// ```text
/// score = u - 1 for units that are all zero, else u;   u uniform in [0, 1)
/// ```
///
/// Zero units fall first, so a level that grows takes from what is left. Without that, scores drawn anew at each
/// firing would bring back units whose weights are gone, and a ramp to 90 % would leave almost nothing of
/// the network. For [growing](Evidence::growing) all units have the same chance. Drawn on the host from
/// [`Evidence::seed`]: the same on every device.
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
