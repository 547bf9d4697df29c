use std::collections::BTreeMap;

use calcine_graph::{ElementKind, ValueId};
use calcine_trace::Network;

use crate::layer::{Accumulator, FloatLayer, Layer, output_index, scale_index};
use crate::parts::assembled;
use crate::report::Asked;
use crate::settings::AccumulatorSettings;
use crate::uses::{Uses, has_integers, weight_operand};
use crate::{FloatType, QuantizeError, Quantized, Quantizer};

/// The quantization parameters of a network that another tool has quantized, as they are stored in its file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct QuantizationParameters {
    /// The quantizer of each quantized input and node output, by the name of the value. All other values are in float.
    pub activations: BTreeMap<String, Quantizer>,
    /// The quantization parameters of weights, by parameter path. Layers whose weight is not listed are in float.
    pub weights: BTreeMap<String, WeightParameters>,
}

/// The quantization parameters of a layer's weight: `w = scale · (q − zero_point)`.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightParameters {
    /// The bit width of an integer: 2 to 16, or 1 to 16 if there are zero points.
    pub bits: u8,
    /// One scale for the tensor, one for each output, or one for each group of each output's row, in row-major order.
    pub scales: Vec<f32>,
    /// The zero point that belongs to each scale, for integers from 0 to `2^bits − 1`. Empty for symmetric quantization.
    pub zero_points: Vec<i32>,
    /// How many consecutive columns of an output's row share a scale, where a row holds all inputs and kernel positions. `None`: the
    /// whole row shares one.
    pub group: Option<usize>,
}

impl QuantizationParameters {
    /// Whether nothing is quantized.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.activations.is_empty() && self.weights.is_empty()
    }
}

/// Quantizes a float network with quantization parameters that are already known.
///
/// Each weight is rounded to the nearest integer of its scale. If the network holds the dequantized weights of a file, these are the
/// integers of the file. A batch norm that belongs to a layer is folded into the layer's scales. Biases are rounded to multiples of input
/// scale × weight scale. If the output of a layer has no quantizer, but is read by a relu whose output has one, the layer uses that quantizer.
///
/// # Errors
///
/// The error names the layer. It occurs if the number of scales is not that of the layer's outputs or groups, if a parameter is not finite,
/// if the accumulator may exceed 32 bits, or if a weight with groups has a quantized input.
pub fn quantize_as(
    network: &Network,
    parameters: &QuantizationParameters,
) -> Result<Quantized, QuantizeError> {
    let network = &network.clone().with_stored_weights();
    let graph = network.graph().clone();
    let uses = Uses::new(&graph);
    let own = |id: ValueId| parameters.activations.get(&graph.value(id).name).copied();
    let mut quantizers: Vec<Option<Quantizer>> = vec![None; graph.values.len()];
    for &id in &graph.inputs {
        quantizers[id.0] = own(id);
    }
    for (index, node) in graph.nodes.iter().enumerate() {
        if graph.value(node.output).kind != ElementKind::Float {
            continue;
        }
        let operand = node.inputs.first().and_then(|id| quantizers[id.0]);
        let keeps = uses.keeps_quantizer(index, &node.op) && !uses.is_output(node.output);
        quantizers[node.output.0] = own(node.output)
            .or_else(|| operand.filter(|_| keeps))
            .or_else(|| own(uses.final_value(&graph, node.output)));
    }
    let settings = AccumulatorSettings::default();
    let mut layers = BTreeMap::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        if !has_integers(&graph, node) {
            continue;
        }
        let path = &graph.value(node.inputs[weight_operand(&node.op)]).name;
        let Some(weight) = parameters.weights.get(path) else {
            continue;
        };
        let float = FloatLayer::new(network, &uses, node)?;
        let accumulator = Accumulator {
            input: quantizers[node.inputs[0].0].as_ref(),
            settings: &settings,
        };
        let layer = layer(&node.name, &float, weight, accumulator)?;
        layer.fits(quantizers[node.inputs[0].0].as_ref(), &settings)?;
        layers.insert(index, layer);
    }
    let integers = layers.keys().map(|index| (*index, false)).collect();
    let asked = Asked {
        graph: &graph,
        uses: &uses,
        quantizers: &quantizers,
        layers: &integers,
    };
    let report = asked.report();
    let kept = vec![FloatType::F32; graph.values.len()];
    assembled(
        network,
        graph.clone(),
        &uses,
        quantizers,
        layers,
        &kept,
        report,
    )
}

