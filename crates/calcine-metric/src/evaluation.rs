use std::fmt;

use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Metric, label};

/// The value of a metric.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricValue {
    /// The metric's name.
    pub name: String,
    /// The value, in the metric's unit.
    pub value: f64,
}

/// What an evaluation of a model found: the mean loss, the values of all metrics, and the number of samples.
///
/// In JSON it is one flat object, in this order: `{"loss": 0.3, "top1": 91.7, "top5": 99.7, "count": 10000}`. JSON has no
/// NaN and no infinity: such a number is written as `null` and read as NaN.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Evaluation {
    /// The mean loss over the samples.
    pub loss: f64,
    /// The metrics, in the objective's order.
    pub metrics: Vec<MetricValue>,
    /// The number of samples.
    pub count: u64,
}

impl Evaluation {
    /// An evaluation without metrics.
    #[must_use]
    pub fn new(loss: f64, count: u64) -> Self {
        Self {
            loss,
            metrics: Vec::new(),
            count,
        }
    }

    /// With one more metric.
    #[must_use]
    pub fn with_metric(mut self, name: impl Into<String>, value: f64) -> Self {
        self.metrics.push(MetricValue {
            name: name.into(),
            value,
        });
        self
    }

    /// The value of the metric of this name, of which `loss` is one; NaN if there is none.
    #[must_use]
    pub fn value(&self, name: &str) -> f64 {
        self.find(name).unwrap_or(f64::NAN)
    }

    /// The value of the metric of this name, of which `loss` is one.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<f64> {
        if name == "loss" {
            return Some(self.loss);
        }
        let mut metrics = self.metrics.iter();
        metrics.find(|metric| metric.name == name).map(|m| m.value)
    }

    /// One line for people, with the units of the metrics: `top-1 91.70 %, top-5 99.70 %, loss 0.3012`.
    #[must_use]
    pub fn shown(&self, metrics: &[Metric]) -> String {
        let metrics = metrics.iter().filter_map(|metric| {
            let value = self.find(&metric.name)?;
            Some(format!("{} {}", label(&metric.name), metric.shown(value)))
        });
        let loss = format!("loss {:.4}", self.loss);
        metrics.chain([loss]).collect::<Vec<_>>().join(", ")
    }
}

/// One line: `loss 0.3100  top1 91.7000 over 10000 samples`.
impl fmt::Display for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "loss {:.4}", self.loss)?;
        for MetricValue { name, value } in &self.metrics {
            write!(f, "  {name} {value:.4}")?;
        }
        write!(f, " over {} samples", self.count)
    }
}

/// A number, or `null` if it is not finite.
fn finite(number: f64) -> Option<f64> {
    number.is_finite().then_some(number)
}

impl Serialize for Evaluation {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.metrics.len() + 2))?;
        map.serialize_entry("loss", &finite(self.loss))?;
        for MetricValue { name, value } in &self.metrics {
            map.serialize_entry(name, &finite(*value))?;
        }
        map.serialize_entry("count", &self.count)?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Evaluation {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Flat)
    }
}

struct Flat;

impl<'de> Visitor<'de> for Flat {
    type Value = Evaluation;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `loss`, `count` and a number for each metric")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Evaluation, A::Error> {
        let (mut loss, mut count) = (None, None);
        let mut metrics = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "loss" => loss = Some(map.next_value::<Option<f64>>()?.unwrap_or(f64::NAN)),
                "count" => count = Some(map.next_value()?),
                _ => {
                    let value = map.next_value::<Option<f64>>()?.unwrap_or(f64::NAN);
                    metrics.push(MetricValue { name, value });
                }
            }
        }
        Ok(Evaluation {
            loss: loss.ok_or_else(|| A::Error::missing_field("loss"))?,
            metrics,
            count: count.ok_or_else(|| A::Error::missing_field("count"))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_evaluation_is_a_flat_object_and_is_read_again() {
        let evaluation = Evaluation::new(0.5, 3)
            .with_metric("top1", 75.0)
            .with_metric("a", 1.0);
        let text = serde_json::to_string(&evaluation).unwrap_or_default();
        assert_eq!(text, r#"{"loss":0.5,"top1":75.0,"a":1.0,"count":3}"#);
        assert_eq!(
            serde_json::from_str::<Evaluation>(&text).ok(),
            Some(evaluation)
        );
        assert!(serde_json::from_str::<Evaluation>(r#"{"loss":0.5}"#).is_err());
    }

    #[test]
    fn an_evaluation_is_shown_with_the_units_of_its_metrics() {
        let metrics = [Metric::higher("top1", "%"), Metric::lower("rmse", "")];
        let evaluation = Evaluation::new(0.30119, 10).with_metric("top1", 91.7);
        assert_eq!(evaluation.shown(&metrics), "top-1 91.70 %, loss 0.3012");
    }

    #[test]
    fn numbers_that_are_not_finite_are_null_and_read_as_nan() {
        let diverged = Evaluation::new(f64::INFINITY, 1).with_metric("psnr", f64::NAN);
        let text = serde_json::to_string(&diverged).unwrap_or_default();
        assert_eq!(text, r#"{"loss":null,"psnr":null,"count":1}"#);
        let again: Evaluation = serde_json::from_str(&text).unwrap_or_default();
        assert!(again.loss.is_nan() && again.value("psnr").is_nan());
    }

    #[test]
    fn the_loss_is_found_as_a_metric() {
        let evaluation = Evaluation::new(0.5, 3).with_metric("top1", 75.0);
        assert_eq!(
            (evaluation.find("loss"), evaluation.find("top1")),
            (Some(0.5), Some(75.0))
        );
        assert!(evaluation.find("top5").is_none() && evaluation.value("top5").is_nan());
    }
}
