use burn::tensor::Tensor;

use crate::activation::{Activation, SampleCounts, channel_means};
use crate::observed::{Column, Columns};
use crate::statistic::Statistic;

/// A statistic: the mean and the variance of each channel, over samples and positions.
///
/// ```text
/// mean = Σx / n        variance = Σ(x − mean)² / n
/// ```
///
/// The statistics of each batch are computed around its own mean, and batches are combined with Chan's formula (Chan,
/// Golub and LeVeque, 1983), where `w` is the share of the new batch in all values and `d` the difference of the means:
///
/// ```text
/// mean ← mean + w·d        variance ← (1 − w)·variance + w·variance_batch + w·(1 − w)·d²
/// ```
///
/// The variance is therefore accurate even if the mean is far from zero, where a difference of sums of squares in `f32`
/// would be inaccurate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moments;

/// The mean and the variance of each channel of a place.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelMoments {
    /// The mean of each channel.
    pub mean: Vec<f64>,
    /// The population variance of each channel: divided by n, not n − 1.
    pub variance: Vec<f64>,
    /// The number n of values of each channel.
    pub positions: u64,
}

impl Statistic for Moments {
    type Value = ChannelMoments;

    fn measure(&self, batch: &Activation<'_>) -> Vec<Tensor<1>> {
        let mean = channel_means(batch.values.clone());
        let channels = batch.channels();
        let centred = batch.values.clone() - mean.clone().reshape([1, channels, 1]);
        vec![mean, channel_means(centred.square())]
    }

    fn merge(
        &self,
        (mut all, before): (Vec<Tensor<1>>, SampleCounts),
        (mut one, batch): (Vec<Tensor<1>>, SampleCounts),
    ) -> Vec<Tensor<1>> {
        let weight = share(before, batch);
        let (Some(variance), Some(mean)) = (all.pop(), all.pop()) else {
            return one;
        };
        let (Some(new_variance), Some(new_mean)) = (one.pop(), one.pop()) else {
            return vec![mean, variance];
        };
        let difference = new_mean - mean.clone();
        let between = difference
            .clone()
            .square()
            .mul_scalar(weight * (1.0 - weight));
        let within = variance.clone() + (new_variance - variance).mul_scalar(weight);
        vec![mean + difference.mul_scalar(weight), within + between]
    }

    fn value(&self, vectors: &[Vec<f64>], counts: SampleCounts) -> ChannelMoments {
        let vector = |index: usize| vectors.get(index).cloned().unwrap_or_default();
        ChannelMoments {
            mean: vector(0),
            variance: vector(1),
            positions: counts.positions,
        }
    }
}

/// The share of a batch in all values.
pub(crate) fn share(before: SampleCounts, batch: SampleCounts) -> f64 {
    batch.positions as f64 / before.and(batch).positions as f64
}

impl ChannelMoments {
    /// The standard deviation of each channel: √variance.
    #[must_use]
    pub fn std(&self) -> Vec<f64> {
        self.variance
            .iter()
            .map(|variance| variance.sqrt())
            .collect()
    }

    /// The mean of all channels.
    #[must_use]
    pub fn layer_mean(&self) -> f64 {
        self.mean.iter().sum::<f64>() / self.mean.len() as f64
    }

    /// The population standard deviation of all values, within and between channels.
    #[must_use]
    pub fn layer_std(&self) -> f64 {
        let mean = self.layer_mean();
        let channel = |(m, variance): (&f64, &f64)| variance + (m - mean).powi(2);
        let sum: f64 = self.mean.iter().zip(&self.variance).map(channel).sum();
        (sum / self.mean.len() as f64).sqrt()
    }
}

impl Columns for ChannelMoments {
    fn columns(&self) -> Vec<Column> {
        vec![
            Column::layer("mean", self.layer_mean()),
            Column::layer("std", self.layer_std()),
            Column::channels("mean", self.mean.clone()),
            Column::channels("std", self.std()),
        ]
    }
}
