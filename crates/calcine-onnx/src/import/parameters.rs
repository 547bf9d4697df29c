//! The quantization parameters of a file, for a quantized network.

use std::collections::HashMap;
use std::rc::Rc;

use calcine_graph::{Op, ValueId};
use calcine_quantize::{Quantizer, WeightParameters};

use super::Imported;
use super::importer::Parameter;
use super::quantizer::FileQuantizer;

/// A parameter of the network, and its initializer.
pub(crate) struct Stored {
    value: ValueId,
    initializer: Option<String>,
    shape: Vec<usize>,
    /// The shape of the initializer, if it differs from that of the parameter.
    original: Option<Vec<usize>>,
    transposed: bool,
}

impl Stored {
    pub(crate) fn of(parameter: &Parameter) -> Self {
        Self {
            value: parameter.value,
            initializer: parameter.host.name.clone(),
            shape: parameter.host.shape.clone(),
            original: parameter.host.original.clone(),
            transposed: parameter.host.transposed,
        }
    }
}

impl FileQuantizer {
    /// The quantizer as that of an activation; `None` if there is more than one scale.
    fn activation(&self) -> Option<Quantizer> {
        let [low, high] = self.bounds().ok()?.map(|end| i32::try_from(end).ok());
        let ([scale], [zero]) = (&self.scales[..], &self.zeros[..]) else {
            return None;
        };
        let quantizer = Quantizer {
            scale: *scale,
            zero_point: i32::try_from(*zero).ok()?,
            low: low?,
            high: high?,
        };
        quantizer.is_sound().then_some(quantizer)
    }

    /// The quantizer as that of a parameter. `axis` is the axis of the outputs in the shape of the parameter, which is
    /// that of the file or its transpose.
    fn weight(
        &self,
        shape: &[usize],
        output_axis: usize,
        (original, transposed): (Option<&[usize]>, bool),
    ) -> Option<WeightParameters> {
        let [low, high] = self.bounds().ok()?;
        let bits = u8::try_from((high - low + 1).ilog2())
            .ok()
            .filter(|bits| *bits <= 16)?;
        let own_axis = |axis: usize| match (transposed, axis) {
            (true, axis) if axis < 2 => 1 - axis,
            (_, axis) => axis,
        };
        // The rows contain all inputs and kernel positions, as for a matrix with the same outputs.
        let rows = original.filter(|own| own.len() == 2 && output_axis == 0 && own[0] == shape[0]);
        let (order, group): (Vec<usize>, _) = match (self.axis, self.block) {
            (Some(1), block) if block > 0 && rows.is_some() => {
                ((0..self.scales.len()).collect(), Some(block))
            }
            (None, _) => (vec![0], None),
            (Some(axis), 0) if own_axis(axis) == output_axis => {
                ((0..self.scales.len()).collect(), None)
            }
            // The blocks are along the inputs of a matrix.
            (Some(axis), block)
                if block > 0 && shape.len() == 2 && own_axis(axis) != output_axis =>
            {
                let (outputs, blocks) =
                    (shape[output_axis], shape[1 - output_axis].div_ceil(block));
                let place = |output: usize, group: usize| match axis {
                    0 => group * outputs + output,
                    _ => output * blocks + group,
                };
                let order = (0..outputs)
                    .flat_map(|output| (0..blocks).map(move |group| place(output, group)));
                (order.collect(), Some(block))
            }
            _ => return None,
        };
        let scales: Option<Vec<f32>> = order
            .iter()
            .map(|&at| self.scales.get(at).copied())
            .collect();
        let symmetric = low < 0 && self.zeros.iter().all(|zero| *zero == 0);
        let zeros = order.iter().filter(|_| !symmetric).map(|&at| {
            let zero = self.zeros.get(at)?.checked_sub(low)?;
            i32::try_from(zero).ok()
        });
        Some(WeightParameters {
            bits,
            scales: scales?,
            zero_points: zeros.collect::<Option<Vec<i32>>>()?,
            group,
        })
    }
}

impl Imported {
    /// The quantization parameters of the values and initializers that the importer recorded, for their positions in
    /// the network.
    pub(crate) fn quantize(
        &mut self,
        values: &HashMap<ValueId, Rc<FileQuantizer>>,
        weights: &HashMap<String, Rc<FileQuantizer>>,
        parameters: &[Stored],
        places: &[Option<ValueId>],
    ) {
        let graph = self.network.graph();
        for (id, quantizer) in values {
            let Some(place) = places[id.0] else {
                continue;
            };
            let name = graph.value(place).name.clone();
            match quantizer.activation() {
                Some(quantizer) => {
                    self.parameters.activations.insert(name, quantizer);
                }
                None => self.left_out.push(name),
            }
        }
        for parameter in parameters {
            let (Some(place), Some(name)) = (places[parameter.value.0], &parameter.initializer)
            else {
                continue;
            };
            let Some(quantizer) = weights.get(name) else {
                continue;
            };
            let path = graph.value(place).name.clone();
            let reader = graph.nodes.iter().find_map(|node| {
                let weight = node.op.properties().weight?;
                (node.inputs.get(weight) == Some(&place)).then_some(&node.op)
            });
            let axis = match reader {
                Some(Op::Linear | Op::TransposedConvolution { .. }) => 1,
                Some(_) => 0,
                // The scale of a bias follows from those of input and weight.
                None => continue,
            };
            match quantizer.weight(
                &parameter.shape,
                axis,
                (parameter.original.as_deref(), parameter.transposed),
            ) {
                Some(weight) => {
                    self.parameters.weights.insert(path, weight);
                }
                None => self.left_out.push(path),
            }
        }
        self.left_out.sort();
    }
}
