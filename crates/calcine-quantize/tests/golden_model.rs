//! A whole small network, calibrated and quantized as Distiller does it, and a layer whose ranges are searched.

use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{AvgPool2d, AvgPool2dConfig, MaxPool2d, MaxPool2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use calcine_params::Inventory;
use calcine_quantize::{
    Calibration, Evaluation, QuantizationSettings, Quantized, Quantizer, RangeEstimator, Scheme,
    Trials, lapq, quantize,
};
use calcine_testkit::device;
use calcine_testkit::golden::{self, Golden};
use calcine_trace::{AnyTensor, Network, Tensors, trace};
use serde_json::Value;

use crate::golden::number;
use crate::golden_ops;

#[derive(Module, Debug)]
struct Small {
    conv1: Conv2d,
    bn1: BatchNorm,
    conv2: Conv2d,
    bn2: BatchNorm,
    pool: MaxPool2d,
    conv3: Conv2d,
    avgpool: AvgPool2d,
    fc: Linear,
}

impl Small {
    /// Of the shapes that a case has: its weights say the layers', its statistics those of activations, and so what
    /// convolutions and pools do with images.
    fn new(weights: &Value, stats: &Value, golden: &Golden, device: &Device) -> Self {
        let shape = |name: &str| golden.values(&weights[format!("{name}.weight")]).0;
        let biased = |name: &str| !weights[format!("{name}.bias")].is_null();
        let conv = |name: &str| {
            let [to, from, high, wide] = <[usize; 4]>::try_from(shape(name)).unwrap();
            let [input, output] = side(&stats[name]);
            // As wide as it was, or half as wide.
            let stride = input.div_ceil(output);
            Conv2dConfig::new([from, to], [high, wide])
                .with_stride([stride, stride])
                .with_padding(PaddingConfig2d::Explicit(
                    high / 2,
                    wide / 2,
                    high / 2,
                    wide / 2,
                ))
                .with_bias(biased(name))
                .init(device)
        };
        let pool = |name: &str| {
            let [input, output] = side(&stats[name]);
            [input / output; 2]
        };
        let norm = |name: &str| BatchNormConfig::new(shape(name)[0]).init(device);
        let [classes, features] = <[usize; 2]>::try_from(shape("fc")).unwrap();
        let linear = LinearConfig::new(features, classes).with_bias(biased("fc"));
        let max = MaxPool2dConfig::new(pool("pool")).with_strides(pool("pool"));
        let average = AvgPool2dConfig::new(pool("avgpool")).with_strides(pool("avgpool"));
        Self {
            conv1: conv("conv1"),
            bn1: norm("bn1"),
            conv2: conv("conv2"),
            bn2: norm("bn2"),
            pool: max.init(),
            conv3: conv("conv3"),
            avgpool: average.init(),
            fc: linear.init(device),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let x = relu(self.bn1.forward(self.conv1.forward(x)));
        let x = relu(x.clone() + self.bn2.forward(self.conv2.forward(x)));
        let x = relu(self.conv3.forward(self.pool.forward(x)));
        self.fc.forward(self.avgpool.forward(x).flatten(1, 3))
    }
}

/// What Distiller calls the nodes, in running order.
const NODES: [&str; 13] = [
    "conv1", "bn1", "relu1", "conv2", "bn2", "add", "relu2", "pool", "conv3", "relu3", "avgpool",
    "flatten", "fc",
];

/// How high images are before a layer and behind it: Distiller writes shapes as Python does.
fn side(stats: &Value) -> [usize; 2] {
    let of = |value: &Value| -> usize {
        let text = value["shape"].as_str().unwrap().trim_matches(['(', ')']);
        let lengths: Vec<usize> = text
            .split(',')
            .filter_map(|length| length.trim().parse().ok())
            .collect();
        lengths[2]
    };
    [of(&stats["inputs"]["0"]), of(&stats["output"])]
}

/// The network with the case's parameters.
fn small(weights: &Value, stats: &Value, x: &Tensor<4>, golden: &Golden) -> Network {
    let model = Small::new(weights, stats, golden, &device());
    let network = trace(&model, x.clone(), |m, x| m.forward(x)).unwrap();
    assert_eq!(network.graph().nodes.len(), NODES.len());
    let inventory = Inventory::from_module(&network);
    let weights = weights.as_object().unwrap().iter();
    let values = weights.map(|(name, value)| {
        let path = match name.as_str() {
            "bn1.weight" => "bn1.gamma",
            "bn1.bias" => "bn1.beta",
            "bn2.weight" => "bn2.gamma",
            "bn2.bias" => "bn2.beta",
            name => name,
        };
        let (shape, values) = golden.values(value);
        let flat = Tensor::<1>::from_floats(values.as_slice(), &device());
        let flat = match name.as_str() {
            "fc.weight" => flat.reshape([shape[0], shape[1]]).transpose().reshape([-1]),
            _ => flat,
        };
        (inventory.get(path).unwrap().id, flat)
    });
    let values = values.collect();
    calcine_params::replace(network, values)
}

/// The case that has the statistics of calibration, its network, and the batches.
fn uncalibrated(golden: &Golden) -> (&Value, Network, Vec<Tensor<4>>) {
    let case = golden.having(&["/input/batches", "/input/weights", "/expect/stats"])[0];
    let batches = case["input"]["batches"].as_array().unwrap().iter();
    let batches: Vec<Tensor<4>> = batches
        .map(|batch| golden.tensor(batch, &device()))
        .collect();
    let (weights, stats) = (&case["input"]["weights"], &case["expect"]["stats"]);
    let network = small(weights, stats, &batches[0], golden);
    (case, network, batches)
}

/// Extrema, averages over samples, mean and deviation of each value.
///
/// Distiller's averages give a batch the weight of its samples, and those before it the weight of all their elements, so that
/// later batches hardly count: `(a · elements + b · samples) / (elements + samples)`.
#[test]
fn golden_calibration() {
    let golden = golden::open("ptq_model");
    let (case, network, batches) = uncalibrated(&golden);
    let calibration = Calibration::collect(&network, &batches).unwrap();
    let alone: Vec<(f64, Calibration)> = batches
        .iter()
        .map(|batch| {
            let samples = batch.dims()[0] as f64;
            (
                samples,
                Calibration::collect(&network, std::slice::from_ref(batch)).unwrap(),
            )
        })
        .collect();
    let all_samples: f64 = alone.iter().map(|(samples, _)| samples).sum();
    let expected = &case["expect"]["stats"];
    let graph = network.graph();
    let close = |found: f64, expected: &Value, what: &str| {
        let expected = number(expected);
        let off = (found - expected).abs();
        assert!(
            off <= 5e-5 * expected.abs() + 5e-6,
            "{what}: {found} for {expected}"
        );
    };
    let compare = |name: &str, expected: &Value| {
        let statistics = &calibration.values[name];
        close(statistics.min, &expected["min"], name);
        close(statistics.max, &expected["max"], name);
        let of_sample = number(&expected["total_numel"]) / all_samples;
        for (end, key) in ["avg_min", "avg_max"].into_iter().enumerate() {
            let (mut theirs, mut elements, mut sum) = (0.0, 0.0, 0.0);
            for (samples, calibration) in &alone {
                let own = calibration.values[name].average[end];
                theirs = (theirs * elements + own * samples) / (elements + samples);
                elements += samples * of_sample;
                sum += own * samples;
            }
            close(theirs, &expected[key], name);
            assert!(
                (statistics.average[end] - sum / all_samples).abs() < 1e-5,
                "{name} {key}"
            );
        }
        close(statistics.mean, &expected["mean"], name);
        close(statistics.deviation, &expected["std"], name);
    };
    for (node, name) in graph.nodes.iter().zip(NODES) {
        if name != "flatten" {
            compare(&node.name, &expected[name]["output"]);
        }
    }
    let input = &graph.value(graph.inputs[0]).name;
    compare(input, &expected["conv1"]["inputs"]["0"]);
}

fn flat(tensor: AnyTensor) -> Vec<f32> {
    tensor.flat().unwrap().into_data().iter::<f32>().collect()
}

/// The settings of a case; `None` of quantizers that no network here has: full symmetric ranges.
fn settings(args: &Value) -> Option<QuantizationSettings> {
    let scheme = match args["mode"].as_str().unwrap() {
        "sym" => return None,
        "sym_restr" => Scheme::Symmetric,
        _ => Scheme::Affine,
    };
    let mut settings = QuantizationSettings::default();
    settings.weights.bits = number(&args["bits_weights"]) as u8;
    settings.weights.scheme = scheme;
    settings.weights.per_channel = args["per_channel"] == true;
    settings.activations.bits = number(&args["bits_activations"]) as u8;
    settings.activations.scheme = scheme;
    settings.activations.range_estimator = match args["clip_acts"].as_str().unwrap() {
        "NONE" => RangeEstimator::MinMax,
        "AVG" => RangeEstimator::Average,
        "N_STD" => RangeEstimator::Deviations(number(&args["clip_n_stds"])),
        "GAUSS" => RangeEstimator::Gauss,
        "LAPLACE" => RangeEstimator::Laplace,
        other => panic!("{other}"),
    };
    Some(settings)
}

/// How far quantizers are from Distiller's: a step, as a share, and a zero point; signed affine integers are 2^(b−1) less.
fn near(quantizer: &Quantizer, scale: &Value, zero: &Value, what: &str) {
    let found = f64::from(quantizer.scale) * number(scale);
    assert!(
        (found - 1.0).abs() < 1e-5,
        "{what}: {quantizer:?} for {scale}"
    );
    let shifted = match -number(zero) as i32 - quantizer.zero_point {
        0 => true,
        off => quantizer.low == 0 && off == -(quantizer.high + 1) / 2,
    };
    assert!(shifted, "{what}: {quantizer:?} for {zero}");
}

/// The statistics of a case: its own, or those of the case that it names.
fn statistics<'a>(case: &'a Value, golden: &'a Golden) -> &'a Value {
    let Some(text) = case["args"]["stats"].as_str() else {
        return &case["args"]["stats"];
    };
    let other = golden
        .cases("")
        .into_iter()
        .find(|other| text.ends_with(other["name"].as_str().unwrap()));
    &other.unwrap_or_else(|| panic!("no {text}"))["expect"]["stats"]
}

/// The first number in the text of a tolerance, as in "max error 2 output quantization steps".
fn steps(case: &Value) -> f32 {
    let text = case["tolerance"]["logits"].as_str().unwrap();
    let mut words = text.split(' ');
    words.find_map(|word| word.parse().ok()).unwrap()
}

/// Of a network's nodes Distiller's quantizers, and what comes of them: node by node nearly all integers, and logits within two of
/// their steps. What is ACIQ's goes by multipliers that are computed here and tabled there to two digits, and deviations are
/// those behind a relu here and those before it there: of these logits alone are compared.
///
/// Sums are rounded once here, and each operand before there; a pool that only moves integers keeps their quantizer here, and has
/// one of its own there, which matters where ranges are averages; logits have no quantizer here,
/// and are compared within the range of theirs.
#[test]
fn golden_network() {
    let golden = golden::open("ptq_model");
    let mut compared = 0;
    for case in golden.having(&["/input/weights", "/args/mode", "/expect/layers"]) {
        let (args, name) = (&case["args"], case["name"].as_str().unwrap());
        let Some(settings) = settings(args) else {
            continue;
        };
        // The averages that Distiller had.
        let stats = statistics(case, &golden);
        let x: Tensor<4> = golden.tensor(&case["input"]["x"], &device());
        let network = small(&case["input"]["weights"], stats, &x, &golden);
        let mut calibration = Calibration::collect(&network, std::slice::from_ref(&x)).unwrap();
        for (node, name) in network.graph().nodes.iter().zip(NODES) {
            if name != "flatten" {
                let own = calibration.values.get_mut(&node.name).unwrap();
                *own = golden_ops::statistics(&stats[name]["output"], own);
            }
        }
        let input = &network.graph().value(network.graph().inputs[0]).name;
        let own = calibration.values.get_mut(input).unwrap();
        *own = golden_ops::statistics(&stats["conv1"]["inputs"]["0"], own);
        let quantized = quantize(&network, &calibration, &settings).unwrap();
        let exact = matches!(
            settings.activations.range_estimator,
            RangeEstimator::MinMax | RangeEstimator::Average
        );
        if exact {
            quantizers(&quantized, case, &golden);
        }
        let expected = &case["expect"]["layer_outputs"];
        let mut at = 0;
        let mut observe = |_: &calcine_graph::Node, result: AnyTensor| {
            let node = NODES[at];
            at += 1;
            // What a layer gives has gone through its relu there.
            let of = match node {
                "relu1" => "conv1",
                "bn2" => "conv2",
                "relu2" => "add",
                "relu3" => "conv3",
                "pool" | "avgpool" => node,
                _ => return,
            };
            let layers = case["expect"]["layers"].as_array().unwrap();
            let layer = layers.iter().find(|layer| layer["name"] == of).unwrap();
            let step = 1.0 / number(&layer["output_scale"]) as f32;
            let expected = golden.values(&expected[of]).1;
            let found = flat(result);
            assert_eq!(found.len(), expected.len());
            let off = found
                .iter()
                .zip(&expected)
                .map(|(a, b)| (a - b).abs() / step);
            let off: Vec<f32> = off.collect();
            let most = off.iter().fold(0.0_f32, |most, off| most.max(*off));
            let same = off.iter().filter(|off| **off < 0.01).count() as f64 / off.len() as f64;
            // Before the sum nothing is done otherwise.
            let (least, allowed) = match of {
                "conv1" | "conv2" => (0.97, 1.01),
                _ => (0.0, 2.25),
            };
            assert!(
                !exact || same >= least && most <= allowed,
                "{name} {of}: {same} are the same, others up to {most} steps off"
            );
        };
        let outputs = quantized.run(x.into_any(), &mut observe).unwrap();
        let logits = flat(outputs.into_iter().next().unwrap());
        let expected = golden.values(&case["expect"]["logits"]).1;
        let layers = case["expect"]["layers"].as_array().unwrap();
        let step = 1.0 / number(&layers.last().unwrap()["output_scale"]) as f32;
        let [low, high] = match settings.activations.range_estimator {
            RangeEstimator::Average => {
                ["avg_min", "avg_max"].map(|key| number(&stats["fc"]["output"][key]))
            }
            _ => [f64::NEG_INFINITY, f64::INFINITY],
        };
        let off = logits.iter().zip(&expected);
        let off = off.map(|(a, b)| (a.clamp(low as f32, high as f32) - b).abs() / step);
        let most = off.fold(0.0_f32, f32::max);
        assert!(most <= steps(case), "{name}: logits are {most} steps off");
        compared += 1;
    }
    assert_ne!(compared, 0);
}

/// Quantizers of weights, and of what layers give.
fn quantizers(quantized: &Quantized, case: &Value, golden: &Golden) {
    for layer in case["expect"]["layers"].as_array().unwrap() {
        let name = layer["name"].as_str().unwrap();
        let at = NODES.iter().position(|node| *node == name).unwrap();
        let node = &quantized.graph().nodes[at].name;
        if !layer["output_scale"].is_null() && !["pool", "fc"].contains(&name) {
            let quantizer = quantized.quantizer(node).unwrap();
            near(
                &quantizer,
                &layer["output_scale"],
                &layer["output_zero_point"],
                name,
            );
        }
        let own = quantized.layers().find(|own| own.name == node);
        let Some(own) = own else { continue };
        let scales = golden.values(&layer["w_scale"]).1;
        assert_eq!(own.scales.len(), scales.len(), "{name}");
        for (step, scale) in own.scales.iter().zip(&scales) {
            assert!(
                (step * scale - 1.0).abs() < 1e-5,
                "{name}: {step} for {scale}"
            );
        }
    }
}

/// Ranges of one layer that together lose least: at most a twentieth more than the best that Distiller's search came across,
/// where it does not stay at the last one.
#[test]
fn golden_searched_layer() {
    let golden = golden::open("lapq");
    for case in golden.having(&["/input/w", "/expect/loss_best_evaluated"]) {
        let (args, input, expect) = (&case["args"], &case["input"], &case["expect"]);
        let (what, bits) = (&case["name"], number(&args["num_bits"]) as u8);
        let device = device();
        let weight: Tensor<2> = golden.tensor(&input["w"], &device);
        let model = Linear {
            weight: Param::from_tensor(weight.transpose()),
            bias: Some(Param::from_tensor(golden.tensor(&input["bias"], &device))),
        };
        let x: Tensor<2> = golden.tensor(&input["x"], &device);
        // A last operation behind it, so that its result has a quantizer.
        let forward = |m: &Linear, x: Tensor<2>| m.forward(x).transpose();
        let network = trace(&model, x.clone(), forward).unwrap();
        let mut calibration = Calibration::collect(&network, std::slice::from_ref(&x)).unwrap();
        let stats = &args["stats"];
        let name = network
            .graph()
            .value(network.graph().inputs[0])
            .name
            .clone();
        let own = calibration.values.get_mut(&name).unwrap();
        *own = golden_ops::statistics(&stats["inputs"]["0"], own);
        let name = network.graph().nodes[0].name.clone();
        let own = calibration.values.get_mut(&name).unwrap();
        *own = golden_ops::statistics(&stats["output"], own);
        let scheme = match args["mode"].as_str().unwrap() {
            "sym" | "sym_restr" => Scheme::Symmetric,
            _ => Scheme::Affine,
        };
        let mut settings = QuantizationSettings::default();
        (settings.weights.bits, settings.activations.bits) = (bits, bits);
        settings.weights.per_channel = false;
        (settings.weights.scheme, settings.activations.scheme) = (scheme, scheme);
        let p: i32 = args["loss"].as_str().unwrap()[1..].parse().unwrap();
        let float: Tensor<2> = network.forward(x.clone());
        let loss = |quantized: &Quantized| {
            let found: Tensor<2> = quantized.forward(x.clone());
            let off = (found - float.clone()).abs().powi_scalar(p);
            f64::from(off.mean().into_scalar::<f32>())
        };
        let before = loss(&quantize(&network, &calibration, &settings).unwrap());
        let score = |quantized: &Quantized| Evaluation::new(loss(quantized), 1);
        let found = lapq(
            &network,
            &calibration,
            &settings,
            2,
            &mut Trials::new(score),
        )
        .unwrap();
        let after = loss(&quantize(&network, &calibration, &found).unwrap());
        let initial = number(&expect["loss_initial"]);
        // Distiller's symmetric integers are one more.
        let allowed = if args["mode"] == "sym" { 2e-2 } else { 1e-3 };
        assert!(
            (before / initial - 1.0).abs() < allowed,
            "{what}: {before} for {initial}"
        );
        let right = &expect["loss_best_evaluated_right"];
        let best = match right.is_null() {
            true => &expect["loss_best_evaluated"],
            false => right,
        };
        assert!(after <= 1.05 * number(best), "{what}: {after} for {best}");
    }
}
