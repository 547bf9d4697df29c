//! `calcine quantize` as a user runs it, with what it looks for.

use std::path::Path;

use serde_json::Value;

use crate::support::calcine;

/// A small network on synthetic images, into `out`.
fn quantize(out: &Path, more: &[&str]) -> Value {
    let network = ["quantize", "--model", "simplenet", "--weights", "none"];
    let data = [
        "--data",
        "synthetic",
        "--calibration-images",
        "20",
        "--test-images",
        "100",
    ];
    let end = ["--json", "--out", out.to_str().unwrap()];
    let output = calcine(&[&network[..], &data, more, &end].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

fn trials(out: &Path) -> Vec<Value> {
    serde_json::from_slice(&std::fs::read(out.join("trials.json")).unwrap()).unwrap()
}

/// What a search finds is a recipe that gives the same network; begun again it tries nothing.
#[test]
fn widths_are_chosen_within_a_budget_and_are_a_recipe() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("mixed");
    // 450, 2,400, 48,000, 10,080 and 840 weights: three bits each are 23,164 bytes, and not all can have eight.
    let search = [
        "--search",
        "mixed-precision",
        "--bits",
        "8,3",
        "--budget",
        "31000",
        "--search-images",
        "20",
    ];
    let report = quantize(&out, &search);
    for file in [
        "recipe.toml",
        "mixed_precision.csv",
        "mixed_precision.svg",
        "panels.png",
    ] {
        assert!(out.join(file).is_file(), "{file}");
    }
    let [file, forecast] =
        ["file_bytes", "file_bytes_forecast"].map(|key| report[key].as_f64().unwrap());
    assert!(
        (file / forecast - 1.0).abs() < 0.02,
        "{forecast} for {file}"
    );
    assert!(forecast <= 31_000.0, "{forecast}");
    let table = std::fs::read_to_string(out.join("mixed_precision.csv")).unwrap();
    assert_eq!(table.lines().count(), 1 + 5 * 2, "{table}");
    let first = trials(&out);
    assert_eq!(first.len(), 1 + 5);
    assert_eq!(quantize(&out, &search), report);
    assert_eq!(trials(&out), first);

    let recipe = out.join("recipe.toml");
    let again = directory.path().join("again");
    let again = quantize(&again, &["--recipe", recipe.to_str().unwrap()]);
    for key in ["top1", "loss", "bytes", "file_bytes"] {
        assert_eq!(again[key], report[key], "{key}");
    }
    let plain = quantize(&directory.path().join("plain"), &[]);
    assert!(report["bytes"].as_u64() < plain["bytes"].as_u64());
}

#[test]
fn what_cannot_be_done_is_said_with_code_two() {
    for (arguments, word) in [
        (
            &["quantize", "--budget", "9"][..],
            "--search mixed-precision",
        ),
        (
            &["quantize", "--search", "luck"],
            "lapq, greedy, mixed-precision",
        ),
        (&["quantize", "--bits", "1"], "from 2 to 16"),
        (&["quantize", "--recipe", "nowhere.toml"], "nowhere.toml"),
    ] {
        let output = calcine(arguments);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(
            errors.contains(word),
            "{arguments:?} should say `{word}`: {errors}"
        );
    }
}
