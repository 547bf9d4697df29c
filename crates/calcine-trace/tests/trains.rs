use burn::module::Module;
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::{Device, Tensor};
use calcine_params::{Inventory, flat};
use calcine_testkit::device;
use calcine_trace::{Network, trace};

use crate::numbers;
use calcine_testkit::networks::Residual;

fn on_tape() -> Device {
    device().autodiff()
}

/// A model and the network traced from it, both ready to train.
fn pair() -> (Residual, Network) {
    let model = Residual::new(&on_tape());
    let sample = numbers([1, 3, 6, 6]).to_device(&on_tape());
    let network = trace(&model, sample, |m, x| m.forward(x)).unwrap();
    (model, network)
}

/// All values of all parameters, running statistics included.
fn values<M: Module>(model: &M) -> Vec<(String, Vec<f32>)> {
    let inventory = Inventory::from_module(model);
    let parameters: Vec<_> = inventory.iter().collect();
    let values = flat(model, inventory.iter());
    let named = parameters.iter().zip(values);
    named
        .map(|(parameter, value)| {
            let value = value.into_data().try_into_vec::<f32>().unwrap();
            (parameter.path.clone(), value)
        })
        .collect()
}

fn assert_close(a: &[(String, Vec<f32>)], b: &[(String, Vec<f32>)]) {
    for ((path, a), (other, b)) in a.iter().zip(b) {
        assert_eq!(path, other);
        for (a, b) in a.iter().zip(b) {
            assert!((a - b).abs() <= 1e-5, "{path}: {a} and {b}");
        }
    }
}

#[test]
fn a_network_trains_as_its_model_does() {
    let (model, network) = pair();
    train_both(model, network);
}

/// Whether it was in training or not when it was saved, and whether it is loaded on the tape or put there.
#[test]
fn a_network_of_a_file_trains_as_the_model_does() {
    for saved_in_evaluation in [false, true] {
        for loaded_on in [on_tape(), device()] {
            let (model, network) = pair();
            let bytes = match saved_in_evaluation {
                true => network.valid().to_bytes().unwrap(),
                false => network.to_bytes().unwrap(),
            };
            let loaded = Network::from_bytes(&bytes, &loaded_on).unwrap();
            train_both(model, loaded.train());
        }
    }
}

/// Three steps of the same training end in the same weights and running statistics.
fn train_both(mut model: Residual, mut network: Network) {
    let device = on_tape();
    let mut for_model = SgdConfig::new().init();
    let mut for_network = SgdConfig::new().init();
    let mut before = values(&model);
    for step in 0..3 {
        let x = (numbers([4, 3, 6, 6]) * (1.0 + step as f32)).to_device(&device);
        let target = numbers([4, 5]).to_device(&device);
        let loss = |y: Tensor<2>| (y - target.clone()).square().mean();

        let gradients = loss(model.forward(x.clone())).backward();
        let gradients = GradientsParams::from_grads(gradients, &model);
        model = for_model.step(0.1, model, gradients);

        let gradients = loss(network.forward(x)).backward();
        let gradients = GradientsParams::from_grads(gradients, &network);
        assert_eq!(gradients.len(), 20);
        network = for_network.step(0.1, network, gradients);

        // Running statistics are one update behind until they are settled; both are by reading.
        let (ours, theirs) = (values(&network), values(&model));
        assert_close(&ours, &theirs);
        assert_ne!(ours, before);
        before = ours;
    }
}

#[test]
fn a_network_has_running_statistics_of_its_own() {
    let (model, network) = pair();
    let before = values(&model);
    let x = numbers([4, 3, 6, 6]).to_device(&on_tape());
    let _: Tensor<2> = network.forward(x);
    assert_close(&values(&model), &before);
}

#[test]
fn records_of_model_and_network_are_the_same() {
    let (model, network) = pair();
    let other = Residual::new(&on_tape());
    let other = other.load_record(network.clone().into_record());
    assert_eq!(values(&other), values(&model));
    let again = Residual::new(&on_tape());
    let sample = numbers([1, 3, 6, 6]).to_device(&on_tape());
    let again = trace(&again, sample, |m, x| m.forward(x)).unwrap();
    let again = again.load_record(model.clone().into_record());
    assert_eq!(values(&again), values(&model));
}

#[test]
fn evaluation_needs_no_tape() {
    let (model, network) = pair();
    let x = numbers([2, 3, 6, 6]);
    let found: Tensor<2> = network.valid().forward(x.clone());
    assert!(crate::difference(&found, &model.valid().forward(x)) <= 1e-6);
    let back = network.valid().train();
    assert_eq!(values(&back), values(&model));
}

/// A model off the tape is trained once it is put on it, and a frozen norm stays frozen.
#[test]
fn what_is_trained_is_kept_off_the_tape_too() {
    let model = Residual::new(&device());
    let network = trace(&model, numbers([1, 3, 6, 6]), |m, x| m.forward(x)).unwrap();
    let network = network.train();
    let x = numbers([4, 3, 6, 6]).to_device(&on_tape());
    let y: Tensor<2> = network.forward(x.clone());
    let gradients = GradientsParams::from_grads(y.sum().backward(), &network);
    assert_eq!(gradients.len(), 20);

    let frozen = Residual::new(&on_tape()).freeze();
    let network = trace(&frozen, x.clone(), |m, x| m.forward(x)).unwrap();
    let before = values(&network);
    let y: Tensor<2> = network.forward(x.clone());
    assert!(crate::difference(&y, &frozen.forward(x)) <= 1e-5);
    assert_eq!(values(&network), before);
}
