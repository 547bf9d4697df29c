//! What `docs/arithmetic.md` says, by plain loops: caps, exact sums of wide integers, means, biases of filters that are
//! nearly dead.

use burn::module::{Module, Param, RunningState};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::AdaptiveAvgPool2dConfig;
use burn::nn::{
    BatchNorm, BatchNormConfig, Initializer, Linear, LinearConfig, PaddingConfig2d, Relu,
};
use burn::tensor::activation::relu;
use burn::tensor::{Tensor, TensorData};
use calcine_quantize::{
    Calibration, Method, Override, QatNetwork, QuantizationSettings, Quantized, Quantizer, Scheme,
    quantize,
};
use calcine_testkit::{device, each, numbers, values};
use calcine_trace::{AnyTensor, Network, trace};

use crate::models::{read, reread};

/// A tensor of these numbers.
fn tensor<const D: usize>(shape: [usize; D], numbers: &[f32]) -> Tensor<D> {
    Tensor::from_data(TensorData::new(numbers.to_vec(), shape), &device())
}

/// A convolution with drawn weights and biases.
fn convolution([outputs, inputs, kernel]: [usize; 3], groups: usize) -> Conv2d {
    let padding = kernel / 2;
    let layer = Conv2dConfig::new([inputs * groups, outputs], [kernel, kernel])
        .with_groups(groups)
        .with_padding(PaddingConfig2d::Explicit(
            padding, padding, padding, padding,
        ))
        .init(&device());
    Conv2d {
        weight: Param::from_tensor(numbers([outputs, inputs, kernel, kernel])),
        bias: Some(Param::from_tensor(numbers([outputs]))),
        ..layer
    }
}

/// A linear layer of these weights, `[inputs, outputs]`, and biases.
fn linear(weight: Tensor<2>, bias: &[f32]) -> Linear {
    let outputs = weight.dims()[1];
    Linear {
        weight: Param::from_tensor(weight),
        bias: Some(Param::from_tensor(tensor([outputs], bias))),
    }
}

fn quantized<const D: usize>(
    network: &Network,
    x: &Tensor<D>,
    settings: &QuantizationSettings,
) -> Quantized {
    let calibration = Calibration::collect(network, std::slice::from_ref(x)).unwrap();
    quantize(network, &calibration, settings).unwrap()
}

/// What a node gives.
fn given(network: &Quantized, x: impl Into<AnyTensor>, name: &str) -> Vec<f32> {
    let mut found = Vec::new();
    let mut observe = |node: &calcine_graph::Node, result: AnyTensor| {
        if node.name == name {
            found = read(result);
        }
    };
    network.run(vec![x.into()], &mut observe).unwrap();
    found
}

/// Weights of 8 bits and activations of 16, and others whose sums are far beyond 2²⁴: exact up to 2³¹, whatever the layer.
#[test]
fn sums_of_wide_integers_are_exact() {
    let rows = [
        ([16, 8, 3], 1, [8, 16]),
        ([8, 3, 5], 1, [8, 16]),
        ([8, 1, 3], 8, [8, 16]),
        ([8, 8, 1], 2, [8, 16]),
        ([4, 2, 3], 2, [16, 8]),
        ([4, 3, 3], 1, [12, 12]),
        ([2, 1, 1], 1, [16, 15]),
        ([3, 24, 3], 1, [16, 4]),
    ];
    each(rows, |(shape, groups, [weights, activations])| {
        let [outputs, inputs, kernel] = *shape;
        let mut model = convolution(*shape, *groups);
        // Most of one sign, so that sums are large.
        model.weight = Param::from_tensor(model.weight.val() * 0.3 + 0.7);
        model.bias = Some(Param::from_tensor(numbers([outputs]) * 0.1));
        let x: Tensor<4> = numbers([2, inputs * groups, 6, 6]) * 0.5 + 0.5;
        let forward = |m: &Conv2d, x: Tensor<4>| relu(m.forward(x)).swap_dims(2, 3);
        let network = trace(&model, x.clone(), forward).unwrap();
        let mut settings = QuantizationSettings::default();
        settings.weights.bits = *weights;
        settings.activations.bits = *activations;
        let quantized = quantized(&network, &x, &settings);
        let graph = quantized.graph();
        let own = quantized
            .quantizer(&graph.value(graph.inputs[0]).name)
            .unwrap();
        let layer = quantized.layers().next().unwrap();
        let out = quantized.quantizer(layer.name).unwrap();
        let ints: Vec<i64> = read(x.clone())
            .iter()
            .map(|x| i64::from(own.quantize(*x) - own.zero_point))
            .collect();
        let per_group = outputs / groups;
        let (mut expected, mut largest) = (Vec::new(), 0);
        for at in 0..2 * outputs * 36 {
            let (image, output) = (at / 36 / outputs, at / 36 % outputs);
            let (row, column) = (at / 6 % 6, at % 6);
            let mut sum = i64::from(layer.bias.unwrap()[output]);
            for tap in 0..inputs * kernel * kernel {
                let channel = output / per_group * inputs + tap / (kernel * kernel);
                let y = (row + tap / kernel % kernel).checked_sub(kernel / 2);
                let z = (column + tap % kernel).checked_sub(kernel / 2);
                if let (Some(y @ 0..6), Some(z @ 0..6)) = (y, z) {
                    let x = ints[((image * inputs * groups + channel) * 6 + y) * 6 + z];
                    let weight = layer.weight[output * inputs * kernel * kernel + tap];
                    sum += x * i64::from(weight);
                }
            }
            largest = largest.max(sum.abs());
            let m = own.scale * layer.scales[output] / out.scale;
            let q = ((sum as f32 * m).round_ties_even() as i32 + out.zero_point)
                .clamp(out.low, out.high);
            expected.push(out.dequantize(q));
        }
        assert!(largest > 1 << 24, "{largest} is small");
        assert_eq!(given(&quantized, x.clone(), layer.name), expected);
        reread(&quantized, &[x.into()]);
    });
}

