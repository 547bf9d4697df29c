//! Finds the settings that had no effect.

use std::collections::HashMap;

use calcine_graph::{Op, ValueId};

use super::{Asked, QuantizationReport, UnusedSetting};
use crate::by_layer::{ByLayer, widened};
use crate::plan::producers;
use crate::settings::Override;
use crate::{QuantizationSettings, RangeEstimator, Rounding};

/// The keys of an override, and whether they are set.
fn keys(layer: &Override) -> [(&'static str, bool); 7] {
    [
        ("float", layer.float.is_some()),
        ("weight_bits", layer.weight_bits.is_some()),
        (
            "weight_range_estimator",
            layer.weight_range_estimator.is_some(),
        ),
        ("weight_stretch", layer.weight_stretch.is_some()),
        ("activation_bits", layer.activation_bits.is_some()),
        (
            "activation_range_estimator",
            layer.activation_range_estimator.is_some(),
        ),
        ("activation_stretch", layer.activation_stretch.is_some()),
    ]
}

/// The positions of names in a graph, and the value for which each quantizer was chosen.
struct Places<'a> {
    nodes: HashMap<&'a str, usize>,
    inputs: HashMap<&'a str, ValueId>,
    producers: Vec<Option<ValueId>>,
}

impl<'a> Places<'a> {
    fn new(asked: &Asked<'a>) -> Self {
        let graph = asked.graph;
        let mut nodes = HashMap::new();
        for (index, node) in graph.nodes.iter().enumerate() {
            nodes.entry(node.name.as_str()).or_insert(index);
        }
        let inputs = graph.inputs.iter();
        let inputs = inputs.map(|id| (graph.value(*id).name.as_str(), *id));
        Self {
            nodes,
            inputs: inputs.collect(),
            producers: producers(graph, asked.uses, asked.quantizers),
        }
    }
}

