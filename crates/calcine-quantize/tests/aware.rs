//! A network that trains on its grids becomes the integers that it trained as.

use burn::module::Module;
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::Tensor;
use calcine_params::Inventory;
use calcine_quantize::{AwareNetwork, Calibration, Settings, quantize};
use calcine_testkit::{device, each, numbers};
use calcine_trace::Network;

use crate::models::{images, network};

fn settings(bits: u8, per_channel: bool) -> Settings {
    let mut settings = Settings::default();
    (settings.weights.bits, settings.activations.bits) = (bits, bits);
    settings.weights.per_channel = per_channel;
    settings
}

fn aware(network: &Network, settings: &Settings) -> (AwareNetwork, Calibration) {
    let seen = Calibration::of(network, &[images(6, 0), images(5, 7)]).unwrap();
    let aware = AwareNetwork::new(network.clone(), &seen, settings).unwrap();
    (aware, seen)
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
            let (aware, seen) = aware(&network, &settings);
            let expected: Tensor<2> = quantize(&network, &seen, &settings)
                .unwrap()
                .forward(x.clone());
            let integers: Tensor<2> = aware.quantized().unwrap().forward(x.clone());
            let floats: Tensor<2> = aware.forward(x.clone());
            let scale = expected.clone().abs().max().into_scalar::<f32>();
            // A tie that falls the other way moves a value by a step.
            let step = scale / f32::from(1_u8 << (*bits - 3));
            assert!(
                difference(&integers, &floats) <= step,
                "{}",
                difference(&integers, &floats)
            );
            if *per_channel {
                assert!(difference(&integers, &expected) <= step);
            }
        },
    );
}

/// Trained towards something at 3 bits, it comes closer than it began, and its integers with it.
#[test]
fn training_on_grids_helps_the_integers() {
    let network = network();
    let x = images(16, 2);
    let target: Tensor<2> = numbers([16, 5]);
    let off = |aware: &AwareNetwork| {
        let found: Tensor<2> = aware.valid().quantized().unwrap().forward(x.clone());
        (found - target.clone())
            .square()
            .mean()
            .into_scalar::<f32>()
    };
    let (begun, _) = aware(&network, &settings(3, true));
    let before = off(&begun);
    let mut aware = begun.train();
    let mut optimizer = SgdConfig::new().init();
    let on_tape = device().autodiff();
    for step in 0..60 {
        let y: Tensor<2> = aware.forward(x.clone().to_device(&on_tape));
        let loss = (y - target.clone().to_device(&on_tape)).square().mean();
        let gradients = GradientsParams::from_grads(loss.backward(), &aware);
        if step == 0 {
            // Weights, biases, scales and shifts as before, and the steps: six of weights, eight of activations.
            let steps = Inventory::of(&aware)
                .iter()
                .filter(|p| p.path.contains("_step"))
                .count();
            let trained = Inventory::of(&network)
                .iter()
                .filter(|p| p.is_trainable())
                .count();
            assert_eq!(gradients.len(), trained + steps);
            assert!(steps > 10, "{steps}");
        }
        aware = optimizer.step(0.05, aware, gradients);
    }
    let after = off(&aware);
    assert!(after < 0.95 * before, "{before} became {after}");
}

#[test]
fn zeros_stay_zero_on_every_grid() {
    let network = network();
    let (aware, _) = aware(&network, &settings(4, true));
    let inventory = Inventory::of(&aware);
    let parameter = inventory.get("inner.weight").unwrap().clone();
    let zeros = Tensor::<1>::zeros([parameter.numel()], &device());
    let values = std::collections::BTreeMap::from([(parameter.id, zeros)]);
    let pruned = calcine_params::replace(aware, values).quantized().unwrap();
    let layer = pruned.layers().find(|layer| layer.name == "inner").unwrap();
    assert!(layer.weight.iter().all(|q| *q == 0));
}
