//! Settings: what they may say, which layers they are of, and how they are merged.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use calcine_params::Inventory;
use calcine_quantize::{
    AccumulatorSettings, Calibration, Evaluation, FirstLastSettings, Method, Override, Preparation,
    QatNetwork, QuantizationSettings, Quantized, RangeEstimator, Scheme, Trials, greedy, lapq,
    mixed_precision, prepare, quantize, quantize_with_batches, smooth,
};
use calcine_testkit::{device, each, numbers};
use calcine_trace::{Network, trace};

use crate::models::{images, network};

pub(crate) fn layer(name: &str) -> Override {
    Override {
        name: name.to_owned(),
        ..Override::default()
    }
}

pub(crate) type Change = fn(&mut QuantizationSettings);

/// Values that a file could not have, or that no arithmetic has, and what the error names.
const BAD: [(&str, Change); 32] = [
    ("prepare.smooth", |s| s.prepare.smooth = Some(7.0)),
    ("prepare.smooth", |s| s.prepare.smooth = Some(-0.1)),
    ("prepare.smooth", |s| s.prepare.smooth = Some(f64::NAN)),
    ("weights.bits", |s| s.weights.bits = 0),
    ("weights.bits", |s| s.weights.bits = 1),
    ("weights.bits", |s| s.weights.bits = 17),
    ("weights.bits", |s| s.weights.bits = 255),
    ("weights.bits", |s| {
        s.weights.scheme = Scheme::Affine;
        s.weights.bits = 0;
    }),
    ("weights.group", |s| {
        s.weights.group = Some(0);
        s.activations.bits = 0;
    }),
    ("weights.group", |s| {
        s.weights.group = Some(4);
        s.weights.per_channel = false;
        s.activations.bits = 0;
    }),
    ("weights.range_estimator", |s| {
        s.weights.range_estimator = RangeEstimator::Norm(0.5);
    }),
    ("activations.bits", |s| s.activations.bits = 17),
    ("activations.bits", |s| {
        s.activations.scheme = Scheme::Symmetric;
        s.activations.bits = 1;
    }),
    ("activations.range_estimator", |s| {
        s.activations.range_estimator = RangeEstimator::Percentile(-5.0);
    }),
    ("activations.range_estimator", |s| {
        s.activations.range_estimator = RangeEstimator::Percentile(101.0);
    }),
    ("activations.range_estimator", |s| {
        s.activations.range_estimator = RangeEstimator::Percentile(f64::NAN);
    }),
    ("activations.range_estimator", |s| {
        s.activations.range_estimator = RangeEstimator::Deviations(-1.0);
    }),
    ("activations.range_estimator", |s| {
        s.activations.range_estimator = RangeEstimator::Deviations(f64::INFINITY);
    }),
    ("activations.range_estimator", |s| {
        s.activations.range_estimator = RangeEstimator::Norm(f64::NAN);
    }),
    ("activations.range_estimator", |s| {
        s.activations.dynamic = true;
        s.activations.range_estimator = RangeEstimator::Mse;
    }),
    ("activations.power_of_two", |s| {
        s.activations.dynamic = true;
        s.activations.power_of_two = true;
    }),
    ("accumulator.bits", |s| {
        s.accumulator = AccumulatorSettings {
            bits: 0,
            ..s.accumulator
        }
    }),
    ("accumulator.bits", |s| {
        s.accumulator = AccumulatorSettings {
            bits: 80,
            ..s.accumulator
        }
    }),
    ("accumulator.bias_bits", |s| {
        s.accumulator = AccumulatorSettings {
            bias_bits: 7,
            ..s.accumulator
        }
    }),
    ("first_last.weight_bits", |s| {
        s.first_last = Some(FirstLastSettings {
            weight_bits: Some(1),
            ..FirstLastSettings::default()
        });
    }),
    ("first_last.activation_bits", |s| {
        s.first_last = Some(FirstLastSettings {
            activation_bits: Some(33),
            ..FirstLastSettings::default()
        });
    }),
    ("layer.name", |s| s.layers.push(layer(""))),
    ("layer.name", |s| s.layers.push(layer("{stem"))),
    ("layer.stem.weight_bits", |s| {
        s.layers.push(Override {
            weight_bits: Some(0),
            ..layer("stem")
        });
    }),
    ("layer.stem.activation_range_estimator", |s| {
        s.layers.push(Override {
            activation_range_estimator: Some(RangeEstimator::Percentile(50.0)),
            ..layer("stem")
        });
    }),
    ("layer.stem.weight_stretch", |s| {
        s.layers.push(Override {
            weight_stretch: Some(0.0),
            ..layer("stem")
        });
    }),
    ("layer.stem.activation_stretch", |s| {
        s.layers.push(Override {
            activation_stretch: Some(f64::NAN),
            ..layer("stem")
        });
    }),
];

