use burn::module::Module;
use burn::tensor::Tensor;
use calcine_graph::Op;
use calcine_trace::{AnyTensor, Network, Tensors};

use crate::batches::finite;
use crate::cross_layer::{CrossLayerPair, Factors, cross_layer_pairs, largest};
use crate::uses::output_axis;
use crate::{Preparation, QuantizeError};

/// Rounds over all places; each is exact by itself, and a chain of layers settles in a few.
const ROUNDS: usize = 20;

/// How far factors may be from 1 when all is settled.
const SETTLED: f64 = 1e-3;

/// Cross-layer equalization (Nagel et al., 2019): channels scaled so that the weights which make and which read them are
/// equally large, and one scale fits all of them.
///
/// For channel `i`, with `r` the largest magnitude of its weights in the layer that makes it (batch norm folded in) and
/// `R` in those that read it, the first are divided by `s = √(r / R)` and the second multiplied. The network computes what
/// it did, up to rounding: only relus, pools and reshapes may lie between, nothing else may see the channels, and a channel
/// that is zero stays as it is. It helps quantizers that all outputs share; with a scale for each output, weights gain nothing.
/// Calibrate the result, not the network. Reads the device.
///
/// # Errors
///
/// If a parameter is not finite.
pub fn equalize(network: Network) -> Result<Network, QuantizeError> {
    let network = network.with_stored_weights();
    let cross_layer_pairs = cross_layer_pairs(network.graph());
    let is_norm = |pair: &CrossLayerPair| {
        matches!(
            network.graph().nodes[pair.producer].op,
            Op::LayerNorm { .. }
        )
    };
    let cross_layer_pairs: Vec<CrossLayerPair> = cross_layer_pairs
        .into_iter()
        .filter(|pair| !is_norm(pair))
        .collect();
    let mut network = network;
    for _ in 0..ROUNDS {
        let mut off = 0.0_f64;
        for pair in &cross_layer_pairs {
            let axis = output_axis(&network.graph().nodes[pair.producer].op);
            let made = largest(&network, pair.producer, axis, 1)?;
            let read = largest_of_readers(&network, pair)?;
            let by = made
                .iter()
                .zip(&read)
                .map(|(made, read)| ratio(*made, *read).sqrt());
            let by: Vec<f64> = by.collect();
            off = by.iter().fold(off, |off, by| off.max((by - 1.0).abs()));
            let mut factors = Factors::default();
            factors.add(pair, &by);
            network = factors.apply(network)?;
        }
        if off < SETTLED {
            break;
        }
    }
    Ok(network)
}

/// `SmoothQuant` (Xiao et al., 2023): outliers of activations moved into weights, channel by channel, where they are easier
/// to round.
///
/// Channel `i` of what layers read is divided by `s = max|x_i|^strength / max|w_i|^(1 − strength)`, and their weights are
/// multiplied; the division is done by the norm or the layer before. What may lie between, and what stays, is as in
/// [`equalize`]. Strengths are from 0, all of it left to activations, to 1; 0.5 is the paper's. Calibrate the result, not the
/// network. Reads the device, once for all batches.
///
/// # Errors
///
/// If there is no batch, one does not fit or has a number that is not finite, a parameter is not finite, or the strength is
/// not from 0 to 1.
pub fn smooth<I: Tensors + Clone>(
    network: Network,
    batches: &[I],
    strength: f64,
) -> Result<Network, QuantizeError> {
    let preparation = Preparation {
        smooth: Some(strength),
        ..Preparation::default()
    };
    preparation.check()?;
    let network = network.with_stored_weights();
    let cross_layer_pairs = cross_layer_pairs(network.graph());
    let inputs = extremes(&network, batches, &cross_layer_pairs)?;
    let mut factors = Factors::default();
    for (pair, inputs) in cross_layer_pairs.iter().zip(&inputs) {
        let weights = largest_of_readers(&network, pair)?;
        let by = inputs.iter().zip(&weights);
        let by: Vec<f64> = by
            .map(|(x, w)| ratio(x.powf(strength), w.powf(1.0 - strength)))
            .collect();
        factors.add(pair, &by);
    }
    factors.apply(network)
}

/// The network, prepared as settings say. Calibrate the result and quantize it.
///
/// # Errors
///
/// As [`equalize`] and [`smooth`].
pub fn prepare<I: Tensors + Clone>(
    network: Network,
    batches: &[I],
    preparation: &Preparation,
) -> Result<Network, QuantizeError> {
    preparation.check()?;
    let network = match preparation.equalize {
        true => equalize(network)?,
        false => network,
    };
    match preparation.smooth {
        Some(strength) => smooth(network, batches, strength),
        None => Ok(network),
    }
}

/// A quotient, or 1 where that is no factor.
fn ratio(a: f64, b: f64) -> f64 {
    let ratio = a / b;
    if ratio.is_normal() && ratio > 0.0 {
        ratio
    } else {
        1.0
    }
}

fn largest_of_readers(network: &Network, pair: &CrossLayerPair) -> Result<Vec<f64>, QuantizeError> {
    let mut most = vec![0.0_f64; pair.channels];
    for (layer, along) in &pair.readers {
        let own = largest(network, *layer, along.axis, along.each)?;
        most.iter_mut()
            .zip(own)
            .for_each(|(most, own)| *most = most.max(own));
    }
    Ok(most)
}

/// The largest magnitude of each channel that the readers of each pair see.
fn extremes<I: Tensors + Clone>(
    network: &Network,
    batches: &[I],
    cross_layer_pairs: &[CrossLayerPair],
) -> Result<Vec<Vec<f64>>, QuantizeError> {
    if batches.is_empty() {
        return Err(QuantizeError::NoBatch);
    }
    let network = network.valid();
    let graph = network.graph();
    let mut found: Vec<Option<Tensor<1>>> = vec![None; cross_layer_pairs.len()];
    finite(graph, batches)?;
    for batch in batches {
        network.run(batch.clone().into_any(), &mut |node, result| {
            for (pair, found) in cross_layer_pairs.iter().zip(&mut found) {
                if pair.read != node.output {
                    continue;
                }
                let (layer, along) = &pair.readers[0];
                let axis = match graph.nodes[*layer].op {
                    Op::Linear => result.shape().len() - 1,
                    _ => 1,
                };
                *found = rows(&result, axis, along.each).map(|rows| {
                    let own = rows.abs().max_dim(1).reshape([-1]);
                    match found.take() {
                        Some(before) => before.max_pair(own),
                        None => own,
                    }
                });
            }
            result
        })?;
    }
    let read = |found: Option<Tensor<1>>| {
        found.map_or(Vec::new(), |found| {
            found.into_data().iter::<f64>().collect()
        })
    };
    let found: Vec<Vec<f64>> = found.into_iter().map(read).collect();
    for (pair, found) in cross_layer_pairs.iter().zip(&found) {
        if let Some(&value) = found.iter().find(|value| !value.is_finite()) {
            return Err(QuantizeError::NotFinite {
                name: graph.value(pair.read).name.clone(),
                what: "what layers are fed",
                value,
            });
        }
    }
    Ok(found)
}

/// A channel's numbers as a row.
fn rows(tensor: &AnyTensor, axis: usize, each: usize) -> Option<Tensor<2>> {
    let rows = tensor.clone().rows(axis)?;
    let [length, rest] = rows.dims();
    Some(rows.reshape([length / each, rest * each]))
}
