//! The weight of a layer in float, with the norm after it folded in.

use calcine_format::{output_index, scale_index};
use calcine_graph::{Node, Op};
use calcine_quant::{CalibrationStatistics, Quantizer, QuantizerError, RangeEstimator};
use calcine_trace::{AnyTensor, Network};

use crate::QuantizeError;
use crate::by_layer::LayerSettings;
use crate::settings::WeightSettings;
use crate::uses::{Uses, output_axis, weight_operand};

/// A layer in float: its weight with the norm after it folded in, and the resulting bias.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FloatLayer {
    pub(crate) weight: Vec<f64>,
    pub(crate) shape: Vec<usize>,
    /// The axis of the weight along which the outputs are.
    pub(crate) axis: usize,
    pub(crate) bias: Vec<f64>,
    /// The factor of the norm for each output; 1 without a norm.
    pub(crate) factors: Vec<f64>,
    /// The shift β of the norm for each output; 0 without a norm.
    pub(crate) shifts: Vec<f64>,
}

impl FloatLayer {
    /// Computes `w·γ/√(σ² + ε)` and `β + (b − μ)·γ/√(σ² + ε)`, if a norm follows.
    pub(crate) fn new(network: &Network, uses: &Uses, node: &Node) -> Result<Self, QuantizeError> {
        let graph = network.graph();
        let axis = output_axis(&node.op);
        let at = weight_operand(&node.op);
        let shape = graph.value(node.inputs[at]).shape_at(1);
        let outputs = shape[axis];
        let mut weight = read(network, node, at)?;
        let mut bias = match (&node.op, node.inputs.len()) {
            // Rows are only looked up, so there are no sums.
            (Op::Embedding, _) => Vec::new(),
            (_, 3) => read(network, node, 2)?,
            _ => vec![0.0; outputs],
        };
        let mut factors = vec![1.0; outputs];
        let mut shifts = vec![0.0; outputs];
        if let Some(norm) = uses.norm_after(graph, node) {
            let norm = &graph.nodes[norm];
            let Op::BatchNorm { epsilon, .. } = norm.op else {
                unreachable!("only batch norms are folded");
            };
            let [gamma, beta, mean, variance] = [1, 2, 3, 4].map(|at| read(network, norm, at));
            let (gamma, beta, mean, variance) = (gamma?, beta?, mean?, variance?);
            factors = (0..outputs)
                .map(|o| gamma[o] / (variance[o] + epsilon).sqrt())
                .collect();
            for (at, weight) in weight.iter_mut().enumerate() {
                *weight *= factors[output_index(at, &shape, axis)];
            }
            for (o, bias) in bias.iter_mut().enumerate() {
                *bias = beta[o] + (*bias - mean[o]) * factors[o];
            }
            shifts = beta;
        }
        #[allow(clippy::cast_possible_truncation, reason = "weights are f32")]
        let lost = |value: &&f64| !(**value as f32).is_finite();
        if let Some(value) = weight.iter().chain(&bias).find(lost) {
            return Err(QuantizeError::NotFinite {
                name: node.name.clone(),
                what: "a weight or bias, with the batch norm behind it folded in,",
                value: *value,
            });
        }
        Ok(Self {
            weight,
            shape,
            axis,
            bias,
            factors,
            shifts,
        })
    }

    /// The number of outputs.
    fn outputs(&self) -> usize {
        self.shape[self.axis]
    }

    /// The quantizers: one, one for each output, or one for each group in the row of an output.
    pub(crate) fn quantizers(&self, own: &LayerSettings) -> Result<Vec<Quantizer>, QuantizeError> {
        let settings = &own.weights;
        let of = |weights: &Vec<f64>| {
            let [low, high] = range(weights, settings).map(|end| end * own.weight_stretch);
            let quantizer = Quantizer::from_range(low, high, settings.bits, settings.scheme)?;
            Ok(if settings.power_of_two {
                quantizer.power_of_two()
            } else {
                quantizer
            })
        };
        let columns = self.weight.len().checked_div(self.outputs()).unwrap_or(0);
        let count = match settings.group {
            Some(0) => {
                return Err(QuantizeError::Quantizer(QuantizerError::Groups {
                    weights: self.weight.len(),
                    columns,
                    group: 0,
                }));
            }
            Some(group) => self.outputs() * columns.div_ceil(group),
            None if settings.per_channel => self.outputs(),
            None => 1,
        };
        let mut sharing = vec![Vec::new(); count];
        for (at, weight) in self.weight.iter().enumerate() {
            sharing[scale_index(at, &self.shape, self.axis, settings.group, count)].push(*weight);
        }
        sharing.iter().map(of).collect()
    }
}

/// The range of the quantizer of weights.
#[allow(clippy::cast_possible_truncation, reason = "weights are f32")]
fn range(weights: &[f64], settings: &WeightSettings) -> [f64; 2] {
    if settings.range_estimator == RangeEstimator::MinMax {
        let ends = weights.iter().map(|&weight| f64::from(weight as f32));
        let ends = ends.fold(None, |ends: Option<[f64; 2]>, weight| {
            let [low, high] = ends.unwrap_or([weight, weight]);
            Some([low.min(weight), high.max(weight)])
        });
        return ends.unwrap_or([0.0, 0.0]);
    }
    let weights: Vec<f32> = weights.iter().map(|&weight| weight as f32).collect();
    let statistics = CalibrationStatistics::from_samples(&[&weights]);
    statistics.map_or([0.0, 0.0], |statistics| {
        settings
            .range_estimator
            .range(&statistics, settings.bits, settings.scheme)
    })
}

/// The values of an operand, which must be finite.
fn read(network: &Network, node: &Node, at: usize) -> Result<Vec<f64>, QuantizeError> {
    let id = node.inputs[at];
    let tensor = network.tensor(id).and_then(AnyTensor::flat);
    let values = tensor.map(|tensor| tensor.into_data().iter::<f64>().collect::<Vec<_>>());
    let values = values.unwrap_or_default();
    match values.iter().find(|value| !value.is_finite()) {
        Some(value) => Err(QuantizeError::NotFinite {
            name: node.name.clone(),
            what: "a parameter",
            value: *value,
        }),
        None => Ok(values),
    }
}