/// The exact product of two integers, and an exact sum of integers over windows, whatever their bits.
#[test]
fn products_and_means_of_wide_integers_are_exact() {
    each([8, 12, 14, 15, 16], |bits| {
        let mut settings = QuantizationSettings::default();
        settings.activations.bits = *bits;
        // Near the largest integer, so that products and sums are large.
        let x: Tensor<4> = numbers([40, 3, 15, 15]) * 0.05 + 0.95;
        let pool = AdaptiveAvgPool2dConfig::new([1, 1]).init();
        let forward = |_: &Relu, x: Tensor<4>| pool.forward(x).swap_dims(2, 3);
        let network = trace(&Relu::new(), x.clone(), forward).unwrap();
        let pooled = quantized(&network, &x, &settings);
        let own = pooled.quantizer("input").unwrap();
        let name = network.graph().nodes[0].name.clone();
        let out = pooled.quantizer(&name).unwrap();
        let ints: Vec<i64> = read(x.clone())
            .iter()
            .map(|x| i64::from(own.quantize(*x) - own.zero_point))
            .collect();
        let m = (f64::from(own.scale) / 225.0 / f64::from(out.scale)) as f32;
        let expected = ints.chunks(225).map(|window| {
            let sum: i64 = window.iter().sum();
            let q = (sum as f32 * m).round_ties_even() as i32 + out.zero_point;
            out.dequantize(q.clamp(out.low, out.high))
        });
        let expected: Vec<f32> = expected.collect();
        assert_eq!(given(&pooled, x.clone(), &name), expected);

        // Products of more than 31 bits are computed in float.
        if *bits > 15 {
            return;
        }
        let forward = |_: &Relu, x: Tensor<4>| (x.clone() * x).swap_dims(2, 3);
        let network = trace(&Relu::new(), x.clone(), forward).unwrap();
        let squared = quantized(&network, &x, &settings);
        let name = network.graph().nodes[0].name.clone();
        let out = squared.quantizer(&name).unwrap();
        let m = own.scale * own.scale / out.scale;
        let expected = ints.iter().map(|x| {
            let q = ((x * x) as f32 * m).round_ties_even() as i32 + out.zero_point;
            out.dequantize(q.clamp(out.low, out.high))
        });
        let expected: Vec<f32> = expected.collect();
        assert_eq!(given(&squared, x, &name), expected);
    });
}

