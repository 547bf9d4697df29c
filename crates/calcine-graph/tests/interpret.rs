//! Runs a graph on numbers, each operation by its definition.
//!
//! Every result is compared with the shape that the graph promises, so a graph whose shapes are not those
//! of its operations does not run.

use std::collections::HashMap;

use calcine_graph::{Arithmetic, Convolution, Graph, Map, Node, Op, Reduction, Source, ValueId};

use crate::numbers::{Dice, Numbers, each_index};

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
                .map(|range| (range.start.at(BATCH), range.end.at(BATCH)))
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

/// The length of a result, and the numbers of windows that do not fit are dropped.
fn windows_along(length: usize, kernel: usize, windows: &Convolution, axis: usize) -> usize {
    let [before, after] = windows.padding[axis];
    (length + before + after - kernel) / windows.stride[axis] + 1
}

fn convolution(inputs: &[&Numbers], windows: &Convolution) -> Numbers {
    let (x, weight) = (inputs[0], inputs[1]);
    let [out, part, height, width] = weight.shape[..] else {
        panic!("two spatial axes")
    };
    assert_eq!(part * windows.groups, x.shape[1], "input channels");
    let shape = [
        x.shape[0],
        out,
        windows_along(x.shape[2], height, windows, 0),
        windows_along(x.shape[3], width, windows, 1),
    ];
    Numbers::new(&shape, |index| {
        let start = index[1] / (out / windows.groups) * part;
        let mut sum = inputs.get(2).map_or(0.0, |bias| bias.at(&[index[1]]));
        each_index(&[part, height, width], |at| {
            let place = |axis: usize| {
                (index[axis + 2] * windows.stride[axis] + at[axis + 1]) as isize
                    - windows.padding[axis][0] as isize
            };
            sum += weight.at(&[index[1], at[0], at[1], at[2]])
                * x.at_or_zero(&[
                    index[0] as isize,
                    (start + at[0]) as isize,
                    place(0),
                    place(1),
                ]);
        });
        sum
    })
}

fn transposed(inputs: &[&Numbers], windows: &Convolution, output_padding: &[usize]) -> Numbers {
    let (x, weight) = (inputs[0], inputs[1]);
    let [input, part, height, width] = weight.shape[..] else {
        panic!("two spatial axes")
    };
    assert_eq!(input, x.shape[1], "input channels");
    let long = |axis: usize, kernel: usize| {
        let [before, after] = windows.padding[axis];
        (x.shape[axis + 2] - 1) * windows.stride[axis] + kernel + output_padding[axis]
            - before
            - after
    };
    let shape = [
        x.shape[0],
        part * windows.groups,
        long(0, height),
        long(1, width),
    ];
    Numbers::new(&shape, |index| {
        let mut sum = inputs.get(2).map_or(0.0, |bias| bias.at(&[index[1]]));
        let (group, place) = (index[1] / part, index[1] % part);
        let inputs = input / windows.groups;
        each_index(&[inputs, x.shape[2], x.shape[3], height, width], |at| {
            let hits = |axis: usize| {
                at[axis + 1] * windows.stride[axis] + at[axis + 3]
                    == index[axis + 2] + windows.padding[axis][0]
            };
            if hits(0) && hits(1) {
                let channel = group * inputs + at[0];
                sum += x.at(&[index[0], channel, at[1], at[2]])
                    * weight.at(&[channel, place, at[3], at[4]]);
            }
        });
        sum
    })
}

fn linear(inputs: &[&Numbers]) -> Numbers {
    let (x, weight) = (inputs[0], inputs[1]);
    let mut shape = x.shape.clone();
    *shape.last_mut().expect("an axis") = weight.shape[1];
    Numbers::new(&shape, |index| {
        let (last, rest) = index.split_last().expect("an axis");
        let mut sum = inputs.get(2).map_or(0.0, |bias| bias.at(&[*last]));
        for i in 0..weight.shape[0] {
            sum += x.at(&[rest, &[i]].concat()) * weight.at(&[i, *last]);
        }
        sum
    })
}

fn matmul(a: &Numbers, b: &Numbers, shape: &[usize]) -> Numbers {
    let (k, last) = (*a.shape.last().expect("an axis"), shape.len() - 1);
    assert_eq!(k, b.shape[b.shape.len() - 2]);
    Numbers::new(shape, |index| {
        let product = |i: usize| {
            let (mut left, mut right) = (index.to_vec(), index.to_vec());
            left[last] = i;
            right[last - 1] = i;
            a.broadcast(&left) * b.broadcast(&right)
        };
        (0..k).map(product).sum()
    })
}

/// Scale 1.
fn attention(inputs: &[&Numbers]) -> Numbers {
    let (query, key, value) = (inputs[0], inputs[1], inputs[2]);
    let [batch, heads, length, features] = query.shape[..] else {
        panic!("four axes")
    };
    let scores = Numbers::new(&[batch, heads, length, key.shape[2]], |at| {
        let product =
            |f: usize| query.at(&[at[0], at[1], at[2], f]) * key.at(&[at[0], at[1], at[3], f]);
        (0..features).map(product).sum()
    });
    matmul(
        &softmax(&scores, 3),
        value,
        &[batch, heads, length, value.shape[3]],
    )
}

fn layer_norm(inputs: &[&Numbers], epsilon: f64) -> Numbers {
    let x = inputs[0];
    let axis = x.shape.len() - 1;
    let mean = reduce(x, Reduction::Mean, axis);
    let centred = Numbers::new(&x.shape, |index| x.at(index) - mean.broadcast(index));
    let squares = Numbers::new(&x.shape, |index| centred.at(index).powi(2));
    let variance = reduce(&squares, Reduction::Mean, axis);
    Numbers::new(&x.shape, |index| {
        let last = &index[axis..];
        let normal = centred.at(index) / (variance.broadcast(index) + epsilon).sqrt();
        normal * inputs[1].at(last) + inputs.get(2).map_or(0.0, |beta| beta.at(last))
    })
}

fn windows(x: &Numbers, size: usize, join: impl Fn(Vec<f64>) -> f64) -> Numbers {
    let shape = [x.shape[0], x.shape[1], x.shape[2] / size, x.shape[3] / size];
    Numbers::new(&shape, |at| {
        let mut values = Vec::new();
        each_index(&[size, size], |offset| {
            values.push(x.at(&[
                at[0],
                at[1],
                at[2] * size + offset[0],
                at[3] * size + offset[1],
            ]));
        });
        join(values)
    })
}

fn wider(inputs: &[&Numbers]) -> Vec<usize> {
    inputs[0]
        .shape
        .iter()
        .zip(&inputs[1].shape)
        .map(|(&a, &b)| a.max(b))
        .collect()
}

fn softmax(x: &Numbers, axis: usize) -> Numbers {
    let exponentials = Numbers::new(&x.shape, |index| x.at(index).exp());
    let sums = reduce(&exponentials, Reduction::Sum, axis);
    Numbers::new(&x.shape, |index| {
        exponentials.at(index) / sums.broadcast(index)
    })
}

fn reduce(x: &Numbers, reduction: Reduction, axis: usize) -> Numbers {
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
