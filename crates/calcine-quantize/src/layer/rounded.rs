//! Weights rounded for what a layer is fed.

use calcine_observe::LayerSamples;
use calcine_quant::Quantizer;
use rayon::prelude::*;

use super::{Accumulator, FloatLayer, Layer};
use crate::settings::WeightSettings;
use crate::{QuantizeError, ada_round, gptq};

impl Layer {
    /// As [`nearest`](Self::nearest), but rounded for what the layer is fed, and with a bias that makes up for the
    /// means.
    pub(crate) fn over(
        name: &str,
        float: &FloatLayer,
        grids: &[Quantizer],
        settings: &WeightSettings,
        accumulator: Accumulator<'_>,
        samples: &LayerSamples,
    ) -> Result<Self, QuantizeError> {
        let without_bias = FloatLayer {
            bias: vec![0.0; float.bias.len()],
            ..float.clone()
        };
        let mut layer = Self::nearest(name, &without_bias, grids, settings, accumulator)?;
        let columns = samples.columns() / samples.groups();
        let each = layer.outputs() / samples.groups();
        let mut corrected = float.bias.clone();
        for group in 0..samples.groups() {
            let round = rounding(settings.rounding, samples, group, columns);
            let means = samples.means(group);
            let row = |output: usize| layer.row(output, float, grids, columns);
            let outputs = group * each..(group + 1) * each;
            let rows: Vec<Row> = outputs.clone().into_par_iter().map(row).collect();
            let rounded = rows.par_iter().map(|row| match &round {
                Some(round) => round(&row.weights, &row.grids),
                None => row.nearest.clone(),
            });
            let rounded: Vec<Vec<i32>> = rounded.collect();
            for ((output, row), ints) in outputs.zip(&rows).zip(rounded) {
                let own = row.places.iter().zip(&row.grids).zip(&ints);
                own.for_each(|((&at, grid), int)| layer.ints[at] = int - grid.zero);
                if settings.correct_bias {
                    let errors = row.weights.iter().zip(row.grids.iter().zip(&ints));
                    let off = errors.zip(&means).map(|((weight, (grid, int)), mean)| {
                        (f64::from(grid.dequantize(*int)) - weight) * mean
                    });
                    corrected[output] -= off.sum::<f64>();
                }
            }
        }
        layer.steps = grids.iter().map(|grid| grid.step).collect();
        layer.set_bias(&corrected, accumulator)?;
        Ok(layer)
    }

    /// The weights of an output.
    fn row(&self, output: usize, float: &FloatLayer, grids: &[Quantizer], columns: usize) -> Row {
        let places = (0..columns).map(|column| self.place(output, column, columns));
        let places: Vec<usize> = places.collect();
        let grids: Vec<Quantizer> = places.iter().map(|&at| grids[self.step_of(at)]).collect();
        let nearest = places.iter().zip(&grids);
        Row {
            weights: places.iter().map(|&at| float.weight[at]).collect(),
            nearest: nearest
                .map(|(&at, grid)| self.ints[at] + grid.zero)
                .collect(),
            places,
            grids,
        }
    }
}

/// The weights of an output, where they lie, and their grids.
struct Row {
    places: Vec<usize>,
    weights: Vec<f64>,
    grids: Vec<Quantizer>,
    /// The nearest integers.
    nearest: Vec<i32>,
}

/// Integers for an output's weights, each on a grid.
type Round = Box<dyn Fn(&[f64], &[Quantizer]) -> Vec<i32> + Sync>;

/// How a group's weights are rounded for what they are fed; `None` if that says nothing.
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
            let rounding = gptq::Rounding::over(&moments(), columns)?;
            Some(Box::new(move |weights, grids| {
                rounding.round(weights, grids)
            }))
        }
        crate::Rounding::AdaRound => {
            let moments = moments();
            Some(Box::new(move |weights, grids| {
                ada_round::round(weights, grids, &moments)
            }))
        }
    }
}
