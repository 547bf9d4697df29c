//! At the end of a run, all that was asked says what was reached.

use burn::module::RunningState;
use burn::tensor::Tensor;
use calcine_criteria::{Level, Taylor};
use calcine_fold::{Fold, Granularity, Layout};
use calcine_params::Inventory;
use calcine_schedule::{Cubic, Window};
use calcine_testkit::{ConvNet, Mlp, each};
use calcine_train::{
    After, Batches, Classification, Driver, FitError, FitSettings, ForwardPass, ForwardPasses,
    Hold, NoObserver, Outcome, Policy, PolicyOutcome, Prune, RatePlan, Restore, Rewind, Run,
    Target, Unit, When, check_finite, fit, fit_with,
};
use tempfile::tempdir;

use crate::made_up::{MadeUp, boxed, conv_net, epochs, mlp, prune, sgd, steps};

const RAMP: Cubic = Cubic {
    initial: 0.0,
    last: 0.75,
};

/// Steps of a driver of four epochs of four steps, and what it says then.
fn after(model: &Mlp, policies: Vec<Box<dyn Policy<Mlp>>>, done: u64) -> Vec<PolicyOutcome> {
    let mut driver = Driver::new(4, policies, RatePlan::constant(0.01)).with_epochs(4);
    let mut model = model.clone();
    let mut optimizer = sgd();
    let data = MadeUp::for_mlp(4);
    for step in 0..done {
        let batch = data.batch("train", step);
        let pass = driver.forward_backward(&model, batch.input, |model, input| {
            (model.forward(input).square().mean(), ())
        });
        model = driver.step(model, &mut optimizer, pass.gradients);
    }
    driver.outcomes()
}

#[test]
fn a_pruner_says_at_the_end_what_it_has_reached_and_why_not_more() {
    type Case = (
        &'static str,
        fn(&Mlp) -> Prune,
        u64,
        &'static str,
        Option<&'static str>,
    );
    let rows: Vec<Case> = vec![
        (
            "whole",
            |m| prune(m, "p", "first.weight", RAMP, epochs(0, 4)),
            16,
            "72 of 96 units dropped",
            None,
        ),
        (
            "an epoch too early",
            |m| prune(m, "p", "first.weight", RAMP, epochs(0, 4)),
            8,
            "units dropped",
            Some("its last moment is epoch 3, and the run ended at epoch 2"),
        ),
        (
            "before it began",
            |m| prune(m, "p", "first.weight", RAMP, steps(&[6, 7])),
            5,
            "no selection",
            Some("its last moment is step 7, and the run ended at step 5"),
        ),
        (
            "no batch left",
            |m| gradients(m, epochs(3, 4), 8),
            16,
            "no selection",
            Some("its last selection needs 4 more batches"),
        ),
        (
            "released",
            |m| {
                prune(m, "p", "first.weight", RAMP, epochs(0, 2))
                    .with_hold(Hold::Forward)
                    .with_after(After::Release)
            },
            16,
            "a selection at 100 % of its window",
            None,
        ),
    ];
    each(rows, |(what, policy, done, reached, missed)| {
        let model = mlp(0);
        let outcomes = after(&model, vec![boxed(policy(&model))], *done);
        let [run, outcome] = &outcomes[..] else {
            panic!("{outcomes:?}")
        };
        assert_eq!(run.is_reached(), *done == 16, "{what}: {run}");
        assert!(outcome.reached.contains(reached), "{what}: {outcome}");
        match missed {
            None => assert!(outcome.is_reached(), "{what}: {outcome}"),
            Some(reason) => assert!(outcome.to_string().contains(reason), "{what}: {outcome}"),
        }
    });
}

/// A pruner by Taylor scores over so many batches.
fn gradients(model: &Mlp, when: When, batches: u64) -> Prune {
    let inventory = Inventory::from_module(model);
    let parameter = inventory.get("first.weight").unwrap().clone();
    let fold = Fold::new(Granularity::Element, &parameter.shape, Layout::OutputFirst).unwrap();
    let target = Target::new(vec![Unit::new(parameter, fold)], Box::new(|_: f64| 0.5));
    let (score, select) = (Box::new(Taylor::ABSOLUTE), Box::new(Level::default()));
    Prune::new("p", vec![target], score, select, when).with_batches(Batches::Count(batches))
}

