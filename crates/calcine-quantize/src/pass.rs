//! The forward pass of a quantized network.

use burn::tensor::Tensor;
use calcine_format::averaged_values;
use calcine_graph::{Arithmetic, ElementKind, Map, Node, Op, ValueId};
use calcine_quant::host;
use calcine_trace::{AnyTensor, ForwardError, batch_size, evaluate, try_compute};

use crate::exact::{self, Digits, Split, Sum};
use crate::layer::{dynamically_quantized, outputs_axis};
use crate::parts::is_folded_norm;
use crate::quantized::{Ready, Vector, rescale};
use crate::{Quantized, Quantizer};

/// A value in a forward pass.
#[derive(Clone)]
enum Held {
    /// `q − zero_point`, as integers in `f32`.
    Ints(AnyTensor, Quantizer),
    /// A float value.
    Plain(AnyTensor),
}

impl Held {
    fn quantizer(&self) -> Option<Quantizer> {
        match self {
            Self::Ints(_, own) => Some(*own),
            Self::Plain(_) => None,
        }
    }

    /// The tensor, with integers or floats.
    fn tensor(self) -> AnyTensor {
        match self {
            Self::Ints(tensor, _) | Self::Plain(tensor) => tensor,
        }
    }

    fn shape(&self) -> Vec<usize> {
        match self {
            Self::Ints(tensor, _) | Self::Plain(tensor) => tensor.shape(),
        }
    }
}

impl Quantized {
    /// A forward pass that calls `observe` with the dequantized result of each node.
    ///
    /// # Errors
    ///
    /// If the number, type or shape of the inputs is wrong, or if a node cannot be computed, for example because an
    /// index exceeds its table. A panic of `observe` is not caught.
    pub fn run(
        &self,
        inputs: Vec<AnyTensor>,
        observe: &mut dyn FnMut(&Node, AnyTensor),
    ) -> Result<Vec<AnyTensor>, ForwardError> {
        self.pass(inputs, Some(observe))
    }

    /// A forward pass with an optional observer.
    pub(crate) fn pass(
        &self,
        inputs: Vec<AnyTensor>,
        mut observe: Option<&mut dyn FnMut(&Node, AnyTensor)>,
    ) -> Result<Vec<AnyTensor>, ForwardError> {
        let batch = batch_size(&self.graph, &inputs)?;
        let mut pass = Pass {
            network: self,
            batch,
            values: Vec::new(),
            uses: self.uses.counts.clone(),
        };
        pass.values.resize_with(self.graph.values.len(), || None);
        for (&id, input) in self.graph.inputs.iter().zip(inputs) {
            if pass.uses[id.0] > 0 {
                pass.values[id.0] = Some(quantize_value(input, self.quantizers[id.0]));
            }
        }
        for (index, node) in self.graph.nodes.iter().enumerate() {
            let result = try_compute(node, || pass.node(index, node))?;
            if let Some(observe) = &mut observe {
                observe(node, dequantize(result.clone()));
            }
            if pass.uses[node.output.0] > 0 {
                pass.values[node.output.0] = Some(result);
            }
        }
        let outputs = self.graph.outputs.iter();
        Ok(outputs.map(|id| dequantize(pass.take(*id))).collect())
    }
}

/// A forward pass.
struct Pass<'a> {
    network: &'a Quantized,
    batch: usize,
    /// The results so far, each until its last use, so that later nodes can compute in place.
    values: Vec<Option<Held>>,
    /// The remaining number of uses of each value.
    uses: Vec<usize>,
}

