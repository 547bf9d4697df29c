//! A quantized network's forward pass.

use burn::tensor::Tensor;
use calcine_graph::{Arithmetic, ElementKind, Graph, Map, Node, Op, Reduction};
use calcine_trace::{AnyTensor, ForwardError, batch_size, evaluate, try_compute};

use crate::exact::{self, Digits, Split, Sum};
use crate::layer::outputs_axis;
use crate::parts::taken_over;
use crate::quantized::{Ready, rescale};
use crate::{Quantized, Quantizer};

/// A value in a pass.
enum Held {
    /// `q − zero_point`, whole numbers in `f32`.
    Ints(AnyTensor, Quantizer),
    /// Anything else.
    Plain(AnyTensor),
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
        let batch = batch_size(&self.graph, &inputs)?;
        let mut values: Vec<Option<Held>> = Vec::new();
        values.resize_with(self.graph.values.len(), || None);
        for (&id, input) in self.graph.inputs.iter().zip(inputs) {
            values[id.0] = Some(held(input, self.quantizers[id.0]));
        }
        for (index, node) in self.graph.nodes.iter().enumerate() {
            let result = try_compute(node, || self.node(index, node, &values, batch))?;
            observe(node, real(&result));
            values[node.output.0] = Some(result);
        }
        let output = |id: &calcine_graph::ValueId| real(&self.value(*id, &values));
        Ok(self.graph.outputs.iter().map(output).collect())
    }
}

impl Quantized {
    /// A node's result.
    fn node(&self, index: usize, node: &Node, values: &[Option<Held>], batch: usize) -> Held {
        let quantizer = self.quantizers[node.output.0];
        if let (Some(ready), Op::Embedding) = (self.ready.get(&index), &node.op) {
            let rows = real(&self.value(node.inputs[1], values));
            let operands = vec![ready.weights[0].clone(), rows];
            return held(evaluate(&self.graph, node, operands, batch), quantizer);
        }
        if let Some(ready) = self.ready.get(&index) {
            let x = self.value(node.inputs[0], values);
            return self.layer(index, ready, node, &x, quantizer, batch);
        }
        if taken_over(&self.graph, &self.uses, &self.layers, index) {
            return self.value(node.inputs[0], values);
        }
        let operands: Vec<Held> = node
            .inputs
            .iter()
            .map(|id| self.value(*id, values))
            .collect();
        let exact = quantizer
            .and_then(|quantizer| self.in_integers(index, node, &operands, quantizer, batch));
        exact.unwrap_or_else(|| {
            let operands = operands.iter().map(real).collect();
            held(evaluate(&self.graph, node, operands, batch), quantizer)
        })
    }

    /// A node that whole numbers suffice for; `None` of others.
    fn in_integers(
        &self,
        index: usize,
        node: &Node,
        operands: &[Held],
        quantizer: Quantizer,
        batch: usize,
    ) -> Option<Held> {
        let ints = |operand: &Held| match operand {
            Held::Ints(ints, own) => Some((ints.clone(), *own)),
            Held::Plain(_) => None,
        };
        let usual = |operands| evaluate(&self.graph, node, operands, batch);
        if self.uses.keeps_quantizer(index, &node.op) {
            let (x, own) = ints(&operands[0])?;
            if own != quantizer {
                return None;
            }
            let rest = operands[1..].iter().map(real);
            let moved = match self.uses.clamps[index] {
                true => capped(x, &node.op, quantizer),
                false => usual(std::iter::once(x).chain(rest).collect()),
            };
            return Some(Held::Ints(moved, quantizer));
        }
        match &node.op {
            Op::Zip(Arithmetic::Add) => {
                let ((a, of_a), (b, of_b)) = (ints(&operands[0])?, ints(&operands[1])?);
                let (a, b) = (on(a, of_a, quantizer), on(b, of_b, quantizer));
                Some(Held::Ints(rounded(usual(vec![a, b]), quantizer), quantizer))
            }
            Op::Zip(Arithmetic::Multiply) | Op::Matmul => {
                let (a, b) = (ints(&operands[0])?, ints(&operands[1])?);
                let summed = match node.op {
                    Op::Matmul => *a.0.shape().last()?,
                    _ => 1,
                };
                let factor = rescale(a.1.scale * b.1.scale, Some(quantizer));
                let products = products(a, b, summed as u64, usual)?;
                Some(Held::Ints(
                    rounded(times(products, factor), quantizer),
                    quantizer,
                ))
            }
            Op::Concat(_) => {
                let all: Option<Vec<_>> = operands.iter().map(ints).collect();
                let fake_quantized = |(x, own)| rounded(on(x, own, quantizer), quantizer);
                let all = all?.into_iter().map(fake_quantized).collect();
                Some(Held::Ints(usual(all), quantizer))
            }
            op => {
                let (x, own) = ints(operands.first()?)?;
                let count = averaged(op, &self.graph, node, batch)?;
                let sums = summed(x, own, count as u64, usual)?;
                #[allow(clippy::cast_precision_loss, reason = "counts of places")]
                let count = count as f64;
                let means = times(sums, factor(f64::from(own.scale) / count, quantizer));
                Some(Held::Ints(rounded(means, quantizer), quantizer))
            }
        }
    }

