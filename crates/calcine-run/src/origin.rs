use std::path::Path;

use calcine_metric::{Evaluation, Metric};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::error::write;
use crate::{Names, RunError};

/// The experiment that results belong to. Every result is serialized to one JSON object that begins with these entries.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Origin {
    /// The names of model, data, device and samples.
    pub names: Names,
    /// The metrics of the objective.
    pub metrics: Vec<Metric>,
    /// Further entries: those of [`Experiment::with_details`](crate::Experiment::with_details).
    pub details: Map<String, Value>,
}

impl Origin {
    /// The metric that comes first, or the loss.
    pub(crate) fn main_metric(&self) -> Metric {
        self.metrics.first().cloned().unwrap_or_else(Metric::loss)
    }

    /// The entries: the details, `model`, `data` and `device`.
    pub(crate) fn to_map(&self) -> Map<String, Value> {
        let Names {
            model,
            data,
            device,
            ..
        } = &self.names;
        let mut map = self.details.clone();
        for (key, name) in [("model", model), ("data", data), ("device", device)] {
            map.insert(key.to_owned(), name.as_str().into());
        }
        map
    }
}

/// Adds the loss and the metrics of an evaluation, with a suffix to their names. NaN and infinite values become `null`.
pub(crate) fn add_evaluation(map: &mut Map<String, Value>, evaluation: &Evaluation, suffix: &str) {
    map.insert(format!("loss{suffix}"), evaluation.loss.into());
    for metric in &evaluation.metrics {
        map.insert(format!("{}{suffix}", metric.name), metric.value.into());
    }
}

/// The entries of a JSON object.
pub(crate) fn entries(object: Value) -> Map<String, Value> {
    match object {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// Writes results as `report.json`, with the directory as `out`; returns the report.
pub(crate) fn save_report(results: &impl Serialize, out: &Path) -> Result<Value, RunError> {
    let mut report = serde_json::to_value(results).expect("results are plain data");
    report["out"] = json!(out);
    let text = serde_json::to_string_pretty(&report).expect("a value is JSON");
    write(&out.join("report.json"), text)?;
    Ok(report)
}
