//! Sums, products, concatenations, matrix products, and folded batch norms as Distiller computes them.

use burn::module::Module;
use burn::nn::conv::{Conv1d, Conv1dConfig, Conv2d, Conv2dConfig};
use burn::nn::{
    BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig1d, PaddingConfig2d, Relu,
};
use burn::tensor::{Tensor, TensorData};
use calcine_params::Inventory;
use calcine_quantize::{
    Calibration, CalibrationStatistics, Method, QatNetwork, QuantizationSettings, RangeEstimator,
    Scheme, fold_norms, quantize,
};
use calcine_testkit::golden::{self, Golden};
use calcine_testkit::{device, each};
use calcine_trace::{AnyTensor, Network, trace};
use serde_json::Value;

use crate::golden::number;

/// What statistics say of a value; where it lay is not asked.
pub(crate) fn statistics(stats: &Value, like: &CalibrationStatistics) -> CalibrationStatistics {
    let of = |key: &str| number(&stats[key]);
    CalibrationStatistics {
        min: of("min"),
        max: of("max"),
        mean: of("mean"),
        deviation: of("std"),
        average: [of("avg_min"), of("avg_max")],
        ..like.clone()
    }
}

/// In all modes but the full symmetric range, which no quantizer of a network has. A signed affine quantizer is an unsigned one with
/// other names for its integers.
///
/// Distiller rounds both operands of a sum to the result's quantizer before it adds them; here the sum is rounded once, and may be
/// one step off from its.
#[test]
fn golden_operations_between_quantizers() {
    let golden = golden::open("ptq_ops");
    let mut compared = 0;
    for case in golden.having(&["/input/a", "/args/stats", "/expect/output"]) {
        let (args, name) = (&case["args"], &case["name"]);
        let op = args["op"].as_str().unwrap();
        let scheme = match args["mode"].as_str().unwrap() {
            "sym" => continue,
            "sym_restr" => Scheme::Symmetric,
            _ => Scheme::Affine,
        };
        let mut settings = QuantizationSettings::default();
        settings.activations.bits = number(&args["num_bits"]) as u8;
        settings.activations.scheme = scheme;
        settings.activations.range_estimator = match args["clip_acts"].as_str().unwrap() {
            "NONE" => RangeEstimator::MinMax,
            "AVG" => RangeEstimator::Average,
            other => panic!("{other}"),
        };
        // Operands and result have batches of one sample, whatever their axes are.
        let stacked = |key: &str| -> Tensor<4> {
            let (shape, values) = golden.values(&case["input"][key]);
            let mut four = [1; 4];
            four[4 - shape.len()..].copy_from_slice(&shape);
            Tensor::from_data(TensorData::new(values, four), &device())
        };
        let (a, b) = (stacked("a"), stacked("b"));
        let apply = |a: Tensor<4>, b: Tensor<4>| match op {
            "add" => a + b,
            "mult" => a * b,
            "concat" => Tensor::cat(vec![a, b], 1),
            "matmul" => a.matmul(b),
            other => panic!("{other}"),
        };
        let samples = (a.clone(), b.clone());
        // A last operation behind it, so that its result has a quantizer.
        let network = trace(
            &Relu::new(),
            samples.clone(),
            |_, (a, b): (Tensor<4>, Tensor<4>)| apply(a, b).swap_dims(2, 3),
        )
        .unwrap();
        let mut calibration =
            Calibration::collect(&network, std::slice::from_ref(&samples)).unwrap();
        let graph = network.graph();
        let inputs = graph.inputs.iter().map(|id| graph.value(*id).name.clone());
        let result = graph.nodes[0].name.clone();
        let keys = ["input0", "input1", "output"];
        for (value, key) in inputs.chain([result]).zip(keys) {
            let entry = calibration.values.get_mut(&value).unwrap();
            *entry = statistics(&args["stats"][key], entry);
        }
        let quantized = quantize(&network, &calibration, &settings).unwrap();
        let found: Tensor<4> = quantized.forward(samples);
        let found = found.swap_dims(2, 3).into_data();
        let expected = golden.values(&case["expect"]["output"]).1;
        let step = 1.0 / number(&case["expect"]["out_scale"]) as f32;
        let allowed = if op == "add" { 1.01 } else { 1e-3 };
        let off = found
            .iter::<f32>()
            .zip(&expected)
            .map(|(a, b)| (a - b).abs() / step);
        let off: Vec<f32> = off.collect();
        assert_eq!(off.len(), expected.len(), "{name}");
        let most = off.iter().fold(0.0_f32, |most, off| most.max(*off));
        assert!(most <= allowed, "{name}: {most} steps");
        compared += 1;
    }
    assert_ne!(compared, 0);
}