impl Pass<'_> {
    /// A value for one of its uses.
    fn take(&mut self, id: ValueId) -> Held {
        self.uses[id.0] = self.uses[id.0].saturating_sub(1);
        let value = &mut self.values[id.0];
        let found = match self.uses[id.0] {
            0 => value.take(),
            _ => value.clone(),
        };
        found.unwrap_or_else(|| {
            let float = self.network.floats.get(&id.0);
            let float = float.expect("what a node needs is there");
            Held::Plain(float.tensor.clone())
        })
    }

    /// Computes the result of a node.
    fn node(&mut self, index: usize, node: &Node) -> Held {
        let (network, batch) = (self.network, self.batch);
        let quantizer = network.quantizers[node.output.0];
        if let (Some(ready), Op::Embedding) = (network.ready.get(&index), &node.op) {
            let rows = dequantize(self.take(node.inputs[1]));
            let operands = vec![ready.weights[0].clone(), rows];
            return quantize_value(evaluate(&network.graph, node, operands, batch), quantizer);
        }
        if let Some(ready) = network.ready.get(&index) {
            let x = self.take(node.inputs[0]);
            return self.layer(index, ready, node, x, quantizer);
        }
        if is_folded_norm(&network.graph, &network.uses, &network.layers, index) {
            return self.take(node.inputs[0]);
        }
        let mut operands: Vec<Held> = node.inputs.iter().map(|id| self.take(*id)).collect();
        if let Some(quantizer) = quantizer {
            operands = match self.in_integers(index, node, operands, quantizer) {
                Ok(result) => return result,
                Err(operands) => operands,
            };
        }
        let operands = operands.into_iter().map(dequantize).collect();
        quantize_value(evaluate(&network.graph, node, operands, batch), quantizer)
    }

    /// Computes a node in integers, or returns the operands of a node that cannot be.
    fn in_integers(
        &self,
        index: usize,
        node: &Node,
        operands: Vec<Held>,
        quantizer: Quantizer,
    ) -> Result<Held, Vec<Held>> {
        let network = self.network;
        let usual = |operands| evaluate(&network.graph, node, operands, self.batch);
        if network.uses.keeps_quantizer(index, &node.op) {
            return match operands.first().and_then(Held::quantizer) {
                Some(own) if own == quantizer => {
                    let mut operands = operands.into_iter();
                    let x = operands.next().map(Held::tensor).expect("it is the first");
                    let moved = match &node.op {
                        _ if network.uses.clamps[index] => capped(x, &node.op, quantizer),
                        // No integer is below the zero point.
                        Op::Map(Map::Relu) if quantizer.centred()[0] >= 0.0 => x,
                        _ => usual(std::iter::once(x).chain(operands.map(dequantize)).collect()),
                    };
                    Ok(Held::Ints(moved, quantizer))
                }
                _ => Err(operands),
            };
        }
        let owns: Vec<Option<Quantizer>> = operands.iter().map(Held::quantizer).collect();
        let all: Option<Vec<Quantizer>> = owns.iter().copied().collect();
        match (&node.op, all.as_deref()) {
            (Op::Zip(Arithmetic::Add), Some(&[a, b])) => Ok(Held::Ints(
                added(operands, [a, b], quantizer, usual),
                quantizer,
            )),
            (Op::Zip(Arithmetic::Multiply) | Op::Matmul, Some(&[a, b])) => {
                let last = operands[0].shape().last().copied().unwrap_or(1);
                let summed = if node.op == Op::Matmul { last } else { 1 };
                let Some(split) = product_split(a, b, summed as u64) else {
                    return Err(operands);
                };
                let factor = rescale(a.scale * b.scale, Some(quantizer));
                let mut tensors = operands.into_iter().map(Held::tensor).collect::<Vec<_>>();
                let products = match split.is_whole() {
                    true => usual(tensors),
                    false => {
                        let right = tensors.pop().map(|b| split.right.split(b));
                        let left = tensors.pop().expect("there are two");
                        let right = right.unwrap_or_default();
                        let total = split.total(left, &right, |a, b| usual(vec![a, b]));
                        total.rounded(None)
                    }
                };
                Ok(Held::Ints(rescaled(products, factor, quantizer), quantizer))
            }
            (Op::Concat(_), Some(_)) => {
                let fake_quantized = |operand: Held| match operand {
                    Held::Ints(x, own) => {
                        rescaled(x, factor(f64::from(own.scale), quantizer), quantizer)
                    }
                    Held::Plain(x) => x,
                };
                let all = operands.into_iter().map(fake_quantized).collect();
                Ok(Held::Ints(usual(all), quantizer))
            }
            (op, _) => {
                let shape = |id: ValueId| network.graph.value(id).shape_at(self.batch);
                let first = node.inputs.first();
                let count =
                    first.and_then(|id| averaged_values(op, &shape(*id), &shape(node.output)));
                let (Some(&Some(own)), Some(count)) = (owns.first(), count) else {
                    return Err(operands);
                };
                let Some(digits) = mean_digits(own, count as u64) else {
                    return Err(operands);
                };
                let x = operands.into_iter().next().map(Held::tensor);
                let sums = summed(x.expect("it is the first"), digits, count as u64, usual);
                #[allow(clippy::cast_precision_loss, reason = "counts of places")]
                let count = count as f64;
                let factor = factor(f64::from(own.scale) / count, quantizer);
                Ok(Held::Ints(rescaled(sums, factor, quantizer), quantizer))
            }
        }
    }

    /// Computes a layer with integer weights.
    fn layer(
        &self,
        index: usize,
        ready: &Ready,
        node: &Node,
        x: Held,
        quantizer: Option<Quantizer>,
    ) -> Held {
        let graph = &self.network.graph;
        let layer = &self.network.layers[&index];
        let outputs = outputs_axis(graph, node);
        match (x, layer.dynamic) {
            (Held::Ints(x, _), _) => {
                let (sums, bias) = self.sums(ready, node, x, true);
                let scaled = requantized(sums, outputs, bias, &ready.factor, quantizer);
                match quantizer {
                    Some(quantizer) => Held::Ints(scaled, quantizer),
                    None => Held::Plain(scaled),
                }
            }
            (Held::Plain(x), Some(dynamic)) => {
                let (x, scale) = dynamically_quantized(dynamic, x);
                let (sums, _) = self.sums(ready, node, x, false);
                let scaled = sums.scaled(outputs, ready.factor.tensor.clone());
                let floats = map_floats(scaled, |scaled| scaled * scale);
                quantize_value(
                    floats.shifted(outputs, ready.bias.tensor.clone()),
                    quantizer,
                )
            }
            (Held::Plain(x), None) => {
                let operands = vec![x, ready.weights[0].clone()];
                let sums = evaluate(graph, node, operands, self.batch);
                quantize_value(sums.shifted(outputs, ready.bias.tensor.clone()), quantizer)
            }
        }
    }

    /// The sums of a layer, exact up to 2³¹ and rounded to `f32` once; and the integers of its bias, if they have not
    /// been added yet and the result is exact in `f32`.
    fn sums<'b>(
        &self,
        ready: &'b Ready,
        node: &Node,
        x: AnyTensor,
        biased: bool,
    ) -> (AnyTensor, Option<&'b Vector>) {
        let graph = &self.network.graph;
        let usual = |x, weight| evaluate(graph, node, vec![x, weight], self.batch);
        let outputs = outputs_axis(graph, node);
        let split = ready.split.expect("sums of integers are cut in some way");
        if split.is_whole() && ready.parts.is_none() {
            let sums = usual(x, ready.weights[0].clone());
            return (sums, biased.then_some(&ready.bias));
        }
        let total = split.total(x, &ready.weights, usual);
        let bias = ready.parts.as_ref().filter(|_| biased);
        (total.rounded(bias.map(|parts| (outputs, parts))), None)
    }
}

