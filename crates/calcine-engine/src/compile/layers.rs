//! Convolutions and linear layers.

use std::sync::Arc;

use calcine_format::{Bias, FloatType, IntegerWeights, Quantizer};
use calcine_graph::{Convolution, Node, Op};
use calcine_kernels::{CodeLayer, Filters, FloatLayer, HalfType, Plane, Rescale, Window};

use super::Compiler;
use super::fusion::{Chain, Sums, clamp};
use crate::EngineError;
use crate::form::{CodeRange, Image, zero_code};
use crate::report::Execution;
use crate::step::{CodeSum, Whole, Work};

/// The windows of a convolution over one or two axes.
pub(super) fn window(options: &Convolution, kernel: &[usize]) -> Window {
    let before: Vec<usize> = options.padding.iter().map(|padding| padding[0]).collect();
    Window {
        kernel: two_axes(kernel, 1),
        stride: two_axes(&options.stride, 1),
        dilation: two_axes(&options.dilation, 1),
        padding: two_axes(&before, 0),
    }
}

/// A setting for two axes. If there is only one axis, the setting of the first one, of length 1, is `missing`.
pub(super) fn two_axes(setting: &[usize], missing: usize) -> [usize; 2] {
    match *setting {
        [height, width, ..] => [height, width],
        [width] => [missing, width],
        [] => [missing; 2],
    }
}

/// The factors that convert the sums of each output to the integers of a quantizer, or to numbers.
fn factor(scale: f32, output: Option<Quantizer>) -> f32 {
    output.map_or(scale, |output| scale / output.scale)
}

