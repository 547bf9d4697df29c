//! Regularizers in the step: three ways in, thresholds, and what they leave behind.

use burn::optim::SgdConfig;
use calcine_criteria::Norm;
use calcine_fold::{Fold, Granularity};
use calcine_params::Inventory;
use calcine_regularize::{Criterion, GroupLasso, L1, L2, Regularizer};
use calcine_testkit::{Mlp, each};
use calcine_train::{After, Apply, Driver, Penalized, Penalty, Policy, RatePlan, Unit, When};

use crate::made_up::{MadeUp, boxed, epochs, mlp, prune, stored, zeros};

const RATE: f64 = 0.1;

fn penalty(
    model: &Mlp,
    granularity: Granularity,
    regularizer: Box<dyn Regularizer + Send>,
    strength: f64,
    when: When,
) -> Penalty {
    let parameter = Inventory::from_module(model)
        .get("first.weight")
        .unwrap()
        .clone();
    let layout = parameter.layout().unwrap();
    let fold = Fold::new(granularity, &parameter.shape, layout).unwrap();
    let penalized = Penalized {
        unit: Unit::new(parameter, fold),
        strength: Box::new(move |_: f64| strength),
    };
    Penalty::new("r", vec![penalized], regularizer, when)
}

/// The first weight after each step of plain gradient descent.
fn train(mut model: Mlp, policies: Vec<Box<dyn Policy<Mlp>>>, count: u64) -> Vec<Vec<f32>> {
    let data = MadeUp::for_mlp(4);
    let mut driver = Driver::new(4, policies, RatePlan::constant(RATE));
    let mut optimizer = SgdConfig::new().init();
    let step = |step| {
        let pass = driver.forward_backward(&model, data.batch("train", step), |model, batch| {
            ((model.forward(batch.input) - 1.0).powi_scalar(2).mean(), ())
        });
        model = driver.step(model.clone(), &mut optimizer, pass.gradients);
        stored(&model, "first.weight")
    };
    (0..count).map(step).collect()
}

/// The six weights into an output of the first layer, which is stored `[in, out]` with 16 outputs.
fn of_output(weights: &[f32], output: usize) -> impl Iterator<Item = f32> {
    weights.iter().copied().skip(output).step_by(16)
}

fn assert_close(a: &[f32], b: &[f32]) {
    for (a, b) in a.iter().zip(b) {
        approx::assert_relative_eq!(a, b, max_relative = 1e-4, epsilon = 1e-6);
    }
}

#[test]
fn a_gradient_without_a_tape_does_what_a_loss_term_does() {
    type Make = fn() -> Box<dyn Regularizer + Send>;
    let rows: [(Granularity, Make); 3] = [
        (Granularity::Element, || Box::new(L1)),
        (Granularity::Element, || Box::new(L2)),
        (Granularity::FcOutput, || Box::new(GroupLasso::default())),
    ];
    let plain = train(mlp(0), Vec::new(), 5);
    each(rows, |(granularity, make)| {
        let run = |apply| {
            let model = mlp(0);
            let penalty = penalty(&model, *granularity, make(), 0.05, epochs(0, 9));
            train(model, vec![boxed(penalty.with_apply(apply))], 5)
        };
        let (gradient, loss) = (run(Apply::Gradient), run(Apply::Loss));
        assert_close(&gradient[4], &loss[4]);
        let moved = gradient[4].iter().zip(&plain[4]).filter(|(a, b)| a != b);
        assert!(moved.count() > 90);
    });
}

#[test]
fn a_penalty_acts_inside_its_window_only() {
    let model = mlp(0);
    let penalty = penalty(
        &model,
        Granularity::Element,
        Box::new(L2),
        0.5,
        epochs(1, 2),
    );
    let (with, plain) = (
        train(model, vec![boxed(penalty)], 8),
        train(mlp(0), Vec::new(), 8),
    );
    assert_eq!(with[3], plain[3]);
    assert_ne!(with[4], plain[4]);
    let size = |weights: &[f32]| weights.iter().map(|x| x * x).sum::<f32>();
    assert!(size(&with[7]) < 0.9 * size(&plain[7]));
}

#[test]
fn a_proximal_step_is_the_soft_threshold_of_the_plain_one() {
    let model = mlp(0);
    let (strength, when) = (0.8, epochs(0, 1));
    let penalty = penalty(&model, Granularity::Element, Box::new(L1), strength, when);
    let with = train(model, vec![boxed(penalty.with_apply(Apply::Proximal))], 1);
    let plain = train(mlp(0), Vec::new(), 1);
    let step = (RATE * strength) as f32;
    let soft = |x: &f32| x.signum() * (x.abs() - step).max(0.0);
    let expected: Vec<f32> = plain[0].iter().map(soft).collect();
    assert_close(&with[0], &expected);
    assert_eq!(zeros(&with[0]), zeros(&expected));
    assert!(zeros(&with[0]) > 5);
}

