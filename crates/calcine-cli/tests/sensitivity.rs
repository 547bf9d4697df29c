//! `calcine sensitivity`: a process, its files, its exit code.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use crate::support::{calcine, command, place, refusal, report, stderr, stdout};

/// A small network on a few synthetic images.
const SMALL: &str =
    "sensitivity simplenet --weights none --data synthetic --validation-limit 200 --random --json";

fn csv(directory: &Path) -> String {
    fs::read_to_string(directory.join("sensitivity.csv")).unwrap()
}

#[test]
fn a_whole_scan_reports_in_json_and_leaves_its_files() {
    let (directory, place) = place();
    let out = directory.path().join("scan");
    let line =
        format!("{SMALL} --granularity filter --range 0 1 0.5 --max-drop 100 --out {place}/scan");
    let report = report(&line);
    assert_eq!(report["levels"], serde_json::json!([0.0, 0.5]));
    // Two convolutions at two levels.
    assert_eq!(
        (&report["points"], &report["images"]),
        (&4.into(), &200.into())
    );
    assert_eq!(report["suggestions"][0]["level"], 0.5);
    assert_eq!(report["data_is_synthetic"], true);
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
    stdout(&format!("recipe check {place}/scan/suggested.toml"));
    let other = calcine(&format!("{SMALL} --out {place}/scan"));
    assert_eq!(other.status.code(), Some(2));
    let said = stderr(&other);
    assert!(said.contains("already contains a run"), "{said}");
}

#[test]
fn a_killed_scan_resumes_and_ends_in_the_same_bytes() {
    let (directory, place) = place();
    let [whole, killed] = ["whole", "killed"].map(|name| directory.path().join(name));
    let line =
        |name: &str| format!("{SMALL} --levels 0.1,0.3,0.5,0.7,0.8,0.9 --out {place}/{name}");
    report(&line("whole"));

    let mut child = command(&line("killed"))
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

    let resumed = report(&format!("sensitivity --resume {place}/killed --json"));
    assert_eq!(resumed["points"], 30);
    for file in ["sensitivity.csv", "sensitivity.svg", "panels.png"] {
        let [whole, killed] = [&whole, &killed].map(|out| fs::read(out.join(file)).unwrap());
        assert!(whole == killed, "{file} differs");
    }
}

#[test]
fn bad_input_ends_with_one_clear_error_and_code_two() {
    let (directory, place) = place();
    let cases: [(&str, &[&str]); 8] = [
        (
            "--granularity rows",
            &["unknown granularity `rows`: expected element"],
        ),
        (
            "--params conv9.weight",
            &["conv9.weight", "nearest: conv1.weight"],
        ),
        (
            "--granularity filter --params fc1.weight",
            &["`fc1.weight`", "needs the weight of a convolution"],
        ),
        ("--levels 0.5,1.5", &["'1.5'", "a number from 0 to 1"]),
        (
            "--range 0 1 0",
            &["--range 0 1 0: expected START below STOP"],
        ),
        ("--device cuba", &["cuba", "did you mean `cuda`"]),
        ("--weights missing.pt", &["missing"]),
        ("--max-drop NaN", &["'NaN'", "points of at least 0"]),
    ];
    for (arguments, expected) in cases {
        let said = refusal(&format!(
            "sensitivity simplenet {arguments} --data synthetic --out {place}/out"
        ));
        assert!(
            !directory.path().join("out").exists(),
            "{arguments} leaves a directory"
        );
        for word in expected {
            assert!(
                said.contains(word),
                "{arguments} should say `{word}`: {said}"
            );
        }
    }
    assert!(refusal("sensitivity --resume missing").contains("missing"));
}
