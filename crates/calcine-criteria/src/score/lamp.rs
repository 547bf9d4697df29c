use burn::tensor::{Tensor, TensorData};
use rayon::prelude::*;

use super::{Evidence, Score, row_sums};

/// Layer-adaptive magnitude: the squared norm of a unit, divided by the sum of all squared norms that are not smaller.
///
/// ```text
/// score(u) = ‖u‖² / Σ_{v ranks no lower than u} ‖v‖²
/// ```
///
/// The largest unit of every parameter scores 1, so a global level never empties a layer, and layers with small weights are not
/// pruned more than others (LAMP; Lee et al., 2021). Among equal norms, the lowest index ranks lowest. Units with norm
/// zero score 0.
///
/// **Reads from the device**, because ranking needs a sort. Sums are computed in `f64`, so equal norms give equal scores on
/// every device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lamp;

impl Score for Lamp {
    fn score(&self, evidence: &Evidence) -> Tensor<1> {
        let squares = row_sums(evidence.rows().square());
        let device = squares.device();
        let squares: Vec<f32> = squares.into_data().iter::<f32>().collect();
        let scores = shares(&squares);
        let units = scores.len();
        Tensor::from_data(TensorData::new(scores, [units]), &device)
    }
}

fn shares(squares: &[f32]) -> Vec<f32> {
    let mut order: Vec<usize> = (0..squares.len()).collect();
    order.par_sort_unstable_by(|&a, &b| squares[b].total_cmp(&squares[a]).then(b.cmp(&a)));
    let mut scores = vec![0.0; squares.len()];
    let mut total = 0.0;
    for unit in order {
        let square = f64::from(squares[unit]);
        total += square;
        if square > 0.0 {
            scores[unit] = (square / total) as f32;
        }
    }
    scores
}
