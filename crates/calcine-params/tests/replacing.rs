//! Stored values put back.

use std::collections::BTreeMap;

use burn::module::{Module, ParamId};
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::{Device, Tensor};
use calcine_params::{Inventory, flat, replace};
use calcine_testkit::{device, each};

use crate::models::{Net, floats, id};

fn step(net: Net) -> Net {
    let gradients = GradientsParams::from_grads(net.loss().backward(), &net);
    SgdConfig::new().init().step(0.5, net, gradients)
}

fn snapshot<M: Module>(model: &M) -> BTreeMap<ParamId, Tensor<1>> {
    let parameters = Inventory::from_module(model);
    let ids = parameters.iter().map(|parameter| parameter.id);
    ids.zip(flat(model, &parameters)).collect()
}

fn bits(values: &BTreeMap<ParamId, Tensor<1>>) -> Vec<(ParamId, Vec<u32>)> {
    let bits = |value: &Tensor<1>| {
        floats(value.clone())
            .into_iter()
            .map(f32::to_bits)
            .collect()
    };
    values
        .iter()
        .map(|(id, value)| (*id, bits(value)))
        .collect()
}

fn devices() -> [Device; 3] {
    let training = device().autodiff();
    [
        device(),
        training.clone(),
        training.gradient_checkpointing(),
    ]
}

#[test]
fn a_model_is_restored_to_the_bit_and_trains_on() {
    let net = step(Net::new(&device().autodiff()));
    let before = snapshot(&net);
    let expected = bits(&before);
    let net = step(step(net));
    assert_ne!(bits(&snapshot(&net)), expected);

    let net = replace(net, before);
    assert_eq!(bits(&snapshot(&net)), expected);
    assert!(net.conv.weight.val().is_require_grad());
    let net = step(net);
    assert_ne!(bits(&snapshot(&net)), expected);
}

/// Twice the same steps from the same values, with running statistics among them.
#[test]
fn training_from_restored_values_repeats_itself() {
    let net = step(Net::new(&device().autodiff()));
    let before = snapshot(&net);
    let net = step(step(net));
    let first = bits(&snapshot(&net));
    let net = step(step(replace(net, before)));
    assert_eq!(bits(&snapshot(&net)), first);
}

#[test]
fn running_statistics_are_up_to_date_when_read_and_stay_when_written() {
    let net = Net::new(&device().autodiff());
    let inventory = Inventory::from_module(&net);
    let mean = inventory.get("bn.running_mean").unwrap();
    let _ = net.loss();
    // Burn holds the update of this pass back.
    assert_eq!(floats(net.bn.running_mean.value()), [0.0; 4]);
    let read = floats(flat(&net, [mean]).remove(0));
    assert_ne!(read, [0.0; 4]);
    assert_eq!(read, floats(net.bn.running_mean.value_sync()));

    let _ = net.loss();
    let written = Tensor::<1>::full([4], 7.0, &device());
    let net = replace(net, BTreeMap::from([(mean.id, written)]));
    assert_eq!(floats(net.bn.running_mean.value_sync()), [7.0; 4]);
}

#[test]
fn only_what_is_given_is_replaced() {
    each(devices(), |device| {
        let net = Net::new(device);
        let weight = id(&net, "conv.weight");
        let mut expected = snapshot(&net);
        let ones = Tensor::<1>::ones([72], &calcine_testkit::device());
        expected.insert(weight, ones.clone());
        let net = replace(net, BTreeMap::from([(weight, ones)]));
        assert_eq!(bits(&snapshot(&net)), bits(&expected));
    });
}

#[test]
fn replaced_weights_are_leaves_on_their_own_device() {
    each(devices(), |device| {
        let net = Net::new(device);
        let before = net.conv.weight.val();
        let ones = Tensor::<1>::ones([72], &calcine_testkit::device());
        let weight = id(&net, "conv.weight");
        let net = replace(net, BTreeMap::from([(weight, ones)]));
        let after = net.conv.weight.val();
        assert_eq!(after.is_require_grad(), before.is_require_grad());
        assert_eq!(
            after.gradient_checkpointing_strategy(),
            before.gradient_checkpointing_strategy()
        );
        if device.is_autodiff() {
            let _ = step(net);
        }
    });
}

#[test]
#[should_panic(expected = "1 of 2 values belong to no parameter")]
fn a_value_of_an_unknown_parameter_is_refused() {
    let net = Net::new(&device());
    let ones = Tensor::<1>::ones([72], &device());
    let known = (id(&net, "conv.weight"), ones.clone());
    let _ = replace(net, BTreeMap::from([known, (ParamId::new(), ones)]));
}
