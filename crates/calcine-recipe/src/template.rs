use calcine_graph::{Graph, Source, ValueId};

/// A commented recipe as a starting point.
///
/// # Examples
///
/// ```
/// use calcine_recipe::{Recipe, Template};
///
/// let text = Template::Filters.text(None, Some("resnet20"));
/// assert!(text.contains("[pruner.filters]"));
/// let recipe = Recipe::parse(&text)?;
/// assert_eq!(recipe.train().model.as_deref(), Some("resnet20"));
/// # Ok::<(), calcine_recipe::RecipeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Template {
    /// Gradual pruning of single weights.
    Prune,
    /// Gradual pruning of whole channels.
    Filters,
    /// Pruning and removal of whole channels; the smaller network is trained further.
    Thin,
    /// 8-bit integers after training.
    Ptq,
    /// Few bits, with quantization-aware training.
    Qat,
    /// Distillation: the outputs of a teacher are used in addition to the labels.
    Distill,
}

/// The epoch before which the network is thinned.
const THIN_AT: &str = "4";

impl Template {
    /// All templates.
    pub const ALL: [Self; 6] = [
        Self::Prune,
        Self::Filters,
        Self::Thin,
        Self::Ptq,
        Self::Qat,
        Self::Distill,
    ];

    /// The text of the recipe. With the graph of a network, weights whose outputs are those of the network are excluded by
    /// name where outputs are removed; otherwise `fc.weight` is. `model` is the network that `[train]` names.
    #[must_use]
    pub fn text(self, graph: Option<&Graph>, model: Option<&str>) -> String {
        let body = match self {
            Self::Ptq => return include_str!("template/ptq.toml").to_owned(),
            Self::Prune => include_str!("template/prune.toml"),
            Self::Filters => include_str!("template/filters.toml"),
            Self::Thin => include_str!("template/thin.toml"),
            Self::Qat => include_str!("template/qat.toml"),
            Self::Distill => include_str!("template/distill.toml"),
        };
        let body = body.replace("PARAMS", &params(graph));
        let body = body.replace("AT", THIN_AT);
        let (head, body) = body.split_once("\n\n").unwrap_or(("", &body));
        let named = model.map_or_else(String::new, |model| format!("model = \"{model}\"\n"));
        let train = include_str!("template/train.toml").replace("MODEL", &named);
        let rate = include_str!("template/rate.toml");
        format!("{head}\nformat = 1\n\n{train}\n{body}\n{rate}")
    }
}

/// The list of weights whose outputs may lose channels: all except those of the last layers.
fn params(graph: Option<&Graph>) -> String {
    let Some(graph) = graph else {
        return "[\"**.weight\", \"!fc.weight\"]        # all but the last layer, whose outputs are the classes".to_owned();
    };
    let last = last_weights(graph)
        .into_iter()
        .map(|name| format!(", \"!{name}\""));
    let last: String = last.collect();
    let why = if last.is_empty() {
        ""
    } else {
        "        # the outputs of the last layer are the network's"
    };
    format!("[\"**.weight\"{last}]{why}")
}

/// The weights of the layers that no other layer follows.
fn last_weights(graph: &Graph) -> Vec<&str> {
    let mut found = Vec::new();
    let mut seen = vec![false; graph.values.len()];
    let mut open: Vec<ValueId> = graph.outputs.clone();
    while let Some(id) = open.pop() {
        if std::mem::replace(&mut seen[id.0], true) {
            continue;
        }
        let Some(node) = graph.producer(id) else {
            continue;
        };
        let weights = node.inputs.iter().map(|input| graph.value(*input));
        let weights = weights.filter(|value| {
            value.source == Source::Parameter
                && value.shape.len() > 1
                && value.name.ends_with("weight")
        });
        let before = found.len();
        found.extend(weights.map(|value| value.name.as_str()));
        if found.len() == before {
            open.extend(&node.inputs);
        }
    }
    found.sort_unstable();
    found
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::Recipe;

    #[test]
    fn every_template_is_a_sound_recipe() {
        for template in Template::ALL {
            for model in [None, Some("resnet20")] {
                let text = template.text(None, model);
                assert!(text.starts_with("# "), "{text}");
                let recipe = Recipe::parse(&text).unwrap();
                let named = model.filter(|_| template != Template::Ptq);
                assert_eq!(recipe.train().model.as_deref(), named, "{template:?}");
                assert_eq!(recipe.trains(), template != Template::Ptq);
            }
        }
    }
}
