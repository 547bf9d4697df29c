//! Decides what is quantized in training, and which parameters that requires.

use std::collections::{BTreeMap, HashSet};

use burn::module::{Module, RunningState};
use burn::tensor::{Device, Tensor};
use calcine_graph::{ElementKind, Graph, Map, Op, Source, Value, ValueId};
use calcine_quant::{Method, Quantizer};
use calcine_trace::{AddedParameter, Network};

use super::{LEAST, QatError};
use crate::by_layer::ByLayer;
use crate::layer::FloatLayer;
use crate::plan::{producers, quantizers};
use crate::report::{Asked, QuantizationReport};
use crate::settings::{AccumulatorSettings, ActivationSettings};
use crate::uses::{Uses, has_weights};
use crate::{Calibration, FloatType, QuantizationSettings, QuantizeError};

/// The quantizers of a network in quantization-aware training.
#[derive(Debug)]
pub(super) struct QatPlan {
    /// The graph without the parameters of quantizers.
    pub(super) graph: Graph,
    pub(super) uses: Uses,
    /// The initial quantizers.
    pub(super) quantizers: Vec<Option<Quantizer>>,
    /// For each value with a quantizer, the value for which the quantizer was chosen.
    pub(super) producers: Vec<Option<ValueId>>,
    pub(super) weights: Vec<WeightPlan>,
    /// The position of a weight, by the value at which its bias is complete.
    pub(super) biased: BTreeMap<ValueId, usize>,
    /// The activations, by the value at which they are final.
    pub(super) activations: BTreeMap<ValueId, ActivationPlan>,
    pub(super) method: Method,
    pub(super) accumulator: AccumulatorSettings,
    /// The float type in which each value is stored if it is used in float.
    pub(super) kept: Vec<FloatType>,
    pub(super) report: QuantizationReport,
}

#[derive(Debug)]
pub(super) struct WeightPlan {
    /// The position of the layer.
    pub(super) node: usize,
    pub(super) axis: usize,
    pub(super) bits: u8,
    pub(super) per_channel: bool,
    /// The scale, if it is learned.
    pub(super) scale: Option<ValueId>,
    /// The position of the batch norm that is folded into it.
    pub(super) norm: Option<usize>,
}

impl WeightPlan {
    /// The largest integer of a symmetric quantizer.
    pub(super) fn top(&self) -> f64 {
        f64::from((1_i32 << (self.bits - 1)) - 1)
    }

    /// Whether the quantizer is that of the weight with its norm folded in, which is necessary if all outputs share a
    /// scale.
    pub(super) fn is_folded(&self, method: Method) -> bool {
        let ranged = matches!(method, Method::Lsq | Method::Linear { .. });
        ranged && !self.per_channel && self.norm.is_some()
    }
}

#[derive(Debug)]
pub(super) struct ActivationPlan {
    /// The value for which the quantizer was chosen.
    pub(super) producer: ValueId,
    pub(super) quantizer: Quantizer,
    pub(super) settings: ActivationSettings,
    pub(super) method: ActivationMethod,
}

/// How an activation is quantized.
#[derive(Debug, Clone, Copy)]
pub(super) enum ActivationMethod {
    /// With the calibrated quantizer.
    Fixed,
    /// With a learned scale.
    LearnedScale(ValueId),
    /// With a learned clipping value.
    LearnedClip(ValueId),
    /// From 0 to 1.
    Unit,
    /// With the moving range of this index.
    Moving(usize),
}

/// A moving range, and the name of its value.
pub(super) type Range = (String, RunningState<Tensor<1>>);

