use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{CalibrationStatistics, Quantizer, Scheme};

/// A range estimator chooses the range of a quantizer from calibration statistics. Values outside of the range are clipped to
/// its bounds.
///
/// A narrower range has a smaller scale: the rounding error decreases, and the clipping error increases.
///
/// The output of a ReLU contains more zeros than its distribution near zero would suggest. Such excess zeros say nothing about
/// the range of the other values. Percentiles are therefore computed without them, averages only over samples that
/// contain a non-zero value, and, if at least three quarters of the values are excess zeros, `deviations`, `gauss` and `laplace`
/// use only the other values.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum RangeEstimator {
    /// From the smallest to the largest value.
    #[default]
    MinMax,
    /// The means of the smallest and of the largest values of the samples.
    Average,
    /// `μ ± n·σ`, limited to the smallest and the largest value.
    Deviations(f64),
    /// ACIQ (Banner et al., 2019) for a normal distribution `N(μ, σ²)`: `μ ± α`, with the α of the smallest mean squared error.
    Gauss,
    /// ACIQ for a Laplace distribution with the scale `b`, the mean of `|x − μ|`.
    Laplace,
    /// Percentiles at both ends, in percent: 99.9 excludes one in a thousand of the values (without excess zeros) at each end.
    Percentile(f64),
    /// The range with the smallest mean squared error over the statistics, among a hundred candidates.
    Mse,
    /// The range with the smallest mean of `|error|^p`, among a hundred candidates. The larger p is, the more large errors
    /// count, and the wider the range (the first phase of LAPQ; Nahshan et al., 2021).
    Norm(f64),
    /// The range with the smallest Kullback-Leibler divergence `KL(P ‖ Q)`, among a hundred candidates (Migacz, 2017). P is the
    /// distribution with the values outside of the range added to its outermost bins; Q is the distribution within the range,
    /// averaged over the bins of each integer.
    Entropy,
}

/// An unknown range estimator, or one with an invalid parameter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown range estimator `{0}`: expected min_max, average, gauss, laplace, mse, entropy, norm(P), deviations(N) or percentile(P)"
)]
pub struct UnknownRangeEstimator(String);

impl FromStr for RangeEstimator {
    type Err = UnknownRangeEstimator;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || UnknownRangeEstimator(text.to_owned());
        let argument = |name: &str| -> Option<f64> {
            let inner = text
                .strip_prefix(name)?
                .strip_prefix('(')?
                .strip_suffix(')')?;
            inner.trim().parse().ok()
        };
        match text {
            "min_max" => return Ok(Self::MinMax),
            "average" => return Ok(Self::Average),
            "gauss" => return Ok(Self::Gauss),
            "laplace" => return Ok(Self::Laplace),
            "mse" => return Ok(Self::Mse),
            "entropy" => return Ok(Self::Entropy),
            _ => {}
        }
        if let Some(n) = argument("deviations").filter(|n| *n > 0.0 && n.is_finite()) {
            return Ok(Self::Deviations(n));
        }
        if let Some(p) = argument("norm").filter(|p| (1.0..=16.0).contains(p)) {
            return Ok(Self::Norm(p));
        }
        let percent = argument("percentile").filter(|p| *p > 50.0 && *p <= 100.0);
        percent.map(Self::Percentile).ok_or_else(unknown)
    }
}

impl fmt::Display for RangeEstimator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MinMax => f.write_str("min_max"),
            Self::Average => f.write_str("average"),
            Self::Deviations(n) => write!(f, "deviations({n})"),
            Self::Gauss => f.write_str("gauss"),
            Self::Laplace => f.write_str("laplace"),
            Self::Percentile(p) => write!(f, "percentile({p})"),
            Self::Mse => f.write_str("mse"),
            Self::Entropy => f.write_str("entropy"),
            Self::Norm(p) => write!(f, "norm({p})"),
        }
    }
}

impl TryFrom<String> for RangeEstimator {
    type Error = UnknownRangeEstimator;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<RangeEstimator> for String {
    fn from(range_estimator: RangeEstimator) -> Self {
        range_estimator.to_string()
    }
}

/// The share of excess zeros above which standard deviations are computed from the other values only.
const MOSTLY_ZERO: f64 = 0.75;

impl RangeEstimator {
    /// Checks the parameter of the estimator.
    ///
    /// # Errors
    ///
    /// If a percentile is not above 50 and at most 100, a norm is not 1 to 16, or a number of deviations is not positive.
    pub fn check(self) -> Result<(), UnknownRangeEstimator> {
        self.to_string().parse::<Self>().map(|_| ())
    }

