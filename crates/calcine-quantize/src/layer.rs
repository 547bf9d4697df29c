//! A layer's weights as integers, with its batch norm folded in.

mod folded;
mod rounded;

use burn::tensor::{Device, Tensor, TensorData};
use calcine_graph::{Graph, Node, Op};
use calcine_quant::{Quantizer, Scheme, grid_between};
use calcine_trace::AnyTensor;
use serde::{Deserialize, Serialize};

pub(crate) use self::folded::{FloatLayer, output_of, step_of};
use crate::QuantizeError;
use crate::settings::{SumSettings, WeightSettings};

/// The largest whole number up to which `f32` has all.
const EXACT: u64 = 1 << 24;

/// A layer in integers: `w = step · (q − zero)`, one step, one for each output, or one for each group of an output's row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Layer {
    pub(crate) name: String,
    pub(crate) bits: u8,
    /// `q − zero`.
    pub(crate) ints: Vec<i32>,
    pub(crate) shape: Vec<usize>,
    pub(crate) axis: usize,
    pub(crate) steps: Vec<f32>,
    /// What stands for zero, of each step; none if that is zero, and integers are symmetric about it.
    pub(crate) zeros: Vec<i32>,
    /// How many columns of an output's row share a step, if not all.
    pub(crate) group: Option<usize>,
    pub(crate) bias: Bias,
    /// How inputs without a grid of their own are quantized, if they are.
    pub(crate) dynamic: Option<Dynamic>,
}

/// Grids over each batch's own range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Dynamic {
    pub(crate) bits: u8,
    pub(crate) scheme: Scheme,
}

impl Dynamic {
    /// The largest `|q − zero|` that any range leads to.
    pub(crate) fn largest(self) -> u64 {
        match self.scheme {
            Scheme::Symmetric => (1 << (self.bits - 1)) - 1,
            Scheme::Affine => (1 << self.bits) - 1,
        }
    }

    /// Whether there are such integers.
    pub(crate) fn is_sound(self) -> bool {
        Quantizer::over(0.0, 1.0, self.bits, self.scheme).is_ok()
    }

    /// `q − zero` of a batch on the grid over its range, and its step, `[1]`.
    pub(crate) fn quantized(self, x: AnyTensor) -> (AnyTensor, Tensor<1>) {
        let shape = x.shape();
        let flat = x.flat().expect("layers are fed floats");
        let ends = Tensor::cat(vec![flat.clone().min(), flat.clone().max()], 0);
        let [step, below, above] = grid_between(ends, self.bits, self.scheme);
        let q = (flat / step.clone())
            .round()
            .max_pair(below)
            .min_pair(above);
        (AnyTensor::shaped(q, &shape), step)
    }
}

/// What is added to a layer's sums.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Bias {
    /// In units of input step times weight step.
    Ints(Vec<i32>),
    /// Where inputs have no grid.
    Floats(Vec<f32>),
}

impl Layer {
    /// Weights to the nearest integers of these grids, and the bias to the nearest that sums can take.
    pub(crate) fn nearest(
        name: &str,
        float: &FloatLayer,
        grids: &[Quantizer],
        settings: &WeightSettings,
        input: Option<&Quantizer>,
    ) -> Result<Self, QuantizeError> {
        let WeightSettings {
            bits,
            group,
            scheme,
            ..
        } = *settings;
        if group.is_some() && input.is_some() {
            return Err(QuantizeError::Groups {
                name: name.to_owned(),
            });
        }
        #[allow(clippy::cast_possible_truncation, reason = "grids are of f32")]
        let int = |(at, weight): (usize, &f64)| {
            let grid = grids[step_of(at, &float.shape, float.axis, group, grids.len())];
            grid.quantize(*weight as f32) - grid.zero
        };
        let steps = grids.iter().map(|grid| grid.step).collect();
        let ints = float.weight.iter().enumerate().map(int).collect();
        let layer = Self::exact(name, float, ints, bits, steps, input)?;
        let zeros = match scheme {
            Scheme::Symmetric => Vec::new(),
            Scheme::Affine => grids.iter().map(|grid| grid.zero).collect(),
        };
        Ok(Self {
            group,
            zeros,
            ..layer
        })
    }

    /// These symmetric integers, with their steps, and the bias to the nearest that sums can take.
    pub(crate) fn exact(
        name: &str,
        float: &FloatLayer,
        ints: Vec<i32>,
        bits: u8,
        steps: Vec<f32>,
        input: Option<&Quantizer>,
    ) -> Result<Self, QuantizeError> {
        Ok(Self {
            name: name.to_owned(),
            bits,
            ints,
            shape: float.shape.clone(),
            axis: float.axis,
            bias: bias(name, &float.bias, &steps, input)?,
            steps,
            zeros: Vec::new(),
            group: None,
            dynamic: None,
        })
    }

