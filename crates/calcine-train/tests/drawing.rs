//! What policies draw at random: by seed, parameter and step, and never without a seed.

use std::collections::BTreeSet;

use calcine_criteria::Aggregation;
use calcine_criteria::{
    Bernoulli, Count, DrawnLevel, Gradient, Level, Magnitude, NOfM, Noisy, Norm, NormScale, Random,
    Regrow, Score, Select, Taylor,
};
use calcine_fold::Granularity;
use calcine_params::Inventory;
use calcine_regularize::{L1, Regularizer};
use calcine_testkit::{Mlp, each};
use calcine_train::{
    Apply, Batches, Driver, Group, Hold, Lifetime, Penalized, Penalty, Policy, PolicyError, Prune,
    RatePlan, Reconstruct, Target, Unit, When,
};

use crate::made_up::{MadeUp, boxed, epochs, mlp, sgd, steps, stored};

const PATHS: [&str; 2] = ["first.weight", "second.weight"];

fn unit(model: &Mlp, path: &str, granularity: Granularity) -> Unit {
    let parameter = Inventory::from_module(model).get(path).unwrap().clone();
    let fold = parameter.fold(granularity).unwrap();
    Unit::new(parameter, fold)
}

fn pruner(
    model: &Mlp,
    score: impl Score + Send + 'static,
    select: impl Select + Send + 'static,
    when: When,
) -> Prune {
    let units = PATHS
        .map(|path| unit(model, path, Granularity::Element))
        .to_vec();
    let target = Target::new(units, Box::new(|_: f64| 0.5));
    Prune::new("p", vec![target], Box::new(score), Box::new(select), when)
}

fn noisy<S>(score: S, probability: f64) -> Noisy<S> {
    Noisy { score, probability }
}

/// A pruner of a model, and whether what it draws differs between two parameters of equal weights.
type Make = fn(&Mlp) -> Prune;

/// What the forward pass of each step sees of both weights; all begin as `1 + i / 8`.
fn seen(make: Make, seed: u64, count: u64) -> Vec<[Vec<bool>; 2]> {
    let data = MadeUp::for_mlp(4);
    let (mut model, mut optimizer) = (ramped(mlp(0)), sgd());
    let policy = make(&model).with_seed(seed);
    let mut driver = Driver::new(4, vec![boxed(policy)], RatePlan::constant(0.0));
    let mut step = |step| {
        let pass = driver.forward_backward(&model, data.batch("train", step), |m, _| {
            let seen = PATHS.map(|path| {
                let weights = stored(m, path);
                weights
                    .iter()
                    .map(|w| *w != 0.0)
                    .take(48)
                    .collect::<Vec<bool>>()
            });
            (
                m.first.weight.val().sum() + m.second.weight.val().sum(),
                seen,
            )
        });
        model = driver.step(model.clone(), &mut optimizer, pass.gradients);
        pass.output
    };
    (0..count).map(&mut step).collect()
}

fn ramped(mut model: Mlp) -> Mlp {
    let ramp = |shape: [usize; 2]| {
        let numbers: Vec<f32> = (0..shape[0] * shape[1])
            .map(|i| 1.0 + (i % 48) as f32 / 8.0)
            .collect();
        burn::tensor::TensorData::new(numbers, shape)
    };
    let of = |weight: burn::module::Param<burn::tensor::Tensor<2>>| {
        let (shape, device) = (weight.val().dims(), weight.val().device());
        burn::module::Param::from_tensor(burn::tensor::Tensor::from_data(ramp(shape), &device))
    };
    model.first.weight = of(model.first.weight);
    model.second.weight = of(model.second.weight);
    model
}

const REGROW: Regrow = Regrow {
    level: 0.5,
    count: Count {
        rounding: calcine_criteria::Rounding::Floor,
        multiple: 1,
        at_least: calcine_criteria::AtLeast::Unset,
    },
};

