//! How masks hold weights, how long they live, and what is left of them.

use burn::optim::SgdConfig;
use burn::tensor::Tensor;
use calcine_criteria::{Bernoulli, Hysteresis, Magnitude, Select, Threshold};
use calcine_fold::{Fold, Granularity};
use calcine_params::Inventory;
use calcine_testkit::{Mlp, each};
use calcine_train::{
    After, Driver, First, Hold, Lifetime, Policy, Prune, RatePlan, Target, Unit, When,
};

use crate::made_up::{MadeUp, boxed, epochs, mlp, prune, read, sgd, steps, stored, zeros};

fn half(_: f64) -> f64 {
    0.5
}

/// Zeros of the first weight that each forward pass sees, and that are stored after each step.
fn train(mut model: Mlp, policies: Vec<Box<dyn Policy<Mlp>>>, count: u64) -> Vec<(usize, usize)> {
    let data = MadeUp::for_mlp(4);
    let mut driver = Driver::new(4, policies, RatePlan::constant(0.05));
    let mut optimizer = sgd();
    let mut seen = Vec::new();
    for step in 0..count {
        let pass = driver.forward_backward(&model, data.batch("train", step), |model, batch| {
            let loss = (model.forward(batch.input) - 1.0).powi_scalar(2).mean();
            (loss, zeros(&read(model.first.weight.val())))
        });
        model = driver.step(model, &mut optimizer, pass.gradients);
        seen.push((pass.output, zeros(&stored(&model, "first.weight"))));
    }
    seen
}

#[test]
fn masks_hold_weights_in_the_way_and_as_long_as_they_are_told() {
    let (always, forward, shadow) = (Hold::Always, Hold::Forward, Hold::Shadow);
    let (kept, released) = (After::Hold, After::Release);
    // Zeros of 96 weights by epoch: seen, stored. The window is epoch 1, of 0 to 2.
    let rows = [
        (always, kept, [(0, 0), (48, 48), (48, 48)]),
        (always, released, [(0, 0), (48, 48), (0, 0)]),
        (forward, kept, [(0, 0), (48, 0), (48, 48)]),
        (forward, released, [(0, 0), (48, 0), (0, 0)]),
        (shadow, kept, [(0, 0), (48, 0), (48, 48)]),
        (shadow, released, [(0, 0), (48, 0), (0, 0)]),
    ];
    each(rows, |(hold, after, expected)| {
        let model = mlp(0);
        let policy = prune(&model, "p", "first.weight", half, epochs(1, 2))
            .with_hold(*hold)
            .with_after(*after);
        let seen = train(model, vec![boxed(policy)], 12);
        for (step, found) in seen.into_iter().enumerate() {
            let (mut seen, mut stored) = expected[step / 4];
            if step == 7 && *after == kept {
                // What is kept is kept at the end of the window's last step.
                stored = 48;
            }
            if step == 8 && (*hold, *after) == (always, released) {
                // Released at the end of the step before, they leave zero in this one.
                seen = 48;
            }
            assert_eq!(found, (seen, stored), "step {step}");
        }
    });
}

#[test]
fn a_mask_that_lives_one_step_is_seen_in_the_step_that_fires_alone() {
    let model = mlp(0);
    let policy = prune(&model, "p", "first.weight", half, steps(&[1, 4]))
        .with_hold(Hold::Shadow)
        .with_lifetime(Lifetime::Step);
    let seen: Vec<_> = train(model, vec![boxed(policy)], 6);
    let expected = [0, 48, 0, 0, 48, 0].map(|seen| (seen, 0));
    assert_eq!(seen, expected);
}

#[test]
fn the_first_firing_may_wait_for_a_batch() {
    let model = mlp(0);
    let policy = prune(&model, "p", "first.weight", half, epochs(1, 3)).with_first(First::NextStep);
    let seen: Vec<_> = train(model, vec![boxed(policy)], 8);
    let seen: Vec<usize> = seen.into_iter().map(|(seen, _)| seen).collect();
    assert_eq!(seen, [0, 0, 0, 0, 0, 48, 48, 48]);
}

#[test]
fn how_one_policy_holds_does_not_touch_the_weights_of_another() {
    let model = mlp(0);
    let hard = prune(&model, "hard", "second.weight", half, epochs(0, 1));
    let soft = prune(&model, "soft", "first.weight", half, epochs(0, 3)).with_hold(Hold::Shadow);
    let data = MadeUp::for_mlp(4);
    let mut driver = Driver::new(4, vec![boxed(hard), boxed(soft)], RatePlan::constant(0.05));
    let (mut model, mut optimizer) = (model, sgd());
    for step in 0..6 {
        let pass = driver.forward_backward(&model, data.batch("train", step), |model, batch| {
            ((model.forward(batch.input) - 1.0).powi_scalar(2).mean(), ())
        });
        model = driver.step(model, &mut optimizer, pass.gradients);
        assert_eq!(zeros(&stored(&model, "second.weight")), 24);
        assert_eq!(zeros(&stored(&model, "first.weight")), 0);
        let seen = driver.masked_model(&model);
        assert_eq!(zeros(&stored(&seen, "first.weight")), 48);
    }
}

