use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use burn::module::Module;
use calcine_fold::Granularity;
use calcine_sensitivity::{Evaluation, Measurement, Scan, ScanError, Sensitivity, scan};
use calcine_testkit::ConvNet;

use crate::{counted, go_on, net, whole};

fn plan() -> Scan {
    Scan::new(Granularity::Element).with_levels([0.0, 0.25, 0.5, 0.75])
}

/// With the losses of ten examples.
fn paired<M: Module>(model: &M) -> Measurement {
    let measured = counted(model);
    let loss = |index: u8| measured.evaluation.loss as f32 * (1.0 + f32::from(index));
    Measurement {
        losses: (0..10).map(loss).collect(),
        ..measured
    }
}

/// Scans until so many evaluations are done.
fn stop_after(file: &Path, evaluations: usize, evaluate: fn(&ConvNet) -> Measurement) -> bool {
    let outcome = scan(&net(), &plan(), evaluate, Some(file), |progress| {
        if progress.done < evaluations {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    });
    outcome.unwrap().stopped
}

#[test]
fn a_scan_that_was_stopped_anywhere_ends_in_the_same_bytes() {
    let directory = tempfile::tempdir().unwrap();
    for evaluate in [counted::<ConvNet>, paired::<ConvNet>] {
        let expected = whole(&net(), &plan(), evaluate).unwrap().to_csv();
        for evaluations in 1..=7 {
            let file = directory.path().join("scan.csv");
            assert_eq!(stop_after(&file, evaluations, evaluate), evaluations < 7);
            let mut again = 0;
            let count = |model: &ConvNet| {
                again += 1;
                evaluate(model)
            };
            let outcome = scan(&net(), &plan(), count, Some(&file), go_on).unwrap();
            // The unpruned model, and what was left.
            assert_eq!(again, 1 + 7 - evaluations);
            assert!(!outcome.stopped);
            assert_eq!(outcome.sensitivity.to_csv(), expected);
            assert_eq!(fs::read_to_string(&file).unwrap(), expected);
            fs::remove_file(file).unwrap();
        }
    }
}

#[test]
fn a_file_reads_back_as_it_was_written() {
    for evaluate in [counted::<ConvNet>, paired::<ConvNet>] {
        let text = whole(&net(), &plan(), evaluate).unwrap().to_csv();
        assert_eq!(Sensitivity::from_csv(&text).unwrap().to_csv(), text);
    }
    let text = whole(&net(), &plan(), counted).unwrap().to_csv();
    assert!(
        text.starts_with("parameter,requested,achieved,macs,top1,top5,loss\n,0.0,0.0,,17.6,"),
        "{text}"
    );
}

#[test]
fn more_levels_can_be_asked_of_a_scan_that_is_done() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("scan.csv");
    stop_after(&file, 100, counted);
    let finer = Scan::new(Granularity::Element).with_levels([0.0, 0.1, 0.25, 0.5, 0.75]);
    let mut evaluations = 0;
    let count = |model: &ConvNet| {
        evaluations += 1;
        counted(model)
    };
    let found = scan(&net(), &finer, count, Some(&file), go_on)
        .unwrap()
        .sensitivity;
    assert_eq!(evaluations, 3);
    assert_eq!(found, whole(&net(), &finer, counted).unwrap());
}

#[test]
fn a_file_of_another_scan_is_refused_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("scan.csv");
    let refused = |plan: Scan, evaluate: fn(&ConvNet) -> Measurement| {
        let error = scan(&net(), &plan, evaluate, Some(&file), go_on).unwrap_err();
        assert!(matches!(error, ScanError::File { .. }), "{error}");
        error.to_string()
    };
    stop_after(&file, 4, counted);
    let before = fs::read(&file).unwrap();
    let fewer = Scan::new(Granularity::Element).with_levels([0.5]);
    assert!(refused(fewer, counted).contains("`conv.weight` at 0 is of another scan"));
    let fc = plan().with_params(["head.weight"]);
    assert!(refused(fc, counted).contains("this one does not ask for it"));
    let layers = Scan::new(Granularity::Layer).with_levels([0.0, 0.25, 0.5, 0.75]);
    assert!(refused(layers, counted).contains("its share of zeros is 0.25, it would be 0"));
    let other = |_: &ConvNet| Measurement::from(Evaluation::new(3.0, 1));
    assert!(refused(plan(), other).contains("the unpruned model has a loss of 3"));
    assert!(refused(plan(), paired).contains("pairs the losses"));
    assert_eq!(fs::read(&file).unwrap(), before, "it is left alone");
}

#[test]
fn a_file_that_is_no_scan_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("scan.csv");
    let header = "parameter,requested,achieved,macs,top1,top5,loss";
    let texts = [
        (String::new(), "the columns are ``"),
        (
            "a,b\n1,2\n".to_owned(),
            "the columns are `a,b`, expected `parameter,requested",
        ),
        (
            format!("{header}\nw,0,0,,1,1,1\n"),
            "the row of the unpruned model, which has no parameter, is missing",
        ),
        (
            format!("{header}\n,0,0,,many,1,1\n"),
            "line 2: `many` is not a number",
        ),
        (format!("{header}\n,0,0\n"), "found record with 3 fields"),
    ];
    for (text, reason) in texts {
        fs::write(&file, &text).unwrap();
        let error = scan(&net(), &plan(), counted, Some(&file), go_on)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("scan.csv: ") && error.contains(reason),
            "{text:?}: {error}"
        );
    }
    let nowhere = directory.path().join("nowhere/scan.csv");
    let error = scan(&net(), &plan(), counted, Some(&nowhere), go_on).unwrap_err();
    assert!(matches!(error, ScanError::Io { .. }), "{error}");
}
