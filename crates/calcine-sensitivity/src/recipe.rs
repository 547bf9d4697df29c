use calcine_fold::Granularity;

use crate::Suggestion;

/// The windows of the pruner and of the learning rate.
const POLICIES: &str = r#"
[lr.anneal]
type = "cosine"

[[policy]]
pruner = "by_sensitivity"
start = 0
end = 61
every = 5
unit = "percent"

[[policy]]
lr = "anneal"
"#;

/// The recipe that prunes each parameter to its suggested level, gradually (AGP's cubic curve), in the first
/// 60 % of a run, while the learning rate falls on half a cosine over all of it.
///
/// `train` is the body of the `[train]` table, in which only `epochs` is required. Parameters with the suggested level
/// 0 are left out; if all are, there is no pruner. Units are ranked by magnitude.
///
/// # Examples
///
/// ```
/// use calcine_fold::Granularity;
/// use calcine_sensitivity::{Metric, Sensitivity, recipe, suggest};
///
/// let scan = "parameter,requested,achieved,macs,top1,top5,loss\n\
///             ,0,0,,91.7,99.7,0.3\n\
///             fc.weight,0.5,0.5,,90.9,99.7,0.3\n";
/// let suggestions = suggest(&Sensitivity::from_csv(scan)?, &Metric::higher("top1", "%"), 1.0);
/// let text = recipe(&suggestions, Granularity::Element, "epochs = 10");
/// assert!(text.contains(r#""fc.weight" = { curve = "cubic", from = 0.0, to = 0.5 }"#));
/// # Ok::<(), calcine_sensitivity::UnknownFile>(())
/// ```
#[must_use]
pub fn recipe(suggestions: &[Suggestion], granularity: Granularity, train: &str) -> String {
    let mut text = format!("format = 1\n\n[train]\n{}\n", train.trim_end());
    let pruned = || {
        suggestions
            .iter()
            .filter(|suggestion| suggestion.level > 0.0)
    };
    if pruned().next().is_none() {
        return text;
    }
    let head = format!("score = \"magnitude\"\ngranularity = \"{granularity}\"\n");
    text += &format!("\n[pruner.by_sensitivity]\n{head}\n[pruner.by_sensitivity.level]\n");
    for suggestion in pruned() {
        let (parameter, level) = (&suggestion.parameter, suggestion.level);
        text += &format!("\"{parameter}\" = {{ curve = \"cubic\", from = 0.0, to = {level:?} }}\n");
    }
    text + POLICIES
}
