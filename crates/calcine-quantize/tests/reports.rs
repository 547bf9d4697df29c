//! What quantization came to: nodes in float, settings without effect, numbers that half precision lost.

use burn::module::{Module, Param};
use burn::nn::{Embedding, EmbeddingConfig, Linear, LinearConfig};
use burn::tensor::activation::{relu, softmax};
use burn::tensor::{Int, Tensor, TensorData};
use calcine_quantize::{
    Calibration, FirstLastSettings, FloatType, Method, Override, QatNetwork, QuantizationSettings,
    Quantized, RangeEstimator, Rounding, quantize, quantize_with_batches,
};
use calcine_testkit::{device, each, numbers};
use calcine_trace::{Network, trace};

use crate::settings::{Change, blocks, layer};

#[derive(Module, Debug)]
struct Mixed {
    embedding: Embedding,
    first: Linear,
    gate: Param<Tensor<1>>,
    last: Linear,
}

fn mixed() -> (Network, Calibration) {
    let model = Mixed {
        embedding: EmbeddingConfig::new(5, 4).init(&device()),
        first: LinearConfig::new(4, 4).init(&device()),
        gate: Param::from_tensor(numbers([4])),
        last: LinearConfig::new(4, 2).init(&device()),
    };
    let words = Tensor::<1, Int>::from_data(TensorData::from([0, 3, 4, 1]), &device());
    let words = words.reshape([4, 1]);
    let forward = |m: &Mixed, words: Tensor<2, Int>| {
        let x = relu(m.first.forward(m.embedding.forward(words)));
        m.last
            .forward(softmax(x * m.gate.val().reshape([1, 1, 4]), 2))
    };
    let network = trace(&model, words.clone(), forward).unwrap();
    let calibration = Calibration::collect(&network, &[words]).unwrap();
    (network, calibration)
}

