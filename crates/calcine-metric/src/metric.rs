use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

/// Which of two values of a metric is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The higher one, as for an accuracy.
    Higher,
    /// The lower one, as for an error.
    Lower,
}

/// The name of a metric, which values are better, and its unit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    /// The name, in snake case: `top1`. It becomes a column of tables, a key of reports and a part of a log's tag, so it
    /// must be unique among the metrics of an objective, and neither `loss` nor `count`.
    pub name: String,
    /// Which values are better.
    pub direction: Direction,
    /// The unit, such as `%` or `dB`; empty if the values have none.
    pub unit: String,
}

impl Metric {
    /// A metric of which higher values are better.
    pub fn higher(name: impl Into<String>, unit: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            direction: Direction::Higher,
            unit: unit.into(),
        }
    }

    /// A metric of which lower values are better.
    pub fn lower(name: impl Into<String>, unit: impl Into<String>) -> Self {
        Self {
            direction: Direction::Lower,
            ..Self::higher(name, unit)
        }
    }

    /// The loss as a metric, for objectives that have no other.
    #[must_use]
    pub fn loss() -> Self {
        Self::lower("loss", "")
    }

    /// Compares two values: the greater one is the better one. NaN is worse than any number, and equal to NaN.
    #[must_use]
    pub fn compare(&self, a: f64, b: f64) -> Ordering {
        let worst = match self.direction {
            Direction::Higher => f64::NEG_INFINITY,
            Direction::Lower => f64::INFINITY,
        };
        let number = |value: f64| if value.is_nan() { worst } else { value };
        let (a, b) = (number(a), number(b));
        match self.direction {
            Direction::Higher => a.total_cmp(&b),
            Direction::Lower => b.total_cmp(&a),
        }
    }

    /// Whether `a` is better than `b`.
    #[must_use]
    pub fn is_better(&self, a: f64, b: f64) -> bool {
        self.compare(a, b).is_gt()
    }

    /// By how much `b` is worse than `a`; negative where it is better. NaN if one of them is.
    #[must_use]
    pub fn loss_from(&self, a: f64, b: f64) -> f64 {
        match self.direction {
            Direction::Higher => a - b,
            Direction::Lower => b - a,
        }
    }

    /// A value with two digits and the unit, `91.70 %`; with four digits where there is no unit.
    #[must_use]
    pub fn shown(&self, value: f64) -> String {
        let digits = if self.unit.is_empty() { 4 } else { 2 };
        let space = if self.unit.is_empty() { "" } else { " " };
        format!("{value:.digits$}{space}{}", self.unit)
    }
}

/// The name of a metric for people: `top-1` for `top1`, and otherwise with spaces in place of underscores.
///
/// ```
/// assert_eq!(calcine_metric::label("top5"), "top-5");
/// assert_eq!(calcine_metric::label("pixel_accuracy"), "pixel accuracy");
/// ```
#[must_use]
pub fn label(metric: &str) -> String {
    match metric.strip_prefix("top") {
        Some(k) if k.parse::<u32>().is_ok() => format!("top-{k}"),
        _ => metric.replace('_', " "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_better_value_is_the_greater_one_and_nan_is_the_worst() {
        let (top1, error) = (Metric::higher("top1", "%"), Metric::lower("rmse", ""));
        for (metric, better, worse) in [(&top1, 2.0, 1.0), (&error, 1.0, 2.0)] {
            assert!(metric.is_better(better, worse) && !metric.is_better(worse, better));
            assert!(metric.is_better(worse, f64::NAN) && !metric.is_better(f64::NAN, worse));
            assert_eq!(metric.compare(f64::NAN, f64::NAN), Ordering::Equal);
            assert_eq!(metric.loss_from(better, worse), 1.0);
        }
    }

    #[test]
    fn values_are_shown_with_their_unit() {
        assert_eq!(Metric::higher("top1", "%").shown(91.7), "91.70 %");
        assert_eq!(Metric::lower("rmse", "").shown(0.25), "0.2500");
    }
}
