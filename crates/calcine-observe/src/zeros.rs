use burn::tensor::Tensor;

use crate::activation::{Activation, SampleCounts};
use crate::count;
use crate::observed::{Column, Columns};
use crate::statistic::Statistic;

/// A statistic: the number of values that are exactly zero.
///
/// ```text
/// sparsity = #{x = 0} / #x        apoz_c = #{x = 0 in channel c} / #{x in channel c}
/// ```
///
/// APoZ is the average percentage of zeros of Hu et al. (2016), here as a share from 0 to 1, over samples and
/// positions. Distiller reports both in percent. Counts are exact if a batch has less than 2³¹ values per channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Zeros;

/// The number of zeros in each channel of a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZeroCounts {
    /// The number of zeros of each channel.
    pub zeros: Vec<u64>,
    /// The number of values of each channel.
    pub positions: u64,
}

impl Statistic for Zeros {
    type Value = ZeroCounts;

    fn measure(&self, batch: &Activation<'_>) -> Vec<Tensor<1>> {
        let zeros = batch.values.clone().equal_elem(0.0).int();
        count::split(zeros.sum_dim(2).sum_dim(0).reshape([batch.channels()]))
    }

    fn merge(
        &self,
        all: (Vec<Tensor<1>>, SampleCounts),
        one: (Vec<Tensor<1>>, SampleCounts),
    ) -> Vec<Tensor<1>> {
        count::add(all.0, one.0)
    }

    fn value(&self, vectors: &[Vec<f64>], counts: SampleCounts) -> ZeroCounts {
        ZeroCounts {
            zeros: count::total(vectors),
            positions: counts.positions,
        }
    }
}

impl ZeroCounts {
    /// The share of zeros of each channel, from 0 to 1.
    #[must_use]
    pub fn apoz(&self) -> Vec<f64> {
        let share = |zeros: &u64| *zeros as f64 / self.positions as f64;
        self.zeros.iter().map(share).collect()
    }

    /// The share of zeros in all channels, from 0 to 1.
    #[must_use]
    pub fn sparsity(&self) -> f64 {
        let total = self.positions * self.zeros.len() as u64;
        self.zeros.iter().sum::<u64>() as f64 / total as f64
    }
}

impl Columns for ZeroCounts {
    fn columns(&self) -> Vec<Column> {
        vec![
            Column::layer("sparsity", self.sparsity()),
            Column::channels("apoz", self.apoz()),
        ]
    }
}
