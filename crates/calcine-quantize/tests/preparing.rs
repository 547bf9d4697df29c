//! Networks made easier to quantize compute what they did.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, TensorData};
use calcine_graph::Node;
use calcine_params::Inventory;
use calcine_quantize::{
    Calibration, Preparation, QuantizationSettings, equalize, fold_norms, prepare, quantize,
    quantize_with_batches, reestimate, smooth,
};
use calcine_testkit::{device, each, numbers, values};
use calcine_trace::{AnyTensor, Network, trace};

use crate::models;

/// Layers in a row: with a norm and without, depthwise, pooled, flattened.
#[derive(Module, Debug)]
struct Row {
    first: Conv2d,
    norm: BatchNorm,
    pool: MaxPool2d,
    depthwise: Conv2d,
    second: Conv2d,
    hidden: Linear,
    head: Linear,
}

impl Row {
    fn new(device: &Device) -> Self {
        let conv = |from, to| Conv2dConfig::new([from, to], [3, 3]);
        Self {
            first: conv(3, 8).with_bias(false).init(device),
            norm: BatchNormConfig::new(8).init(device),
            pool: MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
            depthwise: conv(8, 8).with_groups(8).with_padding(same()).init(device),
            second: conv(8, 6).with_padding(same()).init(device),
            hidden: LinearConfig::new(54, 12).init(device),
            head: LinearConfig::new(12, 5).init(device),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let x = self
            .pool
            .forward(relu(self.norm.forward(self.first.forward(x))));
        let x = relu(self.depthwise.forward(x));
        let x = relu(self.second.forward(x)).flatten(1, 3);
        self.head.forward(relu(self.hidden.forward(x)))
    }
}

fn same() -> burn::nn::PaddingConfig2d {
    burn::nn::PaddingConfig2d::Explicit(1, 1, 1, 1)
}

/// A norm that feeds two layers.
#[derive(Module, Debug)]
struct Block {
    norm: LayerNorm,
    query: Linear,
    key: Linear,
}

impl Block {
    fn new(device: &Device) -> Self {
        Self {
            norm: LayerNormConfig::new(8).init(device),
            query: LinearConfig::new(8, 6).init(device),
            key: LinearConfig::new(8, 6).init(device),
        }
    }

    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let x = self.norm.forward(x);
        self.query.forward(x.clone()) * self.key.forward(x)
    }
}

/// Parameters that are not drawn anew each time, each channel of some of them far from the others in size.
fn drawn<M: Module>(model: M, spread: impl Fn(&str) -> f32) -> M {
    let inventory = Inventory::from_module(&model);
    let mut at = 0;
    let new = inventory.iter().filter(|p| p.is_trainable()).map(|p| {
        let count = p.numel();
        at += count;
        let middle = f32::from(p.path.ends_with("gamma"));
        let spread = spread(&p.path);
        let width = p.shape.first().map_or(1, |first| count / first);
        let all = values(at);
        let numbers = all[at - count..].iter().enumerate().map(|(i, x)| {
            let channel = (i / width % 5) as f32 - 2.0;
            (middle + 0.3 * x) * spread.powf(channel)
        });
        let numbers: Vec<f32> = numbers.collect();
        (
            p.id,
            Tensor::<1>::from_data(TensorData::new(numbers, [count]), &device()),
        )
    });
    let new = new.collect();
    calcine_params::replace(model, new)
}

fn row(spread: f32) -> Network {
    let model = drawn(Row::new(&device()), |_| spread);
    trace(&model, models::images(1, 0), Row::forward).unwrap()
}

fn block() -> (Network, [Tensor<3>; 2]) {
    let model = drawn(Block::new(&device()), |path| {
        if path == "norm.gamma" { 3.0 } else { 1.0 }
    });
    let x: Tensor<3> = numbers([4, 7, 8]);
    (
        trace(&model, x.clone(), Block::forward).unwrap(),
        [x.clone(), x * 0.5],
    )
}

fn apart<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> f32 {
    let scale = a.clone().abs().max().into_scalar::<f32>();
    (a - b).abs().max().into_scalar::<f32>() / scale
}

fn changed(a: &Network, b: &Network) -> usize {
    let read = |network: &Network| {
        let inventory = Inventory::from_module(network);
        let flat = calcine_params::flat(network, inventory.iter()).into_iter();
        flat.map(|p| p.into_data().iter::<f32>().collect::<Vec<_>>())
            .collect::<Vec<_>>()
    };
    read(a)
        .iter()
        .zip(read(b))
        .filter(|(a, b)| **a != *b)
        .count()
}

