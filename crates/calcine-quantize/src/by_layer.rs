//! Resolves which settings apply to which layer.

use std::collections::BTreeSet;

use calcine_graph::{Graph, Node};
use calcine_names::{Pattern, nearest};

use crate::settings::{ActivationSettings, Override, QuantizationSettings, WeightSettings};
use crate::uses::{Uses, has_integers, weight_operand};
use crate::{FloatType, QuantizeError};

/// The settings of each layer, and what the patterns of overrides match.
pub(crate) struct ByLayer<'a> {
    settings: &'a QuantizationSettings,
    /// The names to which `first_last` applies.
    first_last: Vec<&'a str>,
    overrides: Vec<Reached<'a>>,
}

/// An override, and the nodes and inputs to which it applies.
pub(crate) struct Reached<'a> {
    pub(crate) layer: &'a Override,
    pub(crate) names: BTreeSet<&'a str>,
}

/// The settings of one layer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LayerSettings {
    pub(crate) float: Option<FloatType>,
    pub(crate) weights: WeightSettings,
    pub(crate) activations: ActivationSettings,
    pub(crate) weight_stretch: f64,
    pub(crate) activation_stretch: f64,
}

impl<'a> ByLayer<'a> {
    /// Resolves all patterns; each must match a layer, a node or an input.
    pub(crate) fn new(
        settings: &'a QuantizationSettings,
        graph: &'a Graph,
    ) -> Result<Self, QuantizeError> {
        let reached = |layer: &'a Override| -> Result<Reached<'a>, QuantizeError> {
            let names = matched(&layer.name, graph)?;
            Ok(Reached { layer, names })
        };
        let overrides = settings
            .layers
            .iter()
            .map(reached)
            .collect::<Result<_, _>>()?;
        let layers: Vec<&str> = layers(graph).map(|node| node.name.as_str()).collect();
        let first_last = [layers.first(), layers.last()].into_iter().flatten();
        Ok(Self {
            settings,
            first_last: first_last.copied().chain(inputs(graph)).collect(),
            overrides,
        })
    }

    /// The settings of all layers.
    pub(crate) fn settings(&self) -> &'a QuantizationSettings {
        self.settings
    }

    /// The nodes and inputs to which `first_last` applies.
    pub(crate) fn first_last(&self) -> &[&'a str] {
        &self.first_last
    }

    /// The overrides, in order.
    pub(crate) fn overrides(&self) -> &[Reached<'a>] {
        &self.overrides
    }

    /// The float type in which each value is stored if nodes use it in float: the widest type that one of them
    /// requires. A norm that is folded into a layer has the type of the layer.
    pub(crate) fn float_types(&self, graph: &Graph) -> Vec<FloatType> {
        let uses = Uses::new(graph);
        let mut asked: Vec<Option<FloatType>> = graph
            .nodes
            .iter()
            .map(|node| self.settings_for(&node.name).float)
            .collect();
        for (index, node) in graph.nodes.iter().enumerate() {
            if let Some(norm) = uses.norm_after(graph, node) {
                asked[norm] = asked[norm].or(asked[index]);
            }
        }
        let mut kept: Vec<Option<FloatType>> = vec![None; graph.values.len()];
        for (node, asked) in graph.nodes.iter().zip(asked) {
            for id in &node.inputs {
                kept[id.0] = kept[id.0].max(Some(asked.unwrap_or(FloatType::F32)));
            }
        }
        let kept = kept.into_iter();
        kept.map(|asked| asked.unwrap_or(FloatType::F32)).collect()
    }

    /// The settings of a node or an input: for each key, the value of the last override that has it, otherwise that of
    /// `first_last`, otherwise that of all layers.
    pub(crate) fn settings_for(&self, name: &str) -> LayerSettings {
        let mut found = LayerSettings {
            float: None,
            weights: self.settings.weights,
            activations: self.settings.activations,
            weight_stretch: 1.0,
            activation_stretch: 1.0,
        };
        if let Some(first_last) = &self.settings.first_last
            && self.first_last.contains(&name)
        {
            found.float = first_last.float;
            set(&mut found.weights.bits, first_last.weight_bits);
            set(&mut found.activations.bits, first_last.activation_bits);
        }
        let overrides = self.overrides.iter();
        for Reached { layer, .. } in overrides.filter(|reached| reached.names.contains(name)) {
            found.float = layer.float.or(found.float);
            set(&mut found.weights.bits, layer.weight_bits);
            set(
                &mut found.weights.range_estimator,
                layer.weight_range_estimator,
            );
            set(&mut found.activations.bits, layer.activation_bits);
            set(
                &mut found.activations.range_estimator,
                layer.activation_range_estimator,
            );
            set(&mut found.weight_stretch, layer.weight_stretch);
            set(&mut found.activation_stretch, layer.activation_stretch);
        }
        found
    }
}

