//! `calcine thin` as a user runs it, and what other commands make of its file.

use crate::support::{calcine, report, stdout};

/// Half of the channels go; the summary of the file agrees, and it is trained as any network.
#[test]
fn a_thinned_network_is_one_file_for_every_command() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("thin");
    let thin = calcine(&[
        "thin",
        "--model",
        "simplenet",
        "--weights",
        "none",
        "--data",
        "synthetic",
        "--level",
        "0.5",
        "--batches",
        "2",
        "--test-images",
        "100",
        "--json",
        "--out",
        out.to_str().unwrap(),
    ]);
    let thinned = report(&thin);
    let number = |key: &str| thinned[key].as_f64().unwrap();
    // 3, 8, 60 and 42 channels are left: 352,800 / 2 + 240,000 / 4 + 48,000 / 4 + 10,080 / 4 + 840 / 2.
    assert_eq!(number("macs_before"), 651_720.0);
    assert_eq!(number("macs"), 251_340.0);
    assert_eq!(number("top1_pruned"), number("top1"));
    let speed = &thinned["speed"][0];
    assert!(speed["before"].as_f64().unwrap() > 0.0 && speed["after"].as_f64().unwrap() > 0.0);
    assert!(out.join("plan.json").is_file() && out.join("report.json").is_file());

    let file = out.join("thinned.safetensors");
    let file = file.to_str().unwrap();
    let summary = calcine(&["summary", "--model", "simplenet", "--weights", file]);
    assert!(stdout(&summary).contains("251,340"));

    let run = directory.path().join("run");
    let train = calcine(&[
        "train-cifar",
        "--model",
        "simplenet",
        "--weights",
        file,
        "--data",
        "synthetic",
        "--epochs",
        "1",
        "--batch-size",
        "32",
        "--train-images",
        "64",
        "--test-images",
        "100",
        "--json",
        "--out",
        run.to_str().unwrap(),
    ]);
    // 3·3·25 + 8·3·25 + 60·200 + 42·60 + 10·42 weights.
    assert_eq!(report(&train)["parameters"], 15_765);
}

#[test]
fn what_cannot_be_done_is_said_with_code_two() {
    for (arguments, word) in [
        (&["thin", "--level", "1"][..], "from 0 to below 1"),
        (&["thin", "--params", "conv1.weight"], "--level"),
        (&["thin", "--batches", "0"], "at least 1"),
        (&["thin", "--norm", "l3", "--level", "0.5"], "l1, l2 or max"),
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
