use serde::{Deserialize, Serialize};

use crate::{Observer, Quantizer, StatisticsError};

/// Statistics of the values of a tensor: all that range estimators need.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalibrationStatistics {
    /// The smallest value.
    pub min: f64,
    /// The largest value.
    pub max: f64,
    /// The mean.
    pub mean: f64,
    /// The standard deviation of the population.
    pub deviation: f64,
    /// The means of the smallest and of the largest values of the samples, without samples that contain only zeros.
    pub average: [f64; 2],
    /// The histogram.
    pub counts: Counts,
}

/// A histogram with bins of equal width: bin `i` counts the values in `[low + i·w, low + (i + 1)·w)`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// The lower bound of the first bin.
    pub low: f64,
    /// The upper bound of the last bin.
    pub high: f64,
    /// The number of values in each bin.
    pub counts: Vec<u64>,
}

/// Two measures of the width of a distribution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    /// σ: the square root of the mean of `(x − μ)²`.
    pub(crate) deviation: f64,
    /// b: the mean of `|x − μ|`.
    pub(crate) scale: f64,
}

impl CalibrationStatistics {
    /// The statistics of samples, each a list of numbers; `None` if there is no number, or one is not finite. An [`Observer`]
    /// computes the same from one sample at a time.
    #[must_use]
    pub fn from_samples(samples: &[&[f32]]) -> Option<Self> {
        let mut observer = Observer::default();
        for sample in samples {
            observer.observe(sample);
        }
        observer.statistics()
    }

    /// Checks that the statistics are consistent: finite and within `f32`, ranges in ascending order, and a histogram that is not
    /// empty. Those of an [`Observer`] always are; an edited file may not be.
    ///
    /// # Errors
    ///
    /// If they are not; with the name of the field.
    pub fn check(&self) -> Result<(), StatisticsError> {
        let error = |field, found: String, expected| {
            Err(StatisticsError {
                field,
                found,
                expected,
            })
        };
        let is_number = |x: f64| x.abs() <= f64::from(f32::MAX);
        let range = |[low, high]: [f64; 2]| is_number(low) && is_number(high) && low <= high;
        let ends = [self.min, self.max];
        if !range(ends) {
            return error(
                "min, max",
                format!("{ends:?}"),
                "an ascending range of `f32`",
            );
        }
        if !is_number(self.mean) {
            return error("mean", self.mean.to_string(), "a number of `f32`");
        }
        if !(is_number(self.deviation) && self.deviation >= 0.0) {
            let found = self.deviation.to_string();
            return error("deviation", found, "a number of `f32` that is not negative");
        }
        if !range(self.average) {
            let found = format!("{:?}", self.average);
            return error("average", found, "an ascending range of `f32`");
        }
        let Counts { low, high, counts } = &self.counts;
        // A bin boundary may lie one bin beyond the largest value.
        let is_border = |x: f64| x.abs() <= 2.0 * f64::from(f32::MAX);
        if !(is_border(*low) && is_border(*high) && low < high) {
            let found = format!("{:?}", [low, high]);
            return error(
                "counts.low, counts.high",
                found,
                "an ascending range of `f32`",
            );
        }
        let total = counts
            .iter()
            .try_fold(0_u64, |total, &count| total.checked_add(count));
        if total.is_none_or(|total| total == 0) {
            let found = format!("{} bins with {total:?} numbers", counts.len());
            return error(
                "counts.counts",
                found,
                "bins with at least one number, and a sum of 64 bits",
            );
        }
        Ok(())
    }

    /// The share of excess zeros, from 0 to 1: zeros in excess of the count in the fuller neighbour of the bin of zero.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "counts of numbers")]
    pub fn zeros(&self) -> f64 {
        let zeros = self.counts.zeros().map_or(0, |(_, zeros)| zeros);
        zeros as f64 / f64::max(self.counts.total(), 1.0)
    }

    /// The histogram without excess zeros, which say nothing about the range of the other values. The whole histogram, if it
    /// would be empty otherwise.
    pub(crate) fn without_zeros(&self) -> Counts {
        let mut counts = self.counts.clone();
        if let Some((bin, zeros)) = counts.zeros() {
            counts.counts[bin] -= zeros;
            if counts.counts.iter().all(|count| *count == 0) {
                counts.counts[bin] += zeros;
            }
        }
        counts
    }

