use burn::module::Module;
use burn::tensor::Tensor;
use calcine_graph::Op;
use calcine_trace::{AnyTensor, Network, Tensors};

use crate::batches::finite;
use crate::cross_layer::{CrossLayerPair, Factors, cross_layer_pairs, largest};
use crate::uses::output_axis;
use crate::{Preparation, QuantizeError};

/// The number of rounds over all places. Each place is exact by itself, and a chain of layers converges within a few
/// rounds.
const ROUNDS: usize = 20;

/// The largest deviation of a factor from 1 at which the rounds end.
const SETTLED: f64 = 1e-3;

/// Cross-layer equalization (Nagel et al., 2019): scales channels so that the weights that produce and the weights that
/// consume them have equal ranges, and one scale per tensor suits all of them.
///
/// For channel `i`, `r` is the largest magnitude of its weights in the layer that produces it (with the batch norm
/// folded in), and `R` that in the layers that consume it. The former are divided by `s = √(r / R)`, and the latter
/// multiplied by it. The network computes the same, up to rounding: between the layers there may only be ReLUs, pools
/// and reshapes, nothing else may consume the channels, and a channel of zeros is not changed. This helps quantizers
/// that all outputs share; with one scale per output, weights gain nothing. Calibrate the result, not the original
/// network. Reads from the device.
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

/// `SmoothQuant` (Xiao et al., 2023): moves outliers of activations into weights, channel by channel, because weights
/// are easier to quantize.
///
/// Channel `i` of the inputs of layers is divided by `s = max|x_i|^strength / max|w_i|^(1 − strength)`, and their
/// weights are multiplied by it; the division is done in the preceding norm or layer. The conditions are those of
/// [`equalize`]. The strength is between 0, which leaves everything to the activations, and 1; the paper uses 0.5.
/// Calibrate the result, not the original network. Reads from the device, once for all batches.
///
/// # Errors
///
/// If there is no batch, a batch does not match the inputs of the network or has a value that is not finite, a
/// parameter is not finite, or the strength is not between 0 and 1.
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

/// Prepares a network according to the settings, by [`equalize`] and [`smooth`]. Calibrate and quantize the result.
///
/// # Errors
///
/// Those of [`equalize`] and [`smooth`].
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

/// A quotient, or 1 if it is not a valid factor.
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

/// The largest magnitude of each channel that the consumers of each pair see.
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

/// The values of each channel as a row.
fn rows(tensor: &AnyTensor, axis: usize, each: usize) -> Option<Tensor<2>> {
    let rows = tensor.clone().rows(axis)?;
    let [length, rest] = rows.dims();
    Some(rows.reshape([length / each, rest * each]))
}
