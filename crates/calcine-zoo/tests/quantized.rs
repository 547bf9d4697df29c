//! ResNet-20 in 8-bit integers, against Distiller's.

use burn::tensor::{Device, Tensor};
use calcine_graph::{Graph, Map, Node, Op, Source, ValueId};
use calcine_quantize::{Calibration, Scheme, Seen, Settings, quantize};
use calcine_testkit::golden;
use calcine_trace::trace;
use calcine_zoo::{ResNetConfig, weights};
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use serde_json::Value;

fn numbers(view: &TensorView<'_>) -> Vec<f32> {
    let four = view.data().chunks_exact(4);
    four.map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()))
        .collect()
}

/// What Distiller calls a node: its relus have names of their own, sums those of their block.
fn theirs(graph: &Graph, node: &Node) -> Option<String> {
    let is_sum = |node: &&Node| matches!(node.op, Op::Zip(_));
    let block = |id: ValueId| {
        let sums = graph.nodes.iter().filter(is_sum);
        let at = sums.take_while(|sum| sum.output <= id).count() - 1;
        format!("layer{}.{}", at / 3 + 1, at % 3)
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

/// Logits within three of Distiller's steps, and the same classes, by its ranges. It rounds a sum's operands first, and what its
/// sums give once more behind the relu.
#[test]
fn golden_resnet20_in_integers() {
    let golden = golden::open("ptq_model");
    let case = golden.cases("resnet20_")[0];
    let base = golden::bytes("resnet20_base.safetensors");
    let base = SafeTensors::deserialize(&base).unwrap();
    let parameters = base.tensors().into_iter();
    let parameters = parameters.filter(|(name, _)| name != "x" && name != "logits");
    let parameters = safetensors::serialize(parameters, None).unwrap();
    let model = ResNetConfig::new(20).init(&Device::flex()).unwrap();
    let model = weights::load_bytes(model, &parameters).unwrap();
    let x = numbers(&base.tensor("x").unwrap());
    let x = Tensor::<1>::from_floats(x.as_slice(), &Device::flex()).reshape([4, 3, 32, 32]);
    let network = trace(&model, x.clone(), |m, x: Tensor<4>| m.forward(x)).unwrap();
    let mut seen = Calibration::of(&network, std::slice::from_ref(&x)).unwrap();
    let graph = network.graph();
    let stats = &case["args"]["stats"];
    let mut change = |name: &str, stats: &Value| {
        let own = seen.values.get_mut(name).unwrap();
        let end = |key: &str| stats[key].as_f64().unwrap();
        *own = Seen {
            min: end("min"),
            max: end("max"),
            ..own.clone()
        };
    };
    let mut changed = 0;
    for node in &graph.nodes {
        if let Some(theirs) = theirs(graph, node) {
            change(&node.name, &stats[theirs.as_str()]["output"]);
            changed += 1;
        }
    }
    // 21 convolutions with norms, 19 relus, 9 sums, the pool, the classifier.
    assert_eq!(changed, 72);
    let input = &graph.value(graph.inputs[0]).name;
    change(input, &stats["conv1"]["inputs"]["0"]);
    let mut settings = Settings::default();
    settings.weights.scheme = Scheme::Affine;
    let quantized = quantize(&network, &seen, &settings).unwrap();
    let layers = case["expect"]["layers"].as_array().unwrap();
    for layer in quantized.layers() {
        let theirs = layers.iter().find(|theirs| theirs["name"] == layer.name);
        let scales = theirs.unwrap()["w_scale"].as_array().unwrap();
        assert_eq!(layer.steps.len(), scales.len());
        for (step, scale) in layer.steps.iter().zip(scales) {
            let off = f64::from(*step) * scale.as_f64().unwrap() - 1.0;
            assert!(off.abs() < 1e-4, "{}: {step} for {scale}", layer.name);
        }
    }
    let found: Tensor<2> = quantized.forward(x);
    let found: Vec<f32> = found.into_data().iter().collect();
    let (_, expected) = golden.values(&case["expect"]["logits"]);
    let step = 1.0 / layers.last().unwrap()["output_scale"].as_f64().unwrap() as f32;
    let largest = |logits: &[f32]| (0..10).max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
    for (found, expected) in found.chunks(10).zip(expected.chunks(10)) {
        assert_eq!(largest(found), largest(expected));
        for (found, expected) in found.iter().zip(expected) {
            assert!(
                (found - expected).abs() <= 3.0 * step,
                "{found} for {expected}"
            );
        }
    }
}