#[test]
fn what_is_drawn_differs_by_seed_and_parameter_and_is_the_same_again() {
    let rows: [(&str, Make); 7] = [
        ("random", |m| {
            pruner(m, Random, Level::default(), epochs(0, 1))
        }),
        ("noise", |m| {
            pruner(m, noisy(Norm::L1, 1.0), Level::default(), epochs(0, 1))
        }),
        ("noise of gradients", |m| {
            pruner(
                m,
                noisy(Taylor::ABSOLUTE, 1.0),
                Level::default(),
                epochs(0, 1),
            )
        }),
        ("noise of several batches", |m| {
            pruner(
                m,
                noisy(Taylor::ABSOLUTE, 1.0),
                Level::default(),
                epochs(0, 1),
            )
            .with_batches(Batches::Count(3))
        }),
        ("bernoulli", |m| {
            pruner(m, Magnitude, Bernoulli, epochs(0, 1)).with_hold(Hold::Shadow)
        }),
        ("random regrowth", |m| {
            pruner(m, Magnitude, REGROW, steps(&[0, 2])).with_growth(Box::new(Random))
        }),
        ("random regrowth beside gradients", |m| {
            pruner(m, Taylor::ABSOLUTE, REGROW, steps(&[0, 2])).with_growth(Box::new(Random))
        }),
    ];
    each(rows, |(_, make)| {
        let last = |seed| seen(*make, seed, 4).pop().unwrap();
        let all: Vec<_> = (0..4).map(last).collect();
        let different: BTreeSet<_> = all.iter().cloned().collect();
        assert_eq!(different.len(), 4, "seeds");
        assert!(all.iter().all(|[a, b]| a != b), "parameters");
        assert_eq!(last(1), all[1]);
    });
}

#[test]
fn what_is_drawn_differs_by_step() {
    let drop_filter: Make = |m| {
        pruner(m, Magnitude, Bernoulli, steps(&[0, 1, 2]))
            .with_hold(Hold::Shadow)
            .with_lifetime(Lifetime::Step)
    };
    let seen = seen(drop_filter, 7, 3);
    assert!(seen[0] != seen[1] && seen[1] != seen[2]);
}

#[test]
fn noise_comes_as_often_as_its_probability_says_over_however_many_batches() {
    for batches in [1, 2, 4] {
        let noise: Make = match batches {
            1 => |m| {
                pruner(
                    m,
                    noisy(Taylor::ABSOLUTE, 0.5),
                    Level::default(),
                    epochs(0, 1),
                )
            },
            2 => |m| {
                pruner(
                    m,
                    noisy(Taylor::ABSOLUTE, 0.5),
                    Level::default(),
                    epochs(0, 1),
                )
                .with_batches(Batches::Count(2))
            },
            _ => |m| {
                pruner(
                    m,
                    noisy(Taylor::ABSOLUTE, 0.5),
                    Level::default(),
                    epochs(0, 1),
                )
                .with_batches(Batches::Count(4))
            },
        };
        // Ranked without noise, the first half of the ramp falls.
        let quiet: Vec<bool> = (0..48).map(|i| i >= 24).collect();
        let disturbed = |seed: &u64| seen(noise, *seed, 5)[4][1] != quiet;
        let often = (0..20).filter(disturbed).count();
        assert!(
            (4..=16).contains(&often),
            "{often} of 20 with {batches} batches"
        );
    }
}

fn refused(policy: impl Policy<Mlp> + 'static) -> PolicyError {
    let made = Driver::try_new(4, vec![boxed(policy)], RatePlan::constant(0.1));
    made.expect_err("a problem")
}