/// `clamp(round((sums + bias) · factor))` for each channel along an axis; without a quantizer, the product is not
/// rounded.
fn requantized(
    sums: AnyTensor,
    axis: usize,
    bias: Option<&Vector>,
    factor: &Vector,
    quantizer: Option<Quantizer>,
) -> AnyTensor {
    if in_host_memory(&sums) {
        let shape = sums.shape();
        let (channels, places) = (shape[axis], shape[axis + 1..].iter().product());
        let samples = shape[..axis].iter().product();
        let flat = sums.flat().expect("sums are held in floats");
        let flat: Tensor<3> = flat.reshape([samples, channels, places]);
        let none = vec![0.0; channels];
        let (bias, factor) = (bias.map_or(&none, |bias| &bias.values), &factor.values);
        let scaled = match quantizer.map(|quantizer| quantizer.centred()) {
            Some(ends) => host::scale_channels(flat, 1, bias, factor, |x| host::nearest(x, ends)),
            None => host::scale_channels(flat, 1, bias, factor, |x| x),
        };
        return AnyTensor::shaped(scaled.reshape([samples * channels * places]), &shape);
    }
    let sums = match bias {
        Some(bias) => sums.shifted(axis, bias.tensor.clone()),
        None => sums,
    };
    let scaled = sums.scaled(axis, factor.tensor.clone());
    match quantizer {
        Some(quantizer) => rounded(scaled, quantizer),
        None => scaled,
    }
}