impl Compiler<'_> {
    /// Adds the steps of a layer, together with the operations that are applied to its sums.
    pub(super) fn chain(&mut self, chain: Chain) -> Result<(), EngineError> {
        self.node = chain.layer;
        match self.sums_of(chain.layer) {
            Some(Sums::Codes) => self.code_chain(chain),
            _ => self.float_chain(chain),
        }
    }

    fn filters(&self, node: &Node, x: &Plane, y: &Plane) -> Filters {
        let (groups, window) = match &node.op {
            Op::Convolution(options) => {
                let shape = self.model.graph.value(node.inputs[1]).shape_at(1);
                (options.groups, window(options, &shape[2..]))
            }
            _ => (1, Window::POINT),
        };
        Filters {
            inputs: x.channels,
            outputs: y.channels,
            groups,
            window,
        }
    }

    fn code_chain(&mut self, chain: Chain) -> Result<(), EngineError> {
        let node = &self.model.graph.nodes[chain.layer];
        let weights = &self.model.layers[&chain.layer];
        let rows = node.op == Op::Linear;
        let unsupported = |compiler: &Self| compiler.unsupported(node);
        let (x_place, x) = self
            .codes(node.inputs[0], rows)
            .ok_or_else(|| unsupported(self))?;
        let input = self
            .quantizer(node.inputs[0])
            .or(self.model.quantizer(node.inputs[0]));
        let input = input.ok_or_else(|| unsupported(self))?;
        let own = self.model.quantizer(node.output);
        let shape = self.shape(chain.output);
        let image = Image::from_shape(shape, rows).ok_or_else(|| unsupported(self))?;
        let to = match own {
            Some(_) => image.of_codes().with_border(self.borders[chain.output.0]),
            None => image.with_border(self.borders[chain.output.0]),
        };
        let filters = self.filters(node, &x.plane, &to.plane);
        let layer = self.code_layer(chain.layer, weights, input, filters, x.plane, to.plane);
        let factors: Vec<f32> = (0..weights.outputs())
            .map(|output| factor(input.scale * weights.scale(output), own))
            .collect();
        let clamp = chain
            .clamp
            .zip(own)
            .and_then(|(node, own)| self.integer_clamp(node, own));
        let Some(own) = own else {
            let rescale = Arc::new(Rescale::new(&factors, [0.0; 2], 0));
            let work = Work::CodeLayerToFloats { layer, rescale };
            self.floats_step(chain.output, to, work, vec![x_place]);
            self.done(chain, Execution::Codes);
            return Ok(());
        };
        let mut reads = vec![x_place];
        let mut ends = own.centred();
        let mut result = own;
        let mut sum = None;
        match chain.sum {
            None => ends = narrowed(ends, clamp),
            Some((add, other)) => {
                result = self
                    .model
                    .quantizer(self.model.graph.nodes[add].output)
                    .ok_or_else(|| unsupported(self))?;
                let clamp = chain
                    .clamp
                    .and_then(|node| self.integer_clamp(node, result));
                let (place, image) = self.codes(other, rows).ok_or_else(|| unsupported(self))?;
                let other = self.quantizer(other).or(self.model.quantizer(other));
                let other = other.ok_or_else(|| unsupported(self))?;
                reads.push(place);
                sum = Some(CodeSum {
                    plane: image.plane,
                    other_zero: zero_code(other),
                    factors: [own, other].map(|own| ratio(own.scale, result)),
                    range: CodeRange {
                        ends: narrowed(result.centred(), clamp),
                        zero: zero_code(result),
                    },
                });
            }
        }
        let rescale = Rescale::new(&factors, ends, zero_code(own));
        let work = Work::CodeLayer {
            layer,
            rescale: Arc::new(rescale),
            sum,
        };
        self.codes_step(chain.output, result, to, work, reads);
        self.done(chain, Execution::Codes);
        Ok(())
    }

    fn done(&mut self, chain: Chain, execution: Execution) {
        self.executions[chain.layer] = Some(execution);
        let name = &self.model.graph.nodes[chain.layer].name;
        let sum = chain.sum.map(|(sum, _)| sum);
        for node in [chain.norm, sum, chain.clamp].into_iter().flatten() {
            self.executions[node] = Some(Execution::Fused(name.clone()));
        }
    }

    fn code_layer(
        &mut self,
        index: usize,
        weights: &IntegerWeights,
        input: Quantizer,
        filters: Filters,
        x: Plane,
        y: Plane,
    ) -> Arc<CodeLayer> {
        let packed = self.cache.codes.entry((index, x, y)).or_insert_with(|| {
            let bias = match &weights.bias {
                Bias::Ints(bias) => bias.clone(),
                Bias::Floats(_) => vec![0; weights.outputs()],
            };
            let zero = zero_code(input);
            let ints = || outputs_first(&weights.ints, weights);
            let bytes: Result<Vec<i8>, _> = ints().map(i8::try_from).collect();
            Arc::new(match bytes {
                Ok(bytes) => CodeLayer::new(&bytes, &bias, zero, filters, x, y),
                Err(_) => {
                    #[allow(clippy::cast_possible_truncation, reason = "8 bits minus a zero point")]
                    let wide: Vec<i16> = ints().map(|int| int as i16).collect();
                    CodeLayer::wide(&wide, &bias, zero, filters, x, y)
                }
            })
        });
        packed.clone()
    }

    fn float_chain(&mut self, chain: Chain) -> Result<(), EngineError> {
        let node = &self.model.graph.nodes[chain.layer];
        let rows = node.op == Op::Linear;
        let unsupported = |compiler: &Self| compiler.unsupported(node);
        let (x_place, x) = self
            .floats(node.inputs[0], rows)
            .ok_or_else(|| unsupported(self))?;
        let image =
            Image::from_shape(self.shape(chain.output), rows).ok_or_else(|| unsupported(self))?;
        let to = image.with_border(self.borders[chain.output.0]);
        let filters = self.filters(node, &x.plane, &to.plane);
        let key = (chain.layer, x.plane, to.plane);
        let layer = match self.cache.floats.get(&key) {
            Some(layer) => layer.clone(),
            None => {
                let (weights, bias) = self.float_weights(chain).ok_or_else(|| unsupported(self))?;
                let layer = match halves(self.weights, &weights, &filters) {
                    Some((of, bits)) => {
                        FloatLayer::of_halves(&bits, of, &bias, filters, x.plane, to.plane)
                    }
                    None => FloatLayer::new(&weights, &bias, filters, x.plane, to.plane),
                };
                let layer = Arc::new(layer);
                self.cache.floats.insert(key, layer.clone());
                layer
            }
        };
        let mut reads = vec![x_place];
        let mut sum = None;
        if let Some((_, other)) = chain.sum {
            let (place, image) = self.floats(other, rows).ok_or_else(|| unsupported(self))?;
            reads.push(place);
            sum = Some(image.plane);
        }
        let clamp = chain
            .clamp
            .and_then(|node| clamp(&self.model.graph.nodes[node].op));
        let ends = clamp.unwrap_or([f32::NEG_INFINITY, f32::INFINITY]);
        let work = Work::FloatLayer { layer, ends, sum };
        self.floats_step(chain.output, to, work, reads);
        self.done(chain, Execution::Floats);
        // The output of a layer may have a quantizer although the layer computes in float.
        let asked = self.model.quantizer(chain.output);
        if self
            .model
            .quantizer(node.output)
            .is_some_and(|own| asked != Some(own))
        {
            return Err(unsupported(self));
        }
        self.quantize(chain.output);
        Ok(())
    }

    /// The float weights of a layer, outputs first, and its bias, with its batch norm folded in.
    #[allow(clippy::cast_possible_truncation, reason = "floats are f32")]
    fn float_weights(&self, chain: Chain) -> Option<(Vec<f32>, Vec<f32>)> {
        let node = &self.model.graph.nodes[chain.layer];
        if let Some(weights) = self.model.layers.get(&chain.layer) {
            let bias = match &weights.bias {
                Bias::Floats(bias) if !bias.is_empty() => bias.clone(),
                _ => vec![0.0; weights.outputs()],
            };
            return Some((outputs_first(&weights.floats(), weights).collect(), bias));
        }
        let weight = self.tensor(node.inputs[1])?;
        let (mut weights, outputs) = match node.op {
            Op::Linear => {
                let [inputs, outputs] = [weight.shape[0], weight.shape[1]];
                (
                    transposed(&weight.numbers, inputs, outputs).collect(),
                    outputs,
                )
            }
            _ => (weight.numbers.clone(), weight.shape[0]),
        };
        let mut bias = match node.inputs.get(2) {
            Some(id) => self.tensor(*id)?.numbers.clone(),
            None => vec![0.0; outputs],
        };
        if let Some(norm) = chain.norm {
            let norm = &self.model.graph.nodes[norm];
            let Op::BatchNorm { epsilon, .. } = norm.op else {
                return None;
            };
            let of = |at: usize| self.tensor(norm.inputs[at]).map(|tensor| &tensor.numbers);
            let (gamma, beta, mean, variance) = (of(1)?, of(2)?, of(3)?, of(4)?);
            let each = weights.len() / outputs.max(1);
            for output in 0..outputs {
                let deviation = (f64::from(variance[output]) + epsilon).sqrt();
                let factor = f64::from(gamma[output]) / deviation;
                for weight in &mut weights[output * each..(output + 1) * each] {
                    *weight = (f64::from(*weight) * factor) as f32;
                }
                let shifted = f64::from(bias[output]) - f64::from(mean[output]);
                bias[output] = (f64::from(beta[output]) + shifted * factor) as f32;
            }
        }
        Some((weights, bias))
    }

    /// Adds the steps of an integer layer for which there is no kernel.
    pub(super) fn plain_layer(&mut self, index: usize) -> Result<(), EngineError> {
        let node = &self.model.graph.nodes[index];
        let weights = &self.model.layers[&index];
        let output = self.model.quantizer(node.output);
        let shape = self.shape(node.output).to_vec();
        let axis = match node.op {
            Op::Linear => shape.len() - 1,
            _ => 1,
        };
        let shapes = vec![self.shape(node.inputs[0]).to_vec()];
        let packed = Arc::new((weights.ints.clone(), weights.shape.clone()));
        let outputs = 0..weights.outputs();
        let input = self.model.quantizer(node.inputs[0]);
        let x = match self.quantizer(node.inputs[0]) {
            None if input.is_some() => {
                // An input of the network that no step has read yet.
                let place = self.plain(node.inputs[0]);
                let own = input.ok_or_else(|| self.unsupported(node))?;
                self.forms.remove(&node.inputs[0].0);
                self.quantize_plain(node.inputs[0], own, place);
                self.plain(node.inputs[0])
            }
            _ => self.plain(node.inputs[0]),
        };
        let whole = match (input, weights.dynamic) {
            (Some(input), _) => {
                let bias = match &weights.bias {
                    Bias::Ints(bias) => bias.iter().map(|bias| i64::from(*bias)).collect(),
                    Bias::Floats(_) => vec![0; weights.outputs()],
                };
                let factor =
                    outputs.map(|output_at| factor(input.scale * weights.scale(output_at), output));
                Whole::Layer {
                    op: node.op.clone(),
                    weights: packed,
                    bias: Arc::new(bias),
                    factor: Arc::new(factor.collect()),
                    axis,
                    ends: output.map(|output| output.centred()),
                }
            }
            (None, Some(dynamic)) => Whole::Dynamic {
                op: node.op.clone(),
                weights: packed,
                scales: Arc::new(outputs.map(|output| weights.scale(output)).collect()),
                bias: Arc::new(match &weights.bias {
                    Bias::Floats(bias) if !bias.is_empty() => bias.clone(),
                    _ => vec![0.0; weights.outputs()],
                }),
                axis,
                bits: dynamic.bits,
                symmetric: dynamic.scheme == calcine_format::Scheme::Symmetric,
            },
            (None, None) => return self.plain_float_layer(index),
        };
        let dynamic = matches!(whole, Whole::Dynamic { .. });
        let work = Work::Whole {
            whole,
            shapes,
            shape,
        };
        let quantizer = if dynamic { None } else { output };
        self.plain_step(node.output, quantizer, work, vec![x]);
        if dynamic {
            self.quantize(node.output);
        }
        self.executions[index] = Some(Execution::PlainIntegers);
        Ok(())
    }

    /// Adds the steps of a layer with integer weights and float inputs for which there is no kernel.
    fn plain_float_layer(&mut self, index: usize) -> Result<(), EngineError> {
        let node = &self.model.graph.nodes[index];
        let weights = &self.model.layers[&index];
        let mut reads = vec![self.real(node.inputs[0])];
        let mut shapes = vec![self.shape(node.inputs[0]).to_vec(), weights.shape.clone()];
        let mut constant = |numbers: Vec<f32>| {
            self.constants.push(numbers);
            crate::step::Place::Constant(self.constants.len() - 1)
        };
        reads.push(constant(weights.floats()));
        if let Bias::Floats(bias) = &weights.bias
            && !bias.is_empty()
        {
            reads.push(constant(bias.clone()));
            shapes.push(vec![bias.len()]);
        }
        let work = Work::Plain {
            op: node.op.clone(),
            shapes,
            shape: self.shape(node.output).to_vec(),
            batch: self.batch,
        };
        self.plain_step(node.output, None, work, reads);
        self.quantize(node.output);
        self.executions[index] = Some(Execution::PlainFloats);
        Ok(())
    }
}

