//! A run that was stopped or killed and resumed equals one that was not.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use burn::module::Module;
use burn::optim::{AdamConfig, ModuleOptimizer};
use burn::tensor::Tensor;
use calcine_criteria::{Bernoulli, Level, Norm, Random, Score, Select, Sensitivity, Taylor};
use calcine_fold::{Fold, Granularity};
use calcine_params::Inventory;
use calcine_regularize::{Criterion, L2};
use calcine_schedule::rate::{Mode, Plateau};
use calcine_schedule::{Cubic, Curve, Window};
use calcine_testkit::{ConvNet, Mlp, each, is_reference};
use calcine_train::checkpoint::{self, CheckpointError};
use calcine_train::{
    After, Batches, Classification, Data, Driver, FitError, FitSettings, History, Hold, Lifetime,
    NoObserver, Observer, Outcome, Penalized, Penalty, Prune, RateEntry, RatePlan, Restore, Rewind,
    Run, StepReport, StopFlag, Target, Unit, When, WindowUnit, fit,
};
use serde_json::json;
use tempfile::tempdir;

use crate::made_up::{MadeUp, boxed, conv_net, epochs, mlp, prune, sgd, stored, training_device};

const STEPS: u64 = 5;

fn adam() -> ModuleOptimizer {
    AdamConfig::new().init()
}

/// Two pruners (one with frozen references) and a plateau schedule.
fn driver<M: Module>(model: &M, weight: &str, head: &str, steps: u64) -> Driver<M> {
    let ramp = Cubic {
        initial: 0.1,
        last: 0.7,
    };
    let level = prune(model, "ramp", weight, ramp, epochs(0, 3));
    let inventory = Inventory::from_module(model);
    let parameter = inventory.get(head).unwrap().clone();
    let layout = parameter.layout().unwrap();
    let fold = Fold::new(Granularity::FcInput, &parameter.shape, layout).unwrap();
    let unit = Unit::new(parameter, fold);
    let target = Target::new(vec![unit], Box::new(|p: f64| 0.5 + p));
    // A name that no file system takes as it is.
    let sensitivity = Prune::new(
        "head: in/out",
        vec![target],
        Box::new(Norm::L2),
        Box::new(Sensitivity::FROZEN),
        When::steps(Window::new(3, 12, 4).unwrap()),
    );
    let plateau = Plateau::new(Mode::Min)
        .with_factor(0.5)
        .unwrap()
        .with_patience(0);
    let plan = RatePlan::constant(0.05).with_schedule(RateEntry {
        schedule: Box::new(plateau),
        window: Window::new(0, 100, 1).unwrap(),
        unit: WindowUnit::Steps,
    });
    Driver::new(steps, vec![boxed(level), boxed(sensitivity)], plan)
}

/// What remembers more than masks: sums over batches, choices, saved weights, random scores.
fn remembering_run(draw: usize) -> Run<Mlp> {
    let model = mlp(draw);
    let inventory = Inventory::from_module(&model);
    let unit = |path: &str, granularity| {
        let parameter = inventory.get(path).unwrap().clone();
        let layout = parameter.layout().unwrap();
        let fold = Fold::new(granularity, &parameter.shape, layout).unwrap();
        Unit::new(parameter, fold)
    };
    let half = || -> Box<dyn Curve + Send + Sync> { Box::new(|_: f64| 0.5) };
    let prune = |name: &str, score: Box<dyn Score + Send>, select: Box<dyn Select + Send>, when| {
        let target = Target::new(vec![unit("first.weight", Granularity::FcOutput)], half());
        Prune::new(name, vec![target], score, select, when)
    };
    let waiting = prune(
        "waiting",
        Box::new(Taylor::ABSOLUTE),
        Box::<Level>::default(),
        When::steps(Window::new(4, 14, 5).unwrap()),
    )
    .with_batches(Batches::Count(3))
    .with_hold(Hold::Shadow);
    let bernoulli = prune(
        "bernoulli",
        Box::new(Random),
        Box::new(Bernoulli),
        When::steps(Window::new(0, 15, 2).unwrap()),
    )
    .with_hold(Hold::Shadow)
    .with_lifetime(Lifetime::Step)
    .with_seed(6);
    let penalized = Penalized {
        unit: unit("first.weight", Granularity::FcInput),
        strength: Box::new(|p: f64| 0.1 * p),
    };
    let when = When::epochs(Window::new(0, 3, 1).unwrap());
    let penalty = Penalty::new("growing", vec![penalized], Box::new(L2), when)
        .with_weakest(Box::new(Norm::L1), 0.3)
        .with_threshold(Criterion::L2, Some(0.05))
        .with_after(After::Hold);
    let rewind = Rewind::new(&inventory, 1, vec![2], Restore::Both);
    let policies = vec![
        boxed(waiting),
        boxed(bernoulli),
        boxed(penalty),
        boxed(rewind),
    ];
    let driver = Driver::new(STEPS, policies, RatePlan::constant(0.05));
    Run::new(model, driver, sgd())
}

