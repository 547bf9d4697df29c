//! Recipes carried out on a segmentation network and on a regressor.

use std::fs;
use std::path::Path;

use calcine_run::Finished;
use calcine_testkit::is_reference;
use tempfile::tempdir;

use crate::shared::{STEPS, at_once, in_parts, recipe, regression, segmentation, whole};

/// Prunes filters with what depends on them, and removes them before epoch 2.
const THIN: &str = r#"
[pruner.channels]
params = ["encode.weight"]
score = "l1"
granularity = "filter"
dependency = "auto"
level = { curve = "linear", from = 0.25, to = 0.5 }
[thin]
at = [2]
[[policy]]
pruner = "channels"
start = 0
end = 2
"#;

const QUANTIZE: &str = r#"
[quantize.weights]
bits = 8
range_estimator = "mse"
[quantize.activations]
bits = 8
range_estimator = "mse"
[quantize.training]
images = 12
start = 1
"#;

const PRUNE_AND_DISTILL: &str = r#"
[pruner.weights]
params = ["*.weight"]
score = "magnitude"
level = 0.5
[distill]
start = 1
[[policy]]
pruner = "weights"
start = 0
end = 2
"#;

/// What does not depend on the time is byte-equal.
fn assert_equal_files(a: &Path, b: &Path, files: &[&str]) {
    for file in files {
        let read = |directory: &Path| fs::read(directory.join(file)).unwrap();
        assert!(read(a) == read(b), "{file}");
    }
}

#[test]
fn a_segmentation_network_is_thinned_in_mid_run_and_resumes_exactly() {
    let directory = tempdir().unwrap();
    let [whole_run, parts] = ["whole", "parts"].map(|name| directory.path().join(name));
    let (experiment, recipe) = (segmentation(), recipe(4, THIN));
    let report = at_once(&experiment, &recipe, &whole_run);
    let thinned = report.thinned.as_ref().unwrap();
    assert!(
        thinned.parameters < thinned.parameters_before,
        "{thinned:?}"
    );
    assert!(report.after.loss < report.before.loss);
    assert_eq!((report.epochs, report.steps), (4, 4 * STEPS));
    assert!(
        report.outcomes.iter().all(|outcome| outcome.is_reached()),
        "{:?}",
        report.outcomes
    );
    let stopped = in_parts(&experiment, &recipe, &parts, 2);
    assert!(stopped > 3, "{stopped}");
    if is_reference() {
        let files = [
            "metrics.csv",
            "sparsity.csv",
            "model.safetensors",
            "thinned.safetensors",
        ];
        assert_equal_files(&whole_run, &parts, &files);
    }
}

#[test]
fn a_segmentation_network_is_trained_for_integers_and_resumes_exactly() {
    let directory = tempdir().unwrap();
    let [whole_run, parts] = ["whole", "parts"].map(|name| directory.path().join(name));
    let (experiment, recipe) = (segmentation(), recipe(3, QUANTIZE));
    let report = at_once(&experiment, &recipe, &whole_run);
    let integers = report.quantized.as_ref().unwrap();
    assert!(integers.bytes < integers.file_bytes);
    let (float, integer) = (&report.after, &integers.evaluation);
    let gap = (float.value("pixel_accuracy") - integer.value("pixel_accuracy")).abs();
    assert!(gap < 2.0, "{float} {integer}");
    assert!(in_parts(&experiment, &recipe, &parts, 4) > 2);
    if is_reference() {
        let files = ["metrics.csv", "model.safetensors", "quantized.safetensors"];
        assert_equal_files(&whole_run, &parts, &files);
    }
}

#[test]
fn a_regressor_is_pruned_with_a_teacher_and_resumes_exactly() {
    let directory = tempdir().unwrap();
    let [whole_run, parts] = ["whole", "parts"].map(|name| directory.path().join(name));
    let (experiment, recipe) = (regression(), recipe(3, PRUNE_AND_DISTILL));
    let report = at_once(&experiment, &recipe, &whole_run);
    assert_eq!(report.nonzero * 2, report.parameters);
    assert!(in_parts(&experiment, &recipe, &parts, 5) > 1);
    if is_reference() {
        assert_equal_files(&whole_run, &parts, &["metrics.csv", "model.safetensors"]);
    }
    let csv = fs::read_to_string(whole_run.join("metrics.csv")).unwrap();
    let header = csv.lines().next().unwrap();
    assert_eq!(
        header,
        "epoch,steps,learning_rate,train_loss,train_psnr,train_rmse,train_mae,validation_loss,\
         validation_psnr,validation_rmse,validation_mae,sparsity,nonzero"
    );
}

#[test]
fn a_report_names_metrics_and_samples_and_a_finished_run_stays_as_it_is() {
    let directory = tempdir().unwrap();
    let out = directory.path().join("run");
    let (experiment, recipe) = (segmentation(), recipe(1, ""));
    let report = whole(experiment.train(&recipe, &out).unwrap());
    let text = fs::read_to_string(out.join("report.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    for key in ["mean_iou", "pixel_accuracy", "loss"] {
        assert_eq!(json[key].as_f64(), Some(report.after.value(key)), "{key}");
    }
    assert_eq!(
        json["mean_iou_before"].as_f64(),
        Some(report.before.value("mean_iou"))
    );
    assert_eq!(json["test_samples"], 12);
    assert!(json["samples_per_second"].as_f64().unwrap() > 0.0);
    let again = experiment.train(&recipe, &out).unwrap();
    assert!(matches!(again, Finished::Already { .. }), "{again:?}");
    let other = crate::shared::recipe(2, "");
    let error = experiment.train(&other, &out).unwrap_err().to_string();
    assert!(error.contains("already contains a run"), "{error}");
}
