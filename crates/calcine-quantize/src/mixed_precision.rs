//! Mixed precision: bit widths for the weights of each layer.

use std::fmt::Write;

use calcine_trace::Network;

use crate::by_layer::{ByLayer, own_name};
use crate::search::nearest;
use crate::uses::{has_integers, weight_operand};
use crate::{
    Calibration, Evaluation, Override, QuantizationSettings, QuantizeError, SearchError, Trials,
    quantize,
};

/// The loss of each layer with several bit widths of its weights.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MixedPrecision {
    /// The layers, in execution order.
    pub layers: Vec<LayerBitWidths>,
    /// The number of bytes in a file besides integer weights: scales, biases, parameters in float, the graph.
    pub rest: u64,
}

/// The loss of a layer with several bit widths, while all other layers have the largest bit width.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerBitWidths {
    /// The name of the layer, as in an [`Override`].
    pub name: String,
    /// The number of weights.
    pub weights: usize,
    /// The bit widths, largest first.
    pub bit_widths: Vec<BitWidth>,
}

/// A bit width and its score.
#[derive(Debug, Clone, PartialEq)]
pub struct BitWidth {
    /// The number of bits of a weight.
    pub bits: u8,
    /// The score of the network in which all other layers have the largest bit width.
    pub score: Evaluation,
}

/// No choice of bit widths is within the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the file takes {least} bytes at the smallest widths that were tried, more than {budget}")]
pub struct BudgetError {
    /// The smallest possible number of bytes.
    pub least: u64,
    /// The budget in bytes.
    pub budget: u64,
}

/// Evaluates the network with each of these bit widths for the weights of each layer alone: the sensitivity of the
/// network to fewer bits. All other settings are unchanged, and the other layers have the largest bit width.
///
/// # Errors
///
/// Those of [`lapq`](crate::lapq). Without any bit width, nothing is evaluated.
pub fn mixed_precision(
    network: &Network,
    calibration: &Calibration,
    settings: &QuantizationSettings,
    bits: &[u8],
    trials: &mut Trials<'_>,
) -> Result<MixedPrecision, SearchError> {
    let mut bits = bits.to_vec();
    bits.sort_unstable_by(|a, b| b.cmp(a));
    bits.dedup();
    let Some((&widest, narrower)) = bits.split_first() else {
        return Ok(MixedPrecision::default());
    };
    let mut every = settings.clone();
    for &bits in &bits {
        every.weights.bits = bits;
        every.check().map_err(QuantizeError::from)?;
    }
    let network = &network.clone().with_stored_weights();
    let graph = network.graph();
    let by_layer = ByLayer::new(settings, graph)?;
    let layers = graph.nodes.iter();
    let layers: Vec<_> = layers
        .filter(|node| {
            has_integers(graph, node) && by_layer.settings_for(&node.name).float.is_none()
        })
        .collect();
    let mut whole = nearest(settings);
    whole.weights.bits = widest;
    let first = whole.layers.len();
    whole.layers.extend(
        layers
            .iter()
            .map(|layer| bits_of(own_name(graph, layer), widest)),
    );
    trials.expect(1 + layers.len() * narrower.len());
    let score = trials.score(network, calibration, &whole)?;
    let widest_file = quantize(network, calibration, &whole)?.to_bytes()?.len() as u64;
    let mut found = Vec::new();
    for (at, layer) in layers.into_iter().enumerate() {
        let mut bit_widths = vec![BitWidth {
            bits: widest,
            score: score.clone(),
        }];
        for &bits in narrower {
            let mut candidate = whole.clone();
            candidate.layers[first + at].weight_bits = Some(bits);
            let score = trials.score(network, calibration, &candidate)?;
            bit_widths.push(BitWidth { bits, score });
        }
        found.push(LayerBitWidths {
            name: own_name(graph, layer).to_owned(),
            weights: graph
                .value(layer.inputs[weight_operand(&layer.op)])
                .numel_at(1),
            bit_widths,
        });
    }
    let numbers: u64 = found.iter().map(|layer| layer.weights as u64).sum();
    let integers = (numbers * u64::from(widest)).div_ceil(8);
    Ok(MixedPrecision {
        layers: found,
        rest: widest_file.saturating_sub(integers),
    })
}

