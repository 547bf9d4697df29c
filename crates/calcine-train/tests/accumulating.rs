//! Several forward passes a step: what happens once a step happens once.

use burn::optim::{GradientsAccumulator, GradientsParams};
use calcine_criteria::{Count, Gradient, Level, Magnitude, Random, Regrow, Taylor};
use calcine_fold::Granularity;
use calcine_params::Inventory;
use calcine_regularize::L1;
use calcine_testkit::{Mlp, each};
use calcine_train::{
    Apply, Driver, Penalized, Penalty, Policy, Prune, RatePlan, Restore, Rewind, Target, Unit,
};

use crate::made_up::{MadeUp, boxed, epochs, mlp, read, steps, stored};

fn unit(model: &Mlp) -> Unit {
    let parameter = Inventory::from_module(model)
        .get("first.weight")
        .unwrap()
        .clone();
    let fold = parameter.fold(Granularity::Element).unwrap();
    Unit::new(parameter, fold)
}

fn penalty(model: &Mlp, apply: Apply) -> Box<dyn Policy<Mlp>> {
    let penalized = Penalized {
        unit: unit(model),
        strength: Box::new(|_: f64| 0.25),
    };
    boxed(Penalty::new("r", vec![penalized], Box::new(L1), epochs(0, 9)).with_apply(apply))
}

fn target(model: &Mlp) -> Target {
    Target::new(vec![unit(model)], Box::new(|_: f64| 0.5))
}

fn regrow(model: &Mlp) -> Prune {
    let select = Regrow {
        level: 0.5,
        count: Count::default(),
    };
    let (score, when) = (Box::new(Magnitude), steps(&[0, 1, 2, 3]));
    Prune::new("p", vec![target(model)], score, Box::new(select), when)
        .with_growth(Box::new(Random))
        .with_seed(4)
}

type Make = fn(&Mlp) -> Box<dyn Policy<Mlp>>;

/// The first weight after each of six steps, each of so many passes over the same batch; the objective is divided by
/// their number.
fn train(make: Make, passes: usize) -> Vec<Vec<f32>> {
    let mut model = mlp(0);
    let data = MadeUp::for_mlp(2);
    let mut driver = Driver::new(2, vec![make(&model)], RatePlan::constant(0.125));
    let mut optimizer = burn::optim::SgdConfig::new().init();
    let mut step = |step| {
        let mut accumulated = GradientsAccumulator::new();
        for _ in 0..passes {
            let pass = driver.forward_backward(&model, data.batch("train", step), |m, batch| {
                let loss = (m.forward(batch.input) - 1.0).powi_scalar(2).mean();
                (loss / passes as f64, ())
            });
            accumulated.accumulate(&model, pass.gradients);
        }
        model = driver.step(model.clone(), &mut optimizer, accumulated.grads());
        stored(&model, "first.weight")
    };
    (0..6).map(&mut step).collect()
}

#[test]
fn a_step_of_several_passes_is_a_step_of_one() {
    let rows: [(&str, Make); 9] = [
        ("a penalty in the loss", |m| penalty(m, Apply::Loss)),
        ("by its gradient", |m| penalty(m, Apply::Gradient)),
        ("by its proximal step", |m| penalty(m, Apply::Proximal)),
        ("random regrowth", |m| boxed(regrow(m))),
        ("regrowth by gradient", |m| {
            boxed(regrow(m).with_growth(Box::new(Gradient)))
        }),
        ("a level", |m| {
            let select = Box::new(Level::default());
            boxed(Prune::new(
                "p",
                vec![target(m)],
                Box::new(Magnitude),
                select,
                epochs(0, 2),
            ))
        }),
        ("a level of gradients", |m| {
            let select = Box::new(Level::default());
            let score = Box::new(Taylor::ABSOLUTE);
            boxed(Prune::new(
                "p",
                vec![target(m)],
                score,
                select,
                epochs(0, 2),
            ))
        }),
        ("random scores", |m| {
            let select = Box::new(Level::default());
            let policy = Prune::new("p", vec![target(m)], Box::new(Random), select, epochs(0, 2));
            boxed(policy.with_seed(3))
        }),
        ("a rewind", |m| {
            boxed(Rewind::new(
                &Inventory::from_module(m),
                0,
                vec![1, 2],
                Restore::Both,
            ))
        }),
    ];
    each(rows, |(_, make)| {
        let one = train(*make, 1);
        for passes in [2, 4] {
            let several = train(*make, passes);
            for (step, (one, several)) in one.iter().zip(&several).enumerate() {
                for (a, b) in one.iter().zip(several) {
                    assert_eq!(*a == 0.0, *b == 0.0, "step {step}, {passes} passes");
                    approx::assert_relative_eq!(a, b, max_relative = 1e-4, epsilon = 1e-5);
                }
            }
        }
    });
}

/// The gradient of the first weight in a pass whose objective gives none.
fn gradient(driver: &mut Driver<Mlp>, model: &Mlp) -> (f32, GradientsParams) {
    let pass = driver.forward_backward(model, (), |m, ()| (m.first.weight.val().sum() * 0.0, ()));
    let gradient = pass.gradients.get::<2>(model.first.weight.id).unwrap();
    (read(gradient.abs())[0], pass.gradients)
}

#[test]
fn gradients_that_are_thrown_away_take_no_penalty_with_them() {
    let model = mlp(0);
    let mut driver = Driver::new(
        4,
        vec![penalty(&model, Apply::Loss)],
        RatePlan::constant(0.1),
    );
    assert_eq!(gradient(&mut driver, &model).0, 0.25);
    assert_eq!(
        gradient(&mut driver, &model).0,
        0.0,
        "a second pass of the same step"
    );
    driver.discard();
    let (size, gradients) = gradient(&mut driver, &model);
    assert_eq!(size, 0.25);
    let sgd = burn::optim::SgdConfig::new();
    let model = driver.step(model, &mut sgd.init(), gradients);
    assert_eq!(gradient(&mut driver, &model).0, 0.25, "the next step");
}

#[test]
fn a_discarded_pass_decides_nothing_twice() {
    let masks = |discarded: usize| {
        let model = mlp(0);
        let mut driver = Driver::new(4, vec![boxed(regrow(&model))], RatePlan::constant(0.0));
        let (mut model, mut optimizer) = (model, burn::optim::SgdConfig::new().init());
        for _ in 0..3 {
            for _ in 0..discarded {
                let _ = gradient(&mut driver, &model);
                driver.discard();
            }
            let (_, gradients) = gradient(&mut driver, &model);
            model = driver.step(model, &mut optimizer, gradients);
        }
        let keep = driver.masks().keep("first.weight").unwrap();
        keep.into_data().iter::<bool>().collect::<Vec<_>>()
    };
    assert_eq!(masks(0), masks(2));
}
