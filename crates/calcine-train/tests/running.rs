//! `fit`: reports, divergence, data that runs dry.

use std::path::PathBuf;

use burn::module::Module;
use burn::tensor::Tensor;
use calcine_schedule::Clock;
use calcine_testkit::Mlp;
use calcine_train::{
    Classification, Criterion, Driver, EpochReport, EpochRow, FitError, FitSettings, NoObserver,
    Observer, Outcome, RatePlan, Run, StepReport, checkpoint, fit,
};
use tempfile::tempdir;

use crate::made_up::{MadeUp, boxed, epochs, mlp, prune, sgd, stored, zeros};

fn run(steps: u64) -> Run<Mlp> {
    let model = mlp(0);
    let policy = prune(&model, "p", "*.weight", |_: f64| 0.5, epochs(1, 2));
    let driver = Driver::new(steps, vec![boxed(policy)], RatePlan::constant(0.05));
    Run::new(model, driver, sgd())
}

#[derive(Default)]
struct Notes {
    begun: Vec<u64>,
    steps: Vec<(u64, u64, u64)>,
    epochs: Vec<EpochRow>,
    saved: Vec<PathBuf>,
}

impl Observer for Notes {
    fn begin(&mut self, clock: &Clock) {
        self.begun.push(clock.global_step());
    }

    fn step(&mut self, report: &StepReport) {
        assert!(report.per_second > 0.0 && report.rate == 0.05 && report.epochs == 2);
        self.steps
            .push((report.clock.epoch, report.clock.step, report.train.count));
    }

    fn epoch(&mut self, report: &EpochReport<'_>) {
        let EpochReport { row, history, .. } = report;
        assert_eq!(history.epochs.last(), Some(*row));
        let nonzero: u64 = report
            .weights
            .iter()
            .map(|weight| weight.share.nonzero)
            .sum();
        assert_eq!(nonzero, row.nonzero);
        assert!(report.weights.iter().all(|weight| weight.values.is_none()));
        self.epochs.push((*row).clone());
    }

    fn saved(&mut self, directory: &std::path::Path) {
        self.saved.push(directory.to_path_buf());
    }
}

#[test]
fn reports_rows_and_checkpoints_come_when_announced() {
    let directory = tempdir().unwrap();
    let settings = FitSettings {
        epochs: 2,
        report_every: 3,
        checkpoint_every: Some(2),
        checkpoints: Some(directory.path().to_path_buf()),
        ..FitSettings::default()
    };
    let mut notes = Notes::default();
    let outcome = fit(
        run(4),
        &MadeUp::for_mlp(4),
        Mlp::forward,
        &Classification,
        &settings,
        &mut notes,
    )
    .unwrap();
    let Outcome::Finished(run) = outcome else {
        panic!("stopped")
    };
    assert_eq!(notes.begun, [0]);
    // A checkpoint reads the loss anyway, so it reports too.
    let expected: Vec<_> = [0, 1]
        .into_iter()
        .flat_map(|e| [1, 2, 3].map(|s| (e, s, 12 * (s + 1))))
        .collect();
    assert_eq!(notes.steps, expected);
    let saved: Vec<_> = notes
        .saved
        .iter()
        .map(|path| path.file_name().unwrap().to_string_lossy())
        .collect();
    assert_eq!(
        saved,
        [
            "step-00000002",
            "step-00000004",
            "step-00000006",
            "step-00000008"
        ]
    );
    let rows: Vec<_> = notes
        .epochs
        .iter()
        .map(|row| (row.epoch, row.steps, row.nonzero, row.train.count))
        .collect();
    assert_eq!(rows, [(0, 4, 144, 48), (1, 8, 72, 48)]);
    assert_eq!(notes.epochs[1].sparsity, 0.5);
    assert_eq!(run.history.epochs, notes.epochs);
    assert!(
        notes
            .epochs
            .iter()
            .all(|row| row.validation.as_ref().is_some_and(|v| v.count == 24))
    );
}

