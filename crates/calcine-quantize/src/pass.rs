//! A quantized network's forward pass.

use burn::tensor::{Int, Tensor};
use calcine_graph::{Arithmetic, Graph, Kind, Node, Op, Reduction};
use calcine_trace::{AnyTensor, ForwardError, batch_size, evaluate, try_compute};

use crate::layer::{inputs_axis, outputs_axis};
use crate::parts::taken_over;
use crate::quantized::Ready;
use crate::{Quantized, Quantizer};

/// A value in a pass.
enum Held {
    /// `q − zero`, whole numbers in `f32`.
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
    /// beyond the end of a table. A panic of `watch` is not caught.
    pub fn run(
        &self,
        inputs: Vec<AnyTensor>,
        watch: &mut dyn FnMut(&Node, AnyTensor),
    ) -> Result<Vec<AnyTensor>, ForwardError> {
        let batch = batch_size(&self.graph, &inputs)?;
        let mut values: Vec<Option<Held>> = Vec::new();
        values.resize_with(self.graph.values.len(), || None);
        for (&id, input) in self.graph.inputs.iter().zip(inputs) {
            values[id.0] = Some(held(input, self.grids[id.0]));
        }
        for (index, node) in self.graph.nodes.iter().enumerate() {
            let result = try_compute(node, || self.node(index, node, &values, batch))?;
            watch(node, real(&result));
            values[node.output.0] = Some(result);
        }
        let output = |id: &calcine_graph::ValueId| real(&self.value(*id, &values));
        Ok(self.graph.outputs.iter().map(output).collect())
    }
}

impl Quantized {
    /// A node's result.
    fn node(&self, index: usize, node: &Node, values: &[Option<Held>], batch: usize) -> Held {
        let grid = self.grids[node.output.0];
        if let (Some(ready), Op::Embedding) = (self.ready.get(&index), &node.op) {
            let rows = real(&self.value(node.inputs[1], values));
            let operands = vec![ready.weight.clone(), rows];
            return held(evaluate(&self.graph, node, operands, batch), grid);
        }
        if let Some(ready) = self.ready.get(&index) {
            let x = self.value(node.inputs[0], values);
            return self.layer(index, ready, node, &x, grid, batch);
        }
        if taken_over(&self.graph, &self.uses, &self.layers, index) {
            return self.value(node.inputs[0], values);
        }
        let operands: Vec<Held> = node
            .inputs
            .iter()
            .map(|id| self.value(*id, values))
            .collect();
        let exact = grid.and_then(|grid| self.in_integers(index, node, &operands, grid, batch));
        exact.unwrap_or_else(|| {
            let operands = operands.iter().map(real).collect();
            held(evaluate(&self.graph, node, operands, batch), grid)
        })
    }