/// A layer of some kind with its norm.
#[derive(Module, Debug)]
struct Normed<L: Module> {
    layer: L,
    norm: BatchNorm,
}

/// A network with what the case has, and its images.
fn normed(case: &Value, golden: &Golden) -> (Network, AnyTensor) {
    let (shape, _) = golden.values(&case["input"]["w"]);
    let (args, input) = (&case["args"], &case["input"]);
    let device = device();
    let biased = !input["bias"].is_null();
    let groups = args["groups"].as_u64().unwrap_or(1) as usize;
    let along = |key: &str, axis: usize| number(&args[key][axis]) as usize;
    let momentum = args["momentum"].as_f64().unwrap_or(0.1);
    let norm = BatchNormConfig::new(shape[0])
        .with_epsilon(number(&args["eps"]))
        .with_momentum(momentum)
        .init(&device);
    let (network, images) = match args["layer"].as_str().unwrap() {
        "Linear" => {
            let layer = LinearConfig::new(shape[1], shape[0]).with_bias(biased);
            let model = Normed {
                layer: layer.init(&device),
                norm,
            };
            let x: Tensor<2> = golden.tensor(&input["x"], &device);
            let forward = |m: &Normed<Linear>, x| m.norm.forward(m.layer.forward(x));
            (trace(&model, x.clone(), forward), x.into())
        }
        "Conv1d" => {
            let padding = along("padding", 0);
            let layer = Conv1dConfig::new(shape[1] * groups, shape[0], shape[2])
                .with_stride(along("stride", 0))
                .with_padding(PaddingConfig1d::Explicit(padding, padding))
                .with_groups(groups)
                .with_bias(biased);
            let model = Normed {
                layer: layer.init(&device),
                norm,
            };
            let x: Tensor<3> = golden.tensor(&input["x"], &device);
            let forward = |m: &Normed<Conv1d>, x| m.norm.forward(m.layer.forward(x));
            (trace(&model, x.clone(), forward), x.into())
        }
        "Conv2d" => {
            let [high, wide] = [0, 1].map(|axis| along("padding", axis));
            let layer = Conv2dConfig::new([shape[1] * groups, shape[0]], [shape[2], shape[3]])
                .with_groups(groups)
                .with_stride([0, 1].map(|axis| along("stride", axis)))
                .with_padding(PaddingConfig2d::Explicit(high, wide, high, wide))
                .with_bias(biased);
            let model = Normed {
                layer: layer.init(&device),
                norm,
            };
            let x: Tensor<4> = golden.tensor(&input["x"], &device);
            let forward = |m: &Normed<Conv2d>, x| m.norm.forward(m.layer.forward(x));
            (trace(&model, x.clone(), forward), x.into())
        }
        other => panic!("{other}"),
    };
    let network = network.unwrap();
    let inventory = Inventory::from_module(&network);
    let names = [
        ("layer.weight", "w"),
        ("layer.bias", "bias"),
        ("norm.gamma", "gamma"),
        ("norm.beta", "beta"),
        ("norm.running_mean", "running_mean"),
        ("norm.running_var", "running_var"),
    ];
    let values = names.iter().filter(|(_, key)| !input[*key].is_null());
    let values = values.map(|(path, key)| {
        let stored = linear(case) && *key == "w";
        (
            inventory.get(path).unwrap().id,
            flat(&input[*key], stored, golden),
        )
    });
    let values = values.collect();
    (calcine_params::replace(network, values), images)
}

fn linear(case: &Value) -> bool {
    case["args"]["layer"] == "Linear"
}

