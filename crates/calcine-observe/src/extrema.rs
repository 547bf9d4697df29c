use burn::tensor::Tensor;

use crate::activation::{Activation, SampleCounts};
use crate::observed::{Column, Columns};
use crate::statistic::Statistic;

/// A statistic: the smallest and the largest value of each channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extrema;

/// The smallest and the largest value of each channel of a place.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelExtrema {
    /// The smallest value of each channel.
    pub min: Vec<f64>,
    /// The largest value of each channel.
    pub max: Vec<f64>,
}

impl Statistic for Extrema {
    type Value = ChannelExtrema;

    fn measure(&self, batch: &Activation<'_>) -> Vec<Tensor<1>> {
        let channels = [batch.channels()];
        let min = batch.values.clone().min_dim(2).min_dim(0);
        let max = batch.values.clone().max_dim(2).max_dim(0);
        vec![min.reshape(channels), max.reshape(channels)]
    }

    fn merge(
        &self,
        (mut all, _): (Vec<Tensor<1>>, SampleCounts),
        (mut one, _): (Vec<Tensor<1>>, SampleCounts),
    ) -> Vec<Tensor<1>> {
        let (max, min) = (all.pop().zip(one.pop()), all.pop().zip(one.pop()));
        let min = min.map(|(all, one)| all.min_pair(one));
        let max = max.map(|(all, one)| all.max_pair(one));
        min.into_iter().chain(max).collect()
    }

    fn value(&self, vectors: &[Vec<f64>], _: SampleCounts) -> ChannelExtrema {
        let vector = |index: usize| vectors.get(index).cloned().unwrap_or_default();
        ChannelExtrema {
            min: vector(0),
            max: vector(1),
        }
    }
}

impl ChannelExtrema {
    /// The smallest value of all channels.
    #[must_use]
    pub fn low(&self) -> f64 {
        self.min.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// The largest value of all channels.
    #[must_use]
    pub fn high(&self) -> f64 {
        self.max.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }
}

impl Columns for ChannelExtrema {
    fn columns(&self) -> Vec<Column> {
        vec![
            Column::layer("min", self.low()),
            Column::layer("max", self.high()),
            Column::channels("min", self.min.clone()),
            Column::channels("max", self.max.clone()),
        ]
    }
}
