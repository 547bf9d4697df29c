//! What commands do with the files and directories of others.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::time::SystemTime;

use crate::support::{calcine, report, stderr, stdout};

/// What is wrong, in one line, with code two.
fn refusal(arguments: &[&str]) -> String {
    let output = calcine(arguments);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
    text.lines().last().unwrap().to_owned()
}

const SMALL: [&str; 4] = ["--model", "simplenet", "--data", "synthetic"];

fn train<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let short = [
        "--epochs",
        "1",
        "--train-limit",
        "64",
        "--batch-size",
        "32",
        "--test-limit",
        "100",
    ];
    let end = ["--json", "--out", out];
    [&["train-cifar"][..], &SMALL, &short, more, &end].concat()
}

/// All files of a directory, with when they were written and what is in them.
fn files(directory: &Path) -> BTreeMap<String, (SystemTime, Vec<u8>)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            let inner = files(&path).into_iter();
            found.extend(inner.map(|(file, known)| (format!("{name}/{file}"), known)));
        } else {
            let written = fs::metadata(&path).unwrap().modified().unwrap();
            found.insert(name, (written, fs::read(&path).unwrap()));
        }
    }
    found
}

#[test]
fn a_finished_run_is_not_touched_by_any_command() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("run");
    let out_text = out.to_str().unwrap();
    let reported = report(&calcine(&train(out_text, &[])));
    let before = files(&out);

    for arguments in [
        train(out_text, &[]),
        vec!["train-cifar", "--resume", out_text, "--json"],
    ] {
        let again = calcine(&arguments);
        assert_eq!(report(&again), reported);
        assert!(
            stderr(&again).contains("finished before"),
            "{}",
            stderr(&again)
        );
    }
    let network = [
        &SMALL[..],
        &[
            "--weights",
            "none",
            "--test-limit",
            "100",
            "--out",
            out_text,
        ],
    ]
    .concat();
    for command in [
        &["quantize", "--images", "20"][..],
        &["thin", "--batches", "1"],
    ] {
        let text = refusal(&[command, &network].concat());
        assert!(text.contains("holds a run already"), "{text}");
    }
    let text = refusal(&train(out_text, &["--seed", "9"]));
    assert!(text.contains("holds a run already"), "{text}");
    assert_eq!(files(&out), before);
}

#[test]
fn a_directory_in_which_a_run_writes_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().to_str().unwrap();
    let lock = File::create(directory.path().join(".lock")).unwrap();
    lock.lock().unwrap();
    let network = [&SMALL[..], &["--weights", "none", "--out", out]].concat();
    for arguments in [
        train(out, &[]),
        [&["quantize"][..], &network].concat(),
        [&["thin"][..], &network].concat(),
        [
            &["sensitivity", "--levels", "0.5", "--limit", "8"][..],
            &network,
        ]
        .concat(),
    ] {
        let text = refusal(&arguments);
        assert!(text.contains("another run is writing there"), "{text}");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn a_quantized_network_is_evaluated_summarised_and_looked_at() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("quantized");
    let network = [&SMALL[..], &["--test-limit", "100"]].concat();
    let quantize = [
        "quantize",
        "--weights",
        "none",
        "--images",
        "20",
        "--json",
        "--out",
    ];
    let quantized = report(&calcine(
        &[&quantize[..], &[out.to_str().unwrap()], &network].concat(),
    ));
    let file = out.join("quantized.safetensors");
    let file = file.to_str().unwrap();

    let evaluate = ["train-cifar", "--evaluate", "--json", "--weights", file];
    let evaluated = report(&calcine(&[&evaluate[..], &network].concat()));
    assert_eq!(evaluated["top1"], quantized["top1"]);
    assert_eq!(evaluated["parameters"], 61_770);

    let summary = |kind: &str| stdout(&calcine(&["summary", "--weights", file, "--kind", kind]));
    let integers = summary("integers");
    assert!(
        integers.contains("conv1") && integers.contains("48000"),
        "{integers}"
    );
    assert!(summary("sparsity").contains("conv1.weight"));
    assert!(summary("modules").contains("conv1"));
    let text = refusal(&["summary", "--weights", file, "--kind", "compute"]);
    assert!(text.contains("integers"), "{text}");

    let look = ["activations", "--images", "8", "--weights", file];
    assert!(stdout(&calcine(&[&look[..], &SMALL].concat())).contains("relu"));

    for command in ["thin", "quantize"] {
        let other = directory.path().join(command);
        let more = ["--weights", file, "--out", other.to_str().unwrap()];
        let text = refusal(&[&[command][..], &network, &more].concat());
        assert!(text.contains("quantized network"), "{text}");
    }
}

#[test]
fn options_of_weights_choose_within_a_file_and_need_one() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("run");
    report(&calcine(&train(out.to_str().unwrap(), &[])));
    let file = out.join("model.safetensors");
    let file = file.to_str().unwrap();
    let summary = |more: &[&str]| {
        let start = ["summary", "--model", "simplenet", "--kind", "sparsity"];
        [&start[..], more]
            .concat()
            .iter()
            .map(|s| (*s).to_owned())
            .collect::<Vec<_>>()
    };
    let refused = |more: &[&str]| {
        let arguments = summary(more);
        refusal(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let text = refused(&["--weights", file, "--weights-key", "ema"]);
    assert!(text.contains("`ema`") && text.contains("`conv1`"), "{text}");
    let ignored = summary(&["--weights", file, "--weights-ignore", "fc*"]);
    let ignored = calcine(&ignored.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(stdout(&ignored).contains("fc1.weight"));
    let text = refused(&["--weights", "none", "--weights-ignore", "fc*"]);
    assert!(text.contains("the weights are `none`"), "{text}");
    refused(&["--weights-ignore", "fc*"]);
    refusal(&["train-cifar", "--evaluate", "--mean", "0.5,0.5,0.5"]);
    let text = refusal(&["train-cifar", "--mean", "0.5,0.5", "--std", "1,1,1"]);
    assert!(!text.is_empty());
}
