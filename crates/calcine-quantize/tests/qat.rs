//! A network that is trained quantization-aware becomes the integers that it trained as.

use burn::module::Module;
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::Tensor;
use calcine_params::Inventory;
use calcine_quantize::{Calibration, Method, QatNetwork, QatStage, QuantizationSettings, quantize};
use calcine_testkit::{device, each, numbers};
use calcine_trace::Network;

use crate::models::{images, network};

fn settings(bits: u8, per_channel: bool) -> QuantizationSettings {
    let mut settings = QuantizationSettings::default();
    (settings.weights.bits, settings.activations.bits) = (bits, bits);
    settings.weights.per_channel = per_channel;
    settings
}

fn qat(network: &Network, settings: &QuantizationSettings) -> (QatNetwork, Calibration) {
    trained_by(Method::Lsq, network, settings)
}

fn trained_by(
    method: Method,
    network: &Network,
    settings: &QuantizationSettings,
) -> (QatNetwork, Calibration) {
    let calibration = Calibration::collect(network, &[images(6, 0), images(5, 7)]).unwrap();
    let qat = QatNetwork::new(network.clone(), &calibration, settings, method).unwrap();
    (qat, calibration)
}

const METHODS: [Method; 5] = [
    Method::Lsq,
    Method::Linear { decay: 0.9 },
    Method::Dorefa,
    Method::Pact,
    Method::Wrpn,
];

/// Some steps towards a target.
fn trained(mut qat: QatNetwork, steps: usize) -> QatNetwork {
    let (x, target) = (images(16, 2), numbers([16, 5]));
    let on_tape = device().autodiff();
    let mut optimizer = SgdConfig::new().init();
    for _ in 0..steps {
        let y: Tensor<2> = qat.forward(x.clone().to_device(&on_tape));
        let loss = (y - target.clone().to_device(&on_tape)).square().mean();
        let gradients = GradientsParams::from_grads(loss.backward(), &qat);
        qat = optimizer.step(0.05, qat, gradients);
    }
    qat
}

fn difference(a: &Tensor<2>, b: &Tensor<2>) -> f32 {
    (a.clone() - b.clone()).abs().max().into_scalar::<f32>()
}

#[test]
fn it_begins_as_the_network_quantized_after_training() {
    let network = network();
    let x = images(4, 3);
    each(
        [(8, true), (8, false), (5, true), (4, false)],
        |(bits, per_channel)| {
            let settings = settings(*bits, *per_channel);
            let (qat, calibration) = qat(&network, &settings);
            let expected: Tensor<2> = quantize(&network, &calibration, &settings)
                .unwrap()
                .forward(x.clone());
            let integers: Tensor<2> = qat.quantized().unwrap().forward(x.clone());
            let floats: Tensor<2> = qat.forward(x.clone());
            let scale = expected.clone().abs().max().into_scalar::<f32>();
            // A tie that falls the other way moves a value by a step.
            let step = scale / f32::from(1_u8 << (*bits - 3));
            assert!(
                difference(&integers, &floats) <= step,
                "{}",
                difference(&integers, &floats)
            );
            assert!(difference(&integers, &expected) <= step);
        },
    );
}

/// Trained towards something at 3 bits, it comes closer than it began, and its integers with it.
#[test]
fn quantization_aware_training_helps_the_integers() {
    let network = network();
    let x = images(16, 2);
    let target: Tensor<2> = numbers([16, 5]);
    let off = |qat: &QatNetwork| {
        let found: Tensor<2> = qat.valid().quantized().unwrap().forward(x.clone());
        (found - target.clone())
            .square()
            .mean()
            .into_scalar::<f32>()
    };
    let (begun, _) = qat(&network, &settings(3, true));
    let before = off(&begun);
    let mut qat = begun.train();
    let mut optimizer = SgdConfig::new().init();
    let on_tape = device().autodiff();
    for step in 0..60 {
        let y: Tensor<2> = qat.forward(x.clone().to_device(&on_tape));
        let loss = (y - target.clone().to_device(&on_tape)).square().mean();
        let gradients = GradientsParams::from_grads(loss.backward(), &qat);
        if step == 0 {
            // Weights, biases, scales and shifts as before, and the steps: six of weights, eight of activations.
            let steps = Inventory::from_module(&qat)
                .iter()
                .filter(|p| p.path.contains("_scale"))
                .count();
            let trained = Inventory::from_module(&network)
                .iter()
                .filter(|p| p.is_trainable())
                .count();
            assert_eq!(gradients.len(), trained + steps);
            assert!(steps > 10, "{steps}");
        }
        qat = optimizer.step(0.05, qat, gradients);
    }
    let after = off(&qat);
    assert!(after < 0.95 * before, "{before} became {after}");
}

#[test]
fn zeros_stay_zero_on_every_quantizer() {
    let network = network();
    let (qat, _) = qat(&network, &settings(4, true));
    let inventory = Inventory::from_module(&qat);
    let parameter = inventory.get("inner.weight").unwrap().clone();
    let zeros = Tensor::<1>::zeros([parameter.numel()], &device());
    let values = std::collections::BTreeMap::from([(parameter.id, zeros)]);
    let pruned = calcine_params::replace(qat, values).quantized().unwrap();
    let layer = pruned.layers().find(|layer| layer.name == "inner").unwrap();
    assert!(layer.weight.iter().all(|q| *q == 0));
}

