//! Runs a graph on numbers, each operation by its definition.
//!
//! Every result is compared with the shape that the graph promises, so a graph whose shapes are not those
//! of its operations does not run.

use std::collections::HashMap;

use calcine_graph::{Arithmetic, Graph, Map, Node, Op, Reduction, Source, ValueId};

use crate::definitions::{attention, convolution, layer_norm, linear, matmul, transposed, windows};
use crate::numbers::{Dice, Numbers};

/// Tensors by value.
pub(crate) type Tensors = HashMap<ValueId, Numbers>;

pub(crate) const BATCH: usize = 2;

/// Random inputs, parameters and constants; variances are positive.
pub(crate) fn random(graph: &Graph, seed: u64) -> Tensors {
    let mut dice = Dice(seed | 1);
    let mut tensors = Tensors::new();
    for (id, value) in graph.values.iter().enumerate() {
        if matches!(value.source, Source::Node(_)) {
            continue;
        }
        let data = (0..value.numel_at(BATCH)).map(|_| dice.next()).collect();
        let mut numbers = Numbers {
            shape: value.shape_at(BATCH),
            data,
        };
        if value.name.ends_with("running_var") {
            numbers.data.iter_mut().for_each(|x| *x = x.abs() + 0.5);
        }
        tensors.insert(ValueId(id), numbers);
    }
    tensors
}

/// The first output.
pub(crate) fn run(graph: &Graph, tensors: &Tensors) -> Numbers {
    let mut tensors = tensors.clone();
    for node in &graph.nodes {
        let shape = graph.value(node.output).shape_at(BATCH);
        let inputs: Vec<&Numbers> = node.inputs.iter().map(|id| &tensors[id]).collect();
        for (id, numbers) in node.inputs.iter().zip(&inputs) {
            assert_eq!(
                numbers.shape,
                graph.value(*id).shape_at(BATCH),
                "{} of {}",
                id.0,
                node.name
            );
        }
        let result = evaluate(node, &inputs, &shape);
        assert_eq!(result.shape, shape, "{}", node.name);
        tensors.insert(node.output, result);
    }
    tensors
        .remove(&graph.outputs[0])
        .expect("the output was made")
}

fn evaluate(node: &Node, inputs: &[&Numbers], shape: &[usize]) -> Numbers {
    let x = inputs.first().copied();
    let first = || x.expect("an operand");
    match &node.op {
        Op::Convolution(windows) => convolution(inputs, windows),
        Op::TransposedConvolution {
            convolution,
            output_padding,
        } => transposed(inputs, convolution, output_padding),
        Op::Linear => linear(inputs),
        Op::Matmul => matmul(first(), inputs[1], shape),
        Op::Embedding => Numbers::new(shape, |index| {
            let (last, rest) = index.split_last().expect("an axis");
            inputs[0].at(&[inputs[1].at(rest).abs() as usize, *last])
        }),
        Op::BatchNorm { epsilon, .. } => Numbers::new(&first().shape, |index| {
            let [gamma, beta, mean, variance] = [1, 2, 3, 4].map(|i| inputs[i].at(&[index[1]]));
            (first().at(index) - mean) / (variance + epsilon).sqrt() * gamma + beta
        }),
        Op::LayerNorm { epsilon } => layer_norm(inputs, *epsilon),
        Op::Attention { .. } => attention(inputs),
        Op::MaxPool(pool) => {
            let size = pool.kernel[0];
            windows(first(), size, |values| {
                values.into_iter().fold(f64::MIN, f64::max)
            })
        }
        Op::AdaptiveAveragePool => {
            let size = first().shape[2] / shape[2];
            let count = (size * size) as f64;
            windows(first(), size, |values| {
                values.into_iter().sum::<f64>() / count
            })
        }
        Op::Pad { padding, .. } => {
            let long: Vec<usize> = first()
                .shape
                .iter()
                .zip(padding)
                .map(|(n, [a, b])| n + a + b)
                .collect();
            Numbers::new(&long, |index| {
                let moved = index
                    .iter()
                    .zip(padding)
                    .map(|(&i, [a, _])| i as isize - *a as isize);
                first().at_or_zero(&moved.collect::<Vec<_>>())
            })
        }
        Op::Map(function) => {
            Numbers::new(&first().shape, |index| map(*function, first().at(index)))
        }
        Op::Scalar(arithmetic, number) => Numbers::new(&first().shape, |index| {
            zip(*arithmetic, first().at(index), *number)
        }),
        Op::Zip(arithmetic) => Numbers::new(&wider(inputs), |index| {
            zip(
                *arithmetic,
                first().broadcast(index),
                inputs[1].broadcast(index),
            )
        }),
        Op::Softmax(axis) => softmax(first(), *axis),
        Op::Reduce(reduction, axis) => reduce(first(), *reduction, *axis),
        Op::Concat(axis) => concat(inputs, *axis),
        Op::Slice(ranges) => {
            let bounds: Vec<(usize, usize)> = ranges
                .iter()
                .map(|range| (range.start.length_for(BATCH), range.end.length_for(BATCH)))
                .collect();
            let short: Vec<usize> = bounds.iter().map(|(start, end)| end - start).collect();
            Numbers::new(&short, |index| {
                let moved = index.iter().zip(&bounds).map(|(i, (start, _))| i + start);
                first().at(&moved.collect::<Vec<_>>())
            })
        }
        Op::Reshape => {
            assert_eq!(
                first().data.len(),
                shape.iter().product::<usize>(),
                "{}",
                node.name
            );
            Numbers {
                shape: shape.into(),
                data: first().data.clone(),
            }
        }
        Op::Expand => Numbers::new(shape, |index| first().broadcast(index)),
        Op::Permute(axes) => {
            let turned: Vec<usize> = axes.iter().map(|&axis| first().shape[axis]).collect();
            Numbers::new(&turned, |index| {
                let mut from = vec![0; index.len()];
                axes.iter()
                    .zip(index)
                    .for_each(|(&axis, &i)| from[axis] = i);
                first().at(&from)
            })
        }
        Op::Flip(axes) => Numbers::new(&first().shape, |index| {
            let mut from = index.to_vec();
            axes.iter()
                .for_each(|&axis| from[axis] = first().shape[axis] - 1 - from[axis]);
            first().at(&from)
        }),
        Op::Repeat { axis, times } => {
            let mut long = first().shape.clone();
            long[*axis] *= times;
            Numbers::new(&long, |index| {
                let mut from = index.to_vec();
                from[*axis] %= first().shape[*axis];
                first().at(&from)
            })
        }
        other => panic!("no test has `{other}`"),
    }
}