#[test]
fn two_shadows_on_one_weight_drop_what_either_drops_and_neither_loses_a_weight() {
    let model = mlp(0);
    let before = stored(&model, "first.weight");
    let third = |_: f64| 1.0 / 3.0;
    let shadow = |name, amount: fn(f64) -> f64| {
        boxed(prune(&model, name, "first.weight", amount, epochs(0, 1)).with_hold(Hold::Shadow))
    };
    let policies = vec![shadow("a", third), shadow("b", half)];
    let mut driver = Driver::new(4, policies, RatePlan::constant(0.0));
    let mut optimizer = SgdConfig::new().init();
    let batch = MadeUp::for_mlp(4).batch("train", 0);
    let pass = driver.forward_backward(&model, batch, |model, batch| {
        let loss = model.forward(batch.input).powi_scalar(2).mean();
        (loss, zeros(&read(model.first.weight.val())))
    });
    assert_eq!(pass.output, 48);
    let model = driver.step(model, &mut optimizer, pass.gradients);
    assert_eq!(stored(&model, "first.weight"), before);
}

/// A pruner of the first weight.
fn with_select(
    model: &Mlp,
    granularity: Granularity,
    select: Box<dyn Select + Send>,
    amount: f64,
    when: When,
) -> Prune {
    let inventory = Inventory::from_module(model);
    let parameter = inventory.get("first.weight").unwrap().clone();
    let layout = parameter.layout().unwrap();
    let fold = Fold::new(granularity, &parameter.shape, layout).unwrap();
    let unit = Unit::new(parameter, fold);
    let target = Target::new(vec![unit], Box::new(move |_: f64| amount));
    Prune::new("p", vec![target], Box::new(Magnitude), select, when)
}

#[test]
fn what_a_bernoulli_selection_keeps_is_scaled_in_the_forward_pass_and_not_in_store() {
    let model = mlp(0);
    let before = stored(&model, "first.weight");
    let policy = with_select(
        &model,
        Granularity::FcOutput,
        Box::new(Bernoulli),
        0.5,
        steps(&[0, 1, 2, 3]),
    )
    .with_hold(Hold::Shadow)
    .with_lifetime(Lifetime::Step)
    .with_seed(5);
    let mut driver = Driver::new(4, vec![boxed(policy)], RatePlan::constant(0.0));
    let (mut model, mut optimizer) = (model, SgdConfig::new().init());
    let mut kept_counts = Vec::new();
    for step in 0..4 {
        let batch = MadeUp::for_mlp(4).batch("train", step);
        let pass = driver.forward_backward(&model, batch, |model, batch| {
            let loss = model.forward(batch.input).powi_scalar(2).mean();
            (loss, read(model.first.weight.val()))
        });
        let kept = pass.output.iter().filter(|x| **x != 0.0).count();
        let scale = before.len() as f32 / kept as f32;
        for (seen, stored) in pass.output.iter().zip(&before) {
            if *seen != 0.0 {
                approx::assert_relative_eq!(*seen, stored * scale, max_relative = 1e-5);
            }
        }
        assert_eq!(kept % 6, 0, "whole outputs of six inputs");
        kept_counts.push(kept);
        model = driver.step(model, &mut optimizer, pass.gradients);
        assert_eq!(stored(&model, "first.weight"), before);
    }
    assert!(kept_counts.iter().any(|kept| *kept != kept_counts[0]));
}

#[test]
fn network_surgery_takes_back_what_grows_behind_the_mask() {
    let model = mlp(0);
    let mut when = epochs(0, 4);
    when.again_every = Some(1);
    let select = Box::new(Hysteresis::default());
    let policy =
        with_select(&model, Granularity::Element, select, 0.3, when).with_hold(Hold::Shadow);
    let data = MadeUp::for_mlp(4);
    let mut driver = Driver::new(4, vec![boxed(policy)], RatePlan::constant(0.1));
    let (mut model, mut optimizer) = (model, sgd());
    let (mut before, mut spliced) = (vec![1.0; 96], 0);
    for step in 0..16 {
        let pass = driver.forward_backward(&model, data.batch("train", step), |model, batch| {
            let loss = (model.forward(batch.input) - 1.0).powi_scalar(2).mean();
            (loss, read(model.first.weight.val()))
        });
        let revived = before
            .iter()
            .zip(&pass.output)
            .filter(|(before, now)| **before == 0.0 && **now != 0.0);
        spliced += revived.count();
        before = pass.output;
        model = driver.step(model, &mut optimizer, pass.gradients);
    }
    assert!(zeros(&before) > 0);
    assert!(spliced > 0, "nothing was taken back");
}

#[test]
fn the_zeros_of_a_pattern_stay_zero() {
    // A threshold of zero keeps what is not zero: it locks the pattern that a model comes with.
    let model = mlp(0);
    let sparse = prune(&model, "p", "first.weight", half, steps(&[0]));
    let mut driver = Driver::new(4, vec![boxed(sparse)], RatePlan::constant(0.05));
    let data = MadeUp::for_mlp(4);
    let loss = |model: &Mlp, input: Tensor<2>| (model.forward(input) - 1.0).powi_scalar(2).mean();
    let mut optimizer = sgd();
    let pass = driver.forward_backward(&model, data.batch("train", 0), |model, batch| {
        (loss(model, batch.input), ())
    });
    let mut model = driver.step(model, &mut optimizer, pass.gradients);
    let pattern: Vec<bool> = stored(&model, "first.weight")
        .iter()
        .map(|x| *x == 0.0)
        .collect();
    let threshold = Box::new(Threshold);
    let lock = with_select(&model, Granularity::Element, threshold, 0.0, steps(&[0]));
    let mut driver = Driver::new(4, vec![boxed(lock)], RatePlan::constant(0.05));
    for step in 1..6 {
        let pass = driver.forward_backward(&model, data.batch("train", step), |model, batch| {
            (loss(model, batch.input), ())
        });
        model = driver.step(model, &mut optimizer, pass.gradients);
        let now: Vec<bool> = stored(&model, "first.weight")
            .iter()
            .map(|x| *x == 0.0)
            .collect();
        assert_eq!(now, pattern);
    }
}
