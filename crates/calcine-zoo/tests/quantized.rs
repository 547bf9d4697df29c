//! ResNet-20 in 8-bit integers, against Distiller's.

use burn::tensor::{Device, Tensor};
use calcine_graph::{Graph, Map, Node, Op, Source, ValueId};
use calcine_quantize::{
    Calibration, CalibrationStatistics, QuantizationSettings, RangeEstimator, Scheme, quantize,
};
use calcine_testkit::each;
use calcine_testkit::golden::{self, Golden};
use calcine_trace::trace;
use serde_json::Value;

use crate::import::golden_resnet;

/// What Distiller calls a node: its relus have names of their own, sums those of their block.
fn theirs(graph: &Graph, node: &Node) -> Option<String> {
    let is_sum = |node: &&Node| matches!(node.op, Op::Zip(_));
    let block = |id: ValueId| {
        let sums = graph.nodes.iter().filter(is_sum);
        let at = sums.take_while(|sum| sum.output <= id).count() - 1;
        // As many blocks in each of three stages.
        let blocks = graph.nodes.iter().filter(is_sum).count() / 3;
        format!("layer{}.{}", at / blocks + 1, at % blocks)
    };
    Some(match &node.op {
        Op::Convolution(_) | Op::Linear | Op::BatchNorm { .. } => node.name.clone(),
        Op::Zip(_) => format!("{}.residual_eltwiseadd", block(node.output)),
        Op::Map(Map::Relu) => match graph.value(node.inputs[0]).source {
            Source::Node(before) if is_sum(&&graph.nodes[before]) => {
                format!("{}.relu2", block(node.inputs[0]))
            }
            _ if node.name.starts_with("bn1") => String::from("relu"),
            _ => format!("{}.relu1", node.name.split(".bn1").next()?),
        },
        Op::AveragePool { .. } | Op::AdaptiveAveragePool => String::from("avgpool"),
        _ => return None,
    })
}

/// The settings of a case; `None` of quantizers that no network here has: full symmetric ranges, and ACIQ's, whose multipliers are
/// computed here and tabled there.
fn settings(args: &Value) -> Option<QuantizationSettings> {
    let scheme = match args["mode"].as_str().unwrap() {
        "sym" => return None,
        "sym_restr" => Scheme::Symmetric,
        _ => Scheme::Affine,
    };
    let bits = |key: &str| args[key].as_u64().unwrap() as u8;
    let mut settings = QuantizationSettings::default();
    settings.weights.scheme = scheme;
    settings.weights.bits = bits("bits_weights");
    settings.weights.per_channel = args["per_channel"] == true;
    settings.activations.scheme = scheme;
    settings.activations.bits = bits("bits_activations");
    settings.activations.range_estimator = match args["clip_acts"].as_str().unwrap() {
        "NONE" => RangeEstimator::MinMax,
        "AVG" => RangeEstimator::Average,
        _ => return None,
    };
    Some(settings)
}

/// The first number in the text of a tolerance, as in "max error 3 output quantization steps".
fn steps(case: &Value) -> f32 {
    let text = case["tolerance"]["logits"].as_str().unwrap();
    let mut words = text.split(' ');
    words.find_map(|word| word.parse().ok()).unwrap()
}

/// Logits within some of Distiller's steps, and the same classes, by its ranges. It rounds a sum's operands first, and what its
/// sums give once more behind the relu.
#[test]
fn golden_resnet20_in_integers() {
    let file = golden::open("ptq_model");
    let cases = file.having(&["/input/weights_file", "/args/mode", "/expect/layers"]);
    let cases = cases.into_iter();
    each(
        cases.filter(|case| settings(&case["args"]).is_some()),
        |case| {
            check(&file, case);
        },
    );
}

fn check(file: &Golden, case: &Value) {
    let device = Device::flex();
    let model = golden_resnet(&device);
    let x: Tensor<4> = file.tensor(&case["input"]["x"], &device);
    let network = trace(&model, x.clone(), |m, x: Tensor<4>| m.forward(x)).unwrap();
    let mut calibration = Calibration::collect(&network, std::slice::from_ref(&x)).unwrap();
    let graph = network.graph();
    let stats = &case["args"]["stats"];
    let mut change = |name: &str, stats: &Value| {
        let own = calibration.values.get_mut(name).unwrap();
        let of = |key: &str, or: f64| stats[key].as_f64().unwrap_or(or);
        *own = CalibrationStatistics {
            min: of("min", f64::NAN),
            max: of("max", f64::NAN),
            average: [of("avg_min", own.average[0]), of("avg_max", own.average[1])],
            ..own.clone()
        };
    };
    let mut changed: Vec<String> = Vec::new();
    for node in &graph.nodes {
        if let Some(theirs) = theirs(graph, node) {
            change(&node.name, &stats[theirs.as_str()]["output"]);
            changed.push(theirs);
        }
    }
    changed.sort();
    let mut named: Vec<&String> = stats.as_object().unwrap().keys().collect();
    named.sort();
    assert!(changed.iter().eq(named), "{changed:?}");
    let input = &graph.value(graph.inputs[0]).name;
    change(input, &stats["conv1"]["inputs"]["0"]);
    let settings = settings(&case["args"]).unwrap();
    let quantized = quantize(&network, &calibration, &settings).unwrap();
    let layers = case["expect"]["layers"].as_array().unwrap();
    for layer in quantized.layers() {
        let theirs = layers.iter().find(|theirs| theirs["name"] == layer.name);
        let scales = theirs.unwrap()["w_scale"].as_array().unwrap();
        assert_eq!(layer.scales.len(), scales.len());
        for (step, scale) in layer.scales.iter().zip(scales) {
            let off = f64::from(*step) * scale.as_f64().unwrap() - 1.0;
            assert!(off.abs() < 1e-4, "{}: {step} for {scale}", layer.name);
        }
    }
    let found: Tensor<2> = quantized.forward(x);
    let [_, classes] = found.dims();
    let found: Vec<f32> = found.into_data().iter().collect();
    let (_, expected) = file.values(&case["expect"]["logits"]);
    let step = 1.0 / layers.last().unwrap()["output_scale"].as_f64().unwrap() as f32;
    let allowed = steps(case) * step;
    let largest = |logits: &[f32]| (0..classes).max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
    for (found, expected) in found.chunks(classes).zip(expected.chunks(classes)) {
        assert_eq!(largest(found), largest(expected));
        for (found, expected) in found.iter().zip(expected) {
            assert!(
                (found - expected).abs() <= allowed,
                "{found} for {expected}"
            );
        }
    }
}