    /// The mean and the standard deviation of the values in the bins.
    pub(crate) fn moments(counts: &Counts) -> [f64; 2] {
        let total = f64::max(counts.total(), 1.0);
        let mean = counts.bins().map(|(x, count)| count * x).sum::<f64>() / total;
        let squares = counts.bins().map(|(x, count)| count * (x - mean).powi(2));
        [mean, (squares.sum::<f64>() / total).sqrt()]
    }

    /// The spread around the mean, or around zero for the positive half of a distribution.
    pub(crate) fn spread(&self, half: bool) -> Spread {
        let middle = if half { 0.0 } else { self.mean };
        let (mut squares, mut sizes, mut total) = (0.0, 0.0, 0.0);
        for (value, count) in self.counts.bins() {
            // The zeros of a ReLU say nothing about the width of the distribution.
            if half && value <= self.counts.width() {
                continue;
            }
            squares += count * (value - middle).powi(2);
            sizes += count * (value - middle).abs();
            total += count;
        }
        let total = f64::max(total, 1.0);
        Spread {
            deviation: (squares / total).sqrt(),
            scale: sizes / total,
        }
    }

    /// The mean of `|x − x̂|^p`, where x̂ is the fake-quantized x. Each value is assumed to lie in the middle of its bin.
    #[must_use]
    pub fn error(&self, quantizer: &Quantizer, p: f64) -> f64 {
        let (mut sum, mut total) = (0.0, 0.0);
        for (value, count) in self.counts.bins() {
            #[allow(clippy::cast_possible_truncation, reason = "quantizers are of f32")]
            let fake_quantized = f64::from(quantizer.dequantize(quantizer.quantize(value as f32)));
            sum += count * (value - fake_quantized).abs().powf(p);
            total += count;
        }
        sum / f64::max(total, 1.0)
    }
}

/// The exponent of the smallest power of two at which there are few enough bins between the two values, and the bin
/// boundaries are exact in `f32`.
#[allow(clippy::cast_possible_truncation, reason = "exponents of f32")]
pub(crate) fn exponent(ends: [f32; 2]) -> i32 {
    // The reciprocal of a smaller width exceeds `f32`.
    const NARROWEST: i32 = -120;
    const EXACT: f64 = (1 << 22) as f64;
    let [min, max] = ends.map(f64::from);
    let largest = min.abs().max(max.abs());
    let fits = |exponent: &i32| {
        let width = 2.0_f64.powi(*exponent);
        largest / width <= EXACT
            && (max / width).floor() - (min / width).floor() < Counts::MOST as f64
    };
    let narrow = f64::max((max - min) / Counts::MOST as f64, largest / EXACT);
    let narrow = narrow.max(2.0_f64.powi(NARROWEST)).log2().floor() as i32;
    (narrow..).find(fits).unwrap_or(narrow)
}

/// The index of the bin of width `2^exponent` that contains a value; the bin that begins at zero has the index 0.
#[allow(clippy::cast_possible_truncation, reason = "`exponent` keeps it small")]
pub(crate) fn bin(number: f32, exponent: i32) -> i32 {
    (f64::from(number) / 2.0_f64.powi(exponent)).floor() as i32
}

#[allow(clippy::cast_precision_loss, reason = "counts of numbers")]
impl Counts {
    /// The largest number of bins.
    pub const MOST: usize = 2048;

    /// An empty histogram for a range: at most [`MOST`](Self::MOST) bins, whose width is a power of two, with a bin boundary at
    /// zero. `None` if the range is not finite or not ascending.
    #[must_use]
    pub fn between([min, max]: [f32; 2]) -> Option<Self> {
        if !(min.is_finite() && max.is_finite() && min <= max) {
            return None;
        }
        let exponent = exponent([min, max]);
        let width = 2.0_f64.powi(exponent);
        let [first, last] = [min, max].map(|end| bin(end, exponent));
        Some(Self {
            low: f64::from(first) * width,
            high: (f64::from(last) + 1.0) * width,
            counts: (first..=last).map(|_| 0).collect(),
        })
    }

