//! Gradients beside their parameters.

use burn::module::{Module, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use calcine_params::{Inventory, edit_gradients, flat_gradients};
use calcine_testkit::device;

use crate::models::{Net, Scale, floats, id};

#[test]
fn flat_gradients_come_in_the_order_asked_for() {
    let net = Net::new(&device().autodiff());
    let gradients = GradientsParams::from_grads(net.loss().backward(), &net);
    let names = Inventory::from_module(&net);
    let wanted = ["fc.weight", "conv.weight", "bn.running_mean", "fc.weight"];
    let wanted: Vec<_> = wanted.iter().map(|path| names.get(path).unwrap()).collect();
    let read: Vec<Option<Vec<f32>>> = flat_gradients(&net, &gradients, wanted)
        .into_iter()
        .map(|g| g.map(floats))
        .collect();
    assert_eq!(
        read[0],
        Some(floats(gradients.get::<2>(net.fc.weight.id).unwrap()))
    );
    assert_eq!(
        read[1],
        Some(floats(gradients.get::<4>(net.conv.weight.id).unwrap()))
    );
    assert_eq!(read[2], None, "statistics have no gradient");
    assert_eq!(read[3], read[0], "asked for twice, answered twice");
}

#[test]
fn an_edit_of_gradients_reaches_the_wanted_ones() {
    let net = Net::new(&device().autodiff());
    let mut gradients = GradientsParams::from_grads(net.loss().backward(), &net);
    let before = floats(gradients.get::<4>(net.conv.weight.id).unwrap() * 3.0);
    let untouched = floats(gradients.get::<2>(net.fc.weight.id).unwrap());
    edit_gradients(
        &net,
        &mut gradients,
        &mut Scale::new(id(&net, "conv.weight"), 3.0),
    );
    assert_eq!(
        floats(gradients.get::<4>(net.conv.weight.id).unwrap()),
        before
    );
    assert_eq!(
        floats(gradients.get::<2>(net.fc.weight.id).unwrap()),
        untouched
    );
}

#[test]
fn a_missing_gradient_is_passed_over() {
    let net = Net::new(&device().autodiff());
    let mut gradients = GradientsParams::new();
    let mut scale = Scale::new(id(&net, "conv.weight"), 3.0);
    edit_gradients(&net, &mut gradients, &mut scale);
    assert_eq!(scale.calls, 0);
    assert!(gradients.is_empty());
}

#[test]
fn the_gradient_of_a_shared_parameter_is_edited_once() {
    #[derive(Module, Debug)]
    struct Tied {
        encoder: Param<Tensor<1>>,
        decoder: Param<Tensor<1>>,
    }
    let encoder = Param::from_tensor(Tensor::<1>::ones([2], &device().autodiff()));
    let tied = Tied {
        decoder: encoder.clone(),
        encoder,
    };
    let mut gradients = GradientsParams::new();
    gradients.register(tied.encoder.id, Tensor::<1>::ones([2], &device()));
    let mut scale = Scale::new(tied.decoder.id, 3.0);
    edit_gradients(&tied, &mut gradients, &mut scale);
    assert_eq!(scale.calls, 1);
    assert_eq!(
        floats(gradients.get::<1>(tied.encoder.id).unwrap()),
        [3.0, 3.0]
    );
}
