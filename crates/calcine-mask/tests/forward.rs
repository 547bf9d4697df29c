//! Masks in the forward pass, over dense stored weights.

use burn::module::Param;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use calcine_mask::Masks;
use calcine_testkit::{Mlp, device, values};

use crate::{bools, floats, masks};

fn input(device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values(30), [5, 6]), device)
}

fn model(device: &Device) -> Mlp {
    device.seed(5);
    Mlp::new(device)
}

#[test]
fn a_copy_computes_what_masked_stored_weights_compute() {
    for device in [device(), device().autodiff()] {
        let dense = model(&device);
        let masks = masks(&dense, &["first.weight", "second.bias"], |i| i % 4 == 1);
        let viewed = masks.forward(&dense).forward(input(&device));
        let masked = masks.apply(dense.clone()).forward(input(&device));
        assert_eq!(floats(viewed), floats(masked));
        let stored = floats(dense.first.weight.val());
        assert!(
            stored.iter().all(|x| *x != 0.0),
            "stored weights stay dense"
        );
    }
}

#[test]
fn gradients_of_a_copy_pass_straight_through_to_what_is_dropped() {
    let device = device().autodiff();
    let dense = model(&device);
    let masks = masks(&dense, &["first.weight"], |i| i % 2 == 0);
    let loss = |model: &Mlp| (model.forward(input(&device)) - 1.0).square().mean();
    let copy = masks.forward(&dense);
    let through = GradientsParams::from_grads(loss(&copy).backward(), &copy);
    let masked = masks.apply(dense.clone());
    let direct = GradientsParams::from_grads(loss(&masked).backward(), &masked);
    let of =
        |gradients: &GradientsParams| floats(gradients.get::<2>(dense.first.weight.id).unwrap());
    assert_eq!(of(&through), of(&direct));
    let keep = bools(masks.keep("first.weight").unwrap());
    let dropped = keep.into_iter().zip(of(&through)).filter(|(keep, _)| !keep);
    let reached = dropped.filter(|(_, gradient)| *gradient != 0.0).count();
    assert!(reached > 10, "{reached} gradients");
}

#[test]
fn what_is_kept_is_scaled_so_that_sums_keep_their_expectation() {
    let dense = model(&device());
    let mut masks = masks(&dense, &["first.weight"], |i| i % 4 != 0);
    masks.rescale_kept();
    let stored = floats(dense.first.weight.val());
    let seen = floats(masks.forward(&dense).first.weight.val());
    for (i, (seen, stored)) in seen.iter().zip(&stored).enumerate() {
        let expected = if i % 4 == 0 {
            0.0
        } else {
            stored * 96.0 / 72.0
        };
        assert!(
            (seen - expected).abs() < 1e-6,
            "{i}: {seen}, expected {expected}"
        );
    }
    let applied = floats(masks.apply(dense).first.weight.val());
    assert_eq!(applied[1], stored[1], "stored weights are never scaled");
}

#[test]
fn a_mask_takes_the_parameters_shape_or_is_flat() {
    let mut model = model(&device());
    let inventory = calcine_params::Inventory::from_module(&model);
    let weight = inventory.get("second.weight").unwrap();
    let keep =
        Tensor::<1>::from_data(TensorData::new(values(48), [48]), &device()).greater_scalar(0.0);
    let mut flat = calcine_mask::Masks::default();
    flat.insert(weight, keep.clone());
    let mut shaped = calcine_mask::Masks::default();
    shaped.insert(weight, keep.reshape([16, 3]));
    let one = floats(flat.apply(model.clone()).second.weight.val());
    model = shaped.apply(model);
    assert_eq!(one, floats(model.second.weight.val()));
    let dropped = values(48).iter().filter(|x| **x <= 0.0).count();
    assert_eq!(one.iter().filter(|x| x.to_bits() == 0).count(), dropped);
}

/// A mask may be made from the tensors of a model in training, whose device carries a tape.
#[test]
fn masks_made_on_a_tape_apply_outside_and_the_other_way_round() {
    let training = model(&device().autodiff());
    let inventory = calcine_params::Inventory::from_module(&training);
    let keep = training.first.weight.val().greater_scalar(0.0);
    let expected: Vec<bool> = floats(training.first.weight.val())
        .iter()
        .map(|x| *x > 0.0)
        .collect();
    let mut masks = calcine_mask::Masks::default();
    masks.insert(inventory.get("first.weight").unwrap(), keep);
    use burn::module::Module;
    for model in [training.clone(), training.valid()] {
        let kept: Vec<bool> = floats(masks.apply(model).first.weight.val())
            .iter()
            .map(|x| *x != 0.0)
            .collect();
        assert_eq!(kept, expected);
    }
}

#[test]
fn a_mask_that_keeps_nothing_gives_zeros_rescaled_or_not() {
    let dense = model(&device());
    let everything = |_| false;
    let mut rescaled = masks(&dense, &["first.weight", "first.bias"], everything);
    rescaled.rescale_kept();
    let plain = masks(&dense, &["first.weight", "first.bias"], everything);
    for masks in [
        &rescaled,
        &plain,
        &Masks::intersection([&rescaled, &plain, &rescaled]),
    ] {
        let seen = masks.forward(&dense);
        assert!(floats(seen.first.weight.val()).iter().all(|x| *x == 0.0));
        let bias = seen.first.bias.unwrap();
        assert!(floats(bias.val()).iter().all(|x| *x == 0.0));
    }
}

/// Summed in 32-bit floats, 2^24 ones and one more are 2^24.
#[test]
fn what_is_kept_of_a_large_weight_is_counted_exactly() {
    let numel = (1_usize << 24) + 3;
    let large = Param::from_tensor(Tensor::<1>::ones([numel], &device()));
    let model = vec![large];
    let mut masks = masks(&model, &["0"], |i| i % 4096 != 0);
    masks.rescale_kept();
    let kept = numel - numel.div_ceil(4096);
    let seen = masks.forward(&model)[0].val().slice(1..2);
    let expected = numel as f64 / kept as f64;
    assert!(
        (f64::from(floats(seen)[0]) - expected).abs() < 1e-7,
        "{expected}"
    );
}