    /// The range that a quantizer with this number of bits should have for these statistics.
    #[must_use]
    pub fn range(self, statistics: &CalibrationStatistics, bits: u8, scheme: Scheme) -> [f64; 2] {
        let [min, max] = [statistics.min, statistics.max];
        if self == Self::MinMax {
            return [min, max];
        }
        // The output of a ReLU has only half a distribution: the range begins at zero.
        let half = min >= 0.0;
        let sparse = statistics.zeros() > MOSTLY_ZERO;
        let [mean, deviation] = match sparse {
            true => CalibrationStatistics::moments(&statistics.without_zeros()),
            false => [statistics.mean, statistics.deviation],
        };
        let around = |alpha: f64| -> [f64; 2] {
            if half {
                [0.0, alpha.min(max)]
            } else {
                [(mean - alpha).max(min), (mean + alpha).min(max)]
            }
        };
        let spread = || match sparse && !half {
            true => CalibrationStatistics {
                mean,
                deviation,
                counts: statistics.without_zeros(),
                ..statistics.clone()
            }
            .spread(half),
            false => statistics.spread(half),
        };
        match self {
            Self::MinMax => [min, max],
            Self::Average => statistics.average,
            Self::Deviations(n) => {
                let [low, high] = [mean - n * deviation, mean + n * deviation];
                let low = if sparse { low.min(0.0) } else { low };
                [low.max(min), high.min(max)]
            }
            Self::Gauss => around(spread().deviation * gauss(levels(bits, half))),
            Self::Laplace => around(spread().scale * laplace(levels(bits, half))),
            Self::Percentile(percent) => {
                let share = percent / 100.0;
                let counts = statistics.without_zeros();
                let at = |share| counts.percentile(share).max(min).min(max);
                let low = if half { 0.0 } else { at(1.0 - share) };
                [low, at(share)]
            }
            Self::Mse => least(statistics, bits, scheme, |_, quantizer| {
                statistics.error(quantizer, 2.0)
            }),
            Self::Norm(p) => least(statistics, bits, scheme, |_, quantizer| {
                statistics.error(quantizer, p)
            }),
            Self::Entropy => least(statistics, bits, scheme, |range, quantizer| {
                statistics.counts.divergence(range, quantizer)
            }),
        }
    }
}

/// The number of bits of a quantizer with the same resolution that covers both signs.
fn levels(bits: u8, half: bool) -> u8 {
    bits + u8::from(half)
}

/// The `α / σ` with the smallest mean squared error for a normal distribution, if `2^bits` levels cover the range from
/// −α to α.
///
/// The error is `2 ∫_α^∞ (x − α)² φ(x) dx + α² / (3 · 4^bits)`, which is smallest where its derivative is zero.
fn gauss(bits: u8) -> f64 {
    let rest = 3.0 * 4.0_f64.powi(i32::from(bits));
    root(|alpha| {
        let tail = 0.5 * libm::erfc(alpha / std::f64::consts::SQRT_2);
        let density = (-0.5 * alpha * alpha).exp() / (2.0 * std::f64::consts::PI).sqrt();
        4.0 * (alpha * tail - density) + 2.0 * alpha / rest
    })
}

/// The same for a Laplace distribution with scale 1, whose error is `2·e^{−α} + α² / (3 · 4^bits)`.
fn laplace(bits: u8) -> f64 {
    let rest = 3.0 * 4.0_f64.powi(i32::from(bits));
    root(|alpha| -2.0 * (-alpha).exp() + 2.0 * alpha / rest)
}

/// The positive root of an increasing function.
fn root(slope: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (0.0, 64.0);
    for _ in 0..80 {
        let middle = 0.5 * (low + high);
        if slope(middle) < 0.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

/// The number of candidates of the search.
const CANDIDATES: u32 = 100;

/// The candidate with the smallest cost; candidates are shares of the whole range.
fn least(
    statistics: &CalibrationStatistics,
    bits: u8,
    scheme: Scheme,
    cost: impl Fn([f64; 2], &Quantizer) -> f64,
) -> [f64; 2] {
    let mut best = ([statistics.min, statistics.max], f64::INFINITY);
    for candidate in (1..=CANDIDATES).rev() {
        let share = f64::from(candidate) / f64::from(CANDIDATES);
        let range = [statistics.min * share, statistics.max * share];
        let Ok(quantizer) = Quantizer::from_range(range[0], range[1], bits, scheme) else {
            continue;
        };
        let cost = cost(range, &quantizer);
        if cost < best.1 {
            best = (range, cost);
        }
    }
    best.0
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// The published multipliers, to the two digits that they have.
    #[test]
    fn multipliers_of_aciq_are_the_published_ones() {
        let tables = [
            (
                laplace as fn(u8) -> f64,
                [1.86, 2.83, 3.89, 5.03, 6.20, 7.41, 8.64, 9.89],
            ),
            (gauss, [1.24, 1.71, 2.15, 2.55, 2.93, 3.28, 3.61, 3.92]),
        ];
        for (found, table) in tables {
            for (bits, expected) in (1..=8).zip(table) {
                assert!(
                    (found(bits) - expected).abs() < 0.011,
                    "{bits}: {}",
                    found(bits)
                );
            }
        }
    }

    #[test]
    fn range_estimators_have_names() {
        for text in [
            "min_max",
            "average",
            "gauss",
            "laplace",
            "mse",
            "entropy",
            "norm(2.5)",
            "deviations(2.5)",
            "percentile(99.9)",
        ] {
            assert_eq!(text.parse::<RangeEstimator>().unwrap().to_string(), text);
        }
        for text in [
            "minmax",
            "deviations(0)",
            "percentile(20)",
            "percentile(99",
            "norm(0.5)",
            "",
        ] {
            let error = text.parse::<RangeEstimator>().unwrap_err().to_string();
            assert!(error.contains("expected min_max"), "{error}");
        }
    }

    const ALL: [&str; 10] = [
        "min_max",
        "average",
        "percentile(99.9)",
        "percentile(99)",
        "mse",
        "norm(2.5)",
        "entropy",
        "gauss",
        "laplace",
        "deviations(3)",
    ];

    /// Of what a relu leaves, or a gate of both signs, nearly all zeros: half of the range that is used is covered at least.
    #[test]
    fn no_range_leaves_out_what_mostly_zeros_say() {
        for zeros in [80, 95, 99, 199, 999] {
            for negative in [false, true] {
                let numbers = (0..200_u16).flat_map(|i| {
                    let size = 0.5 + 3.5 * f32::from(i) / 199.0;
                    let sign = if negative && i % 2 == 1 { -1.0 } else { 1.0 };
                    let rest = std::iter::repeat_n(0.0, zeros);
                    std::iter::once(sign * size).chain(rest)
                });
                let numbers: Vec<f32> = numbers.collect();
                let samples: Vec<&[f32]> = numbers.chunks(1).collect();
                let statistics = CalibrationStatistics::from_samples(&samples).unwrap();
                for text in ALL {
                    let range_estimator: RangeEstimator = text.parse().unwrap();
                    for bits in [8, 4] {
                        let [low, high] = range_estimator.range(&statistics, bits, Scheme::Affine);
                        let what =
                            format!("{text}, {bits} bits, {zeros} zeros, {negative}: {low} {high}");
                        // An average of single numbers is that of all, of both signs.
                        if text == "average" && negative {
                            continue;
                        }
                        assert!((2.0..=4.1).contains(&high), "{what}");
                        assert!(!negative || low <= -2.0, "{what}");
                    }
                }
            }
        }
    }

    /// A constant zero, and a single other number, have a range too.
    #[test]
    fn nothing_but_zeros_has_a_range() {
        for numbers in [vec![0.0; 100], [[0.0; 99].as_slice(), &[3.0]].concat()] {
            let statistics = CalibrationStatistics::from_samples(&[&numbers]).unwrap();
            for text in ALL {
                let range_estimator: RangeEstimator = text.parse().unwrap();
                let [low, high] = range_estimator.range(&statistics, 8, Scheme::Affine);
                let top = numbers[99];
                assert!(
                    low <= 0.0 && f64::from(0.5 * top) <= high,
                    "{text}: {low} {high} of {top}"
                );
            }
        }
    }

    /// Of numbers without a heap at zero, zeros are none, and a percentile is of all.
    #[test]
    fn dense_numbers_have_no_zeros_to_leave_out() {
        let numbers: Vec<f32> = (0..100_000).map(|i| (i as f32 - 50_000.0) / 1e4).collect();
        let statistics = CalibrationStatistics::from_samples(&[&numbers]).unwrap();
        assert!(statistics.zeros() < 1e-3, "{}", statistics.zeros());
        let [low, high] = RangeEstimator::Percentile(99.0).range(&statistics, 8, Scheme::Affine);
        assert!(
            (low + 4.9).abs() < 0.01 && (high - 4.9).abs() < 0.01,
            "{low} {high}"
        );
    }

    #[test]
    fn numbers_of_range_estimators_are_checked_whoever_made_them() {
        let bad = [
            RangeEstimator::Percentile(-5.0),
            RangeEstimator::Percentile(50.0),
            RangeEstimator::Percentile(100.1),
            RangeEstimator::Percentile(f64::NAN),
            RangeEstimator::Deviations(0.0),
            RangeEstimator::Deviations(-1.0),
            RangeEstimator::Deviations(f64::INFINITY),
            RangeEstimator::Norm(0.0),
            RangeEstimator::Norm(17.0),
            RangeEstimator::Norm(f64::NAN),
        ];
        for range_estimator in bad {
            assert!(range_estimator.check().is_err(), "{range_estimator}");
        }
        for text in ALL {
            assert!(text.parse::<RangeEstimator>().unwrap().check().is_ok());
        }
    }
}