/// What is trained is what the integers are: the simulation's results lie where the engine's do, but for ties.
#[test]
fn every_method_trains_what_its_integers_compute() {
    let network = network();
    let x = images(12, 5);
    let rows = METHODS.into_iter();
    let rows = rows.flat_map(|method| [(method, 4, true), (method, 3, false)]);
    each(rows, |(method, bits, per_channel)| {
        let (begun, _) = trained_by(*method, &network, &settings(*bits, *per_channel));
        let qat = trained(begun.train(), 3).valid();
        let integers: Tensor<2> = qat.quantized().unwrap().forward(x.clone());
        let trained: Tensor<2> = qat.forward(x.clone());
        let scale = trained.clone().abs().mean().into_scalar::<f32>();
        let off = (integers - trained).abs().into_data();
        let same = off.iter::<f32>().filter(|off| *off < 1e-4 * scale).count();
        assert!(same >= 54, "{same} of 60 results are the integers'");
    });
}

#[test]
fn every_method_learns() {
    let network = network();
    let (x, target) = (images(16, 2), numbers::<2>([16, 5]));
    each(METHODS, |method| {
        let off = |qat: &QatNetwork| {
            let found: Tensor<2> = qat.valid().quantized().unwrap().forward(x.clone());
            let off = (found - target.clone()).square().mean();
            off.into_scalar::<f32>()
        };
        let (begun, _) = trained_by(*method, &network, &settings(4, true));
        let (before, after) = (off(&begun), off(&trained(begun.clone().train(), 40)));
        assert!(after < 0.99 * before, "{before} became {after}");
    });
}

#[test]
fn ranges_follow_training_until_they_are_frozen() {
    let network = network();
    let settings = settings(8, true);
    let linear = Method::Linear { decay: 0.5 };
    let ranges = |qat: &QatNetwork| -> Vec<Vec<f32>> {
        let qat = qat.valid();
        let inventory = Inventory::from_module(&qat);
        let ranges = inventory.iter().filter(|p| p.path.starts_with("ranges."));
        let flat = calcine_params::flat(&qat, ranges);
        flat.into_iter()
            .map(|range| range.into_data().iter::<f32>().collect())
            .collect()
    };
    let run = |qat: &QatNetwork, times: f64| {
        let x = (images(8, 1) * times).to_device(&device().autodiff());
        let _: Tensor<2> = qat.forward(x);
    };
    let (begun, _) = trained_by(linear, &network, &settings);
    let begun = begun.train();
    let calibrated = ranges(&begun);
    assert!(calibrated.len() > 5, "{} ranges", calibrated.len());
    run(&begun, 4.0);
    let wider = ranges(&begun);
    let widened = calibrated
        .iter()
        .zip(&wider)
        .filter(|(a, b)| b[1] > 1.05 * a[1]);
    assert!(widened.count() > 3);
    // Before activations are quantized, ranges follow too.
    let early = begun.with_stage(QatStage {
        activations: false,
        ..QatStage::default()
    });
    run(&early, 0.1);
    assert_ne!(ranges(&early), wider);
    let frozen = early.with_stage(QatStage {
        ranges: false,
        norms: false,
        ..QatStage::default()
    });
    let before = (ranges(&frozen), statistics(&frozen));
    run(&frozen, 9.0);
    assert_eq!((ranges(&frozen), statistics(&frozen)), before);
}

/// What batch norms have seen.
fn statistics(qat: &QatNetwork) -> Vec<f32> {
    let qat = qat.valid();
    let inventory = Inventory::from_module(&qat);
    let running = inventory.iter().filter(|p| p.path.contains("running_"));
    let flat = calcine_params::flat(&qat, running).into_iter();
    flat.flat_map(|numbers| numbers.into_data().iter::<f32>().collect::<Vec<_>>())
        .collect()
}

#[test]
fn activations_wait_for_their_start() {
    let network = network();
    let mut weights_alone = settings(8, true);
    weights_alone.activations.bits = 0;
    let (expected, _) = qat(&network, &weights_alone);
    let (found, _) = qat(&network, &settings(8, true));
    let found = found.with_stage(QatStage {
        activations: false,
        ..QatStage::default()
    });
    let x = images(4, 3);
    let (expected, found): (Tensor<2>, Tensor<2>) = (expected.forward(x.clone()), found.forward(x));
    assert_eq!(difference(&expected, &found), 0.0);
}

