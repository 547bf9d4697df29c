//! A quantized network's forward pass.

use burn::tensor::Tensor;
use calcine_graph::{Arithmetic, ElementKind, Graph, Map, Node, Op, Reduction, ValueId};
use calcine_quant::host;
use calcine_trace::{AnyTensor, ForwardError, batch_size, evaluate, try_compute};

use crate::exact::{self, Digits, Split, Sum};
use crate::layer::{dynamically_quantized, outputs_axis};
use crate::parts::taken_over;
use crate::quantized::{Ready, Vector, rescale};
use crate::{Quantized, Quantizer};

/// A value in a pass.
#[derive(Clone)]
enum Held {
    /// `q − zero_point`, whole numbers in `f32`.
    Ints(AnyTensor, Quantizer),
    /// Anything else.
    Plain(AnyTensor),
}

impl Held {
    fn quantizer(&self) -> Option<Quantizer> {
        match self {
            Self::Ints(_, own) => Some(*own),
            Self::Plain(_) => None,
        }
    }

    /// The tensor, of integers or not.
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
    /// A pass that shows each node's result, in the numbers that its integers stand for.
    ///
    /// # Errors
    ///
    /// If number, kind or shape of the inputs are others than the network's, or if a node cannot be computed, as a look-up
    /// beyond the end of a table. A panic of `observe` is not caught.
    pub fn run(
        &self,
        inputs: Vec<AnyTensor>,
        observe: &mut dyn FnMut(&Node, AnyTensor),
    ) -> Result<Vec<AnyTensor>, ForwardError> {
        self.pass(inputs, Some(observe))
    }

    /// A pass, whose results are shown to somebody or nobody.
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
                pass.values[id.0] = Some(held(input, self.quantizers[id.0]));
            }
        }
        for (index, node) in self.graph.nodes.iter().enumerate() {
            let result = try_compute(node, || pass.node(index, node))?;
            if let Some(observe) = &mut observe {
                observe(node, real(result.clone()));
            }
            if pass.uses[node.output.0] > 0 {
                pass.values[node.output.0] = Some(result);
            }
        }
        let outputs = self.graph.outputs.iter();
        Ok(outputs.map(|id| real(pass.take(*id))).collect())
    }
}

/// A forward pass.
struct Pass<'a> {
    network: &'a Quantized,
    batch: usize,
    /// The results so far, each until its last use, so that what follows computes in place.
    values: Vec<Option<Held>>,
    /// How often each value will still be used.
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

    /// A node's result.
    fn node(&mut self, index: usize, node: &Node) -> Held {
        let (network, batch) = (self.network, self.batch);
        let quantizer = network.quantizers[node.output.0];
        if let (Some(ready), Op::Embedding) = (network.ready.get(&index), &node.op) {
            let rows = real(self.take(node.inputs[1]));
            let operands = vec![ready.weights[0].clone(), rows];
            return held(evaluate(&network.graph, node, operands, batch), quantizer);
        }
        if let Some(ready) = network.ready.get(&index) {
            let x = self.take(node.inputs[0]);
            return self.layer(index, ready, node, x, quantizer);
        }
        if taken_over(&network.graph, &network.uses, &network.layers, index) {
            return self.take(node.inputs[0]);
        }
        let mut operands: Vec<Held> = node.inputs.iter().map(|id| self.take(*id)).collect();
        if let Some(quantizer) = quantizer {
            operands = match self.in_integers(index, node, operands, quantizer) {
                Ok(result) => return result,
                Err(operands) => operands,
            };
        }
        let operands = operands.into_iter().map(real).collect();
        held(evaluate(&network.graph, node, operands, batch), quantizer)
    }

    /// A node that whole numbers suffice for; the operands of others.
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
                        // No integer is below zero's.
                        Op::Map(Map::Relu) if quantizer.centred()[0] >= 0.0 => x,
                        _ => usual(std::iter::once(x).chain(operands.map(real)).collect()),
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
                let count = averaged(op, &network.graph, node, self.batch);
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

    /// A layer with integer weights.
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
                let floats = each(scaled, |scaled| scaled * scale);
                held(
                    floats.shifted(outputs, ready.bias.tensor.clone()),
                    quantizer,
                )
            }
            (Held::Plain(x), None) => {
                let operands = vec![x, ready.weights[0].clone()];
                let sums = evaluate(graph, node, operands, self.batch);
                held(sums.shifted(outputs, ready.bias.tensor.clone()), quantizer)
            }
        }
    }

    /// A layer's sums, exact up to 2³¹ and rounded to `f32` once; and the integers of its bias, if they are still to be added
    /// and `f32` holds the result.
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

/// `clamp(round((sums + bias) · factor))` of each channel along an axis; not rounded without a quantizer.
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

/// Whether numbers are changed where they lie, in one pass.
fn in_host_memory(tensor: &AnyTensor) -> bool {
    let flat = tensor.clone().flat();
    flat.is_some_and(|flat| host::reaches(&flat) && !flat.is_autodiff())
}

