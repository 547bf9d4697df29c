use serde::{Deserialize, Serialize};

use crate::Quantizer;

/// What was seen of some numbers: all that ranges are made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// The mean.
    pub mean: f64,
    /// The standard deviation, of the population.
    pub deviation: f64,
    /// The means of the samples' smallest and largest.
    pub average: [f64; 2],
    /// How often numbers were where, from the smallest to the largest.
    pub counts: Counts,
}

/// How often numbers fell into each of equally wide bins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Where the first bin begins.
    pub low: f64,
    /// Where the last one ends.
    pub high: f64,
    /// The bins.
    pub counts: Vec<u64>,
}

/// How wide a distribution is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    /// σ: the root of the mean of `(x − μ)²`.
    pub(crate) deviation: f64,
    /// b: the mean of `|x − μ|`.
    pub(crate) scale: f64,
}

impl Seen {
    /// What samples were, each a list of numbers, over so many bins; `None` if there is no number, or one is not
    /// finite.
    #[must_use]
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts of numbers, and positions of bins"
    )]
    pub fn of(samples: &[&[f32]], bins: usize) -> Option<Self> {
        let values = || samples.iter().copied().flatten().map(|&x| f64::from(x));
        let count = values().count() as f64;
        if count == 0.0 || bins == 0 || !values().all(f64::is_finite) {
            return None;
        }
        let ends = |values: &mut dyn Iterator<Item = f64>| {
            values.fold([f64::INFINITY, f64::NEG_INFINITY], |[min, max], x| {
                [min.min(x), max.max(x)]
            })
        };
        let [min, max] = ends(&mut values());
        let mean = values().sum::<f64>() / count;
        let variance = values().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
        let (mut sums, mut rows) = ([0.0, 0.0], 0.0);
        for sample in samples.iter().filter(|sample| !sample.is_empty()) {
            let [min, max] = ends(&mut sample.iter().map(|&x| f64::from(x)));
            sums = [sums[0] + min, sums[1] + max];
            rows += 1.0;
        }
        let high = if min < max { max } else { min + 1.0 };
        let mut counts = vec![0_u64; bins];
        for x in values() {
            let bin = ((x - min) / (high - min) * bins as f64) as usize;
            counts[bin.min(bins - 1)] += 1;
        }
        Some(Self {
            min,
            max,
            mean,
            deviation: variance.sqrt(),
            average: sums.map(|sum| sum / rows),
            counts: Counts {
                low: min,
                high,
                counts,
            },
        })
    }

    /// Around the mean, or of the positive half of a distribution, around zero.
    pub(crate) fn spread(&self, half: bool) -> Spread {
        let middle = if half { 0.0 } else { self.mean };
        let (mut squares, mut sizes, mut total) = (0.0, 0.0, 0.0);
        for (value, count) in self.counts.bins() {
            // Zeros of a relu say nothing about the width of the rest.
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

    /// The mean square error of the numbers on a grid, each taken to be in its bin's middle.
    #[must_use]
    pub fn error(&self, grid: &Quantizer) -> f64 {
        let (mut sum, mut total) = (0.0, 0.0);
        for (value, count) in self.counts.bins() {
            #[allow(clippy::cast_possible_truncation, reason = "grids are of f32")]
            let on_grid = f64::from(grid.dequantize(grid.quantize(value as f32)));
            sum += count * (value - on_grid).powi(2);
            total += count;
        }
        sum / f64::max(total, 1.0)
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts of numbers")]
impl Counts {
    /// The width of a bin.
    #[must_use]
    pub fn width(&self) -> f64 {
        (self.high - self.low) / self.counts.len() as f64
    }

    /// The number that this share of all, from 0 to 1, does not exceed, if numbers lie evenly in their bins.
    #[must_use]
    pub fn percentile(&self, share: f64) -> f64 {
        let total: u64 = self.counts.iter().sum();
        let wanted = share.clamp(0.0, 1.0) * total as f64;
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

    /// The bins' middles, and how many numbers each has.
    fn bins(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        let width = self.width();
        let counts = self.counts.iter().enumerate();
        counts
            .filter(|(_, count)| **count > 0)
            .map(move |(bin, &count)| (self.low + (bin as f64 + 0.5) * width, count as f64))
    }
}