    /// A node that whole numbers suffice for; `None` of others.
    fn in_integers(
        &self,
        index: usize,
        node: &Node,
        operands: &[Held],
        grid: Quantizer,
        batch: usize,
    ) -> Option<Held> {
        let ints = |operand: &Held| match operand {
            Held::Ints(ints, own) => Some((ints.clone(), *own)),
            Held::Plain(_) => None,
        };
        let usual = |operands| evaluate(&self.graph, node, operands, batch);
        if self.uses.keeps_grid(index, &node.op) {
            let (x, own) = ints(&operands[0])?;
            if own != grid {
                return None;
            }
            let rest = operands[1..].iter().map(real);
            let moved = match self.uses.clamps[index] {
                true => each(x, |x| x.clamp_min(0.0)),
                false => usual(std::iter::once(x).chain(rest).collect()),
            };
            return Some(Held::Ints(moved, grid));
        }
        match &node.op {
            Op::Zip(Arithmetic::Add) => {
                let ((a, of_a), (b, of_b)) = (ints(&operands[0])?, ints(&operands[1])?);
                let (a, b) = (on(a, of_a, grid), on(b, of_b, grid));
                Some(Held::Ints(rounded(usual(vec![a, b]), grid), grid))
            }
            Op::Zip(Arithmetic::Multiply) => {
                let ((a, of_a), (b, of_b)) = (ints(&operands[0])?, ints(&operands[1])?);
                if of_a.largest() * of_b.largest() > 1 << 24 {
                    return None;
                }
                let step = f64::from(of_a.step) * f64::from(of_b.step);
                let product = times(usual(vec![a, b]), step, grid);
                Some(Held::Ints(rounded(product, grid), grid))
            }
            Op::Matmul => {
                let (a, b) = (ints(&operands[0])?, ints(&operands[1])?);
                let step = f64::from(a.1.step) * f64::from(b.1.step);
                let products = products(a, b, usual)?;
                Some(Held::Ints(rounded(times(products, step, grid), grid), grid))
            }
            Op::Concat(_) => {
                let all: Option<Vec<_>> = operands.iter().map(ints).collect();
                let on_grid = |(x, own)| rounded(on(x, own, grid), grid);
                let all = all?.into_iter().map(on_grid).collect();
                Some(Held::Ints(usual(all), grid))
            }
            op => {
                let (x, own) = ints(operands.first()?)?;
                let count = averaged(op, &self.graph, node, batch)?;
                if own.largest() * count as u64 > 1 << 24 {
                    return None;
                }
                #[allow(clippy::cast_precision_loss, reason = "counts of places")]
                let count = count as f64;
                let sums = each(usual(vec![x]), |mean| mean.mul_scalar(count).round());
                let means = times(sums, f64::from(own.step) / count, grid);
                Some(Held::Ints(rounded(means, grid), grid))
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
        grid: Option<Quantizer>,
        batch: usize,
    ) -> Held {
        let layer = &self.layers[&index];
        let outputs = outputs_axis(&self.graph, node);
        match (x, layer.dynamic) {
            (Held::Ints(x, _), _) => {
                let sums = self.sums(index, ready, node, x, Some(&ready.bias), batch);
                let scaled = sums.scaled(outputs, ready.factor.clone());
                match grid {
                    Some(grid) => Held::Ints(rounded(scaled, grid), grid),
                    None => Held::Plain(scaled),
                }
            }
            (Held::Plain(x), Some(dynamic)) => {
                let (x, step) = dynamic.quantized(x.clone());
                let sums = self.sums(index, ready, node, &x, None, batch);
                let scaled = sums.scaled(outputs, ready.factor.clone());
                let floats = each(scaled, |scaled| scaled * step);
                held(floats.shifted(outputs, ready.bias.clone()), grid)
            }
            (Held::Plain(x), None) => {
                let operands = vec![x.clone(), ready.weight.clone()];
                let sums = evaluate(&self.graph, node, operands, batch);
                held(sums.shifted(outputs, ready.bias.clone()), grid)
            }
        }
    }

    /// A layer's sums, exact, with a bias in their units if there is one.
    fn sums(
        &self,
        index: usize,
        ready: &Ready,
        node: &Node,
        x: &AnyTensor,
        bias: Option<&Tensor<1>>,
        batch: usize,
    ) -> AnyTensor {
        let usual = |x, weight| evaluate(&self.graph, node, vec![x, weight], batch);
        let outputs = outputs_axis(&self.graph, node);
        let [_] = &ready.parts[..] else {
            let axis = inputs_axis(&self.graph, node);
            let mut shape = Vec::new();
            let mut whole: Option<Tensor<1, Int>> = None;
            for part in &ready.parts {
                let positions: Vec<usize> = part.clone().collect();
                let along = 1 - self.layers[&index].axis;
                let weight = ready.weight.clone().select(along, &positions);
                let partial = usual(x.clone().select(axis, &positions), weight);
                shape = partial.shape();
                let partial = partial.flat().expect("sums are float").int();
                whole = Some(match whole {
                    Some(whole) => whole + partial,
                    None => partial,
                });
            }
            let mut total = whole.expect("there are parts");
            if let Some(bias) = bias {
                let zeros = Tensor::zeros([shape.iter().product::<usize>()], self.device());
                let biases = AnyTensor::shaped(zeros, &shape).shifted(outputs, bias.clone());
                total = total + biases.flat().expect("biases are float").int();
            }
            return AnyTensor::shaped(total.float(), &shape);
        };
        let sums = usual(x.clone(), ready.weight.clone());
        match bias {
            Some(bias) => sums.shifted(outputs, bias.clone()),
            None => sums,
        }
    }

    fn value(&self, id: calcine_graph::ValueId, values: &[Option<Held>]) -> Held {
        match &values[id.0] {
            Some(Held::Ints(ints, grid)) => Held::Ints(ints.clone(), *grid),
            Some(Held::Plain(plain)) => Held::Plain(plain.clone()),
            None => {
                let float = self.floats.get(&id.0);
                let float = float.expect("what a node needs is there");
                Held::Plain(float.tensor.clone())
            }
        }
    }
}

/// The matrix product of whole numbers, as near as `f32` comes to the exact sums: in parts of the summed axis whose sums are
/// exact, added up as integers. `None` if 32 bits may not hold them.
fn products(
    (a, of_a): (AnyTensor, Quantizer),
    (b, of_b): (AnyTensor, Quantizer),
    usual: impl Fn(Vec<AnyTensor>) -> AnyTensor,
) -> Option<AnyTensor> {
    let (along_a, along_b) = (a.rank() - 1, b.rank() - 2);
    let summed = a.shape()[along_a];
    let each = of_a.largest() * of_b.largest();
    if each * summed as u64 > u64::from(i32::MAX.unsigned_abs()) {
        return None;
    }
    let exact = usize::try_from((1 << 24) / each.max(1)).ok();
    let exact = exact.filter(|products| *products > 0)?;
    if summed <= exact {
        return Some(usual(vec![a, b]));
    }
    let positions: Vec<usize> = (0..summed).collect();
    let parts = positions.chunks(exact).map(|part| {
        let (a, b) = (
            a.clone().select(along_a, part),
            b.clone().select(along_b, part),
        );
        usual(vec![a, b])
    });
    let parts: Vec<AnyTensor> = parts.collect();
    let shape = parts[0].shape();
    let ints = parts
        .into_iter()
        .filter_map(|part| Some(part.flat()?.int()));
    let total = ints.reduce(|total, part| total + part)?;
    Some(AnyTensor::shaped(total.float(), &shape))
}

/// The tensor on its grid, if it has one.
fn held(tensor: AnyTensor, grid: Option<Quantizer>) -> Held {
    match grid.filter(|_| tensor.kind() == Kind::Float) {
        Some(grid) => {
            let step = f64::from(grid.step);
            let [low, high] = grid.centred().map(f64::from);
            let ints = each(tensor, |x| x.div_scalar(step).round().clamp(low, high));
            Held::Ints(ints, grid)
        }
        None => Held::Plain(tensor),
    }
}

/// The numbers that it stands for.
fn real(held: &Held) -> AnyTensor {
    match held {
        Held::Ints(ints, grid) => {
            let step = f64::from(grid.step);
            each(ints.clone(), |ints| ints.mul_scalar(step))
        }
        Held::Plain(plain) => plain.clone(),
    }
}

/// Each element of a float tensor.
fn each(tensor: AnyTensor, change: impl FnOnce(Tensor<1>) -> Tensor<1>) -> AnyTensor {
    let shape = tensor.shape();
    let flat = tensor.flat().expect("what has a grid is float");
    AnyTensor::shaped(change(flat), &shape)
}

/// Whole numbers of one step in units of a grid, not rounded yet.
fn on(ints: AnyTensor, own: Quantizer, grid: Quantizer) -> AnyTensor {
    times(ints, f64::from(own.step), grid)
}

/// Times `f32(step / the grid's step)`.
#[allow(clippy::cast_possible_truncation, reason = "factors are f32")]
fn times(ints: AnyTensor, step: f64, grid: Quantizer) -> AnyTensor {
    let factor = (step / f64::from(grid.step)) as f32;
    each(ints, |ints| ints.mul_scalar(f64::from(factor)))
}

/// The nearest whole numbers of a grid.
fn rounded(scaled: AnyTensor, grid: Quantizer) -> AnyTensor {
    let [low, high] = grid.centred().map(f64::from);
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
