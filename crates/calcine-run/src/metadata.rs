//! The keys of the metadata that a run stores in its networks.

use calcine_metric::Evaluation;

use crate::Split;

/// The key under which a network that was created by [`Experiment::train`](crate::Experiment::train) contains the text
/// of the recipe.
pub const RECIPE_METADATA: &str = "calcine.recipe";

/// The key under which a network that was created by [`Experiment::quantize`](crate::Experiment::quantize) contains its
/// settings, as TOML.
pub const QUANTIZATION_METADATA: &str = "calcine.quantization";

/// The key under which a network that was created by a run contains its evaluation, as a JSON object: `{"loss": 0.3,
/// "top1": 91.7, "count": 10000, "split": "test"}`.
pub const MEASURED_METADATA: &str = "calcine.measured";

/// The value of [`MEASURED_METADATA`].
pub(crate) fn measured(evaluation: &Evaluation, split: Split) -> String {
    let mut json = serde_json::json!(evaluation);
    json["split"] = split.name().into();
    json.to_string()
}