/// Bound with the batches of an epoch, stepped once for four of them.
#[test]
fn a_run_that_accumulates_gradients_says_that_its_steps_were_fewer() {
    let model = mlp(0);
    let policy = prune(&model, "p", "first.weight", RAMP, epochs(0, 4));
    let driver = Driver::new(8, vec![boxed(policy)], RatePlan::constant(0.0)).with_epochs(4);
    let (mut driver, mut model, mut optimizer) = (driver, model, sgd());
    let data = MadeUp::for_mlp(8);
    for step in 0..8 {
        let mut gradients = None;
        for micro in 0..4 {
            let batch = data.batch("train", 4 * step + micro);
            let pass = driver.forward_backward(&model, batch.input, |model, input| {
                (model.forward(input).square().mean(), ())
            });
            gradients = Some(pass.gradients);
        }
        model = driver.step(model, &mut optimizer, gradients.unwrap());
    }
    let outcomes = driver.outcomes();
    assert!(
        outcomes.iter().all(|outcome| !outcome.is_reached()),
        "{outcomes:?}"
    );
    assert_eq!(outcomes[0].asked, "32 steps (4 epochs of 8)");
    assert!(
        outcomes[0]
            .to_string()
            .contains("gradients are accumulated"),
        "{}",
        outcomes[0]
    );
}

#[test]
fn a_rewind_whose_epoch_does_not_come_says_so() {
    let model = mlp(0);
    let rewind = |at: &[u64]| {
        let rewind = Rewind::new(
            &Inventory::from_module(&model),
            0,
            at.to_vec(),
            Restore::Both,
        );
        after(&model, vec![boxed(rewind)], 16).remove(1)
    };
    assert!(rewind(&[1, 3]).is_reached());
    let missed = rewind(&[1, 4]);
    assert!(
        missed
            .to_string()
            .ends_with("reached 1 of them: epoch 4 was not reached"),
        "{missed}"
    );
}

#[test]
fn outcomes_of_a_resumed_run_are_those_of_a_whole_one() {
    let directory = tempdir().unwrap();
    let data = MadeUp::for_mlp(4);
    let begin = || {
        let model = mlp(0);
        let policy = prune(&model, "p", "first.weight", RAMP, epochs(0, 2));
        let driver = Driver::new(4, vec![boxed(policy)], RatePlan::constant(0.01));
        Run::new(model, driver.with_epochs(4), sgd())
    };
    let fitted = |run: Run<Mlp>, epochs: u64, kept: Option<&std::path::Path>| {
        let settings = FitSettings {
            epochs,
            checkpoints: kept.map(Into::into),
            ..FitSettings::default()
        };
        match fit(
            run,
            &data,
            Mlp::forward,
            &Classification,
            &settings,
            &mut NoObserver,
        )
        .unwrap()
        {
            Outcome::Finished(run) => run,
            other => panic!("{other:?}"),
        }
    };
    let whole = fitted(begin(), 4, None).driver.outcomes();
    assert!(whole.iter().all(PolicyOutcome::is_reached), "{whole:?}");
    fitted(begin(), 3, Some(directory.path()));
    let device = crate::made_up::training_device();
    let (resumed, _) = begin().resume(directory.path(), &device).unwrap();
    assert_eq!(fitted(resumed, 4, None).driver.outcomes(), whole);
}

/// A forward pass of its own for validation is prepared once an epoch, and computes the validation and nothing else.
#[test]
fn validation_has_a_forward_pass_of_its_own() {
    let data = MadeUp::for_mlp(4);
    let begin = || {
        let driver: Driver<Mlp> = Driver::new(4, Vec::new(), RatePlan::constant(0.01));
        Run::new(mlp(0), driver, sgd())
    };
    let settings = FitSettings {
        epochs: 3,
        ..FitSettings::default()
    };
    let prepared = std::cell::Cell::new(0);
    let fitted = |sign: Option<f32>| {
        type Prepare<'a> = &'a dyn for<'m> Fn(&'m Mlp) -> ForwardPass<'m, Tensor<2>, Tensor<2>>;
        let inference: Prepare<'_> = &|model| {
            prepared.set(prepared.get() + 1);
            let (model, sign) = (model.clone(), sign.unwrap_or(1.0));
            Box::new(move |input| model.forward(input) * sign)
        };
        let passes = ForwardPasses {
            training: &|model: &Mlp, input| model.forward(input),
            inference: sign.is_some().then_some(inference),
        };
        let observer = &mut NoObserver;
        let outcome = fit_with(begin(), &data, passes, &Classification, &settings, observer);
        match outcome.unwrap() {
            Outcome::Finished(run) => run.history,
            other => panic!("{other:?}"),
        }
    };
    let (usual, same, negated) = (fitted(None), fitted(Some(1.0)), fitted(Some(-1.0)));
    assert_eq!(prepared.get(), 6);
    assert_eq!(usual.epochs, same.epochs);
    for (usual, negated) in usual.epochs.iter().zip(&negated.epochs) {
        assert_eq!(usual.train, negated.train);
        assert_ne!(usual.validation, negated.validation);
    }
}

