//! Edits of stored values, in training and outside.

use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::{Device, Tensor};
use calcine_params::{Inventory, edit, flat};
use calcine_testkit::device;

use crate::models::{Net, Scale, Zoo, floats, id};

fn training() -> Device {
    device().autodiff()
}

/// One step of plain gradient descent.
fn step(net: Net) -> Net {
    let gradients = GradientsParams::from_grads(net.loss().backward(), &net);
    SgdConfig::new().init().step(0.5, net, gradients)
}

fn halve_conv(net: Net) -> Net {
    let mut halve = Scale::new(id(&net, "conv.weight"), 0.5);
    edit(net, &mut halve)
}

#[test]
fn an_edit_changes_the_wanted_parameter_and_no_other() {
    let net = Net::new(&device());
    let names = Inventory::from_module(&net);
    let before = flat(&net, &names);
    let net = halve_conv(net);
    assert_eq!(
        Inventory::from_module(&net).iter().collect::<Vec<_>>(),
        names.iter().collect::<Vec<_>>(),
        "ids, shapes and roles stay"
    );
    for ((parameter, before), after) in names.iter().zip(before).zip(flat(&net, &names)) {
        let factor = if parameter.path == "conv.weight" {
            0.5
        } else {
            1.0
        };
        assert_eq!(floats(after), floats(before * factor), "{}", parameter.path);
    }
}

#[test]
fn an_edited_model_goes_on_training() {
    let net = halve_conv(Net::new(&training()));
    assert!(net.conv.weight.val().is_require_grad());
    assert!(net.conv.weight.is_require_grad());
    let mut before = floats(net.conv.weight.val());
    let mut net = net;
    for round in 0..2 {
        net = step(net);
        let after = floats(net.conv.weight.val());
        assert_ne!(after, before, "step {round}");
        net = halve_conv(net);
        assert!(net.conv.weight.val().is_require_grad());
        before = floats(net.conv.weight.val());
    }
}

/// Why `edit` exists: Burn's own `map` makes the parameter a result of an operation. It is no leaf any
/// more, its gradient is kept for nobody, and the optimizer passes it over without a word.
#[test]
fn mapping_a_tracked_parameter_stops_its_training() {
    struct Halve(ParamId);
    impl ModuleMapper for Halve {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            if param.id == self.0 {
                param.map(|value| value * 0.5)
            } else {
                param
            }
        }
    }
    let net = Net::new(&training());
    let mut halve = Halve(id(&net, "conv.weight"));
    let net = net.map(&mut halve);
    assert!(!net.conv.weight.val().is_require_grad());
    let before = (floats(net.conv.weight.val()), floats(net.fc.weight.val()));
    let net = step(net);
    assert_eq!(
        floats(net.conv.weight.val()),
        before.0,
        "the edited weight stands still"
    );
    assert_ne!(
        floats(net.fc.weight.val()),
        before.1,
        "while the others train"
    );
}

#[test]
fn a_frozen_parameter_stays_frozen() {
    let mut net = Net::new(&training());
    net.conv = net.conv.no_grad();
    let net = halve_conv(net);
    assert!(!net.conv.weight.val().is_require_grad());
    let before = floats(net.conv.weight.val());
    let net = step(net);
    assert_eq!(floats(net.conv.weight.val()), before);
}

#[test]
fn an_edit_leaves_nothing_on_the_tape() {
    let net = Net::new(&training());
    let loss = net.loss();
    let weight = id(&net, "conv.weight");
    let edited = halve_conv(net.clone());
    // The gradient at the edited leaf is its own, not that of the original through the edit.
    let gradients = edited.loss().backward();
    let gradients = GradientsParams::from_grads(gradients, &net);
    assert!(
        gradients.get::<4>(weight).is_none(),
        "the original leaf is no ancestor"
    );
    let gradients = GradientsParams::from_grads(loss.backward(), &net);
    assert!(
        gradients.get::<4>(weight).is_some(),
        "a tape from before the edit is whole"
    );
}

#[test]
fn flat_values_come_in_the_order_asked_for_and_outside_the_tape() {
    let net = Net::new(&training());
    let names = Inventory::from_module(&net);
    let wanted = ["fc.weight", "conv.weight", "bn.running_var", "fc.weight"];
    let wanted: Vec<_> = wanted.iter().map(|path| names.get(path).unwrap()).collect();
    let values = flat(&net, wanted);
    assert!(values.iter().all(|value| !value.is_autodiff()));
    assert_eq!(floats(values[0].clone()), floats(net.fc.weight.val()));
    assert_eq!(floats(values[1].clone()), floats(net.conv.weight.val()));
    assert_eq!(floats(values[2].clone()), [1.0; 4]);
    assert_eq!(values[3].dims(), [12]);
}

/// Clones share the initialization of a lazy parameter, not its later edits.
#[test]
fn an_edit_of_a_lazy_parameter_initializes_it() {
    let zoo = Zoo::new(&device());
    let twin = zoo.clone();
    let mut halve = Scale::new(id(&zoo, "stem.weight"), 0.5);
    let zoo = edit(zoo, &mut halve);
    let expected = floats(twin.stem.weight.val() * 0.5);
    assert_eq!(floats(zoo.stem.weight.val()), expected);
}

#[test]
fn a_parameter_that_is_used_twice_is_edited_once_and_stays_one() {
    #[derive(Module, Debug)]
    struct Tied {
        encoder: Param<Tensor<1>>,
        decoder: Param<Tensor<1>>,
    }
    let encoder = Param::from_tensor(Tensor::<1>::ones([2], &training()));
    let tied = Tied {
        decoder: encoder.clone(),
        encoder,
    };
    let mut triple = Scale::new(tied.encoder.id, 3.0);
    let tied = edit(tied, &mut triple);
    assert_eq!(floats(tied.encoder.val()), [3.0, 3.0]);
    assert_eq!(floats(tied.decoder.val()), [3.0, 3.0]);
    let gradients = (tied.encoder.val() + tied.decoder.val() * 2.0)
        .sum()
        .backward();
    for parameter in [&tied.encoder, &tied.decoder] {
        let gradient = parameter.val().grad(&gradients).unwrap();
        assert_eq!(floats(gradient), [3.0, 3.0], "both uses count");
    }
}
