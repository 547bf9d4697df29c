//! Twenty steps with everything that could revive a weight.

use burn::grad_clipping::GradientClippingConfig;
use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer, SgdConfig};
use burn::tensor::{Tensor, TensorData};
use calcine_mask::Masks;
use calcine_testkit::{ConvNet, device, values};

use crate::{bools, floats, masks};

const MASKED: [&str; 4] = ["conv.weight", "norm.gamma", "head.weight", "head.bias"];

fn images() -> Tensor<4> {
    let data = TensorData::new(values(4 * 2 * 36), [4, 2, 6, 6]);
    Tensor::from_data(data, &device().autodiff())
}

fn gradients(model: &ConvNet) -> GradientsParams {
    let loss = (model.forward(images()) - 1.0).square().mean();
    GradientsParams::from_grads(loss.backward(), model)
}

fn optimizers() -> Vec<(&'static str, ModuleOptimizer)> {
    let decay = || Some(WeightDecayConfig::new(0.1));
    let momentum = MomentumConfig::new().with_momentum(0.9);
    let clip = GradientClippingConfig::Norm(1.0);
    vec![
        ("plain", SgdConfig::new().init()),
        (
            "momentum",
            SgdConfig::new()
                .with_momentum(Some(momentum))
                .with_weight_decay(decay())
                .with_gradient_clipping(Some(clip))
                .init(),
        ),
        ("adam", AdamConfig::new().with_weight_decay(decay()).init()),
    ]
}

/// Every masked element is a true zero, and nothing else stands still.
fn assert_masked(masks: &Masks, model: &ConvNet, before: &[Vec<f32>; 4]) {
    for ((path, now), before) in MASKED.iter().zip(weights(model)).zip(before) {
        let keep = bools(masks.keep(path).unwrap());
        let mut moved = 0;
        for ((keep, now), before) in keep.iter().zip(now).zip(before) {
            assert!(*keep || now.to_bits() == 0, "{path}: {now} is no true zero");
            moved += usize::from(*keep && now != *before);
        }
        let kept = keep.iter().filter(|keep| **keep).count();
        assert!(
            2 * moved > kept,
            "{path}: {moved} of {kept} kept elements moved"
        );
    }
}

fn weights(model: &ConvNet) -> [Vec<f32>; 4] {
    [
        floats(model.conv.weight.val()),
        floats(model.norm.gamma.val()),
        floats(model.head.weight.val()),
        floats(model.head.bias.as_ref().unwrap().val()),
    ]
}

#[test]
fn no_optimizer_revives_a_masked_weight() {
    for (name, mut optimizer) in optimizers() {
        device().seed(5);
        let mut model = ConvNet::new(&device().autodiff());
        let masks = masks(&model, &MASKED, |i| i % 3 != 0);
        // The momentum of the dense weights points away from zero before the masks come.
        for _ in 0..3 {
            let gradients = gradients(&model);
            model = optimizer.step(0.05, model, gradients);
        }
        model = masks.apply(model);
        for step in 0..20 {
            let before = weights(&model);
            let gradients = gradients(&model);
            model = masks.apply(optimizer.step(0.05, model, gradients));
            assert_masked(&masks, &model, &before);
            assert!(
                model.conv.weight.val().is_require_grad(),
                "{name}, step {step}"
            );
        }
    }
}

/// What `apply` is for: with the gradients masked but not the weights, momentum goes on.
#[test]
fn without_the_masks_momentum_revives_what_was_zero() {
    device().seed(5);
    let mut model = ConvNet::new(&device().autodiff());
    let masks = masks(&model, &["conv.weight"], |i| i % 3 != 0);
    let (_, mut optimizer) = optimizers().remove(1);
    let first = gradients(&model);
    model = masks.apply(optimizer.step(0.05, model, first));
    let mut second = gradients(&model);
    masks.apply_to_gradients(&model, &mut second);
    model = optimizer.step(0.05, model, second);
    let keep = bools(masks.keep("conv.weight").unwrap());
    let revived = floats(model.conv.weight.val()).into_iter().zip(keep);
    assert!(revived.filter(|(now, keep)| !keep && *now != 0.0).count() > 0);
}

#[test]
fn masked_gradients_build_up_no_momentum() {
    device().seed(5);
    let mut model = ConvNet::new(&device().autodiff());
    let masks = masks(&model, &MASKED, |i| i % 3 != 0);
    let (_, mut optimizer) = optimizers().remove(1);
    model = masks.apply(model);
    // With its gradient masked from the start and no other step, a zero needs no second mask.
    for _ in 0..20 {
        let before = weights(&model);
        let mut gradients = gradients(&model);
        masks.apply_to_gradients(&model, &mut gradients);
        let masked = floats(gradients.get::<4>(model.conv.weight.id).unwrap());
        for (keep, gradient) in bools(masks.keep("conv.weight").unwrap()).iter().zip(masked) {
            assert!(*keep || gradient == 0.0);
        }
        model = optimizer.step(0.05, model, gradients);
        let zeros = weights(&model);
        for (path, zeros) in MASKED.iter().zip(&zeros) {
            let keep = bools(masks.keep(path).unwrap());
            assert!(
                keep.iter()
                    .zip(zeros)
                    .all(|(keep, now)| *keep || *now == 0.0),
                "{path}"
            );
        }
        assert_ne!(zeros, before);
    }
}

#[test]
fn no_masks_change_nothing() {
    let model = ConvNet::new(&device().autodiff());
    let before = weights(&model);
    let masks = Masks::default();
    let mut gradients = gradients(&model);
    let count = gradients.len();
    masks.apply_to_gradients(&model, &mut gradients);
    assert_eq!(gradients.len(), count);
    assert_eq!(weights(&masks.forward(&model)), before);
    assert_eq!(weights(&masks.apply(model)), before);
}