fn wider(inputs: &[&Numbers]) -> Vec<usize> {
    inputs[0]
        .shape
        .iter()
        .zip(&inputs[1].shape)
        .map(|(&a, &b)| a.max(b))
        .collect()
}

pub(crate) fn softmax(x: &Numbers, axis: usize) -> Numbers {
    let exponentials = Numbers::new(&x.shape, |index| x.at(index).exp());
    let sums = reduce(&exponentials, Reduction::Sum, axis);
    Numbers::new(&x.shape, |index| {
        exponentials.at(index) / sums.broadcast(index)
    })
}

pub(crate) fn reduce(x: &Numbers, reduction: Reduction, axis: usize) -> Numbers {
    let mut shape = x.shape.clone();
    shape[axis] = 1;
    Numbers::new(&shape, |index| {
        let value = |i: usize| {
            let mut index = index.to_vec();
            index[axis] = i;
            x.at(&index)
        };
        let sum: f64 = (0..x.shape[axis]).map(value).sum();
        match reduction {
            Reduction::Sum => sum,
            Reduction::Mean => sum / x.shape[axis] as f64,
            other => panic!("no test has {other:?}"),
        }
    })
}

fn concat(inputs: &[&Numbers], axis: usize) -> Numbers {
    let mut shape = inputs[0].shape.clone();
    shape[axis] = inputs.iter().map(|x| x.shape[axis]).sum();
    Numbers::new(&shape, |index| {
        let mut index = index.to_vec();
        for x in inputs {
            if index[axis] < x.shape[axis] {
                return x.at(&index);
            }
            index[axis] -= x.shape[axis];
        }
        unreachable!("the lengths add up")
    })
}

fn map(map: Map, x: f64) -> f64 {
    match map {
        Map::Relu => x.max(0.0),
        Map::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Map::Tanh => x.tanh(),
        Map::Cos => x.cos(),
        // Near enough: the same function on both sides of every comparison.
        Map::Gelu => x / (1.0 + (-1.702 * x).exp()),
        Map::Sqrt => x.sqrt(),
        other => panic!("no test has {other:?}"),
    }
}

fn zip(arithmetic: Arithmetic, a: f64, b: f64) -> f64 {
    match arithmetic {
        Arithmetic::Add => a + b,
        Arithmetic::Subtract => a - b,
        Arithmetic::Multiply => a * b,
        Arithmetic::Divide => a / b,
        other => panic!("no test has {other:?}"),
    }
}
