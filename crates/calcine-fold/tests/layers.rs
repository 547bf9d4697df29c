//! Units against what the layers compute: without its channel an input is not seen, without its filter
//! an output is silent.

use burn::tensor::module::{conv_transpose2d, conv2d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};
use burn::tensor::{Tensor, TensorData};
use calcine_fold::{Fold, Granularity, Layout};
use calcine_testkit::{device, values};

/// A layer that turns images of `inputs` channels into images of `outputs` channels by a weight.
struct Layer<const D: usize> {
    inputs: usize,
    outputs: usize,
    groups: usize,
    shape: [usize; D],
    layout: Layout,
    forward: fn(Tensor<4>, Tensor<D>) -> Tensor<4>,
}

impl<const D: usize> Layer<D> {
    /// A weight with one unit at zero.
    fn without(&self, granularity: Granularity, unit: usize) -> Tensor<D> {
        let fold = Fold::grouped(granularity, &self.shape, self.layout, self.groups).unwrap();
        let values = values(self.shape.iter().product());
        let weight = Tensor::from_data(TensorData::new(values, self.shape), &device());
        let drop: Vec<bool> = (0..fold.units()).map(|other| other == unit).collect();
        let drop = Tensor::from_bool(drop.as_slice(), &device());
        weight.mask_fill(fold.spread(drop), 0.0)
    }

    /// Which outputs an image with only this input on reaches.
    fn reached(&self, input: usize, weight: Tensor<D>) -> Vec<bool> {
        let images = Tensor::<4>::zeros([1, self.inputs, 4, 4], &device());
        let on = Tensor::ones([1, 1, 4, 4], &device());
        let images = images.slice_assign([0..1, input..input + 1, 0..4, 0..4], on);
        let outputs = (self.forward)(images, weight);
        let count = outputs.dims()[1];
        assert_eq!(count, self.outputs);
        let largest = outputs.abs().swap_dims(0, 1).flatten::<2>(1, 3).max_dim(1);
        largest.into_data().iter::<f32>().map(|x| x > 0.0).collect()
    }

    fn check(&self, [channel, filter]: [Granularity; 2]) {
        let group = |of: usize, all: usize| of / (all / self.groups);
        for input in 0..self.inputs {
            for other in 0..self.inputs {
                let reached = self.reached(input, self.without(channel, other));
                let connected = |output| group(input, self.inputs) == group(output, self.outputs);
                let expected = |output| connected(output) && other != input;
                let expected: Vec<bool> = (0..self.outputs).map(expected).collect();
                assert_eq!(reached, expected, "input {input} without channel {other}");
            }
            for silent in 0..self.outputs {
                let reached = self.reached(input, self.without(filter, silent));
                assert!(!reached[silent], "filter {silent} is gone");
                let heard = reached.into_iter().filter(|reached| *reached).count();
                let connected = group(input, self.inputs) == group(silent, self.outputs);
                let outputs = self.outputs / self.groups;
                assert_eq!(heard, outputs - usize::from(connected), "and no other");
            }
        }
    }
}

const CONVOLUTION: [Granularity; 2] = [Granularity::Channel, Granularity::Filter];

#[test]
fn of_a_convolution() {
    Layer {
        inputs: 3,
        outputs: 2,
        groups: 1,
        shape: [2, 3, 2, 2],
        layout: Layout::CONVOLUTION,
        forward: |images, weight| {
            conv2d(
                images,
                weight,
                None,
                ConvOptions::new([1, 1], [0, 0], [1, 1], 1),
            )
        },
    }
    .check(CONVOLUTION);
}

#[test]
fn of_a_grouped_convolution() {
    Layer {
        inputs: 4,
        outputs: 6,
        groups: 2,
        shape: [6, 2, 2, 2],
        layout: Layout::CONVOLUTION,
        forward: |images, weight| {
            conv2d(
                images,
                weight,
                None,
                ConvOptions::new([1, 1], [0, 0], [1, 1], 2),
            )
        },
    }
    .check(CONVOLUTION);
}

#[test]
fn of_a_depthwise_convolution_with_two_filters_an_input() {
    Layer {
        inputs: 3,
        outputs: 6,
        groups: 3,
        shape: [6, 1, 2, 2],
        layout: Layout::CONVOLUTION,
        forward: |images, weight| {
            conv2d(
                images,
                weight,
                None,
                ConvOptions::new([1, 1], [0, 0], [1, 1], 3),
            )
        },
    }
    .check(CONVOLUTION);
}

#[test]
fn of_a_grouped_transposed_convolution() {
    Layer {
        inputs: 4,
        outputs: 6,
        groups: 2,
        shape: [4, 3, 2, 2],
        layout: Layout::TRANSPOSED_CONVOLUTION,
        forward: |images, weight| {
            let options = ConvTransposeOptions::new([1, 1], [0, 0], [0, 0], [1, 1], 2);
            conv_transpose2d(images, weight, None, options)
        },
    }
    .check(CONVOLUTION);
}

#[test]
fn of_a_linear_layer() {
    Layer {
        inputs: 3,
        outputs: 2,
        groups: 1,
        shape: [3, 2],
        layout: Layout::LINEAR,
        // Every pixel is an example.
        forward: |images, weight| {
            let pixels = images.permute([0, 2, 3, 1]);
            pixels.matmul(weight.unsqueeze()).permute([0, 3, 1, 2])
        },
    }
    .check([Granularity::FcInput, Granularity::FcOutput]);
}