/// The weights of a layer rounded to a type of 16 bits; `None` if they are to be stored in 32 bits, because that is asked for, the
/// layer is depthwise, or a number would become infinite.
fn halves(weights: FloatType, numbers: &[f32], filters: &Filters) -> Option<(HalfType, Vec<u16>)> {
    let of = match weights {
        FloatType::F32 => return None,
        FloatType::F16 => HalfType::F16,
        FloatType::Bf16 => HalfType::Bf16,
    };
    if filters.is_depthwise() || numbers.iter().any(|x| !weights.nearest(*x).is_finite()) {
        return None;
    }
    let bytes = weights.to_bytes(numbers);
    let (bits, _) = bytes.as_chunks::<2>();
    let bits = bits.iter().map(|bits| u16::from_le_bytes(*bits));
    Some((of, bits.collect()))
}

/// `scale / quantizer.scale`, rounded to `f32`.
#[allow(clippy::cast_possible_truncation, reason = "factors are f32")]
pub(super) fn ratio(scale: f32, to: Quantizer) -> f32 {
    (f64::from(scale) / f64::from(to.scale)) as f32
}

/// The intersection of a range of integers with the range of a clamp.
pub(super) fn narrowed([low, high]: [f32; 2], clamp: Option<[f32; 2]>) -> [f32; 2] {
    let [least, most] = clamp.unwrap_or([f32::NEG_INFINITY, f32::INFINITY]);
    [low.max(least).min(most), high.min(most).max(least)]
}

/// The numbers of a weight tensor, transposed so that the outputs are the first axis.
fn outputs_first<'a, T: Copy>(
    numbers: &'a [T],
    weights: &IntegerWeights,
) -> Box<dyn Iterator<Item = T> + 'a> {
    match weights.axis {
        0 => Box::new(numbers.iter().copied()),
        _ => Box::new(transposed(numbers, weights.shape[0], weights.shape[1])),
    }
}

fn transposed<T: Copy>(numbers: &[T], rows: usize, columns: usize) -> impl Iterator<Item = T> + '_ {
    (0..columns).flat_map(move |column| (0..rows).map(move |row| numbers[row * columns + column]))
}