impl MixedPrecision {
    /// Estimates the size in bytes of the file of a network with settings from [`allocate`](Self::allocate): its
    /// integers, and the other contents of a file with the largest bit widths. The estimate is a few bytes off if
    /// lengths have different numbers of digits.
    #[must_use]
    pub fn forecast(&self, settings: &QuantizationSettings) -> u64 {
        let bits = |layer: &LayerBitWidths| {
            let own = settings.layers.iter().rev();
            let mut own = own.filter(|own| own.name == layer.name);
            own.find_map(|own| own.weight_bits)
                .unwrap_or(settings.weights.bits)
        };
        let layers = self.layers.iter();
        let integers =
            layers.map(|layer| (layer.weights as u64 * u64::from(bits(layer))).div_ceil(8));
        self.rest + integers.sum::<u64>()
    }

    /// Mixed precision: chooses the bit widths with the smallest increase of the loss whose file has at most this
    /// number of bytes according to [`forecast`](Self::forecast). The losses of layers are assumed to add up. The
    /// solution is exact, by dynamic programming over the layers that keeps only choices that no smaller one beats.
    ///
    /// The returned settings have an override of `weight_bits` for every layer.
    ///
    /// # Errors
    ///
    /// If the smallest bit widths exceed the budget.
    pub fn allocate(
        &self,
        settings: &QuantizationSettings,
        budget: u64,
    ) -> Result<QuantizationSettings, BudgetError> {
        let budget_bits = 8 * budget.saturating_sub(self.rest);
        let mut front = vec![Choice::default()];
        let mut chosen: Vec<Vec<(usize, u8)>> = Vec::new();
        for layer in &self.layers {
            let mut next = Vec::new();
            for (at, choice) in front.iter().enumerate() {
                for width in &layer.bit_widths {
                    let rise = width.score.loss - layer.bit_widths[0].score.loss;
                    next.push((
                        Choice {
                            size: choice.size + layer.weights as u64 * u64::from(width.bits),
                            rise: choice.rise + rise.max(0.0),
                        },
                        (at, width.bits),
                    ));
                }
            }
            next.sort_by(|(a, _), (b, _)| a.size.cmp(&b.size).then(a.rise.total_cmp(&b.rise)));
            let mut least = f64::INFINITY;
            next.retain(|(choice, _)| {
                let better = choice.rise < least;
                least = least.min(choice.rise);
                better
            });
            (front, _) = next.iter().copied().unzip::<_, _, Vec<_>, Vec<_>>();
            chosen.push(next.into_iter().map(|(_, from)| from).collect());
        }
        // Larger choices have a smaller loss, otherwise they would have been removed.
        let fits = |choice: &Choice| budget >= self.rest && choice.size <= budget_bits;
        let Some(mut at) = front.iter().rposition(fits) else {
            return Err(BudgetError {
                least: self.rest + front.first().map_or(0, |least| least.size.div_ceil(8)),
                budget,
            });
        };
        let mut overrides = Vec::new();
        for (layer, chosen) in self.layers.iter().zip(&chosen).rev() {
            let (from, bits) = chosen[at];
            overrides.push(bits_of(&layer.name, bits));
            at = from;
        }
        // In execution order, so that a second use of a layer has its own override.
        let mut settings = settings.clone();
        settings.layers.extend(overrides.into_iter().rev());
        Ok(settings)
    }

    /// A table with the columns `layer,weights,bits`, the metrics in their order, and `loss`.
    #[must_use]
    pub fn to_csv(&self) -> String {
        let mut widths = self.layers.iter().flat_map(|layer| &layer.bit_widths);
        let names = widths.next().map_or(Vec::new(), |width| {
            let metrics = width.score.metrics.iter();
            metrics.map(|metric| metric.name.clone()).collect()
        });
        let mut text = String::from("layer,weights,bits,");
        for name in &names {
            let _ = write!(text, "{name},");
        }
        text += "loss\n";
        for layer in &self.layers {
            for width in &layer.bit_widths {
                let _ = write!(text, "{},{},{},", layer.name, layer.weights, width.bits);
                for name in &names {
                    let _ = write!(text, "{},", width.score.value(name));
                }
                let _ = writeln!(text, "{}", width.score.loss);
            }
        }
        text
    }
}