/// Whether the values can be changed in place, in one pass.
fn in_host_memory(tensor: &AnyTensor) -> bool {
    let flat = tensor.clone().flat();
    flat.is_some_and(|flat| host::reaches(&flat) && !flat.is_autodiff())
}

/// `clamp(round(x · factor))`.
fn rescaled(ints: AnyTensor, factor: f32, quantizer: Quantizer) -> AnyTensor {
    if in_host_memory(&ints) {
        let ends = quantizer.centred();
        return map_floats(ints, |ints| {
            host::map(ints, |x| host::nearest(x * factor, ends))
        });
    }
    rounded(times(ints, factor), quantizer)
}

/// `clamp(round(a · f32(scale_a / scale) + b · f32(scale_b / scale)))`.
fn added(
    operands: Vec<Held>,
    owns: [Quantizer; 2],
    quantizer: Quantizer,
    usual: impl Fn(Vec<AnyTensor>) -> AnyTensor,
) -> AnyTensor {
    let factors = owns.map(|own| factor(f64::from(own.scale), quantizer));
    let tensors: Vec<AnyTensor> = operands.into_iter().map(Held::tensor).collect();
    if let [a, b] = &tensors[..]
        && a.shape() == b.shape()
        && in_host_memory(a)
        && in_host_memory(b)
    {
        let shape = a.shape();
        let flat: Vec<Tensor<1>> = tensors.into_iter().filter_map(AnyTensor::flat).collect();
        let [a, b] = <[Tensor<1>; 2]>::try_from(flat).expect("both are floats");
        let ([of_a, of_b], ends) = (factors, quantizer.centred());
        let sums = host::zip(a, b, |a, b| host::nearest(a * of_a + b * of_b, ends));
        return AnyTensor::shaped(sums, &shape);
    }
    let scaled = tensors.into_iter().zip(factors);
    let scaled = scaled.map(|(tensor, factor)| times(tensor, factor));
    rounded(usual(scaled.collect()), quantizer)
}

/// How products of integers, or sums of this number of products, are computed exactly; `None` if they may exceed 2³¹.
fn product_split(a: Quantizer, b: Quantizer, count: u64) -> Option<Split> {
    let (left, right) = (a.largest(), b.largest());
    let bound = left.checked_mul(right)?.checked_mul(count)?;
    if bound > exact::LARGEST {
        return None;
    }
    Split::of(left, right, |digits| digits.most.saturating_mul(count))
}

/// How integers are split so that the mean of this number of integers determines their sum exactly; `None` if the sum
/// may exceed 2³¹.
fn mean_digits(own: Quantizer, count: u64) -> Option<Digits> {
    // A mean has rounding errors in its last bits: up to this limit it determines the sum.
    const TOLD: u64 = 1 << 20;
    if own.largest().checked_mul(count)? > exact::LARGEST {
        return None;
    }
    Digits::of(own.largest(), TOLD / count.max(1))
}