#[test]
fn a_threshold_zeroes_small_groups_after_each_step_and_keeps_them_only_if_asked() {
    let run = |after| {
        let model = mlp(0);
        let penalty = penalty(
            &model,
            Granularity::Element,
            Box::new(L1),
            1e-6,
            epochs(0, 2),
        )
        .with_threshold(Criterion::MeanAbs, Some(0.1))
        .with_after(after);
        train(model, vec![boxed(penalty)], 12)
    };
    let (released, kept) = (run(After::Release), run(After::Hold));
    for (step, weights) in released.iter().take(8).enumerate() {
        let small = weights.iter().filter(|x| x.abs() <= 0.1).count();
        assert_eq!(
            zeros(weights),
            small,
            "step {step}: all that is small is zero"
        );
        assert!(small > 5);
    }
    assert_eq!(released[..7], kept[..7]);
    assert!(
        zeros(&released[11]) < zeros(&released[7]) / 2,
        "they grow again"
    );
    let pattern = |weights: &[f32]| weights.iter().map(|x| *x == 0.0).collect::<Vec<_>>();
    assert_eq!(pattern(&kept[11]), pattern(&kept[7]));
}

#[test]
fn the_strength_is_the_threshold_unless_there_is_one() {
    let model = mlp(0);
    let penalty = penalty(
        &model,
        Granularity::FcOutput,
        Box::new(GroupLasso::default()),
        0.25,
        epochs(0, 1),
    )
    .with_threshold(Criterion::MeanAbs, None);
    let weights = train(model, vec![boxed(penalty)], 1).remove(0);
    let mean = |output| of_output(&weights, output).map(f32::abs).sum::<f32>() / 6.0;
    let gone = (0..16).filter(|output| mean(*output) == 0.0).count();
    assert!(0 < gone && gone < 16, "{gone}");
    assert!((0..16).all(|output| mean(output) == 0.0 || mean(output) > 0.25));
}

#[test]
fn a_threshold_and_a_pruner_on_one_weight_drop_what_either_drops() {
    let model = mlp(0);
    let half = prune(&model, "half", "first.weight", |_: f64| 0.5, epochs(0, 1));
    let penalty = penalty(
        &model,
        Granularity::Element,
        Box::new(L1),
        1e-6,
        epochs(0, 2),
    )
    .with_threshold(Criterion::MeanAbs, Some(0.1))
    .with_after(After::Hold);
    let weights = train(model, vec![boxed(half), boxed(penalty)], 12);
    for (step, weights) in weights.iter().enumerate() {
        let small = weights.iter().filter(|x| x.abs() <= 0.1).count();
        assert!(zeros(weights) >= 48, "step {step}: the pruner's hold");
        if step < 8 {
            assert_eq!(zeros(weights), small, "step {step}: the threshold's too");
        }
    }
}

#[test]
fn only_the_weakest_units_are_penalized_if_so_asked() {
    let model = mlp(0);
    let weights = stored(&model, "first.weight");
    let norm = |weights: &[f32], output| {
        let squares = of_output(weights, output).map(|x| x.powi(2));
        squares.sum::<f32>().sqrt()
    };
    let mut order: Vec<usize> = (0..16).collect();
    order.sort_by(|&a, &b| norm(&weights, a).total_cmp(&norm(&weights, b)));
    let penalty = penalty(
        &model,
        Granularity::FcOutput,
        Box::new(L2),
        3.0,
        epochs(0, 1),
    )
    .with_weakest(Box::new(Norm::L2), 0.25);
    let (with, plain) = (
        train(model, vec![boxed(penalty)], 1),
        train(mlp(0), Vec::new(), 1),
    );
    for (rank, output) in order.into_iter().enumerate() {
        let (ours, theirs) = (norm(&with[0], output), norm(&plain[0], output));
        if rank < 4 {
            assert!(ours < 0.9 * theirs, "output {output} shrinks");
        } else {
            assert_eq!(ours, theirs, "output {output} is spared");
        }
    }
}

#[test]
fn a_penalty_of_a_masked_weight_leaves_its_zeros() {
    each([Apply::Gradient, Apply::Loss, Apply::Proximal], |apply| {
        let model = mlp(0);
        let half = prune(&model, "half", "first.weight", |_: f64| 0.5, epochs(0, 1));
        let l2 = penalty(
            &model,
            Granularity::Element,
            Box::new(L2),
            0.1,
            epochs(0, 9),
        );
        let weights = train(model, vec![boxed(half), boxed(l2.with_apply(*apply))], 6);
        assert!(weights.iter().all(|weights| zeros(weights) == 48));
    });
}