/// The cap of a clamp is an integer of its own, however the range came about, also of half a scale.
#[test]
fn clamps_keep_their_upper_end_on_any_range() {
    let x = tensor(
        [65, 1],
        &(0..65).map(|i| i as f32 / 8.0 - 2.0).collect::<Vec<_>>(),
    );
    type Forward = fn(Tensor<2>) -> Tensor<2>;
    let functions: [(&str, f32, Forward); 5] = [
        ("relu6", 6.0, |x| x.clamp(0.0, 6.0)),
        ("a low cap", 0.7, |x| x.clamp(0.0, 0.7)),
        ("relu, then a cap", 2.3, |x| relu(x).clamp(0.0, 2.3)),
        ("two caps", 1.1, |x| x.clamp(0.0, 3.0).clamp(0.0, 1.1)),
        ("a cap of nothing", 0.0, |x| x.clamp(0.0, 0.0)),
    ];
    each(functions, |(_, cap, function)| {
        let model = [
            linear(tensor([1, 1], &[1.0]), &[0.0]),
            linear(tensor([1, 1], &[1.0]), &[0.0]),
        ];
        let function = *function;
        let forward = move |m: &[Linear; 2], x| m[1].forward(function(m[0].forward(x)));
        let network = trace(&model, x.clone(), forward).unwrap();
        for bits in [8, 4] {
            for (power_of_two, stretch) in [
                (false, 1.0),
                (true, 1.0),
                (false, 1.37),
                (true, 1.9),
                (false, 0.6),
            ] {
                let mut settings = QuantizationSettings::default();
                settings.activations.power_of_two = power_of_two;
                settings.activations.bits = bits;
                settings.layers.push(Override {
                    name: "0".to_owned(),
                    activation_stretch: Some(stretch),
                    ..Override::default()
                });
                let quantized = quantized(&network, &x, &settings);
                let last = network.graph().nodes.iter().rev().nth(1).unwrap();
                let quantizer: Quantizer = quantized.quantizer(&last.name).unwrap();
                let found = given(&quantized, x.clone() * 2.0, &last.name);
                let top = quantizer.dequantize(quantizer.quantize(*cap));
                let largest = found.iter().fold(0.0_f32, |largest, x| largest.max(*x));
                assert_eq!(
                    largest, top,
                    "{bits} bits, {power_of_two}, {stretch}: {quantizer:?}"
                );
            }
        }
    });
}

#[derive(Module, Debug)]
struct Normed {
    conv: Conv2d,
    norm: BatchNorm,
}

/// A filter that a norm nearly silences, beside seven that live.
fn nearly_dead(gamma: f32, scale: f32) -> Network {
    let device = device();
    let vector = |x: Vec<f32>| tensor([8], &x);
    let mut gammas = vec![1.0; 8];
    gammas[3] = gamma;
    let mut betas = values(8);
    betas[3] = 1.0;
    let fresh = BatchNormConfig::new(8).init(&device);
    let norm = BatchNorm {
        gamma: Param::from_tensor(vector(gammas)),
        beta: Param::from_tensor(vector(betas)),
        running_mean: RunningState::new(vector(vec![0.1; 8])),
        running_var: RunningState::new(vector(vec![0.5; 8])),
        ..fresh
    };
    let mut conv = convolution([8, 3, 3], 1);
    conv.bias = None;
    conv.weight = Param::from_tensor(conv.weight.val() * scale);
    let forward = |m: &Normed, x| relu(m.norm.forward(m.conv.forward(x)));
    trace(&Normed { conv, norm }, numbers([1, 3, 8, 8]), forward).unwrap()
}

/// A channel that is nearly a constant is that constant: its weight scale leaves room for its bias, and the others are as
/// they would be without it.
#[test]
fn a_nearly_dead_filter_is_its_bias() {
    for gamma in [1e-3, 1e-6, 1e-12, 1e-30, 1e-38, -1e-6, 0.0] {
        for (per_channel, power_of_two) in [(true, false), (false, false), (true, true)] {
            for scale in [1.0, 1e-4, 1e4] {
                let x: Tensor<4> = numbers([4, 3, 8, 8]) * 30.0;
                let network = nearly_dead(gamma, scale);
                let mut settings = QuantizationSettings::default();
                settings.weights.per_channel = per_channel;
                settings.weights.power_of_two = power_of_two;
                let quantized = quantized(&network, &x, &settings);
                let layer = quantized.layers().next().unwrap();
                let sizes = layer.bias.unwrap().iter().map(|bias| bias.unsigned_abs());
                let says = format!("γ = {gamma:e}, {per_channel}, {power_of_two}, ×{scale}");
                assert!(sizes.max() < Some(1 << 30), "{says}");
                let expected: Tensor<4> = network.forward(x.clone());
                let found = reread(&quantized, &[x.clone().into()]);
                let largest = expected.clone().max().into_scalar::<f32>();
                let expected = read(expected);
                for (at, (found, expected)) in found.iter().zip(&expected).enumerate() {
                    let off = (found - expected).abs();
                    // By its own size, not by that of others, where it has a scale of its own.
                    let dead = at / 64 % 8 == 3 && per_channel && gamma.abs() * scale < 1e-5;
                    let allowed = if dead { 0.01 } else { 0.02 * largest };
                    assert!(off < allowed, "{says}: {found} for {expected} at {at}");
                }
            }
        }
    }
}

