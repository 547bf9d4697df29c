//! The report on quantization: the settings and their effect.

mod effect;

use std::collections::BTreeMap;
use std::fmt;

use calcine_format::is_folded_norm;
use calcine_graph::{ElementKind, Graph, Node, Op, Reduction, Source, ValueId};
use serde::{Serialize, Serializer};

use crate::by_layer::ByLayer;
use crate::plan::producers;
use crate::sensitive::{Sensitivity, sensitivities};
use crate::uses::{Uses, has_integers};
use crate::{Calibration, FloatType, Quantizer};

/// A report on the effect of quantization settings: what stays in float, which settings had no effect, and where
/// precision was lost.
///
/// For a network that was read from a file, it only contains the nodes in float. `Display` prints all lines, and
/// [`warnings`](Self::warnings) returns those that need attention.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[non_exhaustive]
pub struct QuantizationReport {
    /// The nodes with float results that are not computed in integers, in execution order.
    pub float: Vec<FloatNode>,
    /// The matches of each override, in their order.
    pub overrides: Vec<MatchedOverride>,
    /// Settings that had no effect.
    pub without_effect: Vec<UnusedSetting>,
    /// Parameters that lost values in half precision.
    pub half_precision: Vec<HalfPrecisionLoss>,
    /// Ranges that clip a large part of the calibrated values.
    pub clipped: Vec<ClippedRange>,
}

/// A node that is computed in float.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct FloatNode {
    /// The name of the node.
    pub name: String,
    /// The operation, as the graph names it: `softmax`.
    pub operation: String,
    /// Why the node is not computed in integers.
    pub reason: FloatReason,
    /// The parameters that the node uses in float.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<String>,
}

/// Why a node is computed in float. It is serialized as its text.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FloatReason {
    /// The settings keep it in float.
    Setting(FloatType),
    /// The settings leave activations in float.
    Activations,
    /// With dynamic ranges, activations are quantized only as inputs of layers with integer weights.
    Dynamic,
    /// It is the output of the network, which keeps its precision.
    Output,
    /// It uses this value, which is in float.
    Operand(String),
    /// It is part of a division, a root, a logarithm, a power or an exponential, or of a norm that was recorded as such
    /// operations: a quantized operand could be zero, or its error could be amplified.
    Division,
    /// Only a softmax, a maximum or a minimum consumes it, after a mask of −∞ or of large numbers, which would leave no
    /// precision for the other values.
    Mask,
    /// The operation has no integer form: it is computed in float between quantized values.
    Operation,
    /// Its result has no quantizer; for a network from a file, the reason is not known.
    NoQuantizer,
}

impl fmt::Display for FloatReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setting(kept) => {
                let kept = format!("{kept:?}").to_lowercase();
                write!(f, "settings keep it in float (`float = \"{kept}\"`)")
            }
            Self::Activations => f.write_str("activations are in float (`bits = 0`)"),
            Self::Dynamic => f.write_str(
                "with dynamic ranges only the inputs of layers with integer weights are quantized",
            ),
            Self::Output => f.write_str("it gives what the network gives"),
            Self::Operand(name) => write!(f, "it needs `{name}`, which is in float"),
            Self::Division => f.write_str(
                "it is part of a division, a root, a logarithm, a power or an exponential, or of a norm that is made of them",
            ),
            Self::Mask => f.write_str("a softmax or a maximum reads it behind a mask"),
            Self::Operation => f.write_str("the operation has no form in integers"),
            Self::NoQuantizer => f.write_str("its result has no quantizer"),
        }
    }
}

impl Serialize for FloatReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An override and its matches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MatchedOverride {
    /// The pattern of the override.
    pub pattern: String,
    /// The names of the layers, nodes and inputs that it matched.
    pub matched: Vec<String>,
}

/// A setting that had no effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct UnusedSetting {
    /// The name of the setting in a file: `layer.fc.weight_bits`.
    pub setting: String,
    /// The reason.
    pub reason: String,
}

/// A parameter in half precision, of which some values became zero.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct HalfPrecisionLoss {
    /// The path of the parameter.
    pub parameter: String,
    /// The requested type.
    pub asked: FloatType,
    /// The type in which it is stored: `f32` if only zeros would have remained.
    pub kept: FloatType,
    /// The number of non-zero values that the requested type rounds to zero.
    pub zeros: usize,
    /// The number of non-zero values.
    pub numbers: usize,
}

