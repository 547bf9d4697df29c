//! Chooses the quantizer of each value.

use calcine_graph::{ElementKind, Graph, Map, Op, ValueId};

use crate::by_layer::ByLayer;
use crate::sensitive::sensitivities;
use crate::uses::Uses;
use crate::{Calibration, QuantizeError, Quantizer};

/// The magnitude beyond which a value contains no information, if only sigmoids (6) or hyperbolic tangents (4) consume
/// it. With more than 8 bits, their results distinguish larger values.
fn saturates(graph: &Graph, uses: &Uses, id: ValueId, bits: u8) -> Option<f64> {
    if uses.is_output(id) {
        return None;
    }
    let finer = f64::from(bits.saturating_sub(8));
    let consumers = uses.consumers(id).iter();
    let bounds = consumers.map(|consumer| match graph.nodes[*consumer].op {
        Op::Map(Map::Sigmoid) => Some(6.0 + 0.7 * finer),
        Op::Map(Map::Tanh) => Some(4.0 + 0.35 * finer),
        _ => None,
    });
    let bounds: Option<Vec<f64>> = bounds.collect();
    bounds?.into_iter().reduce(f64::max)
}

/// The quantizer of each value.
pub(crate) fn quantizers(
    graph: &Graph,
    uses: &Uses,
    calibration: &Calibration,
    settings: &ByLayer<'_>,
) -> Result<Vec<Option<Quantizer>>, QuantizeError> {
    let mut quantizers: Vec<Option<Quantizer>> = vec![None; graph.values.len()];
    let sensitive = sensitivities(graph);
    let over = |settled: ValueId, name: &str| -> Result<Option<Quantizer>, QuantizeError> {
        if sensitive[settled.0].is_some() {
            return Ok(None);
        }
        let layer = settings.settings_for(name);
        let of = layer.activations;
        let bound = saturates(graph, uses, settled, of.bits);
        let settled = &*graph.value(settled).name;
        if layer.float.is_some() || of.bits == 0 || of.dynamic {
            return Ok(None);
        }
        let statistics = calibration.of_value(settled)?;
        let finite = [statistics.min, statistics.max]
            .into_iter()
            .find(|end| !end.is_finite());
        if let Some(value) = finite {
            return Err(QuantizeError::NotFinite {
                name: settled.to_owned(),
                what: "what calibration saw",
                value,
            });
        }
        let range = of.range_estimator.range(statistics, of.bits, of.scheme);
        let bound = bound.unwrap_or(f64::INFINITY);
        let [low, high] = range.map(|end| end.clamp(-bound, bound) * layer.activation_stretch);
        let quantizer = Quantizer::from_range(low, high, of.bits, of.scheme)?;
        Ok(Some(if of.power_of_two {
            quantizer.power_of_two()
        } else {
            quantizer
        }))
    };
    for &id in &graph.inputs {
        let input = graph.value(id);
        if input.kind == ElementKind::Float {
            quantizers[id.0] = over(id, &input.name)?;
        }
    }
    for (index, node) in graph.nodes.iter().enumerate() {
        let output = graph.value(node.output);
        if output.kind != ElementKind::Float {
            continue;
        }
        let given = node.inputs.first().and_then(|id| quantizers[id.0]);
        quantizers[node.output.0] = if given.is_some() && uses.keeps_quantizer(index, &node.op) {
            given
        } else {
            let settled = uses.final_value(graph, node.output);
            // The output of the network keeps the precision of the sums.
            if uses.is_output(settled) {
                None
            } else {
                over(settled, &node.name)?
            }
        };
    }
    Ok(quantizers)
}

/// For each value with a quantizer, the value for which the quantizer was chosen: operations that only move values
/// share it.
pub(crate) fn producers(
    graph: &Graph,
    uses: &Uses,
    quantizers: &[Option<Quantizer>],
) -> Vec<Option<ValueId>> {
    let mut producers = vec![None; graph.values.len()];
    for &id in &graph.inputs {
        producers[id.0] = quantizers[id.0].map(|_| id);
    }
    for (index, node) in graph.nodes.iter().enumerate() {
        let given = node.inputs.first().and_then(|id| producers[id.0]);
        let own = quantizers[node.output.0].map(|_| node.output);
        producers[node.output.0] = match given {
            Some(producer) if own.is_some() && uses.keeps_quantizer(index, &node.op) => {
                Some(producer)
            }
            _ => own,
        };
    }
    producers
}