impl Asked<'_> {
    /// The settings that had no effect.
    pub(super) fn without_effect(&self, by_layer: &ByLayer<'_>) -> Vec<UnusedSetting> {
        let mut unused = Vec::new();
        let mut say = |setting: String, reason: &str| {
            unused.push(UnusedSetting {
                setting,
                reason: reason.to_owned(),
            });
        };
        let settings = by_layer.settings();
        self.whole(settings, &mut say);
        let places = Places::new(self);
        let overrides = by_layer.overrides();
        if let Some(first_last) = &settings.first_last {
            let own = Override {
                float: first_last.float,
                weight_bits: first_last.weight_bits,
                activation_bits: first_last.activation_bits,
                ..Override::default()
            };
            for (key, _) in keys(&own).into_iter().filter(|(_, has)| *has) {
                let names = by_layer.first_last().iter().copied();
                if let Some(reason) = self.unused(by_layer, &places, key, names, 0) {
                    say(format!("first_last.{key}"), reason);
                }
            }
        }
        for (at, reached) in overrides.iter().enumerate() {
            if reached.names.is_empty() {
                let name = &reached.layer.name;
                let wide = widened(name);
                let reason = format!("`*` is one element of a name; `{wide}` matches layers");
                say(format!("layer.{name}"), &reason);
                continue;
            }
            for (key, _) in keys(reached.layer).into_iter().filter(|(_, has)| *has) {
                let names = reached.names.iter().copied();
                if let Some(reason) = self.unused(by_layer, &places, key, names, at + 1) {
                    say(reached.layer.field(key), reason);
                }
            }
            if keys(reached.layer).iter().all(|(_, has)| !has) {
                say(format!("layer.{}", reached.layer.name), "it says nothing");
            }
        }
        unused
    }

    /// Why a key of an override has no effect on these names, unless a later override sets it, too; `None` if it has an
    /// effect.
    fn unused<'n>(
        &self,
        by_layer: &ByLayer<'_>,
        places: &Places<'_>,
        key: &str,
        names: impl Iterator<Item = &'n str> + Clone,
        later: usize,
    ) -> Option<&'static str> {
        let later = &by_layer.overrides()[later..];
        let decides = |name: &&str| {
            !later.iter().any(|other| {
                let has = keys(other.layer).contains(&(key, true));
                has && other.names.contains(name)
            })
        };
        let mut decided = names.filter(decides).peekable();
        if decided.peek().is_none() {
            return Some("later overrides of the same layers have it too");
        }
        let reasons = decided.map(|name| self.unused_of(by_layer, places, key, name));
        // The first of several reasons.
        let mut first = None;
        for reason in reasons {
            first = first.or(Some(reason?));
        }
        first
    }

    /// Why a key has no effect on a node or an input.
    fn unused_of(
        &self,
        by_layer: &ByLayer<'_>,
        places: &Places<'_>,
        key: &str,
        name: &str,
    ) -> Option<&'static str> {
        let graph = self.graph;
        let position = places.nodes.get(name).copied();
        let own = by_layer.settings_for(name);
        if key.starts_with("weight_") {
            return if self.is_integer(position) {
                None
            } else if self.is_layer(position) {
                Some("the layer is in float")
            } else {
                Some("no layer with weights is called so")
            };
        }
        let node = position.map(|index| (index, &graph.nodes[index]));
        let input = || places.inputs.get(name).copied();
        let value = node.map(|(_, node)| node.output).or_else(input)?;
        if key == "float" {
            // Without this setting, there would be a quantizer, integer weights, or parameters of another type.
            let passed =
                node.is_some_and(|(index, node)| self.uses.keeps_quantizer(index, &node.op));
            let bare = node.is_none_or(|(_, node)| {
                let values = node.inputs.iter().map(|id| graph.value(*id));
                !values
                    .clone()
                    .any(|value| value.source == calcine_graph::Source::Parameter)
            });
            return (passed && bare)
                .then_some("it only moves numbers, which have their quantizer already");
        }
        if places.producers[value.0] == Some(value) {
            return None;
        }
        if own.activations.dynamic {
            let bits = node.is_some_and(|(index, _)| self.layers.get(&index) == Some(&true));
            let reason = "with `dynamic = true` ranges are those of a batch";
            return (!bits || key != "activation_bits").then_some(reason);
        }
        Some(if own.float.is_some() {
            "the layer is in float"
        } else if own.activations.bits == 0 {
            if key == "activation_bits" {
                return None;
            }
            "activations are in float (`bits = 0`)"
        } else if self.quantizers[value.0].is_some() {
            "it only moves numbers, which have their quantizer already"
        } else {
            "it gives what the network gives, which has no quantizer"
        })
    }

    /// Settings for all layers that have no effect on any of them.
    fn whole(&self, settings: &QuantizationSettings, say: &mut dyn FnMut(String, &str)) {
        let (weights, activations) = (&settings.weights, &settings.activations);
        let nodes = &self.graph.nodes;
        let mut layers = self.layers.keys().map(|index| &nodes[*index]);
        let sampled = layers.any(|node| matches!(node.op, Op::Convolution(_) | Op::Linear));
        if !sampled && weights.rounding != Rounding::Nearest {
            say(
                "weights.rounding".to_owned(),
                "no convolution and no linear layer has integer weights",
            );
        }
        if !sampled && weights.correct_bias {
            say(
                "weights.correct_bias".to_owned(),
                "no convolution and no linear layer has integer weights",
            );
        }
        let mut layers = self.layers.keys().map(|index| &nodes[*index]);
        let norms = layers.any(|node| self.uses.norm_after(self.graph, node).is_some());
        if weights.reestimate && !norms {
            say(
                "weights.reestimate".to_owned(),
                "no layer with integer weights has a batch norm behind it",
            );
        }
        if activations.bits == 0 {
            let reason = "activations are in float (`bits = 0`)";
            if activations.range_estimator != RangeEstimator::MinMax {
                say("activations.range_estimator".to_owned(), reason);
            }
            if activations.power_of_two {
                say("activations.power_of_two".to_owned(), reason);
            }
            if activations.dynamic {
                say("activations.dynamic".to_owned(), reason);
            }
        }
    }
}

impl QuantizationReport {
    /// Adds settings for post-training quantization, which have no effect in training.
    pub(crate) fn after_training_only(&mut self, settings: &QuantizationSettings) {
        let weights = &settings.weights;
        for (setting, asked) in [
            ("weights.rounding", weights.rounding != Rounding::Nearest),
            ("weights.correct_bias", weights.correct_bias),
            ("weights.reestimate", weights.reestimate),
        ] {
            let known = self
                .without_effect
                .iter()
                .any(|unused| unused.setting == setting);
            if asked && !known {
                self.without_effect.push(UnusedSetting {
                    setting: setting.to_owned(),
                    reason: "it is for quantization after training".to_owned(),
                });
            }
        }
    }
}