#[test]
fn scaled_channels_change_nothing() {
    let network = row(2.0);
    let images = [models::images(5, 0), models::images(3, 4)];
    let before: Tensor<2> = network.forward(images[0].clone());
    // Scale and shift, and weights and biases of all layers behind the first but the head's bias.
    for (name, prepared) in [
        ("equalized", equalize(network.clone()).unwrap()),
        ("smoothed", smooth(network.clone(), &images, 0.5).unwrap()),
    ] {
        assert_eq!(changed(&network, &prepared), 2 + 2 * 3 + 1, "{name}");
        let after: Tensor<2> = prepared.forward(images[0].clone());
        assert!(apart(before.clone(), after) < 1e-5, "{name}");
    }
    let (network, x) = block();
    let smoothed = smooth(network.clone(), &x, 0.5).unwrap();
    assert_eq!(changed(&network, &smoothed), 4);
    let [before, after]: [Tensor<3>; 2] = [&network, &smoothed].map(|n| n.forward(x[0].clone()));
    assert!(apart(before, after) < 1e-5);
    // A sum that others read is left alone.
    let residual = models::network();
    let prepared = equalize(residual.clone()).unwrap();
    assert!(changed(&residual, &prepared) <= 3);
}

/// A linear layer over rows of pixels reads no channels, however many pixels a row has.
#[derive(Module, Debug)]
struct Crossed {
    conv: Conv2d,
    rows: Linear,
}

#[test]
fn axes_of_equal_length_are_not_taken_for_each_other() {
    let conv = Conv2dConfig::new([3, 8], [3, 3]).with_padding(same());
    let model = Crossed {
        conv: conv.init(&device()),
        rows: LinearConfig::new(8, 4).init(&device()),
    };
    let model = drawn(model, |_| 2.0);
    let x = models::images(2, 0);
    let forward = |m: &Crossed, x| m.rows.forward(relu(m.conv.forward(x)));
    let network = trace(&model, x.clone(), forward).unwrap();
    for prepared in [
        equalize(network.clone()).unwrap(),
        smooth(network.clone(), std::slice::from_ref(&x), 0.5).unwrap(),
    ] {
        assert_eq!(changed(&network, &prepared), 0);
        let [before, after]: [Tensor<4>; 2] = [&network, &prepared].map(|n| n.forward(x.clone()));
        assert!(apart(before, after) < 1e-5);
    }
}

/// Errors of weights of few bits with one step for all, on a network whose channels are of very different sizes.
#[test]
fn prepared_networks_lose_less() {
    let images = [models::images(8, 0), models::images(6, 5)];
    let network = row(3.0);
    let mut settings = QuantizationSettings::default();
    settings.weights.per_channel = false;
    settings.weights.bits = 6;
    settings.activations.bits = 0;
    let lost = |preparation: Preparation| {
        let prepared = prepare(network.clone(), &images, &preparation).unwrap();
        let calibration = Calibration::collect(&prepared, &images).unwrap();
        let expected: Tensor<2> = network.forward(images[1].clone());
        let found = quantize(&prepared, &calibration, &settings)
            .unwrap()
            .forward(images[1].clone());
        apart(expected, found)
    };
    let plain = lost(Preparation::default());
    let equalized = lost(Preparation {
        equalize: true,
        ..Preparation::default()
    });
    assert!(equalized < 0.5 * plain, "{equalized} of {plain}");

    let (network, x) = block();
    let settings = QuantizationSettings::default();
    let lost = |network: &Network| {
        let calibration = Calibration::collect(network, &x).unwrap();
        let quantized = quantize(network, &calibration, &settings).unwrap();
        let [expected, found]: [Tensor<3>; 2] = [
            network.forward(x[0].clone()),
            quantized.forward(x[0].clone()),
        ];
        apart(expected, found)
    };
    let (plain, smoothed) = (
        lost(&network),
        lost(&smooth(network.clone(), &x, 0.5).unwrap()),
    );
    assert!(smoothed < 0.7 * plain, "{smoothed} of {plain}");
}