#[test]
fn settings_made_by_code_are_checked_by_all_that_take_them() {
    let network = network();
    let batches = [images(2, 0)];
    let calibration = Calibration::collect(&network, &batches).unwrap();
    let score = |_: &Quantized| Evaluation::new(0.0, 1);
    each(BAD, |(field, change)| {
        let mut settings = QuantizationSettings::default();
        change(&mut settings);
        let error = settings.check().unwrap_err();
        assert_eq!(error.field, *field);
        let expected = error.to_string();
        let trials = || Trials::new(score);
        let found = [
            quantize(&network, &calibration, &settings)
                .map(drop)
                .map_err(|e| e.to_string()),
            quantize_with_batches(&network, &calibration, &settings, &batches)
                .map(drop)
                .map_err(|e| e.to_string()),
            QatNetwork::new(network.clone(), &calibration, &settings, Method::Lsq)
                .map(drop)
                .map_err(|e| e.to_string()),
            lapq(&network, &calibration, &settings, 1, &mut trials())
                .map(drop)
                .map_err(|e| e.to_string()),
            greedy(&network, &calibration, &settings, &[], &mut trials())
                .map(drop)
                .map_err(|e| e.to_string()),
            mixed_precision(&network, &calibration, &settings, &[8], &mut trials())
                .map(drop)
                .map_err(|e| e.to_string()),
        ];
        for (at, found) in found.into_iter().enumerate() {
            // Training has bits of its own, and of the mixed_precision, those that are tried are the weights'.
            if (at == 2 || at == 5) && *field == "weights.bits" {
                continue;
            }
            assert_eq!(found, Err(expected.clone()), "{at}");
        }
        if field.starts_with("prepare") {
            let found = prepare(network.clone(), &batches, &settings.prepare);
            assert_eq!(found.unwrap_err().to_string(), expected);
            let strength = settings.prepare.smooth.unwrap();
            let found = smooth(network.clone(), &batches, strength).unwrap_err();
            assert_eq!(found.to_string(), expected);
        }
    });
    let nothing = Preparation::default();
    assert!(prepare::<Tensor<4>>(network.clone(), &[], &nothing).is_ok());
    for bits in [0, 1, 17] {
        let settings = QuantizationSettings::default();
        let error = mixed_precision(
            &network,
            &calibration,
            &settings,
            &[8, bits],
            &mut Trials::new(score),
        );
        assert!(error.unwrap_err().to_string().contains("`weights.bits`"));
    }
    let range_estimators = [RangeEstimator::Mse, RangeEstimator::Percentile(3.0)];
    let error = greedy(
        &network,
        &calibration,
        &QuantizationSettings::default(),
        &range_estimators,
        &mut Trials::new(score),
    );
    assert!(error.unwrap_err().to_string().contains("percentile(3)"));
}

#[derive(Module, Debug)]
struct Blocks {
    conv1: Linear,
    conv2: Linear,
    layer1: Vec<Block>,
    fc: Linear,
}

#[derive(Module, Debug)]
struct Block {
    conv1: Linear,
    inner: Inner,
}

#[derive(Module, Debug)]
struct Inner {
    conv1: Linear,
}