    /// The numbers that the integers stand for, without the norm that is folded in; zero where it says nothing.
    #[allow(clippy::cast_possible_truncation, reason = "weights are f32")]
    pub(crate) fn unfolded(&self, float: &FloatLayer) -> Vec<f32> {
        let weight = |(at, int): (usize, &i32)| {
            let output = output_of(at, &self.shape, self.axis);
            match float.factors[output] {
                0.0 => 0.0,
                factor => {
                    let step = self.steps[self.step_of(at)];
                    (f64::from(step) * f64::from(*int) / factor) as f32
                }
            }
        };
        self.ints.iter().enumerate().map(weight).collect()
    }

    /// With another norm folded in: other steps, if each output has its own, and another bias.
    #[allow(clippy::cast_possible_truncation, reason = "steps are f32 everywhere")]
    pub(crate) fn renorm(
        &mut self,
        before: &FloatLayer,
        after: &FloatLayer,
        input: Option<&Quantizer>,
    ) -> Result<(), QuantizeError> {
        let mut corrected = after.bias.clone();
        if self.steps.len() == 1 {
            // Without other steps, the mean alone: `β − μ·f` with the factor as it was.
            for (output, bias) in corrected.iter_mut().enumerate() {
                let (old, new) = (before.factors[output], after.factors[output]);
                if new != 0.0 {
                    *bias = after.shifts[output] + (*bias - after.shifts[output]) * old / new;
                }
            }
        } else {
            let each = self.steps.len() / self.outputs();
            for (at, step) in self.steps.iter_mut().enumerate() {
                let output = at / each;
                let (old, new) = (before.factors[output], after.factors[output]);
                if old != 0.0 {
                    *step = (f64::from(*step) * new / old) as f32;
                }
            }
        }
        self.bias = bias(&self.name, &corrected, &self.steps, input)?;
        Ok(())
    }

    /// Where an output's weight of an input of its receptive field is.
    fn place(&self, output: usize, column: usize, columns: usize) -> usize {
        match self.axis {
            0 => output * columns + column,
            _ => column * self.outputs() + output,
        }
    }

    /// Which step an element of the weight has.
    fn step_of(&self, at: usize) -> usize {
        step_of(at, &self.shape, self.axis, self.group, self.steps.len())
    }

    /// The zero point of an element of the weight.
    pub(crate) fn zero(&self, at: usize) -> i32 {
        self.zeros.get(self.step_of(at)).copied().unwrap_or(0)
    }

    /// The step of an output's weights, where it has one.
    pub(crate) fn step(&self, output: usize) -> f32 {
        self.steps[if self.steps.len() == 1 { 0 } else { output }]
    }

    pub(crate) fn outputs(&self) -> usize {
        self.shape[self.axis]
    }

    /// Whether sums of inputs on this grid, or on those of batches, stay within so many bits, and biases.
    pub(crate) fn fits(
        &self,
        input: Option<&Quantizer>,
        settings: &SumSettings,
    ) -> Result<(), QuantizeError> {
        let largest = input.map(Quantizer::largest);
        let Some(largest) = largest.or(self.dynamic.map(Dynamic::largest)) else {
            return Ok(());
        };
        let mut bounds = vec![0_u64; self.outputs()];
        for (at, int) in self.ints.iter().enumerate() {
            let output = output_of(at, &self.shape, self.axis);
            bounds[output] += u64::from(int.unsigned_abs()) * largest;
        }
        let biases = (0..self.outputs()).map(|output| self.bias_size(output));
        let sums = bounds
            .iter()
            .zip(biases.clone())
            .map(|(sum, bias)| sum + bias);
        let (sum, bias) = (sums.max().unwrap_or(0), biases.max().unwrap_or(0));
        for (bound, bits) in [(sum, settings.bits), (bias, settings.bias_bits)] {
            let limit = (1 << (bits - 1)) - 1;
            if bound > limit {
                return Err(QuantizeError::Accumulator {
                    name: self.name.clone(),
                    bound,
                    limit,
                });
            }
        }
        Ok(())
    }

    /// The size of an output's bias, in units of its sums.
    fn bias_size(&self, output: usize) -> u64 {
        match &self.bias {
            Bias::Ints(bias) => u64::from(bias[output].unsigned_abs()),
            Bias::Floats(_) => 0,
        }
    }

    /// Which axis of the weight the inputs are.
    fn input_axis(&self) -> usize {
        1 - self.axis
    }