/// The sums of windows of this number of integers, from an operation that computes means; exact up to 2³¹ and rounded
/// to `f32` once.
#[allow(clippy::cast_precision_loss, reason = "counts of places")]
fn summed(
    x: AnyTensor,
    digits: Digits,
    count: u64,
    usual: impl Fn(Vec<AnyTensor>) -> AnyTensor,
) -> AnyTensor {
    let mut total = Sum::default();
    for (digit, weight) in digits.split(x).into_iter().zip(digits.weights()) {
        let sums = map_floats(usual(vec![digit]), |mean| {
            mean.mul_scalar(count as f64).round()
        });
        total.add(sums, weight);
    }
    total.rounded(None)
}

/// Quantizes a tensor, if it has a quantizer.
fn quantize_value(tensor: AnyTensor, quantizer: Option<Quantizer>) -> Held {
    match quantizer.filter(|_| tensor.kind() == ElementKind::Float) {
        Some(quantizer) if in_host_memory(&tensor) => {
            let ends = quantizer.centred();
            let ints = map_floats(tensor, |x| {
                host::map(x, |x| host::nearest(x / quantizer.scale, ends))
            });
            Held::Ints(ints, quantizer)
        }
        Some(quantizer) => {
            let scale = f64::from(quantizer.scale);
            let ints = map_floats(tensor, |x| x.div_scalar(scale));
            Held::Ints(rounded(ints, quantizer), quantizer)
        }
        None => Held::Plain(tensor),
    }
}

/// The dequantized value.
fn dequantize(held: Held) -> AnyTensor {
    match held {
        Held::Ints(ints, quantizer) => {
            let scale = f64::from(quantizer.scale);
            map_floats(ints, |ints| ints.mul_scalar(scale))
        }
        Held::Plain(plain) => plain,
    }
}

/// Applies a function to each element of a float tensor.
fn map_floats(tensor: AnyTensor, change: impl FnOnce(Tensor<1>) -> Tensor<1>) -> AnyTensor {
    let shape = tensor.shape();
    let flat = tensor.flat().expect("what has a quantizer is float");
    AnyTensor::shaped(change(flat), &shape)
}

/// `f32(scale / quantizer.scale)`.
#[allow(clippy::cast_possible_truncation, reason = "factors are f32")]
fn factor(scale: f64, quantizer: Quantizer) -> f32 {
    (scale / f64::from(quantizer.scale)) as f32
}

/// The product with a factor, in `f32`.
fn times(ints: AnyTensor, factor: f32) -> AnyTensor {
    map_floats(ints, |ints| ints.mul_scalar(f64::from(factor)))
}

/// A clamp from zero in integers: the upper bound is quantized, independently of the range.
#[allow(
    clippy::cast_possible_truncation,
    reason = "bounds become integers of a quantizer"
)]
fn capped(x: AnyTensor, op: &Op, quantizer: Quantizer) -> AnyTensor {
    let high = match op {
        Op::Map(Map::Clamp { high, .. }) => *high,
        _ => f64::INFINITY,
    };
    let high = f64::from(quantizer.quantize(high as f32) - quantizer.zero_point);
    map_floats(x, |x| x.clamp_min(0.0).clamp_max(high))
}

/// Rounds to the integers of a quantizer.
fn rounded(scaled: AnyTensor, quantizer: Quantizer) -> AnyTensor {
    if in_host_memory(&scaled) {
        let ends = quantizer.centred();
        return map_floats(scaled, |x| host::map(x, |x| host::nearest(x, ends)));
    }
    let [low, high] = quantizer.centred().map(f64::from);
    map_floats(scaled, |scaled| scaled.round().clamp(low, high))
}
