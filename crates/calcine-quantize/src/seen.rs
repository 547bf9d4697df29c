use calcine_trace::watch::BinCounts;
use serde::{Deserialize, Serialize};

use crate::Quantizer;

/// What calibration saw of one value of a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// The mean.
    pub mean: f64,
    /// The standard deviation.
    pub deviation: f64,
    /// The means of the samples' smallest and largest.
    pub average: [f64; 2],
    /// How often values were where, in equally wide bins from the smallest to the largest.
    #[serde(with = "bins")]
    pub counts: BinCounts,
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
    /// Around the mean, or of the positive half of a distribution, around zero.
    pub(crate) fn spread(&self, half: bool) -> Spread {
        let middle = if half { 0.0 } else { self.mean };
        let (mut squares, mut sizes, mut total) = (0.0, 0.0, 0.0);
        for (value, count) in self.bins() {
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

    /// The mean square error of the values on a grid.
    pub(crate) fn error(&self, grid: &Quantizer) -> f64 {
        let (mut sum, mut total) = (0.0, 0.0);
        for (value, count) in self.bins() {
            #[allow(clippy::cast_possible_truncation, reason = "grids are of f32")]
            let on_grid = f64::from(grid.dequantize(grid.quantize(value as f32)));
            sum += count * (value - on_grid).powi(2);
            total += count;
        }
        sum / f64::max(total, 1.0)
    }

    /// The bins' middles, and how many values each has.
    #[allow(clippy::cast_precision_loss, reason = "counts of values")]
    fn bins(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        let width = self.counts.width();
        let counts = self.counts.counts.iter().enumerate();
        counts
            .filter(|(_, count)| **count > 0)
            .map(move |(bin, &count)| (self.counts.low + (bin as f64 + 0.5) * width, count as f64))
    }
}

/// Bins as they are written.
mod bins {
    use calcine_trace::watch::BinCounts;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Bins {
        low: f64,
        high: f64,
        counts: Vec<u64>,
    }

    pub(super) fn serialize<S: Serializer>(bins: &BinCounts, to: S) -> Result<S::Ok, S::Error> {
        let bins = Bins {
            low: bins.low,
            high: bins.high,
            counts: bins.counts.clone(),
        };
        bins.serialize(to)
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<BinCounts, D::Error> {
        let Bins { low, high, counts } = Bins::deserialize(from)?;
        Ok(BinCounts {
            low,
            high,
            counts,
            below: 0,
            above: 0,
        })
    }
}