/// `clamp(round(x · factor))`.
fn rescaled(ints: AnyTensor, factor: f32, quantizer: Quantizer) -> AnyTensor {
    if in_host_memory(&ints) {
        let ends = quantizer.centred();
        return each(ints, |ints| {
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

/// How products of whole numbers, or sums of so many of them, are computed exactly; `None` if they may be larger than 2³¹.
fn product_split(a: Quantizer, b: Quantizer, count: u64) -> Option<Split> {
    let (left, right) = (a.largest(), b.largest());
    let bound = left.checked_mul(right)?.checked_mul(count)?;
    if bound > exact::LARGEST {
        return None;
    }
    Split::of(left, right, |digits| digits.most.saturating_mul(count))
}

/// How whole numbers are cut so that means of so many tell their sums exactly; `None` if the sums may be larger than 2³¹.
fn mean_digits(own: Quantizer, count: u64) -> Option<Digits> {
    // A mean is off by its last bits: up to here it tells the sum.
    const TOLD: u64 = 1 << 20;
    if own.largest().checked_mul(count)? > exact::LARGEST {
        return None;
    }
    Digits::of(own.largest(), TOLD / count.max(1))
}

/// The sums of windows of so many whole numbers, of an operation that makes means; exact up to 2³¹ and rounded to `f32`
/// once.
#[allow(clippy::cast_precision_loss, reason = "counts of places")]
fn summed(
    x: AnyTensor,
    digits: Digits,
    count: u64,
    usual: impl Fn(Vec<AnyTensor>) -> AnyTensor,
) -> AnyTensor {
    let mut total = Sum::default();
    for (digit, weight) in digits.split(x).into_iter().zip(digits.weights()) {
        let sums = each(usual(vec![digit]), |mean| {
            mean.mul_scalar(count as f64).round()
        });
        total.add(sums, weight);
    }
    total.rounded(None)
}

/// The tensor on its quantizer, if it has one.
fn held(tensor: AnyTensor, quantizer: Option<Quantizer>) -> Held {
    match quantizer.filter(|_| tensor.kind() == ElementKind::Float) {
        Some(quantizer) if in_host_memory(&tensor) => {
            let ends = quantizer.centred();
            let ints = each(tensor, |x| {
                host::map(x, |x| host::nearest(x / quantizer.scale, ends))
            });
            Held::Ints(ints, quantizer)
        }
        Some(quantizer) => {
            let scale = f64::from(quantizer.scale);
            let ints = each(tensor, |x| x.div_scalar(scale));
            Held::Ints(rounded(ints, quantizer), quantizer)
        }
        None => Held::Plain(tensor),
    }
}

/// The numbers that it stands for.
fn real(held: Held) -> AnyTensor {
    match held {
        Held::Ints(ints, quantizer) => {
            let scale = f64::from(quantizer.scale);
            each(ints, |ints| ints.mul_scalar(scale))
        }
        Held::Plain(plain) => plain,
    }
}

/// Each element of a float tensor.
fn each(tensor: AnyTensor, change: impl FnOnce(Tensor<1>) -> Tensor<1>) -> AnyTensor {
    let shape = tensor.shape();
    let flat = tensor.flat().expect("what has a quantizer is float");
    AnyTensor::shaped(change(flat), &shape)
}

/// `f32(scale / the quantizer's scale)`.
#[allow(clippy::cast_possible_truncation, reason = "factors are f32")]
fn factor(scale: f64, quantizer: Quantizer) -> f32 {
    (scale / f64::from(quantizer.scale)) as f32
}

/// Times a factor, in `f32`.
fn times(ints: AnyTensor, factor: f32) -> AnyTensor {
    each(ints, |ints| ints.mul_scalar(f64::from(factor)))
}

/// A clamp from zero in integers: the upper end is the integer that the bound becomes, whatever the range is.
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
    each(x, |x| x.clamp_min(0.0).clamp_max(high))
}

/// The nearest whole numbers of a quantizer.
fn rounded(scaled: AnyTensor, quantizer: Quantizer) -> AnyTensor {
    if in_host_memory(&scaled) {
        let ends = quantizer.centred();
        return each(scaled, |x| host::map(x, |x| host::nearest(x, ends)));
    }
    let [low, high] = quantizer.centred().map(f64::from);
    each(scaled, |scaled| scaled.round().clamp(low, high))
}

/// Of how many numbers the node's results are means, if it makes means of equally many.
fn averaged(op: &Op, graph: &Graph, node: &Node, batch: usize) -> Option<usize> {
    let input = graph.value(node.inputs[0]).shape_at(batch);
    let output = graph.value(node.output).shape_at(batch);
    match op {
        Op::Reduce(Reduction::Mean, axis) => input.get(*axis).copied(),
        Op::AveragePool {
            pool,
            count_padding,
        } => {
            let whole = *count_padding || pool.padding.iter().all(|padding| *padding == 0);
            (whole && !pool.ceil).then(|| pool.kernel.iter().product())
        }
        Op::AdaptiveAveragePool => {
            let windows = input[2..].iter().zip(&output[2..]);
            let equal = windows.clone().all(|(input, output)| input % output == 0);
            equal.then(|| windows.map(|(input, output)| input / output).product())
        }
        _ => None,
    }
}
