//! A whole small network, calibrated and quantized as Distiller does it, and a layer whose ranges are searched.

use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{AvgPool2d, AvgPool2dConfig, MaxPool2d, MaxPool2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use calcine_params::Inventory;
use calcine_quantize::{
    Calibration, Clip, Evaluation, Quantized, Quantizer, Scheme, Settings, Trials, lapq, quantize,
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
    fn new(device: &Device) -> Self {
        let conv = |from, to, kernel: usize| {
            let padding = kernel / 2;
            Conv2dConfig::new([from, to], [kernel, kernel]).with_padding(PaddingConfig2d::Explicit(
                padding, padding, padding, padding,
            ))
        };
        Self {
            conv1: conv(3, 6, 3).with_bias(false).init(device),
            bn1: BatchNormConfig::new(6).init(device),
            conv2: conv(6, 6, 3).init(device),
            bn2: BatchNormConfig::new(6).init(device),
            pool: MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
            conv3: conv(6, 8, 1).init(device),
            avgpool: AvgPool2dConfig::new([4, 4]).with_strides([4, 4]).init(),
            fc: LinearConfig::new(8, 5).init(device),
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

/// The network with the case's parameters.
fn small(weights: &Value, golden: &Golden) -> Network {
    let sample: Tensor<4> = Tensor::zeros([1, 3, 8, 8], &device());
    let network = trace(&Small::new(&device()), sample, |m, x| m.forward(x)).unwrap();
    let inventory = Inventory::of(&network);
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

/// The network of all cases, and the batches that it is calibrated with.
fn uncalibrated(golden: &Golden) -> (Network, Vec<Tensor<4>>) {
    let case = golden.cases("calibration_stats")[0];
    let network = small(&case["input"]["weights"], golden);
    let batches = case["input"]["batches"].as_array().unwrap().iter();
    let batches = batches.map(|batch| golden.tensor(batch, &device()));
    (network, batches.collect())
}

/// Extrema, averages over samples, mean and deviation of each value.
///
/// Distiller's averages give a batch the weight of its samples, and those before it the weight of all their elements, so that
/// later batches hardly count: `(a · elements + b · samples) / (elements + samples)`.
#[test]
fn golden_calibration() {
    let Some(golden) = golden::open("ptq_model") else {
        return;
    };
    let (network, batches) = uncalibrated(&golden);
    let seen = Calibration::of(&network, &batches).unwrap();
    let alone: Vec<(f64, Calibration)> = batches
        .iter()
        .map(|batch| {
            let samples = batch.dims()[0] as f64;
            (
                samples,
                Calibration::of(&network, std::slice::from_ref(batch)).unwrap(),
            )
        })
        .collect();
    let expected = &golden.cases("calibration_stats")[0]["expect"]["stats"];
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
        let seen = &seen.values[name];
        close(seen.min, &expected["min"], name);
        close(seen.max, &expected["max"], name);
        let all = number(&expected["total_numel"]) / 10.0;
        for (end, key) in ["avg_min", "avg_max"].into_iter().enumerate() {
            let (mut theirs, mut elements, mut sum) = (0.0, 0.0, 0.0);
            for (samples, seen) in &alone {
                let own = seen.values[name].average[end];
                theirs = (theirs * elements + own * samples) / (elements + samples);
                elements += samples * all;
                sum += own * samples;
            }
            close(theirs, &expected[key], name);
            assert!(
                (seen.average[end] - sum / 10.0).abs() < 1e-5,
                "{name} {key}"
            );
        }
        close(seen.mean, &expected["mean"], name);
        close(seen.deviation, &expected["std"], name);
    };
    assert_eq!(graph.nodes.len(), NODES.len());
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

/// The settings of a case; `None` of grids that no network here has: full symmetric ranges.
fn settings(args: &Value) -> Option<Settings> {
    let scheme = match args["mode"].as_str().unwrap() {
        "sym" => return None,
        "sym_restr" => Scheme::Symmetric,
        _ => Scheme::Affine,
    };
    let mut settings = Settings::default();
    settings.weights.bits = number(&args["bits_weights"]) as u8;
    settings.weights.scheme = scheme;
    settings.weights.per_channel = args["per_channel"] == true;
    settings.activations.bits = number(&args["bits_activations"]) as u8;
    settings.activations.scheme = scheme;
    settings.activations.clip = match args["clip_acts"].as_str().unwrap() {
        "NONE" => Clip::MinMax,
        "AVG" => Clip::Average,
        "LAPLACE" => Clip::Laplace,
        other => panic!("{other}"),
    };
    Some(settings)
}

/// How far grids are from Distiller's: a step, as a share, and a zero point; signed affine integers are 2^(b−1) less.
fn near(grid: &Quantizer, scale: &Value, zero: &Value, what: &str) {
    let found = f64::from(grid.step) * number(scale);
    assert!((found - 1.0).abs() < 1e-5, "{what}: {grid:?} for {scale}");
    let shifted = match -number(zero) as i32 - grid.zero {
        0 => true,
        off => grid.low == 0 && off == -(grid.high + 1) / 2,
    };
    assert!(shifted, "{what}: {grid:?} for {zero}");
}

/// Of a network's nodes Distiller's grids, and what comes of them: node by node nearly all integers, and logits within two of
/// their steps. What is ACIQ's goes by multipliers that are computed here and tabled there, so that its logits alone are compared.
///
/// Sums are rounded once here, and each operand before there; a pool that only moves integers keeps their grid here, and has
/// one of its own there, which matters where ranges are averages; logits have no grid here,
/// and are compared within the range of theirs.
#[test]
fn golden_network() {
    let Some(golden) = golden::open("ptq_model") else {
        return;
    };
    let (network, batches) = uncalibrated(&golden);
    let mut seen = Calibration::of(&network, &batches).unwrap();
    // The averages that Distiller had.
    let stats = &golden.cases("calibration_stats")[0]["expect"]["stats"];
    for (node, name) in network.graph().nodes.iter().zip(NODES) {
        if name != "flatten" {
            let own = seen.values.get_mut(&node.name).unwrap();
            *own = golden_ops::seen(&stats[name]["output"], own);
        }
    }
    let input = network
        .graph()
        .value(network.graph().inputs[0])
        .name
        .clone();
    let own = seen.values.get_mut(&input).unwrap();
    *own = golden_ops::seen(&stats["conv1"]["inputs"]["0"], own);
    let mut compared = 0;
    for case in golden.cases("small_") {
        let (args, name) = (&case["args"], case["name"].as_str().unwrap());
        if args["mode"].is_null() {
            continue;
        }
        let Some(settings) = settings(args) else {
            continue;
        };
        let quantized = quantize(&network, &seen, &settings).unwrap();
        let exact = args["clip_acts"] != "LAPLACE";
        if exact {
            grids(&quantized, case, &golden);
        }
        let x: Tensor<4> = golden.tensor(&case["input"]["x"], &device());
        let expected = &case["expect"]["layer_outputs"];
        let mut at = 0;
        let mut watch = |_: &calcine_graph::Node, result: AnyTensor| {
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
        let outputs = quantized.run(x.into_any(), &mut watch).unwrap();
        let logits = flat(outputs.into_iter().next().unwrap());
        let expected = golden.values(&case["expect"]["logits"]).1;
        let layers = case["expect"]["layers"].as_array().unwrap();
        let step = 1.0 / number(&layers.last().unwrap()["output_scale"]) as f32;
        let [low, high] = match settings.activations.clip {
            Clip::Average => ["avg_min", "avg_max"].map(|key| number(&stats["fc"]["output"][key])),
            _ => [f64::NEG_INFINITY, f64::INFINITY],
        };
        let off = logits.iter().zip(&expected);
        let off = off.map(|(a, b)| (a.clamp(low as f32, high as f32) - b).abs() / step);
        let most = off.fold(0.0_f32, f32::max);
        assert!(most <= 2.0, "{name}: logits are {most} steps off");
        compared += 1;
    }
    assert_eq!(compared, 6);
}

/// Grids of weights, and of what layers give.
fn grids(quantized: &Quantized, case: &Value, golden: &Golden) {
    for layer in case["expect"]["layers"].as_array().unwrap() {
        let name = layer["name"].as_str().unwrap();
        let at = NODES.iter().position(|node| *node == name).unwrap();
        let node = &quantized.graph().nodes[at].name;
        if !layer["output_scale"].is_null() && !["pool", "fc"].contains(&name) {
            let grid = quantized.grid(node).unwrap();
            near(
                &grid,
                &layer["output_scale"],
                &layer["output_zero_point"],
                name,
            );
        }
        let own = quantized.layers().find(|own| own.name == node);
        let Some(own) = own else { continue };
        let scales = golden.values(&layer["w_scale"]).1;
        assert_eq!(own.steps.len(), scales.len(), "{name}");
        for (step, scale) in own.steps.iter().zip(&scales) {
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
    let Some(golden) = golden::open("lapq") else {
        return;
    };
    for case in golden.cases("layer_init_") {
        let (args, input, expect) = (&case["args"], &case["input"], &case["expect"]);
        let device = device();
        let weight: Tensor<2> = golden.tensor(&input["w"], &device);
        let model = Linear {
            weight: Param::from_tensor(weight.transpose()),
            bias: Some(Param::from_tensor(golden.tensor(&input["bias"], &device))),
        };
        let x: Tensor<2> = golden.tensor(&input["x"], &device);
        // A last operation behind it, so that its result has a grid.
        let forward = |m: &Linear, x: Tensor<2>| m.forward(x).transpose();
        let network = trace(&model, x.clone(), forward).unwrap();
        let mut seen = Calibration::of(&network, std::slice::from_ref(&x)).unwrap();
        let stats = &args["stats"];
        let name = network
            .graph()
            .value(network.graph().inputs[0])
            .name
            .clone();
        let own = seen.values.get_mut(&name).unwrap();
        *own = golden_ops::seen(&stats["inputs"]["0"], own);
        let name = network.graph().nodes[0].name.clone();
        let own = seen.values.get_mut(&name).unwrap();
        *own = golden_ops::seen(&stats["output"], own);
        let scheme = match args["mode"].as_str().unwrap() {
            "sym" => Scheme::Symmetric,
            _ => Scheme::Affine,
        };
        let mut settings = Settings::default();
        (settings.weights.bits, settings.activations.bits) = (4, 4);
        settings.weights.per_channel = false;
        (settings.weights.scheme, settings.activations.scheme) = (scheme, scheme);
        let p = if args["loss"] == "L3" { 3 } else { 2 };
        let float: Tensor<2> = network.forward(x.clone());
        let loss = |quantized: &Quantized| {
            let found: Tensor<2> = quantized.forward(x.clone());
            let off = (found - float.clone()).abs().powi_scalar(p);
            f64::from(off.mean().into_scalar::<f32>())
        };
        let before = loss(&quantize(&network, &seen, &settings).unwrap());
        let score = |quantized: &Quantized| Evaluation::new(loss(quantized), 1);
        let found = lapq(&network, &seen, &settings, 2, &mut Trials::new(score)).unwrap();
        let after = loss(&quantize(&network, &seen, &found).unwrap());
        let initial = number(&expect["loss_initial"]);
        // Distiller's symmetric integers are one more.
        let allowed = if args["mode"] == "sym" { 2e-2 } else { 1e-3 };
        assert!(
            (before / initial - 1.0).abs() < allowed,
            "{before} for {initial}"
        );
        let right = &expect["loss_best_evaluated_right"];
        let best = match right.is_null() {
            true => &expect["loss_best_evaluated"],
            false => right,
        };
        assert!(after <= 1.05 * number(best), "{after} for {best}");
    }
}
