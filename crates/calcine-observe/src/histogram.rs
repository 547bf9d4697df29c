use std::collections::BTreeMap;

use burn::tensor::{IndexingUpdateOp, Int, Tensor};

use crate::activation::{Activation, SampleCounts};
use crate::count;
use crate::extrema::ChannelExtrema;
use crate::observed::{Column, Columns, Observed};
use crate::statistic::Statistic;

/// A statistic: a histogram with bins of equal width.
///
/// Bin `i` of `n` is `[low + i·w, low + (i + 1)·w)` with `w = (high − low) / n`; the last one includes `high`. Values
/// outside of the range are counted separately; NaN counts as above. Counts are exact if a batch has less than 2³¹
/// values per place, but whether a value at the boundary of two bins belongs to the lower or to the upper one is
/// decided in `f32`.
///
/// The range must be known in advance. If it is not, [`histograms`](crate::histograms()) finds it in a pass of its own.
#[derive(Debug, Clone)]
pub struct Histogram {
    range: Range,
    bins: usize,
}

#[derive(Debug, Clone)]
enum Range {
    Same([f64; 2]),
    ByName(BTreeMap<String, [f64; 2]>),
}

/// The histogram of a place.
#[derive(Debug, Clone, PartialEq)]
pub struct BinCounts {
    /// The lower bound of the first bin.
    pub low: f64,
    /// The upper bound of the last bin.
    pub high: f64,
    /// The number of values in each bin.
    pub counts: Vec<u64>,
    /// The number of values below all bins.
    pub below: u64,
    /// The number of values above all bins, or NaN.
    pub above: u64,
}

impl Histogram {
    /// A histogram with the same range at all places.
    ///
    /// # Panics
    ///
    /// If `bins` is 0, or `low < high` does not hold.
    #[must_use]
    pub fn between(low: f64, high: f64, bins: usize) -> Self {
        assert!(low < high, "a histogram from {low} to {high}");
        assert!(bins > 0, "a histogram without bins");
        Self {
            range: Range::Same([low, high]),
            bins,
        }
    }

    /// A histogram with a range for each place, by name, for example from an earlier pass. The range of other places is
    /// 0 to 1.
    ///
    /// # Panics
    ///
    /// If `bins` is 0.
    #[must_use]
    pub fn within(ranges: impl IntoIterator<Item = (String, [f64; 2])>, bins: usize) -> Self {
        assert!(bins > 0, "a histogram without bins");
        let ranges = ranges.into_iter().map(|(name, [low, high])| {
            // If all values are equal, the range has a width of 1.
            let high = if low < high { high } else { low + 1.0 };
            (name, [low, high])
        });
        Self {
            range: Range::ByName(ranges.collect()),
            bins,
        }
    }

    /// A histogram between the extrema of each place.
    pub(crate) fn between_extrema(extrema: &Observed<ChannelExtrema>, bins: usize) -> Self {
        let range = |extrema: &ChannelExtrema| [extrema.low(), extrema.high()];
        let ranges = extrema.iter();
        Self::within(
            ranges.map(|node| (node.name.clone(), range(&node.value))),
            bins,
        )
    }

    fn range(&self, name: &str) -> [f64; 2] {
        match &self.range {
            Range::Same(range) => *range,
            Range::ByName(ranges) => ranges.get(name).copied().unwrap_or([0.0, 1.0]),
        }
    }
}

impl Statistic for Histogram {
    type Value = BinCounts;

    /// The range, followed by the counts of `below`, of the bins, and of `above`.
    fn measure(&self, batch: &Activation<'_>) -> Vec<Tensor<1>> {
        let device = batch.values.device();
        let [low, high] = self.range(batch.name);
        let values = batch.values.clone().flatten::<1>(0, 2);
        let above = (self.bins + 1) as f64;
        let top = values.clone().equal_elem(high);
        let bin = values
            .clone()
            .sub_scalar(low)
            .mul_scalar(self.bins as f64 / (high - low))
            .floor()
            .add_scalar(1.0)
            .clamp(0.0, above)
            .mask_fill(top, self.bins as f64)
            .mask_fill(values.is_nan(), above)
            .int();
        let mut vectors = count::split(counted(bin, self.bins + 2));
        vectors.push(Tensor::from_floats([low as f32, high as f32], &device));
        vectors
    }