    /// The parts of the inputs whose sums `f32` holds exactly; one for most layers.
    ///
    /// The bound is that of the weights that are there: `Σ |w| · max |x|` over the inputs of an output.
    pub(crate) fn parts(
        &self,
        largest: u64,
        groups: usize,
    ) -> Result<Vec<std::ops::Range<usize>>, QuantizeError> {
        let inputs = self.shape[self.input_axis()];
        let inner: usize = self.shape[2.min(self.shape.len())..].iter().product();
        let mut sums = vec![0_u64; self.outputs() * inputs];
        for (at, int) in self.ints.iter().enumerate() {
            let output = output_of(at, &self.shape, self.axis);
            let input = match self.axis {
                0 => at / inner % inputs,
                _ => at / self.outputs() / inner,
            };
            sums[output * inputs + input] += u64::from(int.unsigned_abs()) * largest;
        }
        let rows = sums.chunks(inputs).enumerate();
        let bound = rows.map(|(output, row)| row.iter().sum::<u64>() + self.bias_size(output));
        let bound = bound.max().unwrap_or(0);
        let refused = |bound, limit| QuantizeError::Accumulator {
            name: self.name.clone(),
            bound,
            limit,
        };
        let limit = u64::from(i32::MAX.unsigned_abs());
        if bound > limit {
            return Err(refused(bound, limit));
        }
        if bound <= EXACT {
            return Ok(std::iter::once(0..inputs).collect());
        }
        let mut parts = Vec::new();
        let (mut begin, mut running) = (0, vec![0_u64; self.outputs()]);
        for input in 0..inputs {
            let column = |output: usize| sums[output * inputs + input];
            let next: Vec<u64> = (0..self.outputs())
                .map(|o| running[o] + column(o))
                .collect();
            if next.iter().all(|sum| *sum <= EXACT) {
                running = next;
                continue;
            }
            parts.push(begin..input);
            begin = input;
            running = (0..self.outputs()).map(column).collect();
            if input == begin && running.iter().any(|sum| *sum > EXACT) {
                return Err(refused(running.iter().copied().max().unwrap_or(0), EXACT));
            }
        }
        parts.push(begin..inputs);
        parts.retain(|part| !part.is_empty());
        match groups {
            1 => Ok(parts),
            _ => Err(refused(bound, EXACT)),
        }
    }

    /// The integers as a tensor.
    #[allow(clippy::cast_precision_loss, reason = "integers of 16 bits at most")]
    pub(crate) fn weight(&self, device: &Device) -> AnyTensor {
        let ints: Vec<f32> = self.ints.iter().map(|&int| int as f32).collect();
        vector(ints, device, &self.shape)
    }

    /// The weights that the integers stand for.
    #[allow(clippy::cast_precision_loss, reason = "integers of 16 bits at most")]
    pub(crate) fn float_weight(&self, device: &Device) -> AnyTensor {
        let weight = |(at, int): (usize, &i32)| self.steps[self.step_of(at)] * *int as f32;
        let weights: Vec<f32> = self.ints.iter().enumerate().map(weight).collect();
        vector(weights, device, &self.shape)
    }
}

/// A bias in units of the sums that it is added to.
#[allow(clippy::cast_possible_truncation, reason = "checked to fit 32 bits")]
fn bias(
    name: &str,
    bias: &[f64],
    steps: &[f32],
    input: Option<&Quantizer>,
) -> Result<Bias, QuantizeError> {
    let Some(input) = input else {
        return Ok(Bias::Floats(bias.iter().map(|&bias| bias as f32).collect()));
    };
    let int = |(output, bias): (usize, &f64)| {
        let step = steps[if steps.len() == 1 { 0 } else { output }];
        let int = (bias / (f64::from(input.step) * f64::from(step))).round_ties_even();
        if int.abs() > f64::from(i32::MAX) {
            return Err(QuantizeError::Accumulator {
                name: name.to_owned(),
                bound: int.abs() as u64,
                limit: u64::from(i32::MAX.unsigned_abs()),
            });
        }
        Ok(int as i32)
    };
    let ints: Result<Vec<i32>, _> = bias.iter().enumerate().map(int).collect();
    Ok(Bias::Ints(ints?))
}

/// Numbers on a device, in a shape.
pub(crate) fn vector(values: Vec<f32>, device: &Device, shape: &[usize]) -> AnyTensor {
    let count = values.len();
    AnyTensor::shaped(
        Tensor::from_data(TensorData::new(values, [count]), device),
        shape,
    )
}

/// The groups of a convolution; 1 of anything else.
pub(crate) fn groups(node: &Node) -> usize {
    match &node.op {
        Op::Convolution(convolution) => convolution.groups,
        _ => 1,
    }
}

/// The axis of what a layer is fed along which its inputs lie.
pub(crate) fn inputs_axis(graph: &Graph, node: &Node) -> usize {
    match node.op {
        Op::Linear => graph.value(node.inputs[0]).shape.len() - 1,
        _ => 1,
    }
}

/// The axis of what a layer gives along which its outputs lie.
pub(crate) fn outputs_axis(graph: &Graph, node: &Node) -> usize {
    match node.op {
        Op::Linear => graph.value(node.output).shape.len() - 1,
        _ => 1,
    }
}
