//! The integer weights of a layer, with its batch norm folded in.

mod folded;
mod rounded;

use burn::tensor::{Device, Tensor, TensorData};
use calcine_format::IntegerWeights;
pub(crate) use calcine_format::{Bias, DynamicRange as Dynamic, output_index, scale_index};
use calcine_graph::{Graph, Node, Op};
use calcine_quant::{Quantizer, Scheme, quantizer_between};
use calcine_trace::AnyTensor;

pub(crate) use self::folded::FloatLayer;
use crate::QuantizeError;
use crate::exact::{self, Digits, Split};
use crate::settings::{AccumulatorSettings, WeightSettings};

/// An integer layer: `w = scale · (q − zero_point)`, with one scale, one for each output, or one for each group in the
/// row of an output.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Layer {
    pub(crate) name: String,
    pub(crate) bits: u8,
    /// `q − zero_point`.
    pub(crate) ints: Vec<i32>,
    pub(crate) shape: Vec<usize>,
    pub(crate) axis: usize,
    pub(crate) scales: Vec<f32>,
    /// The zero point of each scale; empty if all zero points are zero and the integers are symmetric.
    pub(crate) zero_points: Vec<i32>,
    /// The number of columns in the row of an output that share a scale, unless all do.
    pub(crate) group: Option<usize>,
    pub(crate) bias: Bias,
    /// How inputs without a quantizer are quantized dynamically, if they are.
    pub(crate) dynamic: Option<Dynamic>,
}

/// Returns `q − zero_point` of a batch with the quantizer for its range, and the scale, `[1]`.
pub(crate) fn dynamically_quantized(dynamic: Dynamic, x: AnyTensor) -> (AnyTensor, Tensor<1>) {
    let shape = x.shape();
    let flat = x.flat().expect("layers are fed floats");
    let ends = Tensor::cat(vec![flat.clone().min(), flat.clone().max()], 0);
    let [scale, below, above] = quantizer_between(ends, dynamic.bits, dynamic.scheme);
    let q = (flat / scale.clone())
        .round()
        .max_pair(below)
        .min_pair(above);
    (AnyTensor::shaped(q, &shape), scale)
}

impl From<IntegerWeights> for Layer {
    fn from(stored: IntegerWeights) -> Self {
        let IntegerWeights {
            name,
            bits,
            ints,
            shape,
            axis,
            scales,
            zero_points,
            group,
            bias,
            dynamic,
        } = stored;
        Self {
            name,
            bits,
            ints,
            shape,
            axis,
            scales,
            zero_points,
            group,
            bias,
            dynamic,
        }
    }
}

/// The accumulator of the products of a layer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Accumulator<'a> {
    /// The quantizer of the inputs of the layer, if they have one.
    pub(crate) input: Option<&'a Quantizer>,
    pub(crate) settings: &'a AccumulatorSettings,
}

impl Accumulator<'_> {
    fn bits(self) -> u8 {
        self.settings.bits.min(self.settings.bias_bits)
    }

    /// The largest bias that fits beside the products of a layer: below half of the largest integer, 2³⁰ for 32 bits.
    fn room(self) -> f64 {
        // The margin is large enough for units that are rounded to `f32`.
        f64::from(i32::from(self.bits()) - 2).exp2() * (1.0 - 1e-6)
    }
}

impl Layer {
    /// Rounds weights to the nearest integers of these quantizers, and the bias to the nearest one that can be added to
    /// sums.
    pub(crate) fn nearest(
        name: &str,
        float: &FloatLayer,
        quantizers: &[Quantizer],
        settings: &WeightSettings,
        accumulator: Accumulator<'_>,
    ) -> Result<Self, QuantizeError> {
        let WeightSettings {
            bits,
            group,
            scheme,
            ..
        } = *settings;
        if group.is_some() && accumulator.input.is_some() {
            return Err(QuantizeError::Groups {
                name: name.to_owned(),
            });
        }
        #[allow(clippy::cast_possible_truncation, reason = "quantizers are of f32")]
        let int = |(at, weight): (usize, &f64)| {
            let quantizer =
                quantizers[scale_index(at, &float.shape, float.axis, group, quantizers.len())];
            quantizer.quantize(*weight as f32) - quantizer.zero_point
        };
        let scales = quantizers.iter().map(|quantizer| quantizer.scale).collect();
        let ints = float.weight.iter().enumerate().map(int).collect();
        let layer = Self::exact(name, float, ints, bits, scales, accumulator)?;
        let zero_points = match scheme {
            Scheme::Symmetric => Vec::new(),
            Scheme::Affine => quantizers
                .iter()
                .map(|quantizer| quantizer.zero_point)
                .collect(),
        };
        Ok(Self {
            group,
            zero_points,
            ..layer
        })
    }