#[test]
fn two_observers_are_one_and_weights_have_values_if_either_wants_them() {
    struct Weights(Vec<Vec<(String, usize, usize)>>);
    impl Observer for Weights {
        fn epoch(&mut self, report: &EpochReport<'_>) {
            let weights = report.weights.iter().map(|weight| {
                let values = weight.values.as_ref().unwrap();
                assert_eq!(values.len() as u64, weight.share.total);
                let zeros = values.iter().filter(|x| **x == 0.0).count();
                assert_eq!((values.len() - zeros) as u64, weight.share.nonzero);
                (weight.path.clone(), values.len(), zeros)
            });
            self.0.push(weights.collect());
        }
        fn wants_values(&self) -> bool {
            true
        }
    }
    let settings = FitSettings {
        epochs: 2,
        ..FitSettings::default()
    };
    let (mut saved, mut weights) = (Saved::default(), Weights(Vec::new()));
    let mut both = (&mut saved, &mut weights);
    fit(
        run(2),
        &MadeUp::for_mlp(2),
        Mlp::forward,
        &Classification,
        &settings,
        &mut both,
    )
    .unwrap();
    let epoch = |first, second| {
        let row = |path: &str, len, zeros| (path.to_owned(), len, zeros);
        vec![
            row("first.weight", 96, first),
            row("second.weight", 48, second),
        ]
    };
    assert_eq!(weights.0, [epoch(0, 0), epoch(48, 24)]);
}

/// The same logit for every class as soon as a weight is zero.
fn spoilt_by_zeros(model: &Mlp, input: Tensor<2>) -> Tensor<2> {
    let smallest = model.first.weight.val().abs().min().detach();
    let dense = smallest.greater_scalar(0.0).float();
    model.forward(input) * dense.reshape([1, 1])
}

#[test]
fn the_criterion_chooses_the_epoch_whose_weights_are_kept() {
    for (criterion, expected) in [(Criterion::Sparsest, 72), (Criterion::AtLeast(0.0), 0)] {
        let directory = tempdir().unwrap();
        let settings = FitSettings {
            epochs: 2,
            checkpoints: Some(directory.path().to_path_buf()),
            criterion,
            ..FitSettings::default()
        };
        let mut notes = Notes::default();
        let data = MadeUp::for_mlp(8);
        fit(
            run(8),
            &data,
            spoilt_by_zeros,
            &Classification,
            &settings,
            &mut notes,
        )
        .unwrap();
        let top1 = |epoch: usize| {
            notes.epochs[epoch]
                .validation
                .as_ref()
                .unwrap()
                .value("top1")
        };
        assert!(top1(0) > top1(1), "dense {}, sparse {}", top1(0), top1(1));
        let best = checkpoint::best(directory.path());
        let kept = checkpoint::load_model(mlp(1), &best).unwrap();
        let found = ["first.weight", "second.weight"].map(|path| zeros(&stored(&kept, path)));
        assert_eq!(found.iter().sum::<usize>(), expected);
    }
}

#[test]
fn an_interval_of_zero_reports_at_the_end_of_an_epoch() {
    let settings = FitSettings {
        epochs: 2,
        report_every: 0,
        checkpoint_every: Some(0),
        ..FitSettings::default()
    };
    let mut notes = Notes::default();
    fit(
        run(3),
        &MadeUp::for_mlp(3),
        Mlp::forward,
        &Classification,
        &settings,
        &mut notes,
    )
    .unwrap();
    assert_eq!(notes.steps, [(0, 2, 36), (1, 2, 36)]);
}

#[test]
fn without_a_validation_split_there_is_no_validation() {
    let mut data = MadeUp::for_mlp(2);
    data.validation = 0;
    let mut notes = Notes::default();
    let settings = FitSettings {
        epochs: 2,
        ..FitSettings::default()
    };
    fit(
        run(2),
        &data,
        Mlp::forward,
        &Classification,
        &settings,
        &mut notes,
    )
    .unwrap();
    assert!(notes.epochs.iter().all(|row| row.validation.is_none()));
}

/// Not a number once the weights have moved far enough, as an overflow would be.
fn fragile(model: &Mlp, input: Tensor<2>) -> Tensor<2> {
    let size = model.first.weight.val().abs().max().detach();
    let broken = size.clone().greater_scalar(0.62);
    let poison = (size * 0.0).mask_fill(broken, f32::NAN);
    model.forward(input) + poison.reshape([1, 1])
}