#[test]
fn a_report_lists_what_stays_in_float_and_why() {
    let (network, calibration) = mixed();
    let float = |settings: &QuantizationSettings| {
        let quantized = quantize(&network, &calibration, settings).unwrap();
        let float = quantized.report().float.iter();
        float
            .map(|node| (node.operation.clone(), node.reason.to_string()))
            .collect::<Vec<_>>()
    };
    let rows: [(Change, &[(&str, &str)]); 4] = [
        (
            |_| {},
            &[("reshape", "`gate`"), ("softmax", "no form in integers")],
        ),
        (
            |s| {
                s.layers.push(Override {
                    float: Some(FloatType::Bf16),
                    ..layer("first")
                });
            },
            &[
                ("linear", "float = \"bf16\""),
                ("relu", "`first`"),
                ("reshape", "`gate`"),
                ("softmax", "no form"),
            ],
        ),
        (
            |s| s.activations.bits = 0,
            &[
                ("linear", "`embedding`"),
                ("relu", "bits = 0"),
                ("reshape", "bits = 0"),
                ("mul", "bits = 0"),
                ("softmax", "bits = 0"),
                ("linear", "softmax`"),
            ],
        ),
        (
            |s| s.activations.dynamic = true,
            &[
                ("relu", "dynamic"),
                ("reshape", "dynamic"),
                ("mul", "dynamic"),
                ("softmax", "dynamic"),
            ],
        ),
    ];
    each(rows, |(change, expected)| {
        let mut settings = QuantizationSettings::default();
        change(&mut settings);
        let found = float(&settings);
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for ((operation, reason), (own, why)) in found.iter().zip(*expected) {
            assert!(operation == own && reason.contains(why), "{found:?}");
        }
    });
    let quantized = quantize(&network, &calibration, &QuantizationSettings::default()).unwrap();
    let report = quantized.report();
    assert_eq!(report.float[0].parameters, ["gate"]);
    let text = report.to_string();
    assert!(
        text.contains("the operation has no form in integers: first.softmax"),
        "{text}"
    );
    let json = serde_json::to_value(report).unwrap();
    assert_eq!(json["float"][0]["operation"], "reshape");
    // A file knows which, though not why.
    let again = Quantized::from_bytes(&quantized.to_bytes().unwrap(), &device()).unwrap();
    let names = |quantized: &Quantized| {
        let float = quantized.report().float.iter();
        float.map(|node| node.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(&again), names(&quantized));
    let qat = QatNetwork::new(
        network,
        &calibration,
        &QuantizationSettings::default(),
        Method::Lsq,
    )
    .unwrap();
    assert_eq!(qat.report().float.last(), report.float.last());
}

#[test]
fn settings_that_change_nothing_are_reported() {
    let (network, calibration, x) = blocks();
    let rows: [(Change, &[&str]); 11] = [
        (|_| {}, &[]),
        (
            |s| {
                s.layers.push(Override {
                    weight_bits: Some(4),
                    ..layer("conv1")
                });
            },
            &[],
        ),
        (
            |s| {
                s.layers.push(Override {
                    weight_bits: Some(4),
                    ..layer("conv2")
                });
                s.layers.push(Override {
                    weight_bits: Some(5),
                    ..layer("conv*")
                });
            },
            &["layer.conv2.weight_bits"],
        ),
        (
            |s| {
                let float = Some(FloatType::F32);
                s.layers.push(Override {
                    float,
                    weight_bits: Some(4),
                    activation_range_estimator: Some(RangeEstimator::Mse),
                    ..layer("conv2")
                });
            },
            &[
                "layer.conv2.weight_bits",
                "layer.conv2.activation_range_estimator",
            ],
        ),
        (
            |s| {
                s.first_last = Some(FirstLastSettings {
                    float: Some(FloatType::F32),
                    weight_bits: Some(8),
                    ..FirstLastSettings::default()
                });
            },
            &["first_last.weight_bits"],
        ),
        (
            |s| {
                s.layers.push(Override {
                    activation_bits: Some(4),
                    ..layer("fc")
                });
            },
            &["layer.fc.activation_bits"],
        ),
        (
            |s| {
                s.layers.push(Override {
                    weight_bits: Some(4),
                    ..layer("input")
                });
            },
            &["layer.input.weight_bits"],
        ),
        (|s| s.layers.push(layer("fc")), &["layer.fc"]),
        (
            |s| {
                s.activations.bits = 0;
                s.activations.range_estimator = RangeEstimator::Mse;
            },
            &["activations.range_estimator"],
        ),
        (|s| s.weights.reestimate = true, &["weights.reestimate"]),
        (
            |s| {
                s.weights.rounding = Rounding::Gptq;
                s.layers.push(Override {
                    float: Some(FloatType::F32),
                    ..layer("**")
                });
            },
            &["weights.rounding"],
        ),
    ];
    each(rows, |(change, expected)| {
        let mut settings = QuantizationSettings::default();
        change(&mut settings);
        let quantized =
            quantize_with_batches(&network, &calibration, &settings, std::slice::from_ref(&x))
                .unwrap();
        let report = quantized.report();
        let unused = report.without_effect.iter();
        let unused: Vec<&str> = unused.map(|unused| unused.setting.as_str()).collect();
        assert_eq!(unused, *expected);
        for setting in *expected {
            assert!(report.warnings().iter().any(|line| line.contains(setting)));
            assert!(report.to_string().contains(setting));
        }
        let patterns = settings.layers.iter().map(|layer| &layer.name);
        let reported = report.overrides.iter().map(|matched| &matched.pattern);
        assert!(patterns.eq(reported));
    });
    let mut settings = QuantizationSettings::default();
    settings.weights.correct_bias = true;
    let qat = QatNetwork::new(network, &calibration, &settings, Method::Lsq).unwrap();
    assert_eq!(
        qat.report().without_effect[0].setting,
        "weights.correct_bias"
    );
}

#[test]
fn half_precision_says_what_it_loses() {
    let of = |weights: [f32; 4]| {
        let mut model: Linear = LinearConfig::new(2, 2).with_bias(false).init(&device());
        model.weight =
            Param::from_tensor(Tensor::<1>::from_floats(weights, &device()).reshape([2, 2]));
        let x: Tensor<2> = numbers([4, 2]);
        let network = trace(&model, x.clone(), |m, x| m.forward(x)).unwrap();
        let calibration = Calibration::collect(&network, std::slice::from_ref(&x)).unwrap();
        let mut settings = QuantizationSettings::default();
        settings.layers.push(Override {
            float: Some(FloatType::F16),
            ..layer("*")
        });
        let quantized = quantize(&network, &calibration, &settings).unwrap();
        let y: Tensor<2> = quantized.forward(x.clone());
        let expected: Tensor<2> = network.forward(x);
        let off = (y - expected).abs().max().into_scalar::<f32>();
        let losses = quantized.report().half_precision.clone();
        let losses = losses.iter().filter(|loss| loss.parameter == "weight");
        let losses: Vec<_> = losses
            .map(|loss| (loss.kept, loss.zeros, loss.numbers))
            .collect();
        (losses, quantized.report().warnings().len(), off)
    };
    assert_eq!(of([1.0, 0.0, -2.0, 1e-4]).0, []);
    assert_eq!(of([1.0, 0.0, -2.0, 1e-9]).0, [(FloatType::F16, 1, 3)]);
    // A type that would leave nothing is not taken.
    let (losses, warnings, off) = of([1e-9, 2e-9, 0.0, 1e-9]);
    assert_eq!(losses, [(FloatType::F32, 3, 3)]);
    assert!(warnings > 0 && off < 2e-10, "{warnings} {off}");
}