    /// A layer with these symmetric integers and scales, and the bias rounded to the nearest one that can be added to
    /// sums.
    pub(crate) fn exact(
        name: &str,
        float: &FloatLayer,
        ints: Vec<i32>,
        bits: u8,
        scales: Vec<f32>,
        accumulator: Accumulator<'_>,
    ) -> Result<Self, QuantizeError> {
        let mut layer = Self {
            name: name.to_owned(),
            bits,
            ints,
            shape: float.shape.clone(),
            axis: float.axis,
            bias: Bias::Floats(Vec::new()),
            scales,
            zero_points: Vec::new(),
            group: None,
            dynamic: None,
        };
        layer.set_bias(&float.bias, accumulator)?;
        Ok(layer)
    }

    /// Sets the bias, rounded to integers in units of the sums, and enlarges scales if necessary.
    #[allow(clippy::cast_possible_truncation, reason = "checked to fit 32 bits")]
    fn set_bias(
        &mut self,
        bias: &[f64],
        accumulator: Accumulator<'_>,
    ) -> Result<(), QuantizeError> {
        let Some(input) = accumulator.input else {
            self.bias = Bias::Floats(bias.iter().map(|&bias| bias as f32).collect());
            return Ok(());
        };
        self.make_room(bias, input, accumulator);
        let int = |(output, bias): (usize, &f64)| {
            let unit = input.scale * self.scale(output);
            let int = (bias / f64::from(unit)).round_ties_even();
            if int.abs() > f64::from(i32::MAX) {
                return Err(self.refused(int.abs() as u64, exact::LARGEST));
            }
            Ok(int as i32)
        };
        let ints: Result<Vec<i32>, _> = bias.iter().enumerate().map(int).collect();
        self.bias = Bias::Ints(ints?);
        Ok(())
    }

