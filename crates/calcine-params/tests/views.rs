//! The five assertions that make views usable (`reference/burn-notes.md` §6), and what follows.

use burn::module::{Module, Param, ParamId, Reparameterization, Reparameterizer};
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::Tensor;
use calcine_params::{Edit, Inventory, edit, flat, view};
use calcine_testkit::device;

use crate::models::{Net, Scale, floats, id};

/// `tanh(w)·2`: a function with a gradient of its own.
#[derive(Module, Debug)]
struct Squash {
    gain: Param<Tensor<1>>,
}

impl Squash {
    fn of<const D: usize>(value: Tensor<D>) -> Tensor<D> {
        value.tanh().mul_scalar(2.0)
    }
}

impl Reparameterization for Squash {
    const NAME: &'static str = "squash";
    fn apply<const D: usize>(&self, base: Tensor<D>) -> Tensor<D> {
        Self::of(base)
    }
}

struct Attach;

impl Reparameterizer for Attach {
    type Reparam = Squash;
    fn reparameterize<const D: usize>(
        &mut self,
        path: &str,
        param: Param<Tensor<D>>,
    ) -> (Param<Tensor<D>>, Option<Squash>) {
        let gain = (path == "conv.weight").then(|| Squash {
            gain: Param::from_tensor(Tensor::ones([1], &param.lazy_device())),
        });
        (param, gain)
    }
}

struct Squashed(ParamId);

impl Edit for Squashed {
    fn wants(&self, id: ParamId) -> bool {
        id == self.0
    }
    fn edit<const D: usize>(&mut self, _: ParamId, value: Tensor<D>) -> Tensor<D> {
        Squash::of(value)
    }
}

fn net() -> Net {
    Net::new(&device().autodiff())
}

fn squashed(net: &Net) -> Net {
    view(net, &mut Squashed(id(net, "conv.weight")))
}

fn gradients_of(net: &Net, gradients: &GradientsParams) -> (Vec<f32>, Vec<f32>) {
    let conv = gradients
        .get::<4>(net.conv.weight.id)
        .expect("a gradient of the convolution");
    let fc = gradients
        .get::<2>(net.fc.weight.id)
        .expect("a gradient of the linear layer");
    (floats(conv), floats(fc))
}

#[test]
fn gradients_equal_those_of_the_same_function_as_a_reparameterization() {
    let net = net();
    let through_view = squashed(&net).loss();
    let viewed = GradientsParams::from_grads(through_view.clone().backward(), &net);

    let attached = net.valid().train().apply_reparameterization(Attach);
    let through_slot = attached.loss();
    assert_eq!(floats(through_view), floats(through_slot.clone()));
    let slotted = GradientsParams::from_grads(through_slot.backward(), &attached);
    let (ours, theirs) = (
        gradients_of(&net, &viewed),
        gradients_of(&attached, &slotted),
    );
    for (ours, theirs) in [(ours.0, theirs.0), (ours.1, theirs.1)] {
        for (ours, theirs) in ours.into_iter().zip(theirs) {
            assert!(
                (ours - theirs).abs() <= 1e-6 + 1e-5 * theirs.abs(),
                "{ours} {theirs}"
            );
        }
    }
}

#[test]
fn a_fresh_leaf_gets_its_gradient_under_the_same_id() {
    let net = net();
    let fresh = edit(net.clone(), &mut Squashed(id(&net, "conv.weight")));
    let gradients = fresh.loss().backward();
    let gradients = GradientsParams::from_grads(gradients, &fresh);
    let straight_through = gradients.get::<4>(net.conv.weight.id).unwrap();
    // The same without tanh's slope: through the tracked view, d/dw = d/dv · 2(1 - tanh²w).
    let tracked = GradientsParams::from_grads(squashed(&net).loss().backward(), &net);
    let tracked = floats(tracked.get::<4>(net.conv.weight.id).unwrap());
    let slope = net
        .conv
        .weight
        .val()
        .inner()
        .tanh()
        .square()
        .neg()
        .add_scalar(1.0)
        .mul_scalar(2.0);
    for (ours, expected) in tracked.into_iter().zip(floats(straight_through * slope)) {
        assert!(
            (ours - expected).abs() <= 1e-6 + 1e-4 * expected.abs(),
            "{ours} {expected}"
        );
    }
}

#[test]
fn stored_weights_are_bitwise_unchanged_by_a_views_passes() {
    let net = net();
    let trainable = Inventory::from_module(&net);
    let trainable: Vec<_> = trainable.iter().filter(|p| p.is_trainable()).collect();
    let read = |net: &Net| -> Vec<Vec<u32>> {
        let values = flat(net, trainable.iter().copied()).into_iter();
        values
            .map(|value| floats(value).into_iter().map(f32::to_bits).collect())
            .collect()
    };
    let before = read(&net);
    let view = squashed(&net);
    let _ = GradientsParams::from_grads(view.loss().backward(), &net);
    drop(view);
    assert_eq!(read(&net), before);
}

#[test]
fn the_originals_running_statistics_follow_the_views_forward_pass() {
    let net = net();
    let before = floats(net.bn.running_mean.value_sync());
    let view = squashed(&net);
    let _ = view.loss();
    let through_view = floats(net.bn.running_mean.value_sync());
    assert_ne!(through_view, before);
    // And they are those of the transformed weights.
    let twin = edit(
        Net::new(&device().autodiff()),
        &mut Squashed(ParamId::new()),
    );
    let weight = id(&twin, "conv.weight");
    let twin = edit(twin, &mut Squashed(weight));
    let _ = twin.loss();
    let expected = floats(twin.bn.running_mean.value_sync());
    for (ours, expected) in through_view.into_iter().zip(expected) {
        assert!((ours - expected).abs() < 1e-6, "{ours} {expected}");
    }
}

#[test]
fn a_step_with_a_views_gradients_changes_the_stored_weights() {
    let net = net();
    let before = floats(net.conv.weight.val());
    let view = squashed(&net);
    let gradients = GradientsParams::from_grads(view.loss().backward(), &net);
    drop(view);
    let net = SgdConfig::new().init().step(0.5, net, gradients);
    assert_ne!(floats(net.conv.weight.val()), before);
    assert!(net.conv.weight.val().is_require_grad());
}

#[test]
fn views_stack() {
    let net = net();
    let weight = id(&net, "conv.weight");
    let both = view(
        &view(&net, &mut Scale::new(weight, 3.0)),
        &mut Scale::new(weight, 0.5),
    );
    assert_eq!(
        floats(both.conv.weight.val()),
        floats(net.conv.weight.val() * 3.0 * 0.5)
    );
    let gradients = GradientsParams::from_grads(both.loss().backward(), &net);
    assert!(gradients.get::<4>(weight).is_some());
}

#[test]
fn a_view_needs_no_tape() {
    let net = Net::new(&device());
    let weight = id(&net, "conv.weight");
    let seen = view(&net, &mut Scale::new(weight, 2.0));
    assert_eq!(
        floats(seen.conv.weight.val()),
        floats(net.conv.weight.val() * 2.0)
    );
}