/// Layers of one name at several depths, one of them used twice, with a relu behind each.
pub(crate) fn blocks() -> (Network, Calibration, Tensor<2>) {
    let linear = || LinearConfig::new(3, 3).init(&device());
    let block = || Block {
        conv1: linear(),
        inner: Inner { conv1: linear() },
    };
    let model = Blocks {
        conv1: linear(),
        conv2: linear(),
        layer1: vec![block(), block()],
        fc: linear(),
    };
    let x: Tensor<2> = numbers([16, 3]);
    let forward = |m: &Blocks, x: Tensor<2>| {
        let mut x = relu(
            m.conv2
                .forward(relu(m.conv1.forward(relu(m.conv1.forward(x))))),
        );
        for block in &m.layer1 {
            let y = relu(
                block
                    .inner
                    .conv1
                    .forward(relu(block.conv1.forward(x.clone()))),
            );
            x = x + y;
        }
        m.fc.forward(x)
    };
    let network = trace(&model, x.clone(), forward).unwrap();
    let calibration = Calibration::collect(&network, std::slice::from_ref(&x)).unwrap();
    (network, calibration, x)
}

/// The weights of the layers with these bits.
fn weights_of(quantized: &Quantized, bits: u8) -> Vec<String> {
    let graph = quantized.graph();
    let weight = |name: &str| {
        let node = graph.nodes.iter().find(|node| node.name == name).unwrap();
        graph.value(node.inputs[1]).name.clone()
    };
    let layers = quantized.layers().filter(|layer| layer.bits == bits);
    layers.map(|layer| weight(layer.name)).collect()
}

#[test]
fn a_pattern_of_layers_is_one_of_their_weights() {
    let (network, calibration, _) = blocks();
    let inventory = Inventory::from_module(&network);
    let rows = [
        "*",
        "**",
        "conv1",
        "conv*",
        "conv?",
        "*.conv1",
        "*.*.conv1",
        "**.conv1",
        "layer1.*",
        "layer1.*.conv1",
        "layer1.**.conv1",
        "layer1.**",
        "layer1.0.conv1",
        "layer1.1.*.conv1",
        "layer1.[0-9].conv1",
        "{conv1,fc}",
        "*.{0,1}.inner.*",
        "module.conv1",
    ];
    each(rows, |pattern| {
        let mut settings = QuantizationSettings::default();
        settings.layers.push(Override {
            weight_bits: Some(4),
            ..layer(pattern)
        });
        let selected = inventory.select(&[format!("{pattern}.weight")]);
        let found = quantize(&network, &calibration, &settings);
        // A pattern of another depth is reported, and of parameters an error.
        let modules =
            selected.is_err() && found.as_ref().is_ok_and(|q| weights_of(q, 4).is_empty());
        if modules {
            return;
        }
        let (Ok(selected), Ok(found)) = (&selected, &found) else {
            assert_eq!(
                selected.is_ok(),
                found.is_ok(),
                "{selected:?} {:?}",
                found.as_ref().err()
            );
            return;
        };
        let mut weights = weights_of(found, 4);
        // Both uses of a layer are of one weight.
        weights.dedup();
        let mut expected: Vec<&str> = selected.iter().map(|p| p.path.as_str()).collect();
        expected.sort_unstable();
        weights.sort_unstable();
        assert_eq!(weights, expected);
    });
}

#[test]
fn a_pattern_of_layers_reaches_nothing_that_follows_them() {
    let (network, calibration, _) = blocks();
    let quantized = |names: &[&str]| {
        let mut settings = QuantizationSettings::default();
        for name in names {
            settings.layers.push(Override {
                activation_bits: Some(4),
                activation_stretch: Some(1.5),
                ..layer(name)
            });
        }
        quantize(&network, &calibration, &settings).unwrap()
    };
    let layers = [
        "conv1",
        "conv2",
        "layer1.0.conv1",
        "layer1.0.inner.conv1",
        "layer1.1.conv1",
    ];
    let layers = [&layers[..], &["layer1.1.inner.conv1", "fc"]].concat();
    let rows = [
        ("conv*", &layers[..2]),
        ("layer1.**", &layers[2..6]),
        ("**", &layers[..]),
    ];
    each(rows, |(pattern, names)| {
        let (by_pattern, by_name) = (quantized(&[pattern]), quantized(names));
        for node in &network.graph().nodes {
            assert_eq!(
                by_pattern.quantizer(&node.name),
                by_name.quantizer(&node.name),
                "{}",
                node.name
            );
        }
    });
    // A node that is no layer is meant where no layer is.
    let sum = network
        .graph()
        .nodes
        .iter()
        .find(|node| node.op.name() == "add")
        .unwrap();
    let own = quantized(&[&sum.name]);
    let four = |name: &str| {
        own.quantizer(name)
            .is_some_and(|quantizer| quantizer.high - quantizer.low == 15)
    };
    assert!(four(&sum.name));
    let others = network
        .graph()
        .nodes
        .iter()
        .filter(|node| node.op.name() == "add");
    assert_eq!(others.filter(|node| four(&node.name)).count(), 1);
}