fn conv_run(draw: usize, optimizer: fn() -> ModuleOptimizer) -> Run<ConvNet> {
    let model = conv_net(draw);
    let driver = driver(&model, "conv.weight", "head.weight", STEPS);
    Run::new(model, driver, optimizer())
}

pub(crate) fn mlp_run(draw: usize, optimizer: fn() -> ModuleOptimizer) -> Run<Mlp> {
    let model = mlp(draw);
    let driver = driver(&model, "first.weight", "second.weight", STEPS);
    Run::new(model, driver, optimizer())
}

fn settings(directory: &Path, checkpoint_every: Option<u64>) -> FitSettings {
    FitSettings {
        epochs: 3,
        report_every: 2,
        checkpoint_every,
        checkpoints: Some(directory.to_path_buf()),
        context: json!({ "recipe": "none" }),
        ..FitSettings::default()
    }
}

/// Raises the flag at a step of the run.
struct StopAt {
    step: u64,
    flag: StopFlag,
}

impl Observer for StopAt {
    fn step(&mut self, report: &StepReport) {
        if report.clock.global_step() + 1 >= self.step {
            self.flag.raise();
        }
    }
}

/// Every file of the newest checkpoint, and the best weights.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let (newest, _) = checkpoint::latest(directory).unwrap();
    let listed = fs::read_dir(&newest)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    listed
        .chain([checkpoint::best(directory)])
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read(&path).unwrap())
        })
        .collect()
}

fn finished<M>(outcome: Result<Outcome<M>, FitError>) -> Run<M> {
    match outcome {
        Ok(Outcome::Finished(run)) => run,
        Ok(Outcome::Paused(_) | Outcome::Stopped(_)) => panic!("the run was stopped"),
        Err(error) => panic!("{error}"),
    }
}

/// How a run comes to its end before its time.
#[derive(Debug, Clone, Copy)]
enum End {
    /// By the stop flag, which saves, after about this step.
    Flag(u64),
    /// Without a word, after this step.
    Kill(u64),
}

fn resumes_exactly<M: Module, const D: usize>(
    new: impl Fn(usize) -> Run<M>,
    mut data: MadeUp<D>,
    forward: fn(&M, Tensor<D>) -> Tensor<2>,
    end: End,
) {
    let (whole, broken) = (tempdir().unwrap(), tempdir().unwrap());
    let through = finished(fit(
        new(0),
        &data,
        forward,
        &Classification,
        &settings(whole.path(), None),
        &mut NoObserver,
    ));

    let mut first = settings(broken.path(), Some(2));
    match end {
        End::Flag(step) => {
            first.report_every = 1;
            let mut stop = StopAt {
                step,
                flag: first.stop.clone(),
            };
            let outcome = fit(new(0), &data, forward, &Classification, &first, &mut stop).unwrap();
            assert!(matches!(outcome, Outcome::Stopped(_)));
        }
        End::Kill(step) => {
            data.dies_at = step;
            let error = fit(
                new(0),
                &data,
                forward,
                &Classification,
                &first,
                &mut NoObserver,
            )
            .unwrap_err();
            assert!(matches!(error, FitError::ShortEpoch { .. }), "{error}");
            data.dies_at = u64::MAX;
        }
    }
    // Another process: other identifiers, other initial weights.
    let (run, context) = new(7).resume(broken.path(), &training_device()).unwrap();
    assert_eq!(context, json!({ "recipe": "none" }));
    let resumed = finished(fit(
        run,
        &data,
        forward,
        &Classification,
        &settings(broken.path(), None),
        &mut NoObserver,
    ));

    assert_eq!(resumed.history.epochs.len(), 3);
    if !is_reference() {
        return;
    }
    assert_eq!(resumed.history, through.history);
    let (whole, broken) = (files(whole.path()), files(broken.path()));
    assert_eq!(
        whole.keys().collect::<Vec<_>>(),
        broken.keys().collect::<Vec<_>>()
    );
    for (name, bytes) in &whole {
        assert!(*bytes == broken[name], "{name} differs");
    }
}