/// Without a trace: weights alone, gradients straight through, everything else as it was.
#[test]
fn weights_of_any_module_train_fake_quantized() {
    let on_tape = device().autodiff();
    let model = crate::models::Net::new(&on_tape);
    let x = images(3, 0).to_device(&on_tape);
    for per_channel in [true, false] {
        let fake_quantized =
            calcine_quantize::fake_quantize_weights(&model, 3, per_channel, |parameter| {
                parameter.path != "head.weight"
            });
        let gradients = fake_quantized.forward(x.clone()).sum().backward();
        let gradients = GradientsParams::from_grads(gradients, &model);
        let trained = Inventory::from_module(&model)
            .iter()
            .filter(|p| p.is_trainable())
            .count();
        assert_eq!(gradients.len(), trained);
        let levels = |path: &str| {
            let inventory = Inventory::from_module(&fake_quantized);
            let weight = inventory.get(path).unwrap();
            let values = calcine_params::flat(&fake_quantized, [weight])
                .remove(0)
                .into_data();
            let mut values: Vec<u32> = values.iter::<f32>().map(|x| x.abs().to_bits()).collect();
            values.sort_unstable();
            values.dedup();
            values.len()
        };
        // Three sizes and zero, for each of eight outputs or for all.
        assert!(levels("inner.weight") <= if per_channel { 8 * 3 + 1 } else { 4 });
        assert!(levels("head.weight") > 40);
    }
}

/// Between two linear layers, every kind of function: whatever learned scales, ends and ranges have become, the integers are
/// what the network trained as.
#[test]
fn integers_are_what_trained_whatever_scales_have_become() {
    use burn::tensor::activation::{gelu, hard_sigmoid, leaky_relu, relu, sigmoid, softmax};
    type Function = fn(Tensor<2>) -> Tensor<2>;
    let functions: [(&str, Function); 20] = [
        ("nothing", |y| y),
        ("relu", relu),
        ("relu6", |y| (y * 8.0).clamp(0.0, 6.0)),
        ("a low cap", |y| y.clamp(0.0, 0.3)),
        ("a relu with a cap", |y| relu(y).clamp(0.0, 0.4)),
        ("a relu with a maximum", |y| relu(y).clamp_max(0.4)),
        ("a hard tanh", |y| y.clamp(-0.5, 0.5)),
        ("a floor below zero", |y| y.clamp_min(-0.2)),
        ("a sigmoid", sigmoid),
        ("a tanh", Tensor::tanh),
        ("a hard sigmoid", |y| hard_sigmoid(y, 0.2, 0.5)),
        ("a hard swish", |y| {
            y.clone() * (y + 3.0).clamp(0.0, 6.0) / 6.0
        }),
        ("a leaky relu", |y| leaky_relu(y, 0.1)),
        ("a gelu", gelu),
        ("a sum with itself", |y| y.clone() + y),
        ("a square", |y| y.clone() * y),
        ("a capped part", |y| {
            let [a, b] = [0..4, 4..8].map(|part| y.clone().slice_dim(1, part));
            Tensor::cat(vec![a.clamp(0.0, 0.3), b], 1)
        }),
        ("itself and capped", |y| y.clone().clamp(0.0, 0.3) + y),
        ("a softmax", |y| softmax(y, 1)),
        ("a norm", |y| {
            y.clone() / (y.square().mean_dim(1) + 1e-5).sqrt()
        }),
    ];
    let x: Tensor<2> = numbers([24, 6]);
    each(functions, |(name, function)| {
        let linear = |from, to| burn::nn::LinearConfig::new(from, to).init(&device());
        let mut model: [burn::nn::Linear; 2] = [linear(6, 8), linear(8, 3)];
        for layer in &mut model {
            let shape = layer.weight.dims();
            layer.weight = burn::module::Param::from_tensor(numbers(shape));
            layer.bias = Some(burn::module::Param::from_tensor(numbers([shape[1]]) * 0.3));
        }
        let function = *function;
        let forward = move |m: &[burn::nn::Linear; 2], x| m[1].forward(function(m[0].forward(x)));
        let network = calcine_trace::trace(&model, x.clone(), forward).unwrap();
        let calibration = Calibration::collect(&network, std::slice::from_ref(&x)).unwrap();
        for method in METHODS {
            for factor in [1.0, 1.37, 0.8, 3.1] {
                let settings = settings(7, true);
                let fresh =
                    QatNetwork::new(network.clone(), &calibration, &settings, method).unwrap();
                let inventory = Inventory::from_module(&fresh);
                let learned = inventory.iter().filter(|parameter| {
                    let path = &parameter.path;
                    let activation = path.ends_with("_scale") && !path.contains("weight_scale");
                    activation || path.ends_with("_clip") || path.starts_with("ranges")
                });
                let values = learned.map(|parameter| {
                    let value = calcine_params::flat(&fresh, [parameter]).remove(0);
                    (parameter.id, value * factor)
                });
                let values = values.collect();
                let qat = calcine_params::replace(fresh, values);
                let trained: Tensor<2> = qat.forward(x.clone());
                let integers: Tensor<2> = qat.quantized().unwrap().forward(x.clone());
                let largest = trained.clone().abs().max().into_scalar::<f32>();
                let off = difference(&trained, &integers);
                assert!(
                    off < 0.02 * largest,
                    "{name}, {method:?} ×{factor}: off by {off} of {largest}"
                );
            }
        }
    });
}
