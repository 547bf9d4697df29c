use calcine_metric::Evaluation;

/// The result of one evaluation of a model.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Measurement {
    /// The mean loss and the metrics.
    pub evaluation: Evaluation,
    /// The loss of each example, in the same order in every evaluation; may be empty. With these losses a scan computes a
    /// [confidence interval](Interval) for each difference in loss.
    pub losses: Vec<f32>,
}

impl From<Evaluation> for Measurement {
    /// Without the losses of single examples.
    fn from(evaluation: Evaluation) -> Self {
        Self {
            evaluation,
            losses: Vec::new(),
        }
    }
}

/// A 95 % confidence interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

impl Interval {
    /// The interval of the mean difference of paired losses, by Student's t.
    ///
    /// ```text
    /// dᵢ = afterᵢ − beforeᵢ      d̄ ± t(0.975, n − 1) · √(Σ(dᵢ − d̄)² / (n − 1) / n)
    /// ```
    ///
    /// The examples are meant to be drawn at random. The only assumption about the losses is that the mean of n of them is
    /// approximately normal, so use n ≥ 100. Pairing removes the variation between easy and hard examples, so that the
    /// interval is far narrower than that of either mean. The result is `None` for fewer than two pairs, and for different
    /// numbers of losses.
    #[must_use]
    pub fn mean_difference(before: &[f32], after: &[f32]) -> Option<Self> {
        let n = before.len() as f64;
        if before.len() != after.len() || before.len() < 2 {
            return None;
        }
        let differences = || {
            before
                .iter()
                .zip(after)
                .map(|(&b, &a)| f64::from(a) - f64::from(b))
        };
        let mean = differences().sum::<f64>() / n;
        let squares: f64 = differences().map(|d| (d - mean).powi(2)).sum();
        let margin = student(n - 1.0) * (squares / (n - 1.0) / n).sqrt();
        Some(Self {
            low: mean - margin,
            high: mean + margin,
        })
    }
}

/// The 97.5 % quantile of Student's distribution, by the series of Cornish and Fisher; exact enough (1 %)
/// from 4 degrees of freedom on, too small below.
fn student(freedom: f64) -> f64 {
    let z = 1.959_963_984_540_054_f64;
    let first = (z.powi(3) + z) / 4.0;
    let second = (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0;
    let third = (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / 384.0;
    z + first / freedom + second / freedom.powi(2) + third / freedom.powi(3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (freedom, quantile) in [(4.0, 2.776), (10.0, 2.228), (30.0, 2.042), (1e6, 1.960)] {
            assert_relative_eq!(student(freedom), quantile, max_relative = 0.01);
        }
    }

    #[test]
    fn an_interval_is_that_of_the_differences() {
        // Differences 1, 2, 3, 4, 5: mean 3, deviation √2.5, t = 2.776.
        let before = [9.0, 0.5, 3.0, 7.0, 1.0];
        let after = [10.0, 2.5, 6.0, 11.0, 6.0];
        let interval = Interval::mean_difference(&before, &after).unwrap();
        let margin = 2.776 * (2.5_f64 / 5.0).sqrt();
        assert_relative_eq!(interval.low, 3.0 - margin, max_relative = 0.01);
        assert_relative_eq!(interval.high, 3.0 + margin, max_relative = 0.01);
    }

    #[test]
    fn what_makes_an_example_hard_does_not_widen_the_interval() {
        let before: Vec<f32> = (0..50).map(|i| (i * 7 % 50) as f32).collect();
        let after: Vec<f32> = before.iter().map(|loss| loss + 0.25).collect();
        let interval = Interval::mean_difference(&before, &after).unwrap();
        assert_eq!((interval.low, interval.high), (0.25, 0.25));
    }

    #[test]
    fn losses_without_a_partner_have_no_interval() {
        assert_eq!(Interval::mean_difference(&[1.0], &[2.0]), None);
        assert_eq!(Interval::mean_difference(&[1.0, 2.0], &[2.0]), None);
    }

    #[test]
    fn about_ninety_five_of_a_hundred_intervals_hold_the_truth() {
        // Triangular differences around 1 from a linear congruential generator.
        let mut state = 1_u64;
        let mut draw = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 40) as f32 / (1_u64 << 24) as f32
        };
        let mut held = 0;
        for _ in 0..1000 {
            let before: Vec<f32> = (0..30).map(|_| draw()).collect();
            let after: Vec<f32> = before.iter().map(|loss| loss + draw() + draw()).collect();
            let interval = Interval::mean_difference(&before, &after).unwrap();
            held += usize::from(interval.low <= 1.0 && 1.0 <= interval.high);
        }
        assert!((930..=970).contains(&held), "{held} of 1000");
    }
}