    /// Enlarges the scales of outputs whose bias does not fit beside their products, or for which the product of the
    /// scale and that of the input would not be a normal `f32`: a nearly dead filter has tiny weights and a larger
    /// bias. Its weights then become small integers or zeros, and its output is its bias. If an output has no weights,
    /// its scale is chosen so that the bias is as precise as possible.
    ///
    /// New scales are powers of two. Accumulators of fewer than 32 bits get room in this way only if the coarser
    /// weights add less than 1/256 to the bias.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "powers of two that are f32, and integers of 17 bits"
    )]
    fn make_room(&mut self, bias: &[f64], input: &Quantizer, accumulator: Accumulator<'_>) {
        let (room, input_scale) = (accumulator.room(), f64::from(input.scale));
        let scales = self.scales.len();
        let scale_index = |output: usize| if scales == 1 { 0 } else { output };
        let (mut empty, mut largest) = (vec![true; scales], vec![0.0_f64; scales]);
        for (at, int) in self.ints.iter().enumerate() {
            empty[scale_index(output_index(at, &self.shape, self.axis))] &= *int == 0;
        }
        for (output, bias) in bias.iter().enumerate() {
            let largest = &mut largest[scale_index(output)];
            *largest = largest.max(bias.abs());
        }
        let mut new: Vec<Option<f64>> = Vec::with_capacity(scales);
        for (at, old) in self.scales.iter().enumerate() {
            let least = (largest[at] / (input_scale * room))
                .max(f64::from(f32::MIN_POSITIVE) / input_scale);
            let fits = old.is_normal() && f64::from(*old) >= least;
            let other = !fits || (empty[at] && largest[at] > 0.0);
            new.push(other.then(|| least.log2().ceil().clamp(-126.0, 127.0).exp2()));
        }
        if accumulator.bits() < 32 {
            // The loss of precision of each output.
            let mut lost = vec![0.0; bias.len()];
            for (at, int) in self.ints.iter().enumerate() {
                let output = output_index(at, &self.shape, self.axis);
                let index = scale_index(output);
                if let Some(new) = new[index] {
                    let weight = f64::from(int.abs()) * f64::from(self.scales[index]);
                    lost[output] += weight.min(0.5 * new) * input.largest() as f64 * input_scale;
                }
            }
            for (output, lost) in lost.iter().enumerate() {
                if *lost > bias[output].abs() / 256.0 {
                    new[scale_index(output)] = None;
                }
            }
        }
        if new.iter().all(Option::is_none) {
            return;
        }
        for (at, int) in self.ints.iter_mut().enumerate() {
            let index = scale_index(output_index(at, &self.shape, self.axis));
            if let Some(new) = new[index] {
                let weight = f64::from(*int) * f64::from(self.scales[index]);
                *int = (weight / new).round_ties_even() as i32;
            }
        }
        for (scale, new) in self.scales.iter_mut().zip(new) {
            *scale = new.map_or(*scale, |new| new as f32);
        }
    }

    fn refused(&self, bound: u64, limit: u64) -> QuantizeError {
        QuantizeError::Accumulator {
            name: self.name.clone(),
            bound,
            limit,
        }
    }

    /// The dequantized weights without the folded norm; zero if the factor of the norm is zero.
    #[allow(clippy::cast_possible_truncation, reason = "weights are f32")]
    pub(crate) fn unfolded(&self, float: &FloatLayer) -> Vec<f32> {
        let weight = |(at, int): (usize, &i32)| {
            let output = output_index(at, &self.shape, self.axis);
            match float.factors[output] {
                0.0 => 0.0,
                factor => {
                    let scale = self.scales[self.scale_index(at)];
                    (f64::from(scale) * f64::from(*int) / factor) as f32
                }
            }
        };
        self.ints.iter().enumerate().map(weight).collect()
    }

    /// Folds another norm: the scales change if each output has its own, and so does the bias.
    #[allow(clippy::cast_possible_truncation, reason = "scales are f32 everywhere")]
    pub(crate) fn renorm(
        &mut self,
        before: &FloatLayer,
        after: &FloatLayer,
        accumulator: Accumulator<'_>,
    ) -> Result<(), QuantizeError> {
        let mut corrected = after.bias.clone();
        if self.scales.len() == 1 {
            // With a shared scale, only the mean changes: `β − μ·f` with the previous factor.
            for (output, bias) in corrected.iter_mut().enumerate() {
                let (old, new) = (before.factors[output], after.factors[output]);
                if new != 0.0 {
                    *bias = after.shifts[output] + (*bias - after.shifts[output]) * old / new;
                }
            }
        } else {
            let each = self.scales.len() / self.outputs();
            for (at, scale) in self.scales.iter_mut().enumerate() {
                let output = at / each;
                let (old, new) = (before.factors[output], after.factors[output]);
                if old != 0.0 {
                    *scale = (f64::from(*scale) * new / old) as f32;
                }
            }
        }
        self.set_bias(&corrected, accumulator)
    }

    /// The position of the weight of an output for an input of its receptive field.
    fn place(&self, output: usize, column: usize, columns: usize) -> usize {
        match self.axis {
            0 => output * columns + column,
            _ => column * self.outputs() + output,
        }
    }

    /// The index of the scale of an element of the weight.
    fn scale_index(&self, at: usize) -> usize {
        scale_index(at, &self.shape, self.axis, self.group, self.scales.len())
    }

    /// The zero point of an element of the weight.
    pub(crate) fn zero_point(&self, at: usize) -> i32 {
        self.zero_points
            .get(self.scale_index(at))
            .copied()
            .unwrap_or(0)
    }

    /// The scale of the weights of an output, if it has its own.
    pub(crate) fn scale(&self, output: usize) -> f32 {
        self.scales[if self.scales.len() == 1 { 0 } else { output }]
    }

    pub(crate) fn outputs(&self) -> usize {
        self.shape[self.axis]
    }

    /// Whether sums and biases stay within this number of bits, for inputs with this quantizer or with dynamic
    /// quantizers.
    pub(crate) fn fits(
        &self,
        input: Option<&Quantizer>,
        settings: &AccumulatorSettings,
    ) -> Result<(), QuantizeError> {
        let largest = input.map(Quantizer::largest);
        let Some(largest) = largest.or(self.dynamic.map(Dynamic::largest)) else {
            return Ok(());
        };
        let mut bounds = vec![0_u64; self.outputs()];
        for (at, int) in self.ints.iter().enumerate() {
            let output = output_index(at, &self.shape, self.axis);
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

    /// The magnitude of the bias of an output, in units of its sums.
    fn bias_size(&self, output: usize) -> u64 {
        match &self.bias {
            Bias::Ints(bias) => u64::from(bias[output].unsigned_abs()),
            Bias::Floats(_) => 0,
        }
    }

    /// How inputs up to `largest` and the weights are split so that the sums of each digit are exact in `f32`, and
    /// whether whole sums with their bias are exact.
    ///
    /// The bound is that of the actual weights: `Σ |w| · max |x|` over the inputs of an output.
    ///
    /// # Errors
    ///
    /// If sums may exceed 32 bits.
    pub(crate) fn split(&self, largest: u64) -> Result<(Split, bool), QuantizeError> {
        let sizes = |ints: &[i32]| -> Vec<u64> {
            let mut sums = vec![0_u64; self.outputs()];
            for (at, int) in ints.iter().enumerate() {
                sums[output_index(at, &self.shape, self.axis)] += u64::from(int.unsigned_abs());
            }
            sums
        };
        let sums = sizes(&self.ints);
        let bound = sums.iter().enumerate();
        let bound = bound.map(|(output, sum)| sum * largest + self.bias_size(output));
        let bound = bound.max().unwrap_or(0);
        if bound > exact::LARGEST {
            return Err(self.refused(bound, exact::LARGEST));
        }
        let weight = self.ints.iter().map(|int| int.unsigned_abs()).max();
        let sum = |digits: Digits| {
            let split = digits.split_ints(&self.ints);
            let each = split.iter().flat_map(|digit| sizes(digit));
            each.max().unwrap_or(0)
        };
        let split = Split::of(largest, weight.unwrap_or(0).into(), sum);
        let split = split.ok_or_else(|| self.refused(bound, exact::EXACT))?;
        Ok((split, bound <= exact::EXACT))
    }

    /// The integers as tensors, one for each digit.
    #[allow(clippy::cast_precision_loss, reason = "integers of 16 bits at most")]
    pub(crate) fn weights(&self, digits: Digits, device: &Device) -> Vec<AnyTensor> {
        let digits = digits.split_ints(&self.ints).into_iter();
        let digits = digits.map(|digit| {
            let floats = digit.into_iter().map(|int| int as f32).collect();
            vector(floats, device, &self.shape)
        });
        digits.collect()
    }

    /// The dequantized weights.
    #[allow(clippy::cast_precision_loss, reason = "integers of 16 bits at most")]
    pub(crate) fn float_weight(&self, device: &Device) -> AnyTensor {
        let weight = |(at, int): (usize, &i32)| self.scales[self.scale_index(at)] * *int as f32;
        let weights: Vec<f32> = self.ints.iter().enumerate().map(weight).collect();
        vector(weights, device, &self.shape)
    }
}

/// A tensor with these values and this shape on a device.
pub(crate) fn vector(values: Vec<f32>, device: &Device, shape: &[usize]) -> AnyTensor {
    let count = values.len();
    AnyTensor::shaped(
        Tensor::from_data(TensorData::new(values, [count]), device),
        shape,
    )
}

/// The groups of a convolution; 1 for other layers.
pub(crate) fn groups(node: &Node) -> usize {
    match &node.op {
        Op::Convolution(convolution) => convolution.groups,
        _ => 1,
    }
}

/// The axis of the result of a layer along which its outputs are.
pub(crate) fn outputs_axis(graph: &Graph, node: &Node) -> usize {
    match node.op {
        Op::Linear => graph.value(node.output).shape.len() - 1,
        _ => 1,
    }
}