impl QatPlan {
    /// Creates the plan, the network with additional parameters, and the calibrated ranges.
    pub(super) fn new(
        network: Network,
        calibration: &Calibration,
        settings: &QuantizationSettings,
        method: Method,
    ) -> Result<(Self, Network, Vec<Range>), QatError> {
        if let Some(wrong) = settings.problems_of_training(method).into_iter().next() {
            return Err(QuantizeError::from(wrong).into());
        }
        let graph = network.graph().clone();
        let uses = Uses::new(&graph);
        let by_layer = ByLayer::new(settings, &graph)?;
        let quantizers = quantizers(&graph, &uses, calibration, &by_layer)?;
        let mut added = Additions {
            names: graph
                .values
                .iter()
                .map(|value| value.name.clone())
                .collect(),
            graph: graph.clone(),
            added: Vec::new(),
            ranges: Vec::new(),
            device: network.devices().into_iter().next().unwrap_or_default(),
        };
        let (mut weights, mut biased) = (Vec::new(), BTreeMap::new());
        let mut activations = BTreeMap::new();
        let mut home = None;
        for (index, node) in graph.nodes.iter().enumerate() {
            let own = by_layer.settings_for(&node.name);
            if has_weights(&graph, node) && own.float.is_none() {
                let path = graph.value(node.inputs[1]).name.clone();
                let norm = uses.norm_after(&graph, node);
                let float = FloatLayer::new(&network, &uses, node)?;
                let scale = if method == Method::Lsq {
                    let folded = float.quantizers(&own)?;
                    // The scale of a channel before its norm.
                    let scale = |(output, quantizer): (usize, &Quantizer)| match folded.len() {
                        1 => f64::from(quantizer.scale),
                        _ => f64::from(quantizer.scale) / float.factors[output].abs().max(LEAST),
                    };
                    let scales = folded.iter().enumerate().map(scale).collect();
                    Some(added.parameter(&path, "weight_scale", scales))
                } else {
                    None
                };
                let complete = graph.nodes[norm.unwrap_or(index)].output;
                biased.insert(complete, weights.len());
                weights.push(WeightPlan {
                    node: index,
                    axis: float.axis,
                    bits: own.weights.bits,
                    per_channel: own.weights.per_channel,
                    scale,
                    norm,
                });
                home = Some(path);
            }
            let makes = !uses.keeps_quantizer(index, &node.op);
            if let (Some(quantizer), true) = (quantizers[node.output.0], makes) {
                let settled = uses.final_value(&graph, node.output);
                let relu = |id: ValueId| match graph.value(id).source {
                    Source::Node(index) => graph.nodes[index].op == Op::Map(Map::Relu),
                    _ => false,
                };
                let [low, high] = quantizer
                    .centred()
                    .map(|end| f64::from(end * quantizer.scale));
                let learned = |added: &mut Additions, what: &str, value: f64| {
                    let home = home.as_deref()?;
                    let name = format!("{}_{what}", node.op.name());
                    Some(added.parameter(home, &name, vec![value]))
                };
                let method = match method {
                    Method::Linear { .. } => {
                        let name = &graph.value(settled).name;
                        ActivationMethod::Moving(added.range(name, [low, high]))
                    }
                    Method::Dorefa | Method::Wrpn if relu(settled) => ActivationMethod::Unit,
                    Method::Pact if relu(settled) => learned(&mut added, "clip", high)
                        .map_or(ActivationMethod::Fixed, ActivationMethod::LearnedClip),
                    _ => {
                        let scale = learned(&mut added, "scale", f64::from(quantizer.scale));
                        scale.map_or(ActivationMethod::Fixed, ActivationMethod::LearnedScale)
                    }
                };
                let plan = ActivationPlan {
                    producer: node.output,
                    quantizer,
                    settings: own.activations,
                    method,
                };
                activations.insert(settled, plan);
            }
        }
        let Additions {
            graph: with_added,
            added,
            ranges,
            ..
        } = added;
        let network = network.rewritten(with_added, &mut |_, tensor| tensor, added)?;
        let integers = weights.iter().map(|weight| (weight.node, false));
        let asked = Asked {
            graph: &graph,
            uses: &uses,
            quantizers: &quantizers,
            layers: &integers.collect(),
        };
        let mut report = asked.report_on(&by_layer, calibration);
        report.after_training_only(settings);
        let plan = Self {
            report,
            producers: producers(&graph, &uses, &quantizers),
            kept: by_layer.float_types(&graph),
            graph,
            uses,
            quantizers,
            weights,
            biased,
            activations,
            method,
            accumulator: settings.accumulator,
        };
        Ok((plan, network, ranges))
    }
}

/// The additional parameters of quantizers.
struct Additions {
    graph: Graph,
    /// The names of all values.
    names: HashSet<String>,
    added: Vec<AddedParameter>,
    ranges: Vec<Range>,
    device: Device,
}

impl Additions {
    /// A new parameter next to another one, with a name that its module does not have yet.
    #[allow(clippy::cast_possible_truncation, reason = "scales are f32 everywhere")]
    fn parameter(&mut self, after: &str, name: &str, values: Vec<f64>) -> ValueId {
        let module = after.rsplit_once('.').map_or("", |(module, _)| module);
        let path = |name: &str| match module {
            "" => name.to_owned(),
            module => format!("{module}.{name}"),
        };
        let mut own = path(name);
        let mut count = 1;
        while !self.names.insert(own.clone()) {
            count += 1;
            own = path(&format!("{name}_{count}"));
        }
        self.graph.values.push(Value {
            name: own.clone(),
            shape: vec![values.len().into()],
            kind: ElementKind::Float,
            source: Source::Parameter,
        });
        let values: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
        self.added.push(AddedParameter {
            path: own,
            after: after.to_owned(),
            value: Tensor::from_floats(values.as_slice(), &self.device),
        });
        ValueId(self.graph.values.len() - 1)
    }

    #[allow(clippy::cast_possible_truncation, reason = "ranges are f32 on devices")]
    fn range(&mut self, name: &str, ends: [f64; 2]) -> usize {
        let ends = Tensor::from_floats(ends.map(|end| end as f32), &self.device);
        self.ranges.push((name.to_owned(), RunningState::new(ends)));
        self.ranges.len() - 1
    }
}
