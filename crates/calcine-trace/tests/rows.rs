//! A few networks on the device under test: quick where every shape is compiled anew.

use burn::module::Module;
use burn::tensor::Tensor;
use calcine_testkit::{ConvNet, Mlp, device, each};
use calcine_trace::{Network, trace};

use crate::{difference, numbers};

#[test]
fn a_traced_network_computes_what_its_model_does() {
    let model = ConvNet::new(&device());
    let network = trace(&model, numbers([1, 2, 6, 6]), ConvNet::forward).unwrap();
    each([1, 3], |&batch| {
        let images = numbers([batch, 2, 6, 6]);
        let found: Tensor<2> = network.forward(images.clone());
        assert!(difference(&found, &model.forward(images)) < 1e-5);
    });
}

#[test]
fn a_traced_network_trains_on_the_device() {
    let model = Mlp::new(&device());
    let network = trace(&model, numbers([1, 6]), Mlp::forward).unwrap();
    let device = device().autodiff();
    let (model, network) = (model.train(), network.train());
    let input = numbers([4, 6]).to_device(&device);
    let of_model = model.forward(input.clone()).powi_scalar(2).mean();
    let of_network: Tensor<2> = network.forward(input);
    let of_network = of_network.powi_scalar(2).mean();
    let model = burn::optim::GradientsParams::from_grads(of_model.backward(), &model);
    let network = burn::optim::GradientsParams::from_grads(of_network.backward(), &network);
    assert_eq!((model.len(), network.len()), (4, 4));
}

#[test]
fn a_file_brings_a_network_back_to_the_device() {
    let model = Mlp::new(&device());
    let network = trace(&model, numbers([1, 6]), Mlp::forward).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("network.safetensors");
    network.save(&file).unwrap();
    let again = Network::load(&file, &device()).unwrap();
    let found: Tensor<2> = again.forward(numbers([2, 6]));
    assert!(difference(&found, &network.forward(numbers([2, 6]))) < 1e-6);
}