/// A range that clips a large part of the calibrated values: the error is more than a tenth of the mean square, and
/// with the whole range it would be less than half of that.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ClippedRange {
    /// The node or input.
    pub name: String,
    /// The range of the quantizer.
    pub range: [f64; 2],
    /// The smallest and the largest calibrated value.
    pub observed: [f64; 2],
    /// The mean squared error divided by the mean square.
    pub lost: f64,
}

impl QuantizationReport {
    /// The parts of the report that need attention: settings without effect, values that were lost in half precision,
    /// and ranges that clip a large part of the calibrated values. One line each.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let unused = self
            .without_effect
            .iter()
            .map(|unused| format!("`{}` has no effect: {}", unused.setting, unused.reason));
        let half_precision = self.half_precision.iter().map(ToString::to_string);
        let clipped = self.clipped.iter().map(ToString::to_string);
        unused.chain(half_precision).chain(clipped).collect()
    }
}

impl fmt::Display for HalfPrecisionLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            parameter,
            zeros,
            numbers,
            ..
        } = self;
        let asked = format!("{:?}", self.asked).to_lowercase();
        if self.kept == self.asked {
            write!(
                f,
                "`{parameter}`: {zeros} of {numbers} numbers that are not zero are zero in {asked}"
            )
        } else {
            write!(
                f,
                "`{parameter}` stays in f32: all {numbers} numbers that are not zero are zero in {asked}"
            )
        }
    }
}

impl fmt::Display for ClippedRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ([low, high], [min, max]) = (self.range, self.observed);
        write!(
            f,
            "the range of `{}`, {low:.4} to {high:.4} of {min:.4} to {max:.4}, leaves out {:.0} % of its mean square: another range estimator, such as `mse`, leaves out less",
            self.name,
            100.0 * self.lost
        )
    }
}

impl fmt::Display for QuantizationReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut by_reason: Vec<(String, Vec<&str>)> = Vec::new();
        for node in &self.float {
            let reason = node.reason.to_string();
            match by_reason.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, names)) => names.push(&node.name),
                None => by_reason.push((reason, vec![&node.name])),
            }
        }
        for (reason, names) in by_reason {
            writeln!(f, "in float, because {reason}: {}", names.join(", "))?;
        }
        for line in self.warnings() {
            writeln!(f, "warning: {line}")?;
        }
        Ok(())
    }
}

/// The inputs of a report.
pub(crate) struct Asked<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) uses: &'a Uses,
    pub(crate) quantizers: &'a [Option<Quantizer>],
    /// The layers with integer weights, by the position of their nodes, and whether the ranges of their inputs are
    /// dynamic.
    pub(crate) layers: &'a BTreeMap<usize, bool>,
}

