//! `calcine sensitivity` as a user runs it: a process, its files, its exit code.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::support::{command, report, stderr};

/// A small network on a few synthetic images.
const SMALL: [&str; 8] = [
    "--model",
    "simplenet",
    "--data",
    "synthetic",
    "--validation-images",
    "200",
    "--random",
    "--json",
];

fn sensitivity(arguments: &[&str]) -> Command {
    command(&[&["sensitivity"], arguments].concat())
}

fn run(arguments: &[&str]) -> Output {
    sensitivity(arguments).output().unwrap()
}

fn csv(directory: &Path) -> String {
    fs::read_to_string(directory.join("sensitivity.csv")).unwrap()
}

#[test]
fn a_whole_scan_reports_in_json_and_leaves_its_files() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("scan");
    let place = ["--out", out.to_str().unwrap()];
    let what = ["--granularity", "filter", "--range", "0", "1", "0.5"];
    let output = run(&[&SMALL[..], &what, &place, &["--max-drop", "100"]].concat());
    let report = report(&output);
    assert_eq!(report["levels"], serde_json::json!([0.0, 0.5]));
    // Two convolutions at two levels.
    assert_eq!(
        (&report["points"], &report["images"]),
        (&4.into(), &200.into())
    );
    assert_eq!(report["suggestions"][0]["level"], 0.5);
    assert_eq!(report["data_is_synthetic"], true);
    assert!(stderr(&output).contains("NOT CIFAR-10"));
    for file in [
        "scan.json",
        "sensitivity.svg",
        "sensitivity.png",
        "panels.svg",
        "panels.png",
        "suggested.toml",
    ] {
        assert!(out.join(file).is_file(), "{file} is missing");
    }
    assert_eq!(csv(&out).lines().count(), 1 + 1 + 4);
    assert!(
        csv(&out).contains("loss_low"),
        "a sample says how sure it is"
    );
    let recipe = out.join("suggested.toml");
    let check = Command::new(env!("CARGO_BIN_EXE_calcine"))
        .args(["recipe", "check"])
        .arg(recipe)
        .output()
        .unwrap();
    assert!(check.status.success(), "{}", stderr(&check));

    let other = run(&[&SMALL[..], &place].concat());
    assert_eq!(other.status.code(), Some(2));
    assert!(
        stderr(&other).contains("holds a run already"),
        "{}",
        stderr(&other)
    );
}

#[test]
fn a_killed_scan_resumes_and_ends_in_the_same_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let [whole, killed] = ["whole", "killed"].map(|name| directory.path().join(name));
    let levels = ["--levels", "0.1,0.3,0.5,0.7,0.8,0.9"];
    let arguments = |out: &Path| -> Vec<String> {
        let out = out.to_str().unwrap();
        let all = [&SMALL[..], &levels, &["--out", out]].concat();
        all.into_iter().map(str::to_owned).collect()
    };
    let words =
        |owned: &[String]| sensitivity(&owned.iter().map(String::as_str).collect::<Vec<_>>());
    let output = words(&arguments(&whole)).output().unwrap();
    report(&output);

    let mut child = words(&arguments(&killed))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let first = lines.find(|line| line.as_ref().unwrap().starts_with("1/31"));
    assert!(
        first.is_some(),
        "the scan says when the unpruned network is measured"
    );
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(
        !killed.join("panels.png").exists(),
        "killed too late to test anything"
    );

    let resumed = run(&["--resume", killed.to_str().unwrap(), "--json"]);
    assert_eq!(report(&resumed)["points"], 30);
    for file in ["sensitivity.csv", "sensitivity.svg", "panels.png"] {
        let [whole, killed] = [&whole, &killed].map(|out| fs::read(out.join(file)).unwrap());
        assert!(whole == killed, "{file} differs");
    }
}

#[test]
fn bad_input_ends_with_one_clear_error_and_code_two() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing");
    let missing = missing.to_str().unwrap();
    let cases: [(&[&str], &[&str]); 9] = [
        (
            &["--granularity", "rows"],
            &["`rows` is no granularity; valid are element"],
        ),
        (
            &["--params", "conv9.weight"],
            &["conv9.weight", "nearest: conv1.weight"],
        ),
        (
            &["--granularity", "filter", "--params", "fc1.weight"],
            &["`fc1.weight`", "needs the weight of a convolution"],
        ),
        (&["--levels", "0.5,1.5"], &["'1.5'", "a number from 0 to 1"]),
        (
            &["--range", "0", "1", "0"],
            &["--range 0 1 0: expected START below STOP"],
        ),
        (&["--device", "cuba"], &["cuba", "did you mean `cuda`"]),
        (&["--weights", missing], &["missing"]),
        (&["--max-drop", "NaN"], &["'NaN'", "points of at least 0"]),
        (&["--resume", missing], &["missing"]),
    ];
    for (i, (arguments, expected)) in cases.into_iter().enumerate() {
        let place = directory.path().join(format!("out-{i}"));
        let out = place.to_str().unwrap();
        let resumes = arguments[0] == "--resume";
        let common: &[&str] = if resumes {
            &[]
        } else {
            &["--model", "simplenet", "--data", "synthetic", "--out", out]
        };
        let output = run(&[arguments, common].concat());
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(!place.exists(), "{arguments:?} leaves a directory");
        let errors = said.lines().filter(|line| line.starts_with("error: "));
        assert_eq!(errors.count(), 1, "{arguments:?}: {said}");
        for word in expected {
            assert!(
                said.contains(word),
                "{arguments:?} should say `{word}`: {said}"
            );
        }
    }
}
