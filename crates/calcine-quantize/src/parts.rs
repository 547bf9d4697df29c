//! Creates the parts of a quantized network from settings.

use std::collections::BTreeMap;

use burn::module::Module;
use calcine_graph::{Graph, Node, Op};
use calcine_observe::LayerSamples;
use calcine_trace::{AnyTensor, Network, NetworkTensor, Tensors};

use crate::by_layer::{ByLayer, LayerSettings};
use crate::float::Float;
use crate::layer::{Accumulator, Dynamic, FloatLayer, Layer, groups, vector};
use crate::norms::reestimate;
use crate::plan::quantizers;
use crate::report::{Asked, QuantizationReport};
use crate::settings::AccumulatorSettings;
use crate::uses::{Uses, has_integers, output_axis, weight_operand};
use crate::{Calibration, FloatType, QuantizationSettings, QuantizeError, Quantized, Quantizer};

/// A function that samples the inputs of the layers with these weights.
pub(crate) type Sample<'a> = dyn FnMut(&[&str]) -> Result<Vec<LayerSamples>, QuantizeError> + 'a;

/// The number of columns of layers that are sampled in one pass; for 1,000 images, about 600 MB.
const SAMPLED: usize = 1 << 14;

/// The parts of a quantized network.
pub(crate) struct Parts {
    graph: Graph,
    uses: Uses,
    quantizers: Vec<Option<Quantizer>>,
    layers: BTreeMap<usize, Layer>,
    /// The float type in which each value is stored if nodes use it in float.
    kept: Vec<FloatType>,
    report: QuantizationReport,
}

/// The positions of the nodes that get integer weights, and their settings.
fn integer_layers<'a>(
    graph: &'a Graph,
    by_layer: &ByLayer<'_>,
) -> Vec<(usize, &'a Node, LayerSettings)> {
    let nodes = graph.nodes.iter().enumerate();
    let nodes = nodes.filter(|(_, node)| has_integers(graph, node));
    let nodes = nodes.map(|(index, node)| (index, node, by_layer.settings_for(&node.name)));
    nodes.filter(|(_, _, own)| own.float.is_none()).collect()
}

/// Whether the settings of a layer need samples of its inputs.
fn is_sampled(node: &Node, own: &LayerSettings) -> bool {
    matches!(node.op, Op::Convolution(_) | Op::Linear) && own.weights.needs_samples()
}

/// The number of these layers that are sampled in one pass; at least one.
fn sampled_together(graph: &Graph, layers: &[(usize, &Node, LayerSettings)]) -> usize {
    let mut columns = 0;
    let fit = layers.iter().take_while(|(_, node, own)| {
        if is_sampled(node, own) {
            let shape = graph.value(node.inputs[1]).shape_at(1);
            let inputs = shape.iter().product::<usize>() / shape[output_axis(&node.op)].max(1);
            columns += inputs * groups(node);
        }
        columns <= SAMPLED
    });
    fit.count().max(1)
}

fn weight_of<'a>(graph: &'a Graph, node: &Node) -> &'a str {
    &graph.value(node.inputs[weight_operand(&node.op)]).name
}

/// The dynamic quantization of inputs without a quantizer, if the settings request it.
fn dynamic(
    layer: &Layer,
    node: &Node,
    own: &LayerSettings,
) -> Result<Option<Dynamic>, QuantizeError> {
    let of = &own.activations;
    if !of.dynamic || of.bits == 0 || node.op == Op::Embedding {
        return Ok(None);
    }
    if layer.group.is_some() {
        return Err(QuantizeError::Groups {
            name: layer.name.clone(),
        });
    }
    // Checks the bits, which do not depend on the range.
    Quantizer::from_range(0.0, 1.0, of.bits, of.scheme)?;
    Ok(Some(Dynamic {
        bits: of.bits,
        scheme: of.scheme,
    }))
}

impl Parts {
    pub(crate) fn new(
        network: &Network,
        calibration: &Calibration,
        settings: &QuantizationSettings,
        sample: &mut Sample<'_>,
    ) -> Result<Self, QuantizeError> {
        settings.check()?;
        let graph = network.graph().clone();
        let uses = Uses::new(&graph);
        let by_layer = ByLayer::new(settings, &graph)?;
        let quantizers = quantizers(&graph, &uses, calibration, &by_layer)?;
        let mut rest: &[_] = &integer_layers(&graph, &by_layer);
        let mut layers = BTreeMap::new();
        while !rest.is_empty() {
            let (now, later) = rest.split_at(sampled_together(&graph, rest));
            rest = later;
            let paths = now.iter().filter(|(_, node, own)| is_sampled(node, own));
            let paths: Vec<&str> = paths.map(|(_, node, _)| weight_of(&graph, node)).collect();
            let samples = match paths.is_empty() {
                true => Vec::new(),
                false => sample(&paths)?,
            };
            let mut samples = samples.into_iter();
            for (index, node, own) in now {
                let float = FloatLayer::new(network, &uses, node)?;
                let accumulator = Accumulator {
                    input: quantizers[node.inputs[0].0].as_ref(),
                    settings: &settings.accumulator,
                };
                let weights = float.quantizers(own)?;
                let samples = is_sampled(node, own).then(|| samples.next()).flatten();
                let layer = match samples {
                    Some(samples) => Layer::from_samples(
                        &node.name,
                        &float,
                        &weights,
                        &own.weights,
                        accumulator,
                        &samples,
                    )?,
                    None => {
                        Layer::nearest(&node.name, &float, &weights, &own.weights, accumulator)?
                    }
                };
                let dynamic = dynamic(&layer, node, own)?;
                layers.insert(*index, Layer { dynamic, ..layer });
            }
        }
        let integers = layers.iter();
        let integers =
            integers.map(|(index, layer): (&usize, &Layer)| (*index, layer.dynamic.is_some()));
        let asked = Asked {
            graph: &graph,
            uses: &uses,
            quantizers: &quantizers,
            layers: &integers.collect(),
        };
        let report = asked.report_on(&by_layer, calibration);
        Ok(Self {
            report,
            kept: by_layer.float_types(&graph),
            graph,
            uses,
            quantizers,
            layers,
        })
    }