#[test]
fn numbers_that_are_not_finite_are_found_in_parameters_and_running_statistics() {
    assert_eq!(check_finite(&conv_net(0)), Ok(()));
    let (mut weights, mut statistics) = (conv_net(0), conv_net(0));
    let device = crate::made_up::training_device();
    let half = |x: f32| Tensor::<1>::from_floats([1.0, x, 1.0, x, 1.0, 1.0, 1.0, 1.0], &device);
    weights.norm.gamma = burn::module::Param::from_tensor(half(f32::NAN));
    let variance = half(f32::INFINITY).without_autodiff();
    statistics.norm.running_var = RunningState::new(variance);
    for (model, path) in [(weights, "norm.gamma"), (statistics, "norm.running_var")] {
        let error = check_finite(&model).unwrap_err();
        assert_eq!(error.parameters, [(path.to_owned(), 2)]);
        assert!(
            error.to_string().contains(&format!("2 of `{path}`")),
            "{error}"
        );
    }
}

/// Batch norms train by the batch's statistics, so the loss of a run whose running ones are broken is fine.
#[test]
fn a_run_whose_running_statistics_are_no_longer_finite_stops_and_names_them() {
    let mut model = conv_net(0);
    let device = crate::made_up::training_device();
    let variance = Tensor::<1>::full([8], f32::INFINITY, &device.without_autodiff());
    model.norm.running_var = RunningState::new(variance);
    let driver: Driver<ConvNet> = Driver::new(3, Vec::new(), RatePlan::constant(0.01));
    let settings = FitSettings {
        epochs: 2,
        ..FitSettings::default()
    };
    let data = MadeUp::for_conv_net(3);
    let run = Run::new(model, driver, sgd());
    let error = fit(
        run,
        &data,
        ConvNet::forward,
        &Classification,
        &settings,
        &mut NoObserver,
    )
    .map(drop);
    let error = error.unwrap_err();
    assert!(
        matches!(
            error,
            FitError::NotFinite {
                epoch: 0,
                step: 3,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(
        error.to_string().contains("8 of `norm.running_var`"),
        "{error}"
    );
}

#[test]
fn data_of_other_epochs_than_the_drivers_is_refused() {
    let driver: Driver<Mlp> = Driver::new(8, Vec::new(), RatePlan::constant(0.01));
    for batches in [4, 16] {
        let data = MadeUp::for_mlp(batches);
        let driver: Driver<Mlp> = Driver::new(
            driver.clock().steps_per_epoch,
            Vec::new(),
            RatePlan::constant(0.01),
        );
        let run = Run::new(mlp(0), driver, sgd());
        let fitted = fit(
            run,
            &data,
            Mlp::forward,
            &Classification,
            &FitSettings::default(),
            &mut NoObserver,
        );
        let error = fitted.map(drop).unwrap_err();
        assert!(
            matches!(error, FitError::Steps { driver: 8, data } if data == batches),
            "{error}"
        );
    }
}

#[test]
fn moments_that_have_come_are_those_whose_first_step_is_done() {
    let window = || Window::new(1, 4, 2).unwrap();
    let clock = |step| calcine_schedule::Clock::at_global_step(3, step);
    let passed = |when: &When| {
        (0..12)
            .map(|step| when.moments_passed(&clock(step)))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        passed(&When::epochs(window())),
        [0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 2, 2]
    );
    assert_eq!(
        passed(&When::steps(window())),
        [0, 0, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2]
    );
}