    /// The width of a bin.
    #[must_use]
    pub fn width(&self) -> f64 {
        (self.high - self.low) / self.counts.len() as f64
    }

    /// The total number of values.
    fn total(&self) -> f64 {
        self.counts.iter().map(|&count| count as f64).sum()
    }

    /// The bin that begins at zero, and the difference between its count and the larger one of the counts of its
    /// neighbours.
    fn zeros(&self) -> Option<(usize, u64)> {
        let bins = 0..self.counts.len();
        let begin = |bin: &usize| self.low + *bin as f64 * self.width();
        let bin = bins.into_iter().find(|bin| begin(bin) == 0.0)?;
        let before = bin.checked_sub(1).and_then(|bin| self.counts.get(bin));
        let beside = before.max(self.counts.get(bin + 1)).copied();
        let zeros = self.counts[bin].saturating_sub(beside.unwrap_or(0));
        Some((bin, zeros))
    }

    /// The quantile for a share from 0 to 1, if values are distributed evenly within their bins.
    #[must_use]
    pub fn percentile(&self, share: f64) -> f64 {
        let wanted = share.clamp(0.0, 1.0) * self.total();
        let mut passed = 0.0;
        for (bin, &count) in self.counts.iter().enumerate() {
            let count = count as f64;
            if count > 0.0 && wanted <= passed + count {
                return self.low + (bin as f64 + (wanted - passed) / count) * self.width();
            }
            passed += count;
        }
        self.high
    }

    /// The Kullback-Leibler divergence `KL(P ‖ Q)` in nats. P contains all values, with those outside of the range in its
    /// outermost bins. Q contains the values within the range, averaged over the bins of each integer of the quantizer; the bin that begins
    /// at zero is treated separately. Infinite if Q is zero in a bin in which P is not.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "quantizers are of f32")]
    pub fn divergence(&self, range: [f64; 2], quantizer: &Quantizer) -> f64 {
        let width = self.width();
        let middle = |bin: usize| self.low + (bin as f64 + 0.5) * width;
        let inside = |bin: &usize| {
            let low = self.low + *bin as f64 * width;
            low < range[1] && range[0] < low + width
        };
        let bins: Vec<usize> = (0..self.counts.len()).filter(inside).collect();
        let (Some(&first), Some(&last)) = (bins.first(), bins.last()) else {
            return f64::INFINITY;
        };
        let count = |bins: &[u64]| bins.iter().sum::<u64>() as f64;
        let (below, above) = (
            count(&self.counts[..first]),
            count(&self.counts[last + 1..]),
        );
        let mut all: Vec<f64> = bins.iter().map(|&bin| self.counts[bin] as f64).collect();
        let within = all.clone();
        all[0] += below;
        *all.last_mut().expect("there is a bin") += above;
        let (total, kept) = (all.iter().sum::<f64>(), within.iter().sum::<f64>());
        let integer = |at: usize| quantizer.quantize(middle(bins[at]) as f32);
        // Every quantizer represents zero exactly, and the output of a ReLU is mostly zeros.
        let is_zeros = |at: usize| self.low + bins[at] as f64 * width == 0.0;
        let mut divergence = 0.0;
        let mut begin = 0;
        while begin < bins.len() {
            let same = |at: &usize| {
                let apart = is_zeros(*at) || is_zeros(begin);
                *at == begin || (!apart && integer(*at) == integer(begin))
            };
            let end = begin + (begin..bins.len()).take_while(same).count();
            let filled = all[begin..end].iter().filter(|count| **count > 0.0).count();
            let even = within[begin..end].iter().sum::<f64>() / filled as f64 / kept;
            for p in all[begin..end].iter().map(|count| count / total) {
                if p > 0.0 {
                    divergence += p * (p / even).ln();
                }
            }
            begin = end;
        }
        divergence
    }