#[test]
fn a_pattern_that_matches_nothing_names_its_neighbours() {
    let (network, calibration, _) = blocks();
    let rows = [
        ("conv3", "conv"),
        ("layer1.0.conv2", "layer1.0.conv1"),
        ("layer1", "layer1"),
        ("*.convolution", "conv"),
        ("fc.*", "fc"),
        ("layer2.**", "layer1"),
    ];
    each(rows, |(pattern, near)| {
        let mut settings = QuantizationSettings::default();
        settings.layers.push(Override {
            weight_bits: Some(4),
            ..layer(pattern)
        });
        let after = quantize(&network, &calibration, &settings)
            .unwrap_err()
            .to_string();
        let qat = QatNetwork::new(network.clone(), &calibration, &settings, Method::Lsq);
        assert_eq!(qat.unwrap_err().to_string(), after);
        let (said, nearest) = after.split_once("nearest: ").unwrap();
        assert!(said.contains(pattern) && nearest.contains(near), "{after}");
    });
}

#[derive(Module, Debug)]
struct Named {
    input: Linear,
    output: Linear,
}

/// What is called `input` as a layer and as what the network is fed.
#[test]
fn a_name_that_two_things_could_have_is_an_error() {
    let model = Named {
        input: LinearConfig::new(3, 3).init(&device()),
        output: LinearConfig::new(3, 2).init(&device()),
    };
    let x: Tensor<2> = numbers([8, 3]);
    let forward = |m: &Named, x: Tensor<2>| m.output.forward(relu(m.input.forward(x)));
    let network = trace(&model, x.clone(), forward).unwrap();
    let calibration = Calibration::collect(&network, &[x]).unwrap();
    let graph = network.graph();
    let fed = graph.value(graph.inputs[0]).name.clone();
    let bits = |name: &str| {
        let mut settings = QuantizationSettings::default();
        settings.layers.push(Override {
            activation_bits: Some(4),
            ..layer(name)
        });
        let quantized = quantize(&network, &calibration, &settings);
        quantized.map(|quantized| {
            [fed.as_str(), "input"].map(|name| quantized.quantizer(name).map(|g| g.high))
        })
    };
    let error = bits("input").unwrap_err().to_string();
    assert!(error.contains("write `input.weight` or `"), "{error}");
    assert_eq!(bits("input.weight").unwrap(), [Some(255), Some(15)]);
    assert_eq!(bits(&fed).unwrap(), [Some(15), Some(255)]);
    // Searches name what they mean.
    let score = |_: &Quantized| Evaluation::new(0.0, 1);
    let mut trials = Trials::new(score);
    let settings = QuantizationSettings::default();
    assert!(lapq(&network, &calibration, &settings, 1, &mut trials).is_ok());
    let found = mixed_precision(
        &network,
        &calibration,
        &settings,
        &[8, 4],
        &mut Trials::new(score),
    )
    .unwrap();
    let chosen = found.allocate(&settings, 10_000).unwrap();
    assert!(quantize(&network, &calibration, &chosen).is_ok());
}

/// As `layer1.*.weight` is of no parameter.
#[test]
fn a_pattern_of_another_depth_is_of_no_layer_and_reported() {
    let (network, calibration, _) = blocks();
    for pattern in ["layer1.*", "*.conv2", "*.*.*.*.*.*.conv1"] {
        let mut settings = QuantizationSettings::default();
        settings.layers.push(Override {
            weight_bits: Some(4),
            ..layer(pattern)
        });
        let quantized = quantize(&network, &calibration, &settings).unwrap();
        assert_eq!(weights_of(&quantized, 4), Vec::<String>::new());
        let report = quantized.report();
        assert_eq!(report.without_effect[0].setting, format!("layer.{pattern}"));
        assert!(report.overrides[0].matched.is_empty());
    }
}

