use burn::tensor::Tensor;

use crate::activation::{Activation, SampleCounts, channel_means};
use crate::moments::share;
use crate::observed::{Column, Columns};
use crate::statistic::Statistic;

/// A statistic: norms of each channel.
///
/// `x_s` are the values of a channel in sample `s` of `S` samples:
///
/// ```text
/// l1 = Σ_s ‖x_s‖₁ / S        l2 = Σ_s ‖x_s‖₂ / S        total_l2 = √(Σ_s ‖x_s‖₂²)
/// ```
///
/// `l1` is Distiller's channel L1 norm; `total_l2` is the norm over all samples and positions, the ‖x‖₂ of Wanda (Sun
/// et al., 2024). All norms are stored as means over the batches so far, so that their accuracy does not depend on the
/// number of batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Norms;

/// The norms of each channel of a place.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelNorms {
    /// The mean over samples of the L1 norm, for each channel.
    pub l1: Vec<f64>,
    /// The mean over samples of the L2 norm, for each channel.
    pub l2: Vec<f64>,
    /// The L2 norm of all samples together, for each channel.
    pub total_l2: Vec<f64>,
}

impl Statistic for Norms {
    type Value = ChannelNorms;

    fn measure(&self, batch: &Activation<'_>) -> Vec<Tensor<1>> {
        let square = batch.values.clone().square();
        vec![
            channel_means(batch.values.clone().abs().sum_dim(2)),
            channel_means(square.clone().sum_dim(2).sqrt()),
            channel_means(square),
        ]
    }

    fn merge(
        &self,
        (all, before): (Vec<Tensor<1>>, SampleCounts),
        (one, batch): (Vec<Tensor<1>>, SampleCounts),
    ) -> Vec<Tensor<1>> {
        let samples = batch.samples as f64 / before.and(batch).samples as f64;
        let weights = [samples, samples, share(before, batch)];
        let both = all.into_iter().zip(one).zip(weights);
        both.map(|((all, one), weight)| all.clone() + (one - all).mul_scalar(weight))
            .collect()
    }

    fn value(&self, vectors: &[Vec<f64>], counts: SampleCounts) -> ChannelNorms {
        let vector = |index: usize| vectors.get(index).cloned().unwrap_or_default();
        let total = |mean_square: f64| (mean_square * counts.positions as f64).sqrt();
        ChannelNorms {
            l1: vector(0),
            l2: vector(1),
            total_l2: vector(2).into_iter().map(total).collect(),
        }
    }
}

impl Columns for ChannelNorms {
    fn columns(&self) -> Vec<Column> {
        vec![
            Column::channels("l1", self.l1.clone()),
            Column::channels("l2", self.l2.clone()),
            Column::channels("total_l2", self.total_l2.clone()),
        ]
    }
}