    /// A layer with integer weights.
    fn layer(
        &self,
        index: usize,
        ready: &Ready,
        node: &Node,
        x: &Held,
        quantizer: Option<Quantizer>,
        batch: usize,
    ) -> Held {
        let layer = &self.layers[&index];
        let outputs = outputs_axis(&self.graph, node);
        match (x, layer.dynamic) {
            (Held::Ints(x, _), _) => {
                let sums = self.sums(ready, node, x, true, batch);
                let scaled = sums.scaled(outputs, ready.factor.clone());
                match quantizer {
                    Some(quantizer) => Held::Ints(rounded(scaled, quantizer), quantizer),
                    None => Held::Plain(scaled),
                }
            }
            (Held::Plain(x), Some(dynamic)) => {
                let (x, scale) = dynamic.quantized(x.clone());
                let sums = self.sums(ready, node, &x, false, batch);
                let scaled = sums.scaled(outputs, ready.factor.clone());
                let floats = each(scaled, |scaled| scaled * scale);
                held(floats.shifted(outputs, ready.bias.clone()), quantizer)
            }
            (Held::Plain(x), None) => {
                let operands = vec![x.clone(), ready.weights[0].clone()];
                let sums = evaluate(&self.graph, node, operands, batch);
                held(sums.shifted(outputs, ready.bias.clone()), quantizer)
            }
        }
    }

    /// A layer's sums, exact up to 2³¹ and rounded to `f32` once, with its bias in their units if that is an integer.
    fn sums(
        &self,
        ready: &Ready,
        node: &Node,
        x: &AnyTensor,
        biased: bool,
        batch: usize,
    ) -> AnyTensor {
        let usual = |x, weight| evaluate(&self.graph, node, vec![x, weight], batch);
        let outputs = outputs_axis(&self.graph, node);
        let split = ready.split.expect("sums of integers are cut in some way");
        if split.is_whole() && ready.parts.is_none() {
            let sums = usual(x.clone(), ready.weights[0].clone());
            return match biased {
                true => sums.shifted(outputs, ready.bias.clone()),
                false => sums,
            };
        }
        let total = split.total(x.clone(), &ready.weights, usual);
        let bias = ready.parts.as_ref().filter(|_| biased);
        total.rounded(bias.map(|parts| (outputs, parts)))
    }

    fn value(&self, id: calcine_graph::ValueId, values: &[Option<Held>]) -> Held {
        match &values[id.0] {
            Some(Held::Ints(ints, quantizer)) => Held::Ints(ints.clone(), *quantizer),
            Some(Held::Plain(plain)) => Held::Plain(plain.clone()),
            None => {
                let float = self.floats.get(&id.0);
                let float = float.expect("what a node needs is there");
                Held::Plain(float.tensor.clone())
            }
        }
    }
}

/// Products of whole numbers, or sums of so many of them, exact up to 2³¹ and rounded to `f32` once. `None` if they may be
/// larger.
fn products(
    (a, of_a): (AnyTensor, Quantizer),
    (b, of_b): (AnyTensor, Quantizer),
    count: u64,
    usual: impl Fn(Vec<AnyTensor>) -> AnyTensor,
) -> Option<AnyTensor> {
    let (left, right) = (of_a.largest(), of_b.largest());
    let bound = left.checked_mul(right)?.checked_mul(count)?;
    if bound > exact::LARGEST {
        return None;
    }
    let split = Split::of(left, right, |digits| digits.most.saturating_mul(count))?;
    if split.is_whole() {
        return Some(usual(vec![a, b]));
    }
    let right = split.right.split(b);
    let total = split.total(a, &right, |a, b| usual(vec![a, b]));
    Some(total.rounded(None))
}

/// The sums of windows of so many whole numbers, of an operation that makes means; exact up to 2³¹ and rounded to `f32`
/// once. `None` if they may be larger.
#[allow(clippy::cast_precision_loss, reason = "counts of places")]
fn summed(
    x: AnyTensor,
    own: Quantizer,
    count: u64,
    usual: impl Fn(Vec<AnyTensor>) -> AnyTensor,
) -> Option<AnyTensor> {
    // A mean is off by its last bits: up to here it tells the sum.
    const TOLD: u64 = 1 << 20;
    if own.largest().checked_mul(count)? > exact::LARGEST {
        return None;
    }
    let digits = Digits::of(own.largest(), TOLD / count.max(1))?;
    let mut total = Sum::default();
    for (digit, weight) in digits.split(x).into_iter().zip(digits.weights()) {
        let sums = each(usual(vec![digit]), |mean| {
            mean.mul_scalar(count as f64).round()
        });
        total.add(sums, weight);
    }
    Some(total.rounded(None))
}

/// The tensor on its quantizer, if it has one.
fn held(tensor: AnyTensor, quantizer: Option<Quantizer>) -> Held {
    match quantizer.filter(|_| tensor.kind() == ElementKind::Float) {
        Some(quantizer) => {
            let scale = f64::from(quantizer.scale);
            let [low, high] = quantizer.centred().map(f64::from);
            let ints = each(tensor, |x| x.div_scalar(scale).round().clamp(low, high));
            Held::Ints(ints, quantizer)
        }
        None => Held::Plain(tensor),
    }
}

/// The numbers that it stands for.
fn real(held: &Held) -> AnyTensor {
    match held {
        Held::Ints(ints, quantizer) => {
            let scale = f64::from(quantizer.scale);
            each(ints.clone(), |ints| ints.mul_scalar(scale))
        }
        Held::Plain(plain) => plain.clone(),
    }
}

/// Each element of a float tensor.
fn each(tensor: AnyTensor, change: impl FnOnce(Tensor<1>) -> Tensor<1>) -> AnyTensor {
    let shape = tensor.shape();
    let flat = tensor.flat().expect("what has a quantizer is float");
    AnyTensor::shaped(change(flat), &shape)
}

/// Whole numbers of one scale in units of a quantizer's, not rounded yet.
fn on(ints: AnyTensor, own: Quantizer, quantizer: Quantizer) -> AnyTensor {
    times(ints, factor(f64::from(own.scale), quantizer))
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