    /// Sets the statistics of norms to those of the outputs of the integer weights over these batches.
    pub(crate) fn renorm<I: Tensors + Clone>(
        &mut self,
        network: &Network,
        batches: &[I],
        accumulator: &AccumulatorSettings,
    ) -> Result<(), QuantizeError> {
        let mut rounded = BTreeMap::new();
        for (&index, layer) in &self.layers {
            let node = &self.graph.nodes[index];
            let float = FloatLayer::new(network, &self.uses, node)?;
            let path = weight_of(&self.graph, node).to_owned();
            rounded.insert(path, layer.unfolded(&float));
        }
        let mut change = |which: NetworkTensor<'_>, tensor: AnyTensor| match which {
            NetworkTensor::Parameter(path) => match rounded.get(path) {
                Some(weights) => vector(weights.clone(), &tensor.device(), &tensor.shape()),
                None => tensor,
            },
            NetworkTensor::Constant(_) => tensor,
        };
        let rounded = network.clone().valid();
        let rounded = rounded.rewritten(self.graph.clone(), &mut change, Vec::new())?;
        let renormed = reestimate(rounded, batches)?;
        for (&index, layer) in &mut self.layers {
            let node = &self.graph.nodes[index];
            if self.uses.norm_after(&self.graph, node).is_some() {
                let [before, after] =
                    [network, &renormed].map(|n| FloatLayer::new(n, &self.uses, node));
                let accumulator = Accumulator {
                    input: self.quantizers[node.inputs[0].0].as_ref(),
                    settings: accumulator,
                };
                layer.renorm(&before?, &after?, accumulator)?;
            }
        }
        Ok(())
    }

    pub(crate) fn assembled(
        self,
        network: &Network,
        accumulator: &AccumulatorSettings,
    ) -> Result<Quantized, QuantizeError> {
        for (&index, layer) in &self.layers {
            let input = self.graph.nodes[index].inputs[0];
            layer.fits(self.quantizers[input.0].as_ref(), accumulator)?;
        }
        assembled(
            network,
            self.graph,
            &self.uses,
            self.quantizers,
            self.layers,
            &self.kept,
            self.report,
        )
    }
}

/// Assembles the network from these layers and the values that other nodes use in float.
pub(crate) fn assembled(
    network: &Network,
    graph: Graph,
    uses: &Uses,
    quantizers: Vec<Option<Quantizer>>,
    layers: BTreeMap<usize, Layer>,
    kept: &[FloatType],
    mut report: QuantizationReport,
) -> Result<Quantized, QuantizeError> {
    let mut floats = BTreeMap::new();
    let nodes = graph.nodes.iter().enumerate();
    let nodes = nodes.map(|(index, node)| {
        match layers.contains_key(&index) {
            // The input of a layer may be a constant, such as a table of positions.
            true if node.op == Op::Embedding => &node.inputs[1..],
            true => &node.inputs[..1],
            false if is_folded_norm(&graph, uses, &layers, index) => &[][..],
            false => &node.inputs[..],
        }
    });
    for ids in nodes.chain(std::iter::once(&graph.outputs[..])) {
        for id in ids {
            if let Some(tensor) = network.tensor(*id) {
                let (float, loss) = Float::new(tensor, kept[id.0], &graph.value(*id).name)?;
                if floats.insert(id.0, float).is_none() {
                    report.half_precision.extend(loss);
                }
            }
        }
    }
    let device = network.devices();
    let device = device
        .into_iter()
        .next()
        .unwrap_or_default()
        .without_autodiff();
    let quantized = Quantized::new(graph, quantizers, layers, floats, Some(report), &device)?;
    Ok(quantized.with_all_metadata(network.metadata().clone()))
}

/// Whether a node is a batch norm that is folded into an integer layer.
pub(crate) fn is_folded_norm(
    graph: &Graph,
    uses: &Uses,
    layers: &BTreeMap<usize, Layer>,
    index: usize,
) -> bool {
    calcine_format::is_folded_norm(graph, uses, index, |layer| layers.contains_key(&layer))
}