fn layer(
    name: &str,
    float: &FloatLayer,
    weight: &WeightParameters,
    accumulator: Accumulator<'_>,
) -> Result<Layer, QuantizeError> {
    let outputs = float.shape[float.axis];
    let columns = float.weight.len() / outputs.max(1);
    let refused = |problem: &'static str| QuantizeError::Parameters {
        name: name.to_owned(),
        problem,
    };
    let count = match weight.group {
        None if weight.scales.len() == 1 => 1,
        None => outputs,
        Some(0) => return Err(refused("groups of no column")),
        Some(_) if accumulator.input.is_some() => {
            return Err(QuantizeError::Groups {
                name: name.to_owned(),
            });
        }
        Some(group) => outputs * columns.div_ceil(group),
    };
    if weight.scales.len() != count {
        return Err(refused(
            "another number of scales than it has outputs or groups",
        ));
    }
    let zeros = weight.zero_points.len();
    if zeros > 0 && zeros != count {
        return Err(refused("another number of zero points than of scales"));
    }
    let least = if zeros > 0 { 1 } else { 2 };
    if !(least..=16).contains(&weight.bits) {
        return Err(refused("integers of fewer than 1 or more than 16 bits"));
    }
    if weight
        .scales
        .iter()
        .any(|scale| !(scale.is_normal() && *scale > 0.0))
    {
        return Err(refused("a scale that is not a positive number"));
    }
    let most = 1_i32 << weight.bits;
    if weight
        .zero_points
        .iter()
        .any(|zero| !(0..most).contains(zero))
    {
        return Err(refused("a zero point that is none of its integers"));
    }
    let folded = float.factors.iter().any(|factor| *factor != 1.0);
    if folded && float.factors.iter().any(|factor| *factor < 0.0) && zeros > 0 {
        return Err(refused(
            "zero points, and a batch norm behind it that turns signs round",
        ));
    }
    // A batch norm scales each output, so each has a scale of its own.
    #[allow(clippy::cast_possible_truncation, reason = "scales are f32")]
    let (scales, zero_points) = if folded && weight.group.is_none() {
        let one = |at: usize| if count == 1 { 0 } else { at };
        let scales = (0..outputs).map(|output| {
            let scale = f64::from(weight.scales[one(output)]) * float.factors[output].abs();
            match scale as f32 {
                scale if scale.is_normal() => scale,
                _ => weight.scales[one(output)],
            }
        });
        let zero_points = (0..outputs).filter(|_| zeros > 0);
        let zero_points = zero_points.map(|output| weight.zero_points[one(output)]);
        (scales.collect::<Vec<f32>>(), zero_points.collect())
    } else if folded {
        let each = count / outputs.max(1);
        let scales =
            weight.scales.iter().enumerate().map(|(at, scale)| {
                (f64::from(*scale) * float.factors[at / each.max(1)].abs()) as f32
            });
        (scales.collect(), weight.zero_points.clone())
    } else {
        (weight.scales.clone(), weight.zero_points.clone())
    };
    #[allow(
        clippy::cast_possible_truncation,
        reason = "clamped to integers of 16 bits"
    )]
    let ints = float.weight.iter().enumerate().map(|(at, value)| {
        let scale = scale_index(at, &float.shape, float.axis, weight.group, scales.len());
        let [low, high] = match zero_points.get(scale) {
            Some(&zero) => [-zero, most - 1 - zero],
            None => [-most / 2, most / 2 - 1],
        };
        let whole = (value / f64::from(scales[scale])).round_ties_even();
        debug_assert!(output_index(at, &float.shape, float.axis) < outputs);
        whole.clamp(f64::from(low), f64::from(high)) as i32
    });
    let ints = ints.collect();
    let layer = Layer::exact(name, float, ints, weight.bits, scales, accumulator)?;
    Ok(Layer {
        group: weight.group,
        zero_points,
        ..layer
    })
}

#[cfg(test)]
mod tests {
    use burn::nn::{Linear, LinearConfig};
    use burn::tensor::activation::relu;
    use burn::tensor::{Device, Tensor};
    use calcine_testkit::values;
    use calcine_trace::trace;

    use super::*;
    use crate::{QuantizationSettings, quantize_with};

    #[test]
    fn a_network_with_the_parameters_of_a_quantized_one_computes_the_same() {
        let device = Device::flex();
        let model: Linear = LinearConfig::new(6, 4).init(&device);
        let x = Tensor::<1>::from_floats(&values(18)[..], &device).reshape([3, 6]);
        let network = trace(&model, x.clone(), |model, x| relu(model.forward(x)) * 2.0).unwrap();
        let settings = QuantizationSettings::default();
        let expected = quantize_with(network.clone(), std::slice::from_ref(&x), &settings).unwrap();

        let mut parameters = QuantizationParameters::default();
        let names = network
            .graph()
            .values
            .iter()
            .map(|value| value.name.clone());
        for name in names {
            if let Some(quantizer) = expected.quantizer(&name) {
                parameters.activations.insert(name, quantizer);
            }
        }
        let layer = expected.layers().next().unwrap();
        let weight = WeightParameters {
            bits: layer.bits,
            scales: layer.scales.to_vec(),
            zero_points: Vec::new(),
            group: None,
        };
        parameters.weights.insert("weight".to_owned(), weight);
        let found = quantize_as(&network, &parameters).unwrap();
        let (a, b): (Tensor<2>, Tensor<2>) = (expected.forward(x.clone()), found.forward(x));
        assert_eq!(a.into_data(), b.into_data());

        parameters.weights.get_mut("weight").unwrap().scales.pop();
        let error = quantize_as(&network, &parameters).unwrap_err().to_string();
        assert!(error.contains("another number of scales"), "{error}");
    }
}
