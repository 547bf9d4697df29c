//! What is dropped is zero: stored, in the forward pass and, if asked for, in the gradient.

use burn::optim::{AdamConfig, ModuleOptimizer};
use burn::tensor::Tensor;
use calcine_schedule::{Cubic, Linear};
use calcine_testkit::{Mlp, each};
use calcine_train::{Driver, GradientMasks, RatePlan};

use crate::made_up::{MadeUp, boxed, epochs, mlp, prune, read, sgd, steps, stored, zeros};

fn half(_: f64) -> f64 {
    0.5
}

/// Trains and returns the zeros of both weights: seen by each forward pass, and stored after each
/// step.
fn train(
    mut model: Mlp,
    driver: &mut Driver<Mlp>,
    mut optimizer: ModuleOptimizer,
    count: u64,
) -> Vec<[(usize, usize); 2]> {
    let data = MadeUp::for_mlp(4);
    let count_zeros = |model: &Mlp| {
        let weights = [&model.first.weight, &model.second.weight];
        weights.map(|weight| zeros(&read(weight.val())))
    };
    let mut seen = Vec::new();
    for step in 0..count {
        let pass = driver.forward_backward(&model, data.batch("train", step), |model, batch| {
            let loss = (model.forward(batch.input) - 1.0).powi_scalar(2).mean();
            (loss, count_zeros(model))
        });
        model = driver.step(model, &mut optimizer, pass.gradients);
        let after = count_zeros(&model);
        seen.push([0, 1].map(|weight| (pass.output[weight], after[weight])));
    }
    seen
}

#[test]
fn zeros_stay_zero_under_momentum_and_weight_decay_and_the_firing_step_sees_them() {
    each(["sgd", "adam"], |name| {
        let optimizer = match *name {
            "sgd" => sgd(),
            _ => AdamConfig::new().init(),
        };
        let model = mlp(0);
        let ramp = Cubic {
            initial: 0.25,
            last: 0.75,
        };
        let policy = prune(&model, "p", "first.weight", ramp, epochs(1, 3));
        let mut driver = Driver::new(4, vec![boxed(policy)], RatePlan::constant(0.05));
        let seen = train(model, &mut driver, optimizer, 16);
        // 96 weights; epochs 0 dense, 1 a quarter, 2 three quarters, 3 after the window as it was.
        for (step, [first, second]) in seen.into_iter().enumerate() {
            let expected = [0, 24, 72, 72][step / 4];
            assert_eq!(first, (expected, expected), "step {step}");
            assert_eq!(second, (0, 0), "step {step}: a weight that nobody prunes");
        }
    });
}

#[test]
fn two_policies_drop_what_either_drops() {
    let model = mlp(0);
    let a = prune(&model, "a", "first.weight", half, steps(&[2]));
    let b = prune(
        &model,
        "b",
        "*.weight",
        Linear {
            initial: 0.25,
            last: 0.6,
        },
        steps(&[4, 5]),
    );
    let mut driver = Driver::new(4, vec![boxed(a), boxed(b)], RatePlan::constant(0.05));
    let seen = train(model, &mut driver, sgd(), 8);
    let first: Vec<usize> = seen.iter().map(|weights| weights[0].1).collect();
    let second: Vec<usize> = seen.iter().map(|weights| weights[1].1).collect();
    // The zeros of `a` are the smallest magnitudes for `b`, so the larger of both counts.
    assert_eq!(first, [0, 0, 48, 48, 48, 57, 57, 57]);
    assert_eq!(second, [0, 0, 0, 0, 12, 28, 28, 28]);
}

#[test]
fn gradients_of_dropped_weights_are_zero_so_no_momentum_builds_up_behind_the_mask() {
    // Released after three steps, a weight with momentum leaps, one without stays at zero.
    let leap = |gradients| {
        let mut model = mlp(0);
        let policy =
            prune(&model, "p", "first.weight", half, steps(&[0])).with_gradient_masks(gradients);
        let mut driver = Driver::new(8, vec![boxed(policy)], RatePlan::constant(0.05));
        let data = MadeUp::for_mlp(4);
        let mut optimizer = sgd();
        for step in 0..3 {
            let pass =
                driver.forward_backward(&model, data.batch("train", step), |model, batch| {
                    ((model.forward(batch.input) - 1.0).powi_scalar(2).mean(), ())
                });
            model = driver.step(model, &mut optimizer, pass.gradients);
        }
        // Nothing pushes now but what the optimizer remembers.
        let loss = (model.first.weight.val() * 0.0).sum() + (model.second.weight.val() * 0.0).sum();
        let gradients = burn::optim::GradientsParams::from_grads(loss.backward(), &model);
        let dropped = stored(&model, "first.weight");
        let moved = stored(&optimizer.step(0.05, model, gradients), "first.weight");
        let zero = dropped
            .iter()
            .zip(&moved)
            .filter(|(before, _)| **before == 0.0);
        zero.filter(|(_, after)| **after != 0.0).count()
    };
    assert_eq!(leap(GradientMasks::On), 0);
    assert!(leap(GradientMasks::Off) > 0);
}

#[test]
fn without_policies_a_step_is_the_optimizers() {
    let data = MadeUp::for_mlp(4);
    let objective = |model: &Mlp, input: Tensor<2>| model.forward(input).powi_scalar(2).mean();
    let (mut plain, mut driven) = (mlp(0), mlp(0));
    let (mut one, mut other) = (sgd(), sgd());
    let mut driver = Driver::new(4, Vec::new(), RatePlan::constant(0.1));
    for step in 0..5 {
        let loss = objective(&plain, data.batch("train", step).input);
        let gradients = burn::optim::GradientsParams::from_grads(loss.backward(), &plain);
        plain = one.step(0.1, plain, gradients);
        let pass = driver.forward_backward(&driven, data.batch("train", step), |model, batch| {
            (objective(model, batch.input), ())
        });
        driven = driver.step(driven, &mut other, pass.gradients);
    }
    for path in ["first.weight", "second.weight", "first.bias"] {
        let (plain, driven) = (stored(&plain, path), stored(&driven, path));
        for (a, b) in plain.iter().zip(&driven) {
            approx::assert_relative_eq!(a, b, max_relative = 1e-5, epsilon = 1e-6);
        }
    }
}