#[test]
fn policies_that_cannot_do_what_they_are_set_up_for_are_refused_when_a_driver_is_made() {
    let model = mlp(0);
    let level = || Level::default();
    let when = || epochs(0, 1);
    let drawn = DrawnLevel {
        width: 0.1,
        count: Count::default(),
    };
    let twice = || {
        let units = || vec![unit(&model, "first.weight", Granularity::Element)];
        let group = |units| Group::shared(units, Aggregation::Sum).unwrap();
        let target = Target {
            groups: vec![group(units()), group(units())],
            amount: Box::new(|_: f64| 0.5),
        };
        Prune::new(
            "p",
            vec![target],
            Box::new(Magnitude),
            Box::new(level()),
            when(),
        )
    };
    let rows: Vec<(Prune, &str)> = vec![
        (
            pruner(&model, Random, level(), when()),
            "its score draws random numbers",
        ),
        (
            pruner(&model, noisy(Norm::L1, 0.1), level(), when()),
            "its score draws random numbers",
        ),
        (
            pruner(&model, Magnitude, Bernoulli, when()),
            "its selection draws random numbers",
        ),
        (
            pruner(&model, Magnitude, drawn, when()),
            "its selection draws random numbers",
        ),
        (
            pruner(&model, Magnitude, REGROW, when()).with_growth(Box::new(Random)),
            "its growth score draws random numbers",
        ),
        (
            pruner(&model, Magnitude, REGROW, when()),
            "give it a growth score, `Prune::with_growth`",
        ),
        (
            pruner(&model, Magnitude, REGROW, when()).with_growth(Box::new(NormScale)),
            "but needs NormScale",
        ),
        (
            pruner(&model, NormScale, level(), when()),
            "`first.weight`: its score is the scale",
        ),
        (
            pruner(&model, Magnitude, NOfM { of: 5 }, when()),
            "96 units cannot be divided into groups of 5",
        ),
        (
            pruner(&model, Magnitude, NOfM { of: 0 }, when()),
            "96 units cannot be divided into groups of 0",
        ),
        (
            pruner(&model, Magnitude, level(), when()).with_reconstruction(Reconstruct::default()),
            "its refitting draws random positions",
        ),
        (
            pruner(&model, Magnitude, level(), when())
                .with_reconstruction(Reconstruct::default())
                .with_seed(1)
                .with_hold(Hold::Shadow),
            "refits stored weights",
        ),
        (twice(), "`first.weight` is in two groups"),
        (
            pruner(
                &model,
                Magnitude,
                level(),
                When {
                    again_every: Some(0),
                    ..when()
                },
            ),
            "again every 0 steps",
        ),
    ];
    for (policy, expected) in rows {
        let error = refused(policy).to_string();
        assert!(
            error.starts_with("`p`: ") && error.contains(expected),
            "{error}"
        );
    }
    let endless = Driver::<Mlp>::try_new(0, Vec::new(), RatePlan::constant(0.1));
    assert!(endless.unwrap_err().to_string().contains("0 steps"));
    let fine = pruner(&model, Gradient, level(), when());
    Driver::try_new(4, vec![boxed::<Mlp>(fine)], RatePlan::constant(0.1)).unwrap();
}

fn penalty(model: &Mlp, regularizer: Box<dyn Regularizer + Send>) -> Penalty {
    let penalized = PATHS.map(|path| Penalized {
        unit: unit(model, path, Granularity::Element),
        strength: Box::new(|_: f64| 0.01),
    });
    Penalty::new("r", penalized.into(), regularizer, epochs(0, 1))
}

#[test]
fn penalties_that_cannot_do_what_they_are_set_up_for_are_refused_too() {
    let model = mlp(0);
    let rows: Vec<(Penalty, &str)> = vec![
        (
            penalty(&model, Box::new(L1)).with_weakest(Box::new(Random), 0.5),
            "draws random numbers",
        ),
        (
            penalty(&model, Box::new(L1)).with_weakest(Box::new(Gradient), 0.5),
            "must need only weights, but needs Gradient",
        ),
    ];
    let mut rows = rows;
    let penalized = || Penalized {
        unit: unit(&model, "first.weight", Granularity::Element),
        strength: Box::new(|_: f64| 0.01),
    };
    let twice = Penalty::new(
        "r",
        vec![penalized(), penalized()],
        Box::new(L1),
        epochs(0, 1),
    );
    rows.push((
        twice.with_apply(Apply::Proximal),
        "`first.weight` is penalized twice",
    ));
    for (policy, expected) in rows {
        let error = refused(policy).to_string();
        assert!(
            error.starts_with("`r`: ") && error.contains(expected),
            "{error}"
        );
    }
}

#[test]
fn the_weakest_of_random_scores_are_others_for_every_seed_and_parameter() {
    let moved = |seed| {
        let model = ramped(mlp(0));
        let policy = penalty(&model, Box::new(L1)).with_weakest(Box::new(Random), 0.5);
        let policies = vec![boxed(policy.with_seed(seed))];
        let mut driver = Driver::new(4, policies, RatePlan::constant(1.0));
        let before = PATHS.map(|path| stored(&model, path));
        let pass = driver.forward_backward(&model, (), |m, ()| {
            (
                (m.first.weight.val().sum() + m.second.weight.val().sum()) * 0.0,
                (),
            )
        });
        let sgd = burn::optim::SgdConfig::new();
        let after = driver.step(model, &mut sgd.init(), pass.gradients);
        let after = PATHS.map(|path| stored(&after, path));
        let pairs = before.iter().zip(&after);
        let moved = pairs.map(|(a, b)| a.iter().zip(b).take(48).map(|(a, b)| a != b).collect());
        moved.collect::<Vec<Vec<bool>>>()
    };
    let all: BTreeSet<_> = (0..4).map(moved).collect();
    assert_eq!(all.len(), 4);
    assert!(all.iter().all(|moved| moved[0] != moved[1]));
    assert_eq!(moved(2), moved(2));
}
