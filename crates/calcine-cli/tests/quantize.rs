//! `calcine quantize`, with what it searches.

use std::path::Path;

use serde_json::Value;

use crate::support::{place, refusal, report};

/// A small network on synthetic images, into `out`.
fn quantize(out: &Path, more: &str) -> Value {
    let out = out.display();
    report(&format!(
        "quantize simplenet --weights none --data synthetic --calibration-images 20 --test-limit 100 {more} --json \
         --out {out}"
    ))
}

fn trials(out: &Path) -> Vec<Value> {
    serde_json::from_slice(&std::fs::read(out.join("trials.json")).unwrap()).unwrap()
}

/// What a search finds is a recipe that gives the same network; begun again it tries nothing.
#[test]
fn widths_are_chosen_within_a_budget_and_are_a_recipe() {
    let (directory, _) = place();
    let out = directory.path().join("mixed");
    // 450, 2,400, 48,000, 10,080 and 840 weights: three bits each are 23,164 bytes, and not all can have eight.
    let search = "--search mixed-precision --bits 8,3 --budget 31000 --search-images 20";
    let report = quantize(&out, search);
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
    assert!(forecast.max(file) <= 31_000.0, "{forecast} for {file}");
    let table = std::fs::read_to_string(out.join("mixed_precision.csv")).unwrap();
    assert_eq!(table.lines().count(), 1 + 5 * 2, "{table}");
    let first = trials(&out);
    assert_eq!(first.len(), 1 + 5);
    // Everything but the speed.
    let fixed = |report: &serde_json::Value| {
        let mut report = report.clone();
        report.as_object_mut().unwrap().remove("speed").unwrap();
        report
    };
    assert_eq!(fixed(&quantize(&out, search)), fixed(&report));
    assert_eq!(trials(&out), first);

    let recipe = out.join("recipe.toml");
    let again = directory.path().join("again");
    let again = quantize(&again, &format!("--recipe {}", recipe.display()));
    for key in ["top1", "loss", "bytes", "file_bytes"] {
        assert_eq!(again[key], report[key], "{key}");
    }
    // A budget that the integers alone would fill leaves room for what else is in the file.
    let tight = search.replace("31000", &forecast.to_string());
    let tight = quantize(&directory.path().join("tight"), &tight);
    assert!(tight["file_bytes"].as_f64().unwrap() <= forecast, "{tight}");
    let plain = quantize(&directory.path().join("plain"), "");
    assert!(report["bytes"].as_u64() < plain["bytes"].as_u64());
}

/// No trial is needed to know that nothing is small enough.
#[test]
fn a_budget_that_is_too_small_fails_before_the_search() {
    let (directory, place) = place();
    let said = refusal(&format!(
        "quantize simplenet --weights none --data synthetic --calibration-images 20 --search-images 20 --test-limit 20 \
         --search mixed-precision --budget 9 --out {place}/q"
    ));
    assert!(said.contains("more than 9"), "{said}");
    assert!(!said.contains("trials:"), "{said}");
    assert!(!directory.path().join("q").exists());
}

/// A recipe that trains has data and a seed, which count here, too.
#[test]
fn the_seed_the_split_and_the_normalization_are_those_of_the_recipe() {
    let (directory, place) = place();
    let recipe = directory.path().join("recipe.toml");
    let text = "format = 1\n[train]\nepochs = 2\nlr = 0.1\nseed = 7\nvalidation = 0.02\n\
                [data]\nmean = [0.4, 0.4, 0.4]\nstd = [0.2, 0.2, 0.2]\n[quantize.weights]\nbits = 4\n";
    std::fs::write(&recipe, text).unwrap();
    let found = report(&format!(
        "quantize simplenet --weights none --data synthetic --test-limit 20 --recipe {place}/recipe.toml --json --out {place}/q"
    ));
    assert_eq!(found["seed"], 7);
    assert_eq!(found["recipe"], format!("{place}/recipe.toml"));
    assert_eq!(found["normalization"]["mean"][0], 0.4_f32);
    // 2 % of 5,000 synthetic images.
    assert_eq!(found["images"], 100);
}

#[test]
fn what_cannot_be_done_is_said_with_code_two() {
    for (arguments, word) in [
        ("--budget 9", "--search mixed-precision"),
        ("--search luck", "lapq, greedy, mixed-precision"),
        ("--search mixed-precision --bits 1", "from 2 to 16"),
        ("--recipe nowhere.toml", "nowhere.toml"),
    ] {
        let said = refusal(&format!("quantize simplenet {arguments}"));
        assert!(
            said.contains(word),
            "{arguments} should say `{word}`: {said}"
        );
    }
}