    /// The centre and the count of each bin.
    fn bins(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        let width = self.width();
        let counts = self.counts.iter().enumerate();
        counts
            .filter(|(_, count)| **count > 0)
            .map(move |(bin, &count)| (self.low + (bin as f64 + 0.5) * width, count as f64))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::{RangeEstimator, Scheme};

    /// By the definition, bin by bin, over a quantizer of whole numbers.
    #[test]
    fn divergence_is_what_the_definition_says() {
        let counts = Counts {
            low: 0.0,
            high: 4.0,
            counts: vec![4, 0, 2, 6, 3, 1, 0, 4],
        };
        let quantizer = Quantizer {
            scale: 1.0,
            zero_point: 0,
            low: 0,
            high: 2,
        };
        // Bins of middles 0.25, 0.75, … 2.75 are inside 0 to 3; four numbers are beyond.
        let p: [f64; 6] = [4.0, 0.0, 2.0, 6.0, 3.0, 5.0].map(|count| count / 20.0);
        // 0.25 is 0; 0.75 and 1.25 are 1; 1.75 and 2.25 are 2; 2.75 is 3, clipped to 2.
        let third: f64 = 10.0 / 3.0;
        let q = [4.0, 0.0, 2.0, third, third, third].map(|count| count / 16.0);
        let filled = p.iter().zip(&q).filter(|(p, _)| **p > 0.0);
        let expected: f64 = filled.map(|(p, q)| p * (p / q).ln()).sum();
        let found = counts.divergence([0.0, 3.0], &quantizer);
        assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        let nowhere = counts.divergence([9.0, 10.0], &quantizer);
        assert!(nowhere.is_infinite());
    }

    /// Half of all being zero, as after a relu, does not move the range of the rest.
    #[test]
    fn entropy_does_not_go_by_zeros() {
        let rest: Vec<f32> = (1..10_000).map(|i| (i as f32 / 2500.0).powi(2)).collect();
        let zeros = [rest.as_slice(), &[0.0; 20_000]].concat();
        let top = |values: &[f32]| {
            let statistics = CalibrationStatistics::from_samples(&[values]).unwrap();
            RangeEstimator::Entropy.range(&statistics, 4, Scheme::Affine)[1]
        };
        assert!(
            top(&zeros) > 0.5 * top(&rest),
            "{} {}",
            top(&zeros),
            top(&rest)
        );
    }

    /// A few numbers far out do not decide about a quantizer of few bits; without them all is covered.
    #[test]
    fn entropy_leaves_out_what_is_rare_and_far() {
        let near: Vec<f32> = (0..10_000).map(|i| (i as f32 / 10_000.0).powi(2)).collect();
        let mut far = near.clone();
        far.extend([40.0, 50.0]);
        let top = |values: &[f32]| {
            let statistics = CalibrationStatistics::from_samples(&[values]).unwrap();
            RangeEstimator::Entropy.range(&statistics, 4, Scheme::Affine)[1]
        };
        assert!(top(&far) < 5.0, "{}", top(&far));
        assert!(top(&near) > 0.9, "{}", top(&near));
    }

    #[test]
    fn statistics_of_no_numbers_say_which() {
        type Change = fn(&mut CalibrationStatistics);
        let rows: [(&str, Change); 14] = [
            ("min, max", |s| (s.min, s.max) = (3.0, -3.0)),
            ("min, max", |s| s.max = f64::NAN),
            ("min, max", |s| s.max = 1e300),
            ("mean", |s| s.mean = f64::INFINITY),
            ("deviation", |s| s.deviation = -1.0),
            ("deviation", |s| s.deviation = f64::NAN),
            ("average", |s| s.average = [5.0, -5.0]),
            ("counts.low, counts.high", |s| s.counts.low = s.counts.high),
            ("counts.low, counts.high", |s| s.counts.low = 1e300),
            ("counts.low, counts.high", |s| s.counts.high = f64::NAN),
            ("counts.counts", |s| s.counts.counts.clear()),
            ("counts.counts", |s| s.counts.counts = vec![0; 3]),
            ("counts.counts", |s| s.counts.counts = vec![u64::MAX; 2]),
            ("counts.counts", |s| s.counts.counts.fill(0)),
        ];
        let statistics =
            CalibrationStatistics::from_samples(&[&[0.5, -1.0, 2.0], &[f32::MAX, 1.0]]).unwrap();
        assert_eq!(statistics.check(), Ok(()));
        for (field, change) in rows {
            let mut edited = statistics.clone();
            change(&mut edited);
            assert_eq!(edited.check().unwrap_err().field, field, "{edited:?}");
        }
    }
}