const ENDS: [End; 5] = [
    End::Flag(3),
    End::Flag(8),
    End::Kill(4),
    End::Kill(8),
    End::Kill(13),
];

#[test]
fn what_policies_remember_is_in_the_checkpoint() {
    // Killed while scores are collected, before and after going back.
    each(
        [End::Kill(5), End::Kill(7), End::Flag(6), End::Kill(12)],
        |end| {
            let data = MadeUp::for_mlp(STEPS);
            resumes_exactly(remembering_run, data, Mlp::forward, *end);
        },
    );
}

#[test]
fn a_resumed_convolutional_run_with_momentum_equals_one_that_was_not_interrupted() {
    each(ENDS, |end| {
        let data = MadeUp::for_conv_net(STEPS);
        resumes_exactly(|draw| conv_run(draw, sgd), data, ConvNet::forward, *end);
    });
}

#[test]
fn a_resumed_run_with_adam_equals_one_that_was_not_interrupted() {
    each(ENDS, |end| {
        let data = MadeUp::for_mlp(STEPS);
        resumes_exactly(|draw| mlp_run(draw, adam), data, Mlp::forward, *end);
    });
}

#[test]
fn a_checkpoint_of_the_first_epoch_can_be_taken_up() {
    let data = MadeUp::for_mlp(STEPS);
    resumes_exactly(|draw| mlp_run(draw, sgd), data, Mlp::forward, End::Flag(1));
}

/// A finished run's directory.
pub(crate) fn trained() -> tempfile::TempDir {
    let directory = tempdir().unwrap();
    let data = MadeUp::for_mlp(STEPS);
    let settings = settings(directory.path(), Some(2));
    finished(fit(
        mlp_run(0, sgd),
        &data,
        Mlp::forward,
        &Classification,
        &settings,
        &mut NoObserver,
    ));
    directory
}

pub(crate) fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn two_checkpoints_and_the_best_weights_stay_and_nothing_half_written() {
    let directory = trained();
    assert_eq!(
        names(directory.path()),
        ["best.safetensors", "step-00000014", "step-00000015"]
    );
}

#[test]
fn a_half_written_checkpoint_is_not_there() {
    let directory = trained();
    fs::create_dir(directory.path().join(".step-00000099.partial")).unwrap();
    fs::write(directory.path().join("step-notes"), "not a checkpoint").unwrap();
    let (newest, _) = checkpoint::latest(directory.path()).unwrap();
    assert!(newest.ends_with("step-00000015"), "{}", newest.display());
}

#[test]
fn a_checkpoint_is_written_over_what_was_left_half_written() {
    let directory = tempdir().unwrap();
    let partial = directory.path().join(".step-00000000.partial");
    fs::create_dir(&partial).unwrap();
    fs::write(partial.join("policy-0-ramp.masks.safetensors"), "rubbish").unwrap();
    let run = mlp_run(0, sgd);
    checkpoint::save(&run, &json!(null), directory.path()).unwrap();
    checkpoint::save(&run, &json!(null), directory.path()).unwrap();
    assert_eq!(names(directory.path()), ["step-00000000"]);
    mlp_run(1, sgd)
        .resume(directory.path(), &training_device())
        .unwrap();
}

#[test]
fn the_newest_checkpoint_is_newest_by_number() {
    let directory = tempdir().unwrap();
    for name in ["step-99999999", "step-100000000"] {
        fs::create_dir(directory.path().join(name)).unwrap();
    }
    let error = checkpoint::latest(directory.path()).unwrap_err();
    assert!(error.to_string().contains("step-100000000"), "{error}");
}

#[test]
fn another_runs_checkpoints_are_neither_deleted_nor_taken_for_newer_ones() {
    let directory = trained();
    let data = MadeUp::for_mlp(STEPS);
    let settings = settings(directory.path(), None);
    let error = fit(
        mlp_run(0, sgd),
        &data,
        Mlp::forward,
        &Classification,
        &settings,
        &mut NoObserver,
    )
    .unwrap_err();
    assert!(matches!(
        error,
        FitError::Checkpoint(CheckpointError::Ahead { step: 0, .. })
    ));
    assert!(error.to_string().contains("step-00000015"), "{error}");
}