/// An override of the bits of a layer.
fn bits_of(name: &str, bits: u8) -> Override {
    Override {
        name: name.to_owned(),
        weight_bits: Some(bits),
        ..Override::default()
    }
}

/// The bit widths of the layers so far.
#[derive(Debug, Clone, Copy, Default)]
struct Choice {
    /// The number of bits of all weights.
    size: u64,
    rise: f64,
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn scanned() -> MixedPrecision {
        let of = |(at, weights): (usize, usize)| LayerBitWidths {
            name: format!("l{at}"),
            weights,
            bit_widths: [8, 4, 3, 2]
                .into_iter()
                .enumerate()
                .map(|(w, bits)| BitWidth {
                    bits,
                    score: Evaluation::new(
                        1.0 + (w * (at * 7 % 5 + 1)) as f64 * 0.01 + (w * w) as f64 * 0.003,
                        1,
                    ),
                })
                .collect(),
        };
        let weights = [300, 40, 1000, 256, 77].into_iter().enumerate();
        MixedPrecision {
            layers: weights.map(of).collect(),
            rest: 0,
        }
    }

    /// All 1024 choices.
    fn oracle(layers: &[LayerBitWidths], budget: u64) -> Option<f64> {
        let ways = 0..4_usize.pow(layers.len() as u32);
        let way = |way: usize| {
            let widths = layers.iter().enumerate();
            let widths = widths
                .map(|(at, layer)| (layer, &layer.bit_widths[way / 4_usize.pow(at as u32) % 4]));
            widths.fold((0, 0.0), |(size, rise), (layer, width)| {
                (
                    size + layer.weights as u64 * u64::from(width.bits),
                    rise + width.score.loss - layer.bit_widths[0].score.loss,
                )
            })
        };
        let fitting = ways.map(way).filter(|(size, _)| *size <= 8 * budget);
        fitting.map(|(_, rise)| rise).min_by(f64::total_cmp)
    }

    #[test]
    fn widths_lose_as_little_as_the_best_of_all_choices() {
        let scanned = scanned();
        let layers = &scanned.layers;
        for budget in [419, 500, 640, 700, 900, 1200, 1673, 5000] {
            let settings = scanned
                .allocate(&QuantizationSettings::default(), budget)
                .unwrap();
            let bits = |name: &str| {
                let own = settings.layers.iter().find(|layer| layer.name == name);
                own.unwrap().weight_bits.unwrap()
            };
            let (mut size, mut rise) = (0, 0.0);
            for layer in layers {
                let width = layer
                    .bit_widths
                    .iter()
                    .find(|width| width.bits == bits(&layer.name));
                size += layer.weights as u64 * u64::from(bits(&layer.name));
                rise += width.unwrap().score.loss - layer.bit_widths[0].score.loss;
            }
            assert!(size <= 8 * budget, "{size} for {budget}");
            let best = oracle(layers, budget).unwrap();
            assert!((rise - best).abs() < 1e-12, "{budget}: {rise} for {best}");
        }
        let none = scanned
            .allocate(&QuantizationSettings::default(), 400)
            .unwrap_err();
        assert_eq!((none.least, none.budget), (419, 400));
        // What else is in the file leaves so much less.
        let heavy = MixedPrecision {
            rest: 1000,
            ..scanned.clone()
        };
        let settings = QuantizationSettings::default();
        assert_eq!(
            heavy.allocate(&settings, 1640),
            scanned.allocate(&settings, 640)
        );
        let none = heavy.allocate(&settings, 999).unwrap_err();
        assert_eq!((none.least, none.budget), (1419, 999));
    }
}
