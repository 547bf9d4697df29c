//! Rounds weights for the inputs of a layer.

use calcine_observe::LayerSamples;
use calcine_quant::Quantizer;
use rayon::prelude::*;

use super::{Accumulator, FloatLayer, Layer};
use crate::settings::WeightSettings;
use crate::{QuantizeError, ada_round, gptq};

impl Layer {
    /// Like [`nearest`](Self::nearest), but rounds for the inputs of the layer, and corrects the bias for the change of
    /// the means.
    pub(crate) fn from_samples(
        name: &str,
        float: &FloatLayer,
        quantizers: &[Quantizer],
        settings: &WeightSettings,
        accumulator: Accumulator<'_>,
        samples: &LayerSamples,
    ) -> Result<Self, QuantizeError> {
        let without_bias = FloatLayer {
            bias: vec![0.0; float.bias.len()],
            ..float.clone()
        };
        let mut layer = Self::nearest(name, &without_bias, quantizers, settings, accumulator)?;
        let columns = samples.columns() / samples.groups();
        let each = layer.outputs() / samples.groups();
        let mut corrected = float.bias.clone();
        for group in 0..samples.groups() {
            let round = rounding(settings.rounding, samples, group, columns);
            let means = samples.means(group);
            let row = |output: usize| layer.row(output, float, quantizers, columns);
            let outputs = group * each..(group + 1) * each;
            let rows: Vec<Row> = outputs.clone().into_par_iter().map(row).collect();
            let rounded = rows.par_iter().map(|row| match &round {
                Some(round) => round(&row.weights, &row.quantizers),
                None => row.nearest.clone(),
            });
            let rounded: Vec<Vec<i32>> = rounded.collect();
            for ((output, row), ints) in outputs.zip(&rows).zip(rounded) {
                let own = row.places.iter().zip(&row.quantizers).zip(&ints);
                own.for_each(|((&at, quantizer), int)| layer.ints[at] = int - quantizer.zero_point);
                if settings.correct_bias {
                    let errors = row.weights.iter().zip(row.quantizers.iter().zip(&ints));
                    let off = errors
                        .zip(&means)
                        .map(|((weight, (quantizer, int)), mean)| {
                            (f64::from(quantizer.dequantize(*int)) - weight) * mean
                        });
                    corrected[output] -= off.sum::<f64>();
                }
            }
        }
        layer.scales = quantizers.iter().map(|quantizer| quantizer.scale).collect();
        layer.set_bias(&corrected, accumulator)?;
        Ok(layer)
    }

    /// Rounds the weights of an output.
    fn row(
        &self,
        output: usize,
        float: &FloatLayer,
        quantizers: &[Quantizer],
        columns: usize,
    ) -> Row {
        let places = (0..columns).map(|column| self.place(output, column, columns));
        let places: Vec<usize> = places.collect();
        let quantizers: Vec<Quantizer> = places
            .iter()
            .map(|&at| quantizers[self.scale_index(at)])
            .collect();
        let nearest = places.iter().zip(&quantizers);
        Row {
            weights: places.iter().map(|&at| float.weight[at]).collect(),
            nearest: nearest
                .map(|(&at, quantizer)| self.ints[at] + quantizer.zero_point)
                .collect(),
            places,
            quantizers,
        }
    }
}

/// The weights of an output, their positions, and their quantizers.
struct Row {
    places: Vec<usize>,
    weights: Vec<f64>,
    quantizers: Vec<Quantizer>,
    /// The nearest integers.
    nearest: Vec<i32>,
}

/// A function that rounds the weights of an output, each with a quantizer.
type Round = Box<dyn Fn(&[f64], &[Quantizer]) -> Vec<i32> + Sync>;

/// The rounding function of a group for its inputs; `None` if the inputs contain no information.
fn rounding(
    how: crate::Rounding,
    samples: &LayerSamples,
    group: usize,
    columns: usize,
) -> Option<Round> {
    let moments = || samples.moments(group);
    match how {
        crate::Rounding::Nearest => None,
        crate::Rounding::Gptq => {
            let rounding = gptq::Rounding::new(&moments(), columns)?;
            Some(Box::new(move |weights, quantizers| {
                rounding.round(weights, quantizers)
            }))
        }
        crate::Rounding::AdaRound => {
            let moments = moments();
            Some(Box::new(move |weights, quantizers| {
                ada_round::round(weights, quantizers, &moments)
            }))
        }
    }
}
