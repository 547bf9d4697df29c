//! What `fit` tells, in a log.

use std::collections::BTreeMap;
use std::path::Path;

use calcine_testkit::Mlp;
use calcine_train::{
    Classification, CsvLog, Data, Driver, FitError, FitSettings, Log, LogError, Logged, Outcome,
    RatePlan, Run, fit,
};
use tempfile::tempdir;

use crate::made_up::{MadeUp, boxed, epochs, mlp, prune, sgd, training_device};

pub(crate) const STEPS: u64 = 4;

/// A run that prunes half of both weights from its second epoch on.
pub(crate) fn run() -> Run<Mlp> {
    let model = mlp(0);
    let policy = prune(&model, "p", "*.weight", |_: f64| 0.5, epochs(1, 3));
    let driver = Driver::new(STEPS, vec![boxed(policy)], RatePlan::constant(0.05));
    Run::new(model, driver, sgd())
}

pub(crate) fn settings(checkpoints: Option<&Path>) -> FitSettings {
    FitSettings {
        epochs: 3,
        report_every: 1,
        checkpoint_every: Some(2),
        checkpoints: checkpoints.map(Path::to_path_buf),
        ..FitSettings::default()
    }
}

/// Trains with a log, is killed after seven of twelve steps, and goes on from the checkpoint of step six.
pub(crate) fn killed_and_resumed<L: Log>(checkpoints: &Path, log: impl Fn() -> L) {
    let settings = settings(Some(checkpoints));
    let mut dying = MadeUp::for_mlp(STEPS);
    dying.dies_at = 7;
    let mut logged = Logged::new(log());
    let died = fit(
        run(),
        &dying,
        Mlp::forward,
        &Classification,
        &settings,
        &mut logged,
    );
    assert!(matches!(died, Err(FitError::ShortEpoch { .. })));
    logged.finish().unwrap();
    let (resumed, _) = run().resume(checkpoints, &training_device()).unwrap();
    assert_eq!(resumed.driver.clock().global_step(), 6);
    let mut logged = Logged::new(log());
    let data = MadeUp::for_mlp(STEPS);
    fit(
        resumed,
        &data,
        Mlp::forward,
        &Classification,
        &settings,
        &mut logged,
    )
    .unwrap();
    logged.finish().unwrap();
}

/// Every number by tag, then step. Each may be there once only.
type Numbers = BTreeMap<String, BTreeMap<u64, f64>>;

/// Keeps numbers.
#[derive(Default)]
pub(crate) struct Kept(pub(crate) Numbers);

impl Log for Kept {
    fn scalars(&mut self, step: u64, scalars: &[(&str, f64)]) -> Result<(), LogError> {
        for (tag, value) in scalars {
            let tag = self.0.entry((*tag).to_owned()).or_default();
            assert_eq!(tag.insert(step, *value), None);
        }
        Ok(())
    }
}

/// A whole run's numbers but its speed, and its history.
pub(crate) fn whole() -> (Numbers, Run<Mlp>) {
    let mut logged = Logged::new(Kept::default());
    let data = MadeUp::for_mlp(STEPS);
    let outcome = fit(
        run(),
        &data,
        Mlp::forward,
        &Classification,
        &settings(None),
        &mut logged,
    )
    .unwrap();
    let Outcome::Finished(run) = outcome else {
        panic!("stopped")
    };
    let mut numbers = logged.finish().unwrap().0;
    let speed = numbers
        .remove("Performance/Training/SamplesPerSecond")
        .unwrap();
    assert!(speed.values().all(|speed| *speed > 0.0));
    (numbers, run)
}

fn read(csv: &Path) -> Numbers {
    let mut kept = Kept::default();
    let text = std::fs::read_to_string(csv).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("step,tag,value"));
    for line in lines {
        let (step, rest) = line.split_once(',').unwrap();
        let (tag, value) = rest.split_once(',').unwrap();
        let (step, value) = (step.parse().unwrap(), value.parse().unwrap());
        kept.scalars(step, &[(tag, value)]).unwrap();
    }
    kept.0
        .remove("Performance/Training/SamplesPerSecond")
        .unwrap();
    kept.0
}

#[test]
fn reports_and_epochs_are_logged_under_distillers_tags() {
    let (numbers, run) = whole();
    let tags: Vec<&str> = numbers.keys().map(String::as_str).collect();
    let expected = [
        "Performance/Training/LR",
        "Performance/Training/Loss",
        "Performance/Training/Top1",
        "Performance/Training/Top5",
        "Performance/Validation/Loss",
        "Performance/Validation/Top1",
        "Performance/Validation/Top5",
        "sparsity-2D/weights/first.weight",
        "sparsity-2D/weights/second.weight",
        "sparsity/weights/first.weight",
        "sparsity/weights/second.weight",
        "sparsity/weights/total",
    ];
    assert_eq!(tags, expected);
    let steps = |tag: &str| numbers[tag].keys().copied().collect::<Vec<_>>();
    assert_eq!(steps("Performance/Training/Loss"), Vec::from_iter(1..=12));
    assert_eq!(steps("sparsity/weights/first.weight"), [4, 8, 12]);
    for row in &run.history.epochs {
        let at = |tag: &str| numbers[tag][&row.steps];
        let validation = row.validation.as_ref().unwrap();
        assert_eq!(at("Performance/Training/Loss"), row.train.loss);
        assert_eq!(at("Performance/Training/Top1"), row.train.value("top1"));
        assert_eq!(at("Performance/Training/Top5"), row.train.value("top5"));
        assert_eq!(at("Performance/Training/LR"), row.rate);
        assert_eq!(at("Performance/Validation/Loss"), validation.loss);
        assert_eq!(at("Performance/Validation/Top1"), validation.value("top1"));
        assert_eq!(at("Performance/Validation/Top5"), validation.value("top5"));
        assert_eq!(at("sparsity/weights/total"), row.sparsity);
        let half = if row.epoch > 0 { 0.5 } else { 0.0 };
        assert_eq!(at("sparsity/weights/first.weight"), half);
        assert_eq!(at("sparsity/weights/second.weight"), half);
    }
}