/// On one batch, a network with statistics of that batch computes what it does in training.
#[test]
fn statistics_are_those_of_the_batches() {
    let network = models::network();
    let x = models::images(6, 3);
    let in_training: Tensor<2> = network
        .clone()
        .train()
        .forward(x.clone().to_device(&device().autodiff()));
    let found: Tensor<2> = reestimate(network.clone(), std::slice::from_ref(&x))
        .unwrap()
        .forward(x.clone());
    assert!(apart(in_training.inner(), found) < 1e-4);

    // Over several batches, the first norm's are those of all samples.
    let both = [x.clone().narrow(0, 0, 2), x.clone().narrow(0, 2, 4)];
    let statistics = |network: &Network| {
        let inventory = Inventory::from_module(network);
        let first = ["stem_norm.running_mean", "stem_norm.running_var"];
        let first = first.map(|path| inventory.get(path).unwrap().clone());
        let flat = calcine_params::flat(network, first.iter()).into_iter();
        flat.map(|p| p.into_data().iter::<f32>().collect::<Vec<_>>())
            .collect::<Vec<_>>()
    };
    let parts = statistics(&reestimate(network.clone(), &both).unwrap());
    let whole = statistics(&reestimate(network.clone(), &[x]).unwrap());
    for (a, b) in parts.iter().flatten().zip(whole.iter().flatten()) {
        assert!((a - b).abs() < 1e-5, "{a} {b}");
    }
    assert!(reestimate::<Tensor<4>>(network, &[]).is_err());
}

/// What few bits do to a layer's sums, norms with new statistics undo: means are the float network's again, and where each
/// output has its step, deviations too.
#[test]
fn norms_make_up_for_rounded_weights() {
    let images = [models::images(16, 0)];
    let network = reestimate(models::network(), &images).unwrap();
    let calibration = Calibration::collect(&network, &images).unwrap();
    let mut expected = Vec::new();
    let inputs = || vec![images[0].clone().into()];
    network
        .run(inputs(), &mut |node, result| {
            if node.name == "stem_norm" {
                expected = channel_moments(result.clone());
            }
            result
        })
        .unwrap();
    each([true, false], |per_channel| {
        let mut settings = QuantizationSettings::default();
        settings.weights.bits = 2;
        settings.weights.per_channel = *per_channel;
        settings.activations.bits = 0;
        let off = |settings: &QuantizationSettings, compared: usize| {
            let quantized =
                quantize_with_batches(&network, &calibration, settings, &images).unwrap();
            let mut found = Vec::new();
            let mut observe = |node: &Node, result: AnyTensor| {
                if node.name == "stem_norm" {
                    found = channel_moments(result);
                }
            };
            quantized.run(inputs(), &mut observe).unwrap();
            let pairs = found.iter().zip(&expected).take(compared);
            pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
        };
        let compared = if *per_channel { 16 } else { 8 };
        let plain = off(&settings, compared);
        settings.weights.reestimate = true;
        let made_up = off(&settings, compared);
        assert!(made_up < 1e-5 && plain > 1e-3, "{made_up}, {plain} before");
    });
}

/// Means of the channels, and then their deviations.
fn channel_moments(tensor: AnyTensor) -> Vec<f32> {
    let rows = tensor.rows(1).unwrap();
    let mean = rows.clone().mean_dim(1);
    let deviation = (rows - mean.clone()).square().mean_dim(1).sqrt();
    let both = Tensor::cat(vec![mean, deviation], 0);
    both.into_data().iter::<f32>().collect()
}

/// Without its norms the network computes what it did, trains, is saved with what is left, and becomes the same integers.
#[test]
fn folded_norms_are_gone_and_change_nothing() {
    let network = models::network();
    let x = models::images(4, 3);
    let folded = fold_norms(network.clone()).unwrap();
    let (found, expected): (Tensor<2>, Tensor<2>) =
        (folded.forward(x.clone()), network.forward(x.clone()));
    let off = (found - expected).abs().max().into_scalar::<f32>();
    assert!(off < 1e-5, "{off}");
    assert_eq!(folded.graph().nodes.len() + 2, network.graph().nodes.len());
    let paths = |network: &Network| -> Vec<String> {
        let inventory = Inventory::from_module(network);
        inventory.iter().map(|p| p.path.clone()).collect()
    };
    let mut expected = paths(&network);
    expected.retain(|path| !path.contains("norm"));
    expected.insert(1, "stem.bias".to_owned());
    assert_eq!(paths(&folded), expected);
    let names: Vec<&str> = folded.graph().nodes.iter().map(|n| &*n.name).collect();
    assert_eq!(names[..2], ["stem", "stem_norm.relu"]);
    let batches = [x];
    let of = |network: &Network| {
        let calibration = Calibration::collect(network, &batches).unwrap();
        quantize(network, &calibration, &QuantizationSettings::default()).unwrap()
    };
    let (own, other) = (of(&folded), of(&network));
    for (own, other) in own.layers().zip(other.layers()) {
        assert_eq!(own.weight, other.weight, "{}", own.name);
    }
    // There is nothing left to fold.
    let again = fold_norms(folded.clone()).unwrap();
    assert_eq!(again.graph(), folded.graph());
}