fn set<T>(own: &mut T, other: Option<T>) {
    if let Some(other) = other {
        *own = other;
    }
}

fn layers(graph: &Graph) -> impl Iterator<Item = &Node> {
    let nodes = graph.nodes.iter();
    nodes.filter(|node| has_integers(graph, node))
}

fn inputs(graph: &Graph) -> impl Iterator<Item = &str> {
    graph.inputs.iter().map(|id| &*graph.value(*id).name)
}

/// The path of the weight of a layer.
fn weight_of<'a>(graph: &'a Graph, node: &Node) -> &'a str {
    &graph.value(node.inputs[weight_operand(&node.op)]).name
}

/// The name of a layer: the module that contains its `weight`, or otherwise the name of its node.
fn layer_name<'a>(graph: &'a Graph, node: &'a Node) -> &'a str {
    let module = weight_of(graph, node).strip_suffix(".weight");
    module.unwrap_or(&node.name)
}

/// A name for an override that matches this node and no input.
pub(crate) fn own_name<'a>(graph: &'a Graph, node: &'a Node) -> &'a str {
    match called_as(graph, &node.name) {
        Some(_) if has_integers(graph, node) => weight_of(graph, node),
        _ => &node.name,
    }
}

/// The input that has this name, if the name is also that of something else.
fn called_as<'a>(graph: &'a Graph, name: &str) -> Option<&'a str> {
    let own = inputs(graph)
        .enumerate()
        .find(|(at, _)| match graph.inputs.len() {
            1 => name == "input",
            _ => name == format!("input_{at}"),
        });
    let (_, input) = own?;
    (input != name && input.starts_with(name)).then_some(input)
}

/// The pattern with `**` in place of `*`.
pub(crate) fn widened(pattern: &str) -> String {
    let elements = pattern.split('.');
    let elements = elements.map(|element| if element == "*" { "**" } else { element });
    elements.collect::<Vec<_>>().join(".")
}

/// The names of the nodes and inputs that a pattern matches: of layers with matching names, or otherwise of nodes and
/// inputs. Empty if the pattern would match layers at another depth with `**` in place of `*`.
fn matched<'a>(text: &str, graph: &'a Graph) -> Result<BTreeSet<&'a str>, QuantizeError> {
    let pattern = Pattern::new(text).map_err(|error| QuantizeError::Pattern {
        pattern: error.pattern,
        reason: error.reason,
    })?;
    let of_layers = |is_match: &dyn Fn(&Node) -> bool| -> BTreeSet<&'a str> {
        let found = layers(graph).filter(|node| is_match(node));
        found.map(|node| node.name.as_str()).collect()
    };
    let nodes = || graph.nodes.iter().map(|node| node.name.as_str());
    let attempts: [&dyn Fn() -> BTreeSet<&'a str>; 5] = [
        &|| of_layers(&|node| weight_of(graph, node) == text),
        &|| of_layers(&|node| pattern.matches(layer_name(graph, node))),
        &|| of_layers(&|node| pattern.matches_unwrapped(layer_name(graph, node))),
        &|| of_layers(&|node| pattern.matches(&node.name)),
        &|| {
            let all = nodes().chain(inputs(graph));
            all.filter(|name| pattern.matches(name)).collect()
        },
    ];
    let found = attempts.into_iter().map(|attempt| attempt());
    let found = found.into_iter().find(|names| !names.is_empty());
    match (&found, called_as(graph, text)) {
        (Some(names), Some(input)) if !names.contains(input) => {
            let node = graph.nodes.iter().find(|node| names.contains(&*node.name));
            return Err(QuantizeError::Ambiguous {
                pattern: text.to_owned(),
                other: node.map_or(text, |node| own_name(graph, node)).to_owned(),
                input: input.to_owned(),
            });
        }
        (None, _) => {
            let wide = Pattern::new(&widened(text));
            let is_match = |node: &Node| {
                wide.as_ref()
                    .is_ok_and(|p| p.matches(layer_name(graph, node)))
            };
            if layers(graph).any(is_match) {
                return Ok(BTreeSet::new());
            }
        }
        _ => {}
    }
    found.ok_or_else(|| {
        let names: BTreeSet<&str> = layers(graph)
            .map(|node| layer_name(graph, node))
            .chain(nodes())
            .chain(inputs(graph))
            .collect();
        QuantizeError::NoLayer {
            pattern: text.to_owned(),
            nearest: nearest(text, names).join(", "),
        }
    })
}