#[test]
fn the_csv_of_a_killed_and_resumed_run_is_that_of_a_whole_one() {
    let directory = tempdir().unwrap();
    let file = directory.path().join("scalars.csv");
    let checkpoints = directory.path().join("checkpoints");
    killed_and_resumed(&checkpoints, || CsvLog::new(&file));
    assert_eq!(read(&file), whole().0);
}

#[test]
fn a_csv_that_is_there_is_gone_on_with() {
    let directory = tempdir().unwrap();
    let file = directory.path().join("scalars.csv");
    for step in [1, 2] {
        let mut log = CsvLog::new(&file);
        log.scalars(step, &[("a", 0.1), ("b,c", f64::NAN)]).unwrap();
    }
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(
        text,
        "step,tag,value\n1,a,0.1\n1,\"b,c\",NaN\n2,a,0.1\n2,\"b,c\",NaN\n"
    );
    let mut log = CsvLog::new(&file);
    log.rewind(1).unwrap();
    log.scalars(9, &[("a", 2.0)]).unwrap();
    log.rewind(9).unwrap();
    log.scalars(10, &[("a", 3.0)]).unwrap();
    log.rewind(9).unwrap();
    log.flush().unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text, "step,tag,value\n1,a,0.1\n1,\"b,c\",NaN\n9,a,2\n");
}

#[test]
fn a_log_makes_no_file_until_there_is_something_to_write() {
    let directory = tempdir().unwrap();
    let file = directory.path().join("scalars.csv");
    let mut log = CsvLog::new(&file);
    log.rewind(0).unwrap();
    log.flush().unwrap();
    assert!(!file.exists());
}

#[test]
fn another_file_is_not_written_over() {
    let directory = tempdir().unwrap();
    let file = directory.path().join("metrics.csv");
    std::fs::write(&file, "epoch,loss\n1,0.5\n").unwrap();
    let mut log = CsvLog::new(&file);
    for error in [log.rewind(0), log.scalars(1, &[("a", 1.0)])] {
        let said = error.unwrap_err().to_string();
        assert!(
            said.contains("metrics.csv") && said.contains("step,tag,value"),
            "{said}"
        );
    }
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        "epoch,loss\n1,0.5\n"
    );
}

/// Fails from its third call on.
struct Failing(u64);

impl Log for Failing {
    fn scalars(&mut self, step: u64, _: &[(&str, f64)]) -> Result<(), LogError> {
        self.0 += 1;
        assert!(self.0 <= 3, "a log that has failed is left alone");
        if self.0 == 3 {
            return Err(LogError::new(
                "disk",
                std::io::Error::other(format!("full at {step}")),
            ));
        }
        Ok(())
    }
}

#[test]
fn a_log_that_fails_is_told_and_does_not_end_the_training() {
    let mut logged = Logged::new(Failing(0));
    let data = MadeUp::for_mlp(STEPS);
    let outcome = fit(
        run(),
        &data,
        Mlp::forward,
        &Classification,
        &settings(None),
        &mut logged,
    )
    .unwrap();
    assert!(matches!(outcome, Outcome::Finished(_)));
    let error = logged.finish().map(|_| ()).unwrap_err();
    assert_eq!(error.to_string(), "disk: full at 3");
}

#[test]
fn a_finished_run_leaves_its_log_alone() {
    let directory = tempdir().unwrap();
    let file = directory.path().join("scalars.csv");
    let data = MadeUp::for_mlp(STEPS);
    let mut logged = Logged::new(CsvLog::new(&file));
    let outcome = fit(
        run(),
        &data,
        Mlp::forward,
        &Classification,
        &settings(None),
        &mut logged,
    )
    .unwrap();
    let before = std::fs::read(&file).unwrap();
    let Outcome::Finished(run) = outcome else {
        panic!("stopped")
    };
    fit(
        run,
        &data,
        Mlp::forward,
        &Classification,
        &settings(None),
        &mut logged,
    )
    .unwrap();
    logged.finish().unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), before);
}

#[test]
fn several_logs_are_one() {
    let mut boxed: Vec<Box<dyn Log>> = vec![Box::new(Kept::default()), Box::new(Kept::default())];
    boxed.scalars(1, &[("a", 1.0)]).unwrap();
    let mut pair = (Kept::default(), Kept::default());
    pair.scalars(2, &[("b", 2.0)]).unwrap();
    pair.flush().unwrap();
    assert_eq!(pair.0.0["b"][&2], 2.0);
    assert_eq!(pair.0.0, pair.1.0);
}

#[test]
fn without_a_validation_split_no_validation_is_logged() {
    let mut data = MadeUp::for_mlp(STEPS);
    data.validation = 0;
    assert!(data.validation().next().is_none());
    let mut logged = Logged::new(Kept::default());
    fit(
        run(),
        &data,
        Mlp::forward,
        &Classification,
        &settings(None),
        &mut logged,
    )
    .unwrap();
    let numbers = logged.finish().unwrap().0;
    assert!(numbers.keys().all(|tag| !tag.contains("Validation")));
    assert!(numbers.contains_key("sparsity/weights/first.weight"));
}