#[test]
fn overrides_and_first_last_are_merged_key_by_key() {
    let (network, calibration, _) = blocks();
    let all = [
        "conv1.weight",
        "conv1.weight",
        "conv2.weight",
        "layer1.0.conv1.weight",
        "layer1.0.inner.conv1.weight",
        "layer1.1.conv1.weight",
        "layer1.1.inner.conv1.weight",
        "fc.weight",
    ];
    let quantized = |text: &str| {
        let settings = crate::models::settings(text);
        quantize(&network, &calibration, &settings).unwrap()
    };
    let layers = |text: &str, bits: u8| weights_of(&quantized(text), bits);
    let ends = "[first_last]\nfloat = \"f32\"\n";
    // The second use of the first layer is not the layer that sees the input.
    assert_eq!(layers(ends, 8), all[1..7]);
    // What an override says nothing of stays.
    let rows = [
        "activation_range_estimator = \"mse\"",
        "weight_range_estimator = \"mse\"",
        "weight_stretch = 1.1",
        "activation_stretch = 1.1",
        "activation_bits = 6",
        "weight_bits = 8",
    ];
    each(rows, |key| {
        let text = format!("{ends}[[layer]]\nname = \"**\"\n{key}\n");
        assert_eq!(layers(&text, 8), all[1..7]);
        let text =
            format!("[[layer]]\nname = \"fc\"\nfloat = \"f32\"\n[[layer]]\nname = \"**\"\n{key}\n");
        assert_eq!(layers(&text, 8), all[..7]);
    });
    let text = "[first_last]\nweight_bits = 6\nactivation_bits = 5\n[[layer]]\nname = \"**\"\nactivation_bits = 7\n[[layer]]\nname = \"fc\"\nweight_bits = 3\n";
    assert_eq!(layers(text, 6), ["conv1.weight"]);
    assert_eq!(layers(text, 3), ["fc.weight"]);
    let bits = |name: &str| {
        quantized(text)
            .quantizer(name)
            .map(|quantizer| quantizer.high)
    };
    assert_eq!([bits("conv2"), bits("input")], [Some(127), Some(31)]);
    // The last that has a key decides about it, and about no other.
    let text = "[[layer]]\nname = \"conv2\"\nweight_bits = 4\nactivation_bits = 4\n[[layer]]\nname = \"conv2\"\nweight_bits = 5\n";
    assert_eq!(layers(text, 5), ["conv2.weight"]);
    assert_eq!(
        quantized(text)
            .quantizer("conv2")
            .map(|quantizer| quantizer.high),
        Some(15)
    );
}

/// Bit widths stay what was chosen, whatever globs of the settings and second uses of a layer say.
#[test]
fn a_search_finds_settings_for_second_uses_too() {
    let (network, calibration, _) = blocks();
    let score = |quantized: &Quantized| {
        let bits: u32 = quantized.layers().map(|layer| u32::from(layer.bits)).sum();
        Evaluation::new(100.0 - f64::from(bits), 1)
    };
    let mut settings = QuantizationSettings::default();
    // Behind the names that the search gives, a glob would decide.
    settings.layers.push(Override {
        weight_bits: Some(7),
        ..layer("conv2")
    });
    settings.layers.push(Override {
        weight_bits: Some(6),
        ..layer("**")
    });
    let found = mixed_precision(
        &network,
        &calibration,
        &settings,
        &[8, 4],
        &mut Trials::new(score),
    )
    .unwrap();
    // Narrower weights lose as much in each layer, so that the layers must differ by the budget alone.
    let budget = found.rest + 9 * 6 + 9;
    let chosen = found.allocate(&settings, budget).unwrap();
    let quantized = quantize(&network, &calibration, &chosen).unwrap();
    let bytes: usize = quantized
        .layers()
        .map(|layer| 9 * usize::from(layer.bits))
        .sum();
    assert!(bytes.div_ceil(8) as u64 + found.rest <= budget, "{bytes}");
    assert_eq!(weights_of(&quantized, 6), Vec::<String>::new());
}