impl Asked<'_> {
    /// The report on a network whose settings are not known.
    pub(crate) fn report(&self) -> QuantizationReport {
        QuantizationReport {
            float: self.float_nodes(None),
            ..QuantizationReport::default()
        }
    }

    /// The report on these settings.
    pub(crate) fn report_on(
        &self,
        by_layer: &ByLayer<'_>,
        calibration: &Calibration,
    ) -> QuantizationReport {
        let overrides = by_layer.overrides().iter();
        QuantizationReport {
            float: self.float_nodes(Some(by_layer)),
            overrides: overrides
                .map(|reached| MatchedOverride {
                    pattern: reached.layer.name.clone(),
                    matched: reached.names.iter().map(ToString::to_string).collect(),
                })
                .collect(),
            without_effect: self.without_effect(by_layer),
            half_precision: Vec::new(),
            clipped: self.clipped(by_layer, calibration),
        }
    }

    fn float_nodes(&self, by_layer: Option<&ByLayer<'_>>) -> Vec<FloatNode> {
        let graph = self.graph;
        let mut found = Vec::new();
        for (index, node) in graph.nodes.iter().enumerate() {
            let Some(reason) = self.why_float(index, node, by_layer) else {
                continue;
            };
            let inputs = node.inputs.iter().map(|id| graph.value(*id));
            let own = inputs.filter(|value| value.source == Source::Parameter);
            found.push(FloatNode {
                name: node.name.clone(),
                operation: node.op.name().to_string(),
                reason,
                parameters: match self.layers.contains_key(&index) {
                    true => Vec::new(),
                    false => own.map(|value| value.name.clone()).collect(),
                },
            });
        }
        found
    }

    /// Why a node is computed in float; `None` if it is not.
    fn why_float(
        &self,
        index: usize,
        node: &Node,
        by_layer: Option<&ByLayer<'_>>,
    ) -> Option<FloatReason> {
        let graph = self.graph;
        if graph.value(node.output).kind != ElementKind::Float
            || is_folded_norm(graph, self.uses, index, |layer| {
                self.layers.contains_key(&layer)
            })
        {
            return None;
        }
        if let Some(dynamic) = self.layers.get(&index) {
            let input = node.inputs[0];
            let exact = node.op == Op::Embedding || *dynamic || self.quantizers[input.0].is_some();
            return (!exact).then(|| self.operand(input));
        }
        if self.quantizers[node.output.0].is_some() {
            return self.in_float_between(index, node);
        }
        let settled = self.uses.final_value(graph, node.output);
        let sensitive = || match sensitivities(graph)[settled.0] {
            Some(Sensitivity::Division) => Some(FloatReason::Division),
            Some(Sensitivity::Mask) => Some(FloatReason::Mask),
            None => None,
        };
        let Some(own) = by_layer.map(|by_layer| by_layer.settings_for(&node.name)) else {
            return sensitive().or(Some(FloatReason::NoQuantizer));
        };
        Some(match own.float {
            Some(kept) => FloatReason::Setting(kept),
            None if own.activations.bits == 0 => FloatReason::Activations,
            None if own.activations.dynamic => FloatReason::Dynamic,
            None => sensitive().unwrap_or(FloatReason::Output),
        })
    }

    fn operand(&self, id: ValueId) -> FloatReason {
        FloatReason::Operand(self.graph.value(id).name.clone())
    }

    /// Why a node with a quantized result is computed in float; `None` if it is not.
    fn in_float_between(&self, index: usize, node: &Node) -> Option<FloatReason> {
        let in_float = |id: &&ValueId| self.quantizers[id.0].is_none();
        let operands = match &node.op {
            _ if self.uses.keeps_quantizer(index, &node.op) => &node.inputs[..1],
            op if is_computed_in_integers(op) => &node.inputs[..],
            _ => return Some(FloatReason::Operation),
        };
        operands.iter().find(in_float).map(|id| self.operand(*id))
    }

    /// The ranges that clip a large part of the calibrated values.
    fn clipped(&self, by_layer: &ByLayer<'_>, calibration: &Calibration) -> Vec<ClippedRange> {
        let graph = self.graph;
        let producers = producers(graph, self.uses, self.quantizers);
        let inputs = graph
            .inputs
            .iter()
            .map(|id| (*id, *id, &*graph.value(*id).name));
        let nodes = graph.nodes.iter();
        let nodes = nodes.map(|node| {
            (
                node.output,
                self.uses.final_value(graph, node.output),
                &*node.name,
            )
        });
        let mut found = Vec::new();
        for (id, settled, name) in inputs.chain(nodes) {
            let (Some(quantizer), true) = (self.quantizers[id.0], producers[id.0] == Some(id))
            else {
                continue;
            };
            let value = &*graph.value(settled).name;
            let Some(own) = calibration.values.get(value) else {
                continue;
            };
            let activations = by_layer.settings_for(name).activations;
            let whole =
                Quantizer::from_range(own.min, own.max, activations.bits, activations.scheme);
            let energy = own.mean.powi(2) + own.deviation.powi(2);
            let lost = own.error(&quantizer, 2.0) / energy;
            let better = |whole: Quantizer| own.error(&whole, 2.0) / energy < 0.5 * lost;
            if lost > 0.1 && whole.is_ok_and(better) {
                let [low, high] = quantizer
                    .centred()
                    .map(|end| f64::from(end * quantizer.scale));
                found.push(ClippedRange {
                    name: value.to_owned(),
                    range: [low, high],
                    observed: [own.min, own.max],
                    lost,
                });
            }
        }
        found
    }

    /// Whether a node is a layer with integer weights.
    fn is_integer(&self, position: Option<usize>) -> bool {
        position.is_some_and(|index| self.layers.contains_key(&index))
    }

    /// Whether a node has integer weights unless settings keep it in float.
    fn is_layer(&self, position: Option<usize>) -> bool {
        position.is_some_and(|index| has_integers(self.graph, &self.graph.nodes[index]))
    }
}

/// Whether an operation on quantized values is computed completely in integers.
fn is_computed_in_integers(op: &Op) -> bool {
    use calcine_graph::Arithmetic::{Add, Multiply};
    match op {
        Op::Zip(Add | Multiply) | Op::Matmul | Op::Concat(_) => true,
        Op::Reduce(Reduction::Mean, _) | Op::AdaptiveAveragePool => true,
        Op::AveragePool {
            pool,
            count_padding,
        } => !pool.ceil && (*count_padding || pool.padding.iter().all(|padding| *padding == 0)),
        _ => false,
    }
}