#[test]
fn another_recipe_or_model_is_refused() {
    let directory = trained();
    let device = training_device();
    let resume = |run: Run<Mlp>| {
        run.resume(directory.path(), &device)
            .map(|_| ())
            .unwrap_err()
            .to_string()
    };
    let model = mlp(0);
    let lone = Driver::new(STEPS, Vec::new(), RatePlan::constant(0.1));
    let error = resume(Run::new(model, lone, sgd()));
    assert!(error.contains("those of the recipe are []"), "{error}");

    let model = mlp(0);
    let longer = driver(&model, "first.weight", "second.weight", 8);
    let error = resume(Run::new(model, longer, sgd()));
    assert!(
        error.contains("its epochs have 5 steps, those of this run 8"),
        "{error}"
    );

    let model = mlp(0);
    let without_rates = without_rates(&model);
    let error = resume(Run::new(model, without_rates, sgd()));
    assert!(
        error.contains("it has 1 learning-rate schedules, the recipe has 0"),
        "{error}"
    );

    let model = conv_net(0);
    let driver = driver(&model, "conv.weight", "head.weight", STEPS);
    let run = Run::new(model, driver, sgd());
    let error = run
        .resume(directory.path(), &device)
        .map(|_| ())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("model.safetensors: it has no tensor `conv.weight`"),
        "{error}"
    );
}

fn without_rates(model: &Mlp) -> Driver<Mlp> {
    let policy = |name| prune(model, name, "first.weight", |_: f64| 0.5, epochs(0, 1));
    let policies = vec![boxed(policy("ramp")), boxed(policy("head: in/out"))];
    Driver::new(STEPS, policies, RatePlan::constant(0.1))
}

#[test]
fn another_optimizers_state_is_an_error_or_begins_anew_but_never_a_panic() {
    let directory = trained();
    let resumed = mlp_run(0, adam).resume(directory.path(), &training_device());
    if let Ok((run, _)) = resumed {
        let data = MadeUp::for_mlp(STEPS);
        let settings = FitSettings {
            epochs: 4,
            ..FitSettings::default()
        };
        finished(fit(
            run,
            &data,
            Mlp::forward,
            &Classification,
            &settings,
            &mut NoObserver,
        ));
    }
}

#[test]
fn a_directory_without_checkpoints_says_so() {
    let directory = tempdir().unwrap();
    for path in [
        directory.path().to_path_buf(),
        directory.path().join("nowhere"),
    ] {
        let error = mlp_run(0, sgd)
            .resume(&path, &training_device())
            .unwrap_err();
        assert!(matches!(error, CheckpointError::None { .. }), "{error}");
        assert!(
            error.to_string().contains(&path.display().to_string()),
            "{error}"
        );
    }
}

#[test]
fn a_model_that_has_trained_in_this_thread_takes_up_the_saved_statistics() {
    let directory = tempdir().unwrap();
    let data = MadeUp::for_conv_net(STEPS);
    let saved = conv_net(0);
    let file = directory.path().join("model.safetensors");
    checkpoint::save_model(&saved, &file).unwrap();
    let trained = conv_net(3);
    let _ = trained.forward(data.batch("train", 0).input); // leaves an update pending
    let loaded = checkpoint::load_model(trained, &file).unwrap().valid();
    assert_eq!(stored(&loaded, "norm.running_mean"), [0.0; 8]);
    assert_eq!(
        stored(&loaded, "conv.weight"),
        stored(&saved, "conv.weight")
    );
}

#[test]
fn the_best_weights_are_those_of_the_epoch_that_history_names() {
    let directory = trained();
    let (_, header) = checkpoint::latest(directory.path()).unwrap();
    let History { epochs, .. } = &header.history;
    let best = header.history.best().unwrap();
    assert_eq!(
        best.nonzero,
        epochs.iter().map(|row| row.nonzero).min().unwrap()
    );
    let model = checkpoint::load_model(mlp(5), &checkpoint::best(directory.path())).unwrap();
    let data = MadeUp::for_mlp(STEPS);
    let model = model.valid();
    let again = calcine_train::evaluate(
        data.validation(),
        |input| model.forward(input),
        &Classification,
    );
    if is_reference() {
        assert_eq!(Some(again), best.validation);
    }
}