    fn merge(
        &self,
        (mut all, _): (Vec<Tensor<1>>, SampleCounts),
        (mut one, _): (Vec<Tensor<1>>, SampleCounts),
    ) -> Vec<Tensor<1>> {
        let range = all.pop();
        one.truncate(2);
        let mut vectors = count::add(all, one);
        vectors.extend(range);
        vectors
    }

    fn value(&self, vectors: &[Vec<f64>], _: SampleCounts) -> BinCounts {
        let counts = count::total(vectors.get(..2).unwrap_or_default());
        let (low, high) = match vectors.get(2).map(Vec::as_slice) {
            Some([low, high]) => (*low, *high),
            _ => (0.0, 1.0),
        };
        let [below, counts @ .., above] = &counts[..] else {
            return BinCounts {
                low,
                high,
                counts: Vec::new(),
                below: 0,
                above: 0,
            };
        };
        BinCounts {
            low,
            high,
            counts: counts.to_vec(),
            below: *below,
            above: *above,
        }
    }
}

/// The number of occurrences of each number below `count`.
///
/// Each row of the scatter operation has so few numbers that their counts are exact in `f32`, and there are enough rows
/// for a GPU to count in parallel.
fn counted(numbers: Tensor<1, Int>, count: usize) -> Tensor<1, Int> {
    let device = numbers.device();
    let of_rows = |numbers: Tensor<2, Int>| {
        let [rows, length] = numbers.dims();
        Tensor::<2>::zeros([rows, count], &device)
            .scatter(
                1,
                numbers,
                Tensor::ones([rows, length], &device),
                IndexingUpdateOp::Add,
            )
            .int()
            .sum_dim(0)
            .reshape([count])
    };
    let [total] = numbers.dims();
    let whole = total - total % ROW;
    let rest = (whole < total).then(|| of_rows(numbers.clone().slice(whole..total).unsqueeze()));
    let rows = (whole > 0).then(|| of_rows(numbers.slice(0..whole).reshape([whole / ROW, ROW])));
    match (rows, rest) {
        (Some(rows), Some(rest)) => rows + rest,
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => Tensor::zeros([count], &device),
    }
}

/// The number of values in a row: far below 2²⁴, up to which `f32` counts exactly.
const ROW: usize = 1 << 12;

impl BinCounts {
    /// The width of a bin, which is the largest error of a [`percentile`](Self::percentile).
    #[must_use]
    pub fn width(&self) -> f64 {
        (self.high - self.low) / self.counts.len() as f64
    }

    /// The value that this share of the values, from 0 to 1, does not exceed.
    ///
    /// Values are assumed to be distributed evenly within a bin. The exact percentile is in the same bin, so the error
    /// is less than the width of a bin, unless the percentile is outside of the range; the result is then `low` or
    /// `high`.
    #[must_use]
    pub fn percentile(&self, share: f64) -> f64 {
        let total = self.below + self.counts.iter().sum::<u64>() + self.above;
        let wanted = share.clamp(0.0, 1.0) * total as f64;
        let mut passed = self.below as f64;
        if wanted <= passed && self.below > 0 {
            return self.low;
        }
        for (bin, &count) in self.counts.iter().enumerate() {
            let count = count as f64;
            if count > 0.0 && wanted <= passed + count {
                let within = (wanted - passed) / count;
                return self.low + (bin as f64 + within) * self.width();
            }
            passed += count;
        }
        self.high
    }
}

impl Columns for BinCounts {
    fn columns(&self) -> Vec<Column> {
        let low = |bin: usize| self.low + bin as f64 * self.width();
        vec![
            Column::bins("low", (0..self.counts.len()).map(low).collect()),
            Column::bins("high", (1..=self.counts.len()).map(low).collect()),
            Column::bins(
                "count",
                self.counts.iter().map(|&count| count as f64).collect(),
            ),
        ]
    }
}