/// A tensor's numbers; a linear layer's weight the other way round.
fn flat(reference: &Value, transposed: bool, golden: &Golden) -> Tensor<1> {
    let (shape, values) = golden.values(reference);
    let flat = Tensor::<1>::from_floats(values.as_slice(), &device());
    match transposed {
        true => flat.reshape([shape[0], shape[1]]).transpose().reshape([-1]),
        false => flat,
    }
}

fn read(tensor: AnyTensor) -> Vec<f32> {
    tensor.flat().unwrap().into_data().iter::<f32>().collect()
}

fn near(found: &[f32], expected: &[f32], allowed: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    for (at, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!(
            (a - b).abs() <= allowed * scale,
            "{what} at {at}: {a} for {b}"
        );
    }
}

/// With 16 bits: folded weights, what the folded layer gives, and what it gives in training, where the fold is simulated and
/// the norm uses and updates statistics of the batch. Without momentum Distiller averages over all batches, which no norm of
/// Burn's does.
#[test]
fn golden_folded_norms() {
    let golden = golden::open("bn_folding");
    let cases = golden.having(&["/input/w", "/args/layer", "/expect/folded_w"]);
    each(cases, |case| {
        let (name, expect) = (&case["name"], &case["expect"]);
        let (network, x) = normed(case, &golden);
        let mut settings = QuantizationSettings::default();
        (settings.weights.bits, settings.activations.bits) = (16, 0);
        settings.weights.per_channel = false;
        let batch = vec![x.clone()];
        let calibration = Calibration::collect(&network, std::slice::from_ref(&batch)).unwrap();
        let folded = fold_norms(network.clone()).unwrap();
        let inventory = Inventory::from_module(&folded);
        let paths: Vec<&str> = inventory.iter().map(|p| p.path.as_str()).collect();
        assert_eq!(paths, ["layer.weight", "layer.bias"], "{name}");
        for (path, key) in [("layer.weight", "folded_w"), ("layer.bias", "folded_bias")] {
            let own = [inventory.get(path).unwrap()];
            let found: Vec<f32> = calcine_params::flat(&folded, own)
                .remove(0)
                .into_data()
                .iter()
                .collect();
            let stored = linear(case) && key == "folded_w";
            let expected = flat(&expect[key], stored, &golden).into_data();
            let expected: Vec<f32> = expected.iter().collect();
            near(&found, &expected, 2e-6, &format!("{name}: {path}"));
        }
        let y = folded.run(batch.clone(), &mut |_, y| y).unwrap().remove(0);
        let expected = golden.values(&expect["y_unfolded_eval"]).1;
        near(&read(y), &expected, 2e-5, &format!("{name}: folded"));
        let quantized = quantize(&network, &calibration, &settings).unwrap();
        let layer = quantized.layers().next().unwrap();
        let weights: Vec<f32> = layer
            .weight
            .iter()
            .map(|q| *q as f32 * layer.scales[0])
            .collect();
        let folded = flat(&expect["folded_w"], linear(case), &golden).into_data();
        let folded: Vec<f32> = folded.iter().collect();
        near(
            &weights,
            &folded,
            0.51 / 32767.0,
            &format!("{name}: weights"),
        );
        let y = quantized
            .run(batch.clone(), &mut |_, _| {})
            .unwrap()
            .remove(0);
        let expected = golden.values(&expect["y_folded_eval"]).1;
        near(&read(y), &expected, 2e-4, &format!("{name}: results"));

        let qat = QatNetwork::new(network, &calibration, &settings, Method::Lsq)
            .unwrap()
            .train();
        let on_tape = vec![x.to_device(&device().autodiff())];
        let y: Vec<AnyTensor> = qat.forward(on_tape);
        let expected = golden.values(&expect["train"]["y"]).1;
        near(
            &read(y[0].clone()),
            &expected,
            5e-4,
            &format!("{name}: training"),
        );
        if !case["args"]["momentum"].is_null() {
            let qat = qat.valid();
            let inventory = Inventory::from_module(&qat);
            let mean = inventory.get("norm.running_mean").unwrap();
            let mean = calcine_params::flat(&qat, [mean]).remove(0).into_data();
            let mean: Vec<f32> = mean.iter().collect();
            let expected = golden.values(&expect["train"]["running_mean_after"]).1;
            near(&mean, &expected, 5e-4, &format!("{name}: running mean"));
        }
    });
}
