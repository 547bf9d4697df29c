//! Scores that look at gradients: collected over batches, then selected.

use burn::optim::SgdConfig;
use burn::tensor::Tensor;
use calcine_criteria::{
    Aggregation, Count, Gradient, Level, Magnitude, Movement, Regrow, Score, Taylor,
};
use calcine_fold::{Fold, Granularity};
use calcine_params::Inventory;
use calcine_testkit::Mlp;
use calcine_train::{Batches, Driver, Group, Prune, RatePlan, Target, Unit, When};

use crate::made_up::{
    MadeUp, boxed, epochs, mlp, read, sgd, steps, stored, training_device, zeros,
};

fn unit(model: &Mlp, path: &str, granularity: Granularity) -> Unit {
    let parameter = Inventory::from_module(model).get(path).unwrap().clone();
    let fold = Fold::new(granularity, &parameter.shape, parameter.layout().unwrap());
    Unit::new(parameter, fold.unwrap())
}

fn pruner(model: &Mlp, score: Box<dyn Score + Send>, when: When) -> Prune {
    let unit = unit(model, "first.weight", Granularity::Element);
    let target = Target::new(vec![unit], Box::new(|_: f64| 0.5));
    Prune::new("p", vec![target], score, Box::new(Level::default()), when)
}

fn loss(model: &Mlp, input: Tensor<2>) -> Tensor<1> {
    (model.forward(input) - 1.0).powi_scalar(2).mean()
}

/// Weights and gradients of the first weight before each step, and the zeros after it.
fn record(model: Mlp, policy: Prune, count: u64) -> Vec<(Vec<f32>, Vec<f32>, Vec<bool>)> {
    let data = MadeUp::for_mlp(4);
    let mut driver = Driver::new(4, vec![boxed(policy)], RatePlan::constant(0.05));
    let (mut model, mut optimizer) = (model, sgd());
    let step = |step| {
        let weights = stored(&model, "first.weight");
        let pass = driver.forward_backward(&model, data.batch("train", step), |model, batch| {
            (loss(model, batch.input), ())
        });
        let gradient = read(pass.gradients.get::<2>(model.first.weight.id).unwrap());
        model = driver.step(model.clone(), &mut optimizer, pass.gradients);
        let after = stored(&model, "first.weight")
            .iter()
            .map(|x| *x == 0.0)
            .collect();
        (weights, gradient, after)
    };
    (0..count).map(step).collect()
}

/// The half of the units with the smallest scores.
fn lowest_half(scores: &[f64]) -> Vec<bool> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let mut dropped = vec![false; scores.len()];
    order[..scores.len() / 2]
        .iter()
        .for_each(|&i| dropped[i] = true);
    dropped
}

#[test]
fn a_firing_collects_as_many_batches_as_asked_and_then_selects() {
    let model = mlp(0);
    let policy =
        pruner(&model, Box::new(Taylor::ABSOLUTE), epochs(1, 2)).with_batches(Batches::Count(3));
    let steps = record(model, policy, 9);
    // It fires before step 4, sees the gradients of steps 4 to 6, and masks from step 7 on.
    assert!(
        steps[..7]
            .iter()
            .all(|(.., zero)| zero.iter().all(|zero| !zero))
    );
    let score = |i: usize| -> f64 {
        let seen = steps[4..7].iter();
        seen.map(|(w, g, _)| f64::from((w[i] * g[i]).abs())).sum()
    };
    let scores: Vec<f64> = (0..96).map(score).collect();
    assert_eq!(steps[7].2, lowest_half(&scores));
    assert_eq!(steps[8].2, steps[7].2);
}

#[test]
fn movement_counts_every_batch_of_the_run() {
    let model = mlp(0);
    let policy = pruner(&model, Box::new(Movement), steps(&[5])).with_batches(Batches::All);
    let steps = record(model, policy, 6);
    let score = |i: usize| -> f64 {
        let seen = steps[..5].iter();
        seen.map(|(w, g, _)| -f64::from(w[i] * g[i])).sum()
    };
    let scores: Vec<f64> = (0..96).map(score).collect();
    assert_eq!(steps[5].2, lowest_half(&scores));
}