/// Tiny or absent weights beside a bias, in linear layers of any scheme and width, and after training.
#[test]
fn rows_of_nothing_leave_the_bias() {
    for tiny in [1e-6, 1e-12, 1e-30, 1e-41, 0.0] {
        for (bits, bias) in [
            ([8, 8], 1.0),
            ([4, 16], 1000.0),
            ([16, 8], -3.0),
            ([8, 8], 1e-6),
        ] {
            for scheme in [Scheme::Symmetric, Scheme::Affine] {
                let weight = tensor([2, 2], &[tiny, 1.0, -tiny, 0.5]);
                let model = linear(weight, &[bias, 0.25]);
                let x: Tensor<2> = numbers([6, 2]);
                let network = trace(&model, x.clone(), |m: &Linear, x| m.forward(x)).unwrap();
                let mut settings = QuantizationSettings::default();
                settings.weights.bits = bits[0];
                settings.weights.scheme = scheme;
                settings.activations.bits = bits[1];
                let quantized = quantized(&network, &x, &settings);
                let found = reread(&quantized, &[x.clone().into()]);
                for found in found.chunks(2) {
                    let off = (found[0] - bias).abs();
                    assert!(
                        off <= 1e-4 * bias.abs() + 4.0 * tiny,
                        "{tiny:e} {bits:?} {scheme:?}: {found:?}"
                    );
                }
            }
        }
    }
    let calibrated = |network: &Network, x: &Tensor<4>| {
        Calibration::collect(network, std::slice::from_ref(x)).unwrap()
    };
    let methods = [
        Method::Lsq,
        Method::Linear { decay: 0.9 },
        Method::Dorefa,
        Method::Pact,
        Method::Wrpn,
    ];
    each(methods, |method| {
        for gamma in [1e-6, 1e-30, 0.0] {
            let network = nearly_dead(gamma, 0.3);
            let x: Tensor<4> = numbers([4, 3, 8, 8]);
            let calibration = calibrated(&network, &x);
            let settings = QuantizationSettings::default();
            let qat = QatNetwork::new(network, &calibration, &settings, *method).unwrap();
            let trained: Tensor<4> = qat.forward(x.clone());
            let integers: Tensor<4> = qat.quantized().unwrap().forward(x);
            let largest = trained.clone().max().into_scalar::<f32>();
            let off = (trained - integers).abs().max().into_scalar::<f32>();
            assert!(
                off < 0.02 * largest,
                "γ = {gamma:e}: off by {off} of {largest}"
            );
        }
    });
}

/// A narrow accumulator takes a nearly dead filter, and refuses one whose weights count.
#[test]
fn narrow_accumulators_give_no_room_at_the_cost_of_weights() {
    let refused = |weight: f32| {
        let model = linear(tensor([2, 1], &[weight, 0.5 * weight]), &[1.0]);
        let x: Tensor<2> = numbers([6, 2]);
        let network = trace(&model, x.clone(), |m: &Linear, x| m.forward(x)).unwrap();
        let calibration = Calibration::collect(&network, &[x]).unwrap();
        let mut settings = QuantizationSettings::default();
        settings.accumulator.bias_bits = 12;
        quantize(&network, &calibration, &settings).is_err()
    };
    assert!(!refused(1e-8) && refused(0.1));
}

/// Weights of nothing but zeros, by every method.
#[test]
fn layers_of_zeros_are_finite() {
    let methods = [
        Method::Lsq,
        Method::Linear { decay: 0.9 },
        Method::Dorefa,
        Method::Pact,
        Method::Wrpn,
    ];
    each(methods, |method| {
        for bits in [2, 4] {
            let zeros = LinearConfig::new(3, 3).with_initializer(Initializer::Zeros);
            let model = [
                zeros.init(&device()),
                LinearConfig::new(3, 2).init(&device()),
            ];
            let forward = |m: &[Linear; 2], x| m[1].forward(relu(m[0].forward(x)));
            let x: Tensor<2> = numbers([4, 3]);
            let network = trace(&model.valid(), x.clone(), forward).unwrap();
            let calibration = Calibration::collect(&network, std::slice::from_ref(&x)).unwrap();
            let mut settings = QuantizationSettings::default();
            settings.weights.bits = bits;
            let qat = QatNetwork::new(network, &calibration, &settings, *method).unwrap();
            let y: Tensor<2> = qat.forward(x.clone());
            assert!(read(y).iter().all(|y| y.is_finite()));
            let integers: Tensor<2> = qat.quantized().unwrap().forward(x);
            assert!(read(integers).iter().all(|y| y.is_finite()));
        }
    });
}