#[test]
fn a_loss_that_is_no_number_ends_the_run_and_names_the_last_good_checkpoint() {
    let directory = tempdir().unwrap();
    let settings = FitSettings {
        epochs: 50,
        report_every: 1,
        checkpoint_every: Some(1),
        checkpoints: Some(directory.path().to_path_buf()),
        ..FitSettings::default()
    };
    let mut notes = Saved::default();
    let outcome = fit(
        run(4),
        &MadeUp::for_mlp(4),
        fragile,
        &Classification,
        &settings,
        &mut notes,
    );
    let error = outcome.map(|_| ()).unwrap_err();
    let FitError::Diverged {
        loss,
        kept: Some(kept),
        step,
        ..
    } = &error
    else {
        panic!("{error}")
    };
    assert!(loss.is_nan() && *step > 1);
    assert!(
        error.to_string().contains(&kept.display().to_string()),
        "{error}"
    );
    // The step that gave the last checkpoint had a finite loss, but its weights did not.
    let good = calcine_train::checkpoint::load_model(mlp(0), &kept.join("model.safetensors"));
    let good = good.unwrap().valid();
    let input = Tensor::ones([1, 6], &calcine_testkit::device());
    let logits = fragile(&good, input).into_data();
    assert!(
        logits.iter::<f32>().all(f32::is_finite),
        "{}",
        kept.display()
    );
    assert!(notes.0 > 1);
}

#[derive(Default)]
struct Saved(usize);

impl Observer for Saved {
    fn saved(&mut self, _: &std::path::Path) {
        self.0 += 1;
    }
}

#[test]
fn a_run_that_diverges_at_once_has_no_good_checkpoint() {
    let poisoned = |model: &Mlp, input: Tensor<2>| model.forward(input).mul_scalar(f32::NAN);
    let outcome = fit(
        run(4),
        &MadeUp::for_mlp(4),
        poisoned,
        &Classification,
        &FitSettings::default(),
        &mut NoObserver,
    );
    let error = outcome.map(|_| ()).unwrap_err();
    assert!(
        matches!(
            error,
            FitError::Diverged {
                epoch: 0,
                step: 4,
                kept: None,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(
        error.to_string().contains("smaller learning rate"),
        "{error}"
    );
}

#[test]
fn weights_that_break_in_an_epochs_last_step_are_not_saved() {
    let directory = tempdir().unwrap();
    let settings = FitSettings {
        epochs: 3,
        checkpoints: Some(directory.path().to_path_buf()),
        ..FitSettings::default()
    };
    // Only the forward pass of validation is broken: the training batches have 12 rows too, but a
    // tape.
    let forward = |model: &Mlp, input: Tensor<2>| {
        let logits = model.forward(input);
        if logits.is_autodiff() {
            logits
        } else {
            logits.mul_scalar(f32::NAN)
        }
    };
    let outcome = fit(
        run(2),
        &MadeUp::for_mlp(2),
        forward,
        &Classification,
        &settings,
        &mut NoObserver,
    );
    let error = outcome.map(|_| ()).unwrap_err();
    assert!(
        matches!(
            error,
            FitError::Diverged {
                epoch: 0,
                step: 2,
                kept: None,
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn data_that_runs_dry_is_an_error() {
    let mut data = MadeUp::for_mlp(4);
    data.dies_at = 6;
    let settings = FitSettings {
        epochs: 3,
        ..FitSettings::default()
    };
    let outcome = fit(
        run(4),
        &data,
        Mlp::forward,
        &Classification,
        &settings,
        &mut NoObserver,
    );
    let error = outcome.map(|_| ()).unwrap_err();
    assert!(
        matches!(
            error,
            FitError::ShortEpoch {
                epoch: 1,
                found: 2,
                expected: 4
            }
        ),
        "{error:?}"
    );
}

#[test]
fn a_finished_run_has_nothing_left_to_do() {
    let settings = FitSettings {
        epochs: 1,
        ..FitSettings::default()
    };
    let data = MadeUp::for_mlp(2);
    let outcome = fit(
        run(2),
        &data,
        Mlp::forward,
        &Classification,
        &settings,
        &mut NoObserver,
    )
    .unwrap();
    let Outcome::Finished(run) = outcome else {
        panic!("stopped")
    };
    let outcome = fit(
        run,
        &data,
        Mlp::forward,
        &Classification,
        &settings,
        &mut NoObserver,
    )
    .unwrap();
    assert!(matches!(outcome, Outcome::Finished(run) if run.history.epochs.len() == 1));
}