#[test]
fn regrowth_by_gradient_holds_the_level_and_starts_what_grows_at_zero() {
    let model = mlp(0);
    let unit = unit(&model, "first.weight", Granularity::Element);
    let target = Target::new(vec![unit], Box::new(|_: f64| 0.3));
    let select = Regrow {
        level: 0.75,
        count: Count::default(),
    };
    let policy = Prune::new(
        "rigl",
        vec![target],
        Box::new(Magnitude),
        Box::new(select),
        steps(&[0, 2, 4, 6]),
    )
    .with_growth(Box::new(Gradient));
    let steps = record(model, policy, 9);
    // The gradient of the firing's own step decides, so masks change in the step after it.
    let dropped: Vec<usize> = steps
        .iter()
        .map(|(.., zero)| zero.iter().filter(|zero| **zero).count())
        .collect();
    assert_eq!(dropped, [0, 72, 72, 72, 72, 72, 72, 72, 72]);
    let changes = (2..9)
        .filter(|i| steps[*i].2 != steps[i - 1].2)
        .collect::<Vec<_>>();
    assert_eq!(changes, [3, 5, 7]);
    let grown = (0..96).filter(|i| steps[2].2[*i] && !steps[3].2[*i]);
    for i in grown {
        assert_eq!(steps[3].0[i], 0.0, "it began at zero");
    }
}

#[test]
fn a_group_falls_together_by_its_aggregated_score() {
    // 6 inputs of the first layer's outputs and 3 outputs of the second: both have 16 rows between.
    let model = mlp(0);
    let units = || {
        vec![
            unit(&model, "first.weight", Granularity::FcOutput),
            unit(&model, "second.weight", Granularity::FcInput),
        ]
    };
    let row_norms = |path: &str, granularity| -> Vec<f64> {
        let unit = unit(&model, path, granularity);
        let weight = stored(&model, path);
        let rows = unit.fold.rows(Tensor::<1>::from_floats(
            weight.as_slice(),
            &training_device(),
        ));
        let members = unit.fold.members();
        let rows = read(rows);
        let mean =
            |row: &[f32]| row.iter().map(|x| f64::from(x.abs())).sum::<f64>() / members as f64;
        rows.chunks(members).map(mean).collect()
    };
    let first = row_norms("first.weight", Granularity::FcOutput);
    let second = row_norms("second.weight", Granularity::FcInput);
    let joined = |join: fn(f64, f64) -> f64| -> Vec<bool> {
        let scores = first.iter().zip(&second).map(|(a, b)| join(*a, *b));
        lowest_half(&scores.collect::<Vec<_>>())
    };
    let rows = [
        (Aggregation::Sum, joined(|a, b| a + b)),
        (Aggregation::Mean, joined(|a, b| (a + b) / 2.0)),
        (Aggregation::Max, joined(f64::max)),
        (Aggregation::First, joined(|a, _| a)),
    ];
    for (aggregation, expected) in rows {
        let target = Target {
            groups: vec![Group::shared(units(), aggregation).unwrap()],
            amount: Box::new(|_: f64| 0.5),
        };
        let policy = Prune::new(
            "p",
            vec![target],
            Box::new(Magnitude),
            Box::new(Level::default()),
            steps(&[0]),
        );
        let mut driver = Driver::new(4, vec![boxed(policy)], RatePlan::constant(0.0));
        let batch = MadeUp::for_mlp(4).batch("train", 0);
        let pass =
            driver.forward_backward(&model, batch, |model, batch| (loss(model, batch.input), ()));
        let after = driver.step(model.clone(), &mut SgdConfig::new().init(), pass.gradients);
        for unit in units() {
            let keep = driver.masks().keep(&unit.parameter.path).unwrap();
            let rows = read(unit.fold.rows(keep.float()));
            let found: Vec<bool> = rows
                .chunks(unit.fold.members())
                .map(|row| row.iter().all(|keep| *keep == 0.0))
                .collect();
            assert_eq!(found, expected, "{aggregation:?}");
        }
        assert_eq!(zeros(&stored(&after, "second.weight")), 24);
    }
    let unequal = vec![
        unit(&model, "first.weight", Granularity::FcInput),
        unit(&model, "second.weight", Granularity::FcInput),
    ];
    assert!(Group::shared(unequal, Aggregation::Sum).is_none());
    assert!(Group::shared(Vec::new(), Aggregation::Sum).is_none());
}

#[test]
fn repeated_selection_at_one_level_does_not_compound() {
    let model = mlp(0);
    let mut when = epochs(0, 3);
    when.again_every = Some(1);
    let policy = pruner(&model, Box::new(Magnitude), when);
    let seen = record(model, policy, 12);
    for (.., zero) in seen {
        assert_eq!(zero.iter().filter(|zero| **zero).count(), 48);
    }
}
