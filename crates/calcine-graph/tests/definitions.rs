//! Layers by their definitions.

use calcine_graph::{Convolution, Reduction};

use crate::interpret::{reduce, softmax};
use crate::numbers::{Numbers, each_index};

/// How many windows fit.
fn windows_along(length: usize, kernel: usize, windows: &Convolution, axis: usize) -> usize {
    let [before, after] = windows.padding[axis];
    (length + before + after - kernel) / windows.stride[axis] + 1
}

pub(crate) fn convolution(inputs: &[&Numbers], windows: &Convolution) -> Numbers {
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

pub(crate) fn transposed(
    inputs: &[&Numbers],
    windows: &Convolution,
    output_padding: &[usize],
) -> Numbers {
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

pub(crate) fn linear(inputs: &[&Numbers]) -> Numbers {
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

pub(crate) fn matmul(a: &Numbers, b: &Numbers, shape: &[usize]) -> Numbers {
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
pub(crate) fn attention(inputs: &[&Numbers]) -> Numbers {
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

pub(crate) fn layer_norm(inputs: &[&Numbers], epsilon: f64) -> Numbers {
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

pub(crate) fn windows(x: &Numbers, size: usize, join: impl Fn(Vec<f64>) -> f64) -> Numbers {
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
