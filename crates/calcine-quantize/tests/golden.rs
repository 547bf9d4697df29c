//! Quantization-aware training as Distiller trains.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{Linear, LinearConfig};
use burn::optim::momentum::MomentumConfig;
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Int, Tensor};
use calcine_params::Inventory;
use calcine_quantize::{Calibration, Method, Override, QatNetwork, QatStage, QuantizationSettings};
use calcine_testkit::{device, golden};
use calcine_trace::trace;
use serde_json::Value;

#[derive(Module, Debug)]
struct Net {
    fc: Linear,
    fc2: Linear,
}

impl Net {
    fn new(device: &Device) -> Self {
        Self {
            fc: LinearConfig::new(6, 4).init(device),
            fc2: LinearConfig::new(4, 3).init(device),
        }
    }

    /// The last relu is no output, so that it has a quantizer as Distiller's has.
    fn forward(&self, x: Tensor<2>) -> Tensor<3> {
        relu(self.fc2.forward(relu(self.fc.forward(x)))).unsqueeze_dim(1)
    }
}

pub(crate) fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

/// Parameters by Distiller's names: weights stand the other way, clips have the names of their relus.
fn parameter(name: &str) -> &str {
    match name {
        "relu.clip_val" => "fc.linear_clip",
        "relu2.clip_val" => "fc2.linear_clip",
        "fc.float_weight" => "fc.weight",
        "fc2.float_weight" => "fc2.weight",
        name => name,
    }
}

fn flat(values: &Value, golden: &golden::Golden) -> Tensor<1> {
    let (shape, values) = golden.values(values);
    let flat = Tensor::<1>::from_floats(values.as_slice(), &device());
    match shape[..] {
        [outputs, inputs] => flat.reshape([outputs, inputs]).transpose().reshape([-1]),
        _ => flat,
    }
}

/// With values by Distiller's names.
fn with(qat: QatNetwork, values: &Value, golden: &golden::Golden) -> QatNetwork {
    let inventory = Inventory::from_module(&qat);
    let values = values.as_object().unwrap().iter();
    let values: BTreeMap<_, _> = values
        .map(|(name, value)| {
            (
                inventory.get(parameter(name)).unwrap().id,
                flat(value, golden),
            )
        })
        .collect();
    calcine_params::replace(qat, values)
}

fn near(found: Tensor<1>, expected: Tensor<1>, what: &str) {
    let found = found.into_data().iter::<f32>().collect::<Vec<_>>();
    for (found, expected) in found.into_iter().zip(expected.into_data().iter::<f32>()) {
        let off = (found - expected).abs();
        assert!(
            off <= 1e-4 * expected.abs() + 1e-5,
            "{what}: {found} for {expected}"
        );
    }
}

/// WRPN's golden steps are left out: Distiller's weights have steps that no quantizer of so many bits has.
#[test]
fn golden_quantization_aware_training() {
    let golden = golden::open("quant_aware_training");
    for (name, method) in [
        ("dorefa_train", Method::Dorefa),
        ("pact_train", Method::Pact),
    ] {
        let case = golden.cases(name)[0];
        let args = &case["args"];
        let mut settings = QuantizationSettings::default();
        settings.weights.bits = number(&args["bits_weights"]) as u8;
        settings.activations.bits = number(&args["bits_activations"]) as u8;
        // Distiller leaves inputs and biases as they are.
        settings.layers = vec![Override {
            name: "input".into(),
            activation_bits: Some(0),
            ..Override::default()
        }];
        let sample = Tensor::<2>::ones([1, 6], &device());
        let network = trace(&Net::new(&device()), sample.clone(), Net::forward).unwrap();
        let calibration = Calibration::collect(&network, &[sample]).unwrap();
        let qat = QatNetwork::new(network, &calibration, &settings, method).unwrap();
        let qat = with(qat, &case["input"], &golden).with_stage(QatStage {
            biases: false,
            ..QatStage::default()
        });
        let inventory = Inventory::from_module(&qat);
        let clips = inventory.iter().filter(|p| p.path.ends_with("clip"));
        let begun = args["act_clip_init_val"].as_f64().unwrap_or(1.0);
        let begun = clips.map(|p| (p.id, Tensor::full([1], begun, &device())));
        let begun = begun.collect();
        let mut qat = calcine_params::replace(qat, begun).train();
        let decay = number(&args["weight_decay"]);
        let mut optimizer = SgdConfig::new()
            .with_momentum(Some(MomentumConfig {
                momentum: number(&args["momentum"]),
                dampening: 0.0,
                nesterov: false,
            }))
            .with_weight_decay(Some(burn::optim::decay::WeightDecayConfig::new(
                decay as f32,
            )))
            .init();
        for (at, step) in case["expect"]["steps"]
            .as_array()
            .unwrap()
            .iter()
            .enumerate()
        {
            let what = format!("{name}, step {at}");
            let on_tape = device().autodiff();
            let x: Tensor<2> = golden.tensor(&step["x"], &on_tape);
            let out: Tensor<3> = qat.forward(x);
            let out: Tensor<2> = out.squeeze_dim(1);
            near(
                out.clone().inner().reshape([-1]),
                flat_as_is(&step["out"], &golden),
                &what,
            );
            let (_, labels) = golden.values(&step["target"]);
            let labels: Vec<i32> = labels.into_iter().map(|label| label as i32).collect();
            let labels = Tensor::<1, Int>::from_ints(labels.as_slice(), &on_tape);
            let loss = CrossEntropyLossConfig::new()
                .init(&on_tape)
                .forward(out, labels);
            let found = f64::from(loss.clone().into_scalar::<f32>());
            assert!(
                (found - number(&step["loss"])).abs() < 1e-5,
                "{what}: {found}"
            );
            let loss = loss + clip_decay(&qat, args, decay);
            let gradients = GradientsParams::from_grads(loss.backward(), &qat);
            qat = optimizer.step(number(&args["lr"]), qat, gradients);
            let after = qat.valid();
            let inventory = Inventory::from_module(&after);
            for (name, expected) in step["params_after"].as_object().unwrap() {
                let found = inventory.get(parameter(name)).unwrap();
                let found = calcine_params::flat(&after, [found]).remove(0);
                near(found, flat(expected, &golden), &format!("{what}, {name}"));
            }
        }
    }
}

fn flat_as_is(values: &Value, golden: &golden::Golden) -> Tensor<1> {
    let (_, values) = golden.values(values);
    Tensor::from_floats(values.as_slice(), &device())
}

/// What clips decay by besides the optimizer's decay of all parameters.
fn clip_decay(qat: &QatNetwork, args: &Value, decay: f64) -> Tensor<1> {
    let own = args["act_clip_decay"].as_f64().unwrap_or(decay) - decay;
    let graph = qat.network().graph();
    let clips = graph
        .parameters()
        .filter(|(_, value)| value.name.ends_with("clip"));
    let squares = clips.map(|(id, _)| {
        let clip = qat.network().tensor(id).unwrap().flat().unwrap();
        clip.square().mul_scalar(0.5 * own)
    });
    let nothing = Tensor::zeros([1], &device().autodiff());
    squares.fold(nothing, |sum, square| sum + square)
}
