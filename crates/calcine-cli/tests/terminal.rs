//! The command line as a newcomer meets it: what it prints where, what it refuses, how it ends.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::command;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A run on synthetic images, with what it says about it.
fn small(name: &str, out: &Path, more: &[&str]) -> Command {
    let network = [name, "--model", "simplenet", "--weights", "none"];
    let place = ["--data", "synthetic", "--out", out.to_str().unwrap()];
    command(&[&network[..], &place, more].concat())
}

const ALL_TABLES: [&str; 11] = [
    "summary",
    "--model",
    "simplenet",
    "--kind",
    "compute",
    "--kind",
    "sparsity",
    "--kind",
    "model",
    "--kind",
    "modules",
];

#[test]
fn tables_are_as_wide_as_columns_says_and_80_in_a_pipe() {
    for (columns, width) in [(None, 80), (Some("100"), 100), (Some("60"), 60)] {
        let mut command = command(&ALL_TABLES);
        if let Some(columns) = columns {
            command.env("COLUMNS", columns);
        }
        let printed = text(&command.output().unwrap().stdout);
        let widest = printed.lines().map(|line| line.chars().count()).max();
        assert!(widest.unwrap() <= width, "{width}:\n{printed}");
        for cell in ["conv1.weight", "48,000", "352,800", "Abs-Mean", "fc3"] {
            assert!(
                printed.contains(cell),
                "{cell} is missing at {width}:\n{printed}"
            );
        }
    }
    let mut wide = command(&ALL_TABLES);
    let wide = text(&wide.env("COLUMNS", "300").output().unwrap().stdout);
    let heads = wide.lines().filter(|line| line.starts_with('┌'));
    assert_eq!(heads.count(), 4, "each table is whole:\n{wide}");
}

/// `summary | head`, and with nobody at stderr either.
#[test]
fn a_reader_that_has_gone_is_no_failure() {
    for arguments in [
        &ALL_TABLES[..],
        &["train-cifar", "--device", "list"],
        &["--help"],
    ] {
        let mut child = command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert_eq!(text(&output.stderr).matches("panicked").count(), 0);
    }
    let directory = tempfile::tempdir().unwrap();
    let run = [
        "--epochs",
        "1",
        "--train-images",
        "64",
        "--test-images",
        "50",
        "--batch-size",
        "32",
    ];
    let mut child = small("train-cifar", &directory.path().join("run"), &run)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_run_says_what_it_runs_and_names_all_that_it_wrote_without_colours() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("run");
    let run = [
        "--epochs",
        "2",
        "--train-images",
        "64",
        "--test-images",
        "50",
        "--batch-size",
        "32",
    ];
    let output = small("train-cifar", &out, &run).output().unwrap();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{stderr}");
    let results = format!("results go to {}", out.display());
    for word in [
        "training simplenet with fresh weights; synthetic images",
        "device flex",
        "2 epochs of 2 steps, 32 images each, by recipes/resnet20-agp.toml",
        "top-1 before: ",
        &results,
    ] {
        assert!(stderr.contains(word), "`{word}` is missing:\n{stderr}");
    }
    let last = stdout
        .lines()
        .find(|line| line.starts_with("wrote "))
        .unwrap();
    for entry in std::fs::read_dir(&out).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            name.starts_with('.') || last.contains(&name),
            "{name} is not in `{last}`"
        );
    }
    for said in [&stdout, &stderr] {
        assert!(
            !said.contains('\u{1b}'),
            "there are escape sequences in {said:?}"
        );
    }
}

#[test]
fn a_thinning_in_mid_run_is_announced() {
    let directory = tempfile::tempdir().unwrap();
    let recipe = directory.path().join("thin.toml");
    let text_of_it = "format = 1\n[train]\nepochs = 2\nlr = 0.02\n\
        [pruner.channels]\nparams = [\"**.weight\", \"!fc3.weight\"]\nscore = \"l1\"\ngranularity = \"filter\"\n\
        dependency = \"auto\"\nlevel = 0.5\n[[policy]]\npruner = \"channels\"\nepochs = [0]\n[thin]\nat = [1]\n";
    std::fs::write(&recipe, text_of_it).unwrap();
    let run = [
        "--train-images",
        "64",
        "--test-images",
        "50",
        "--batch-size",
        "32",
        "--recipe",
    ];
    let run = [&run[..], &[recipe.to_str().unwrap()]].concat();
    let output = small("train-cifar", &directory.path().join("run"), &run)
        .output()
        .unwrap();
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let [before, thinned, after] = ["epoch 0:", "thinned before epoch", "epoch 1:"].map(|word| {
        stderr
            .find(word)
            .unwrap_or_else(|| panic!("no `{word}` in {stderr}"))
    });
    assert!(before < thinned && thinned < after, "{stderr}");
}

/// Both signals save, end with a code of their own, and leave a run that goes on.
#[cfg(unix)]
#[test]
fn a_signal_saves_and_has_an_exit_code_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let train = [
        "--epochs",
        "200",
        "--train-images",
        "256",
        "--test-images",
        "50",
        "--batch-size",
        "32",
    ];
    let scan = ["--validation-images", "2000"];
    let search = [
        "--search",
        "lapq",
        "--search-images",
        "100",
        "--calibration-images",
        "20",
        "--test-images",
        "50",
    ];
    let cases: [(&str, &[&str], &str); 3] = [
        ("train-cifar", &train, "epoch 0:"),
        ("sensitivity", &scan, "1/"),
        ("quantize", &search, "1/"),
    ];
    for (command, more, first) in cases {
        for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
            let out = directory.path().join(format!("{command}{signal}"));
            let output = signalled(small(command, &out, more), first, signal);
            let (status, said) = output;
            assert_eq!(status, Some(code), "{command} {signal}: {said}");
            assert!(said.contains("stopping after this"), "{said}");
            let last = said.lines().last().unwrap();
            assert!(
                last.starts_with("stopped") && last.contains("go on with"),
                "{last}"
            );
            assert!(!said.contains("error:"), "{said}");
            if command == "train-cifar" {
                assert!(out.join("checkpoints").is_dir() && !out.join("report.json").exists());
            }
        }
    }
}

/// Sends the signal as soon as a line begins like this; the exit code, and what was said.
#[cfg(unix)]
fn signalled(mut command: Command, beginning: &str, signal: &str) -> (Option<i32>, String) {
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut sent = false;
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        if line.starts_with(beginning) && !sent {
            let pid = child.id().to_string();
            assert!(
                Command::new("kill")
                    .args([signal, &pid])
                    .status()
                    .unwrap()
                    .success()
            );
            sent = true;
        }
        said += &line;
        said.push('\n');
    }
    assert!(sent, "it never says `{beginning}`: {said}");
    (child.wait().unwrap().code(), said)
}

/// What an option without effect, a wrong number or a missing file is told, before anything is done.
#[test]
fn what_has_no_effect_or_makes_no_sense_is_refused_with_code_two() {
    for (arguments, word) in [
        (
            "quantize --bits 4",
            "--bits has no effect: it is for --search mixed-precision",
        ),
        (
            "quantize --search lapq --budget 9",
            "--budget has no effect",
        ),
        (
            "quantize --search greedy --rounds 2",
            "--rounds has no effect: it is for --search lapq",
        ),
        (
            "quantize --search-images 9",
            "--search-images has no effect: it is for --search",
        ),
        (
            "quantize --calibration x.json --calibration-images 9",
            "cannot be used with",
        ),
        (
            "quantize --calibration nowhere.json --data synthetic",
            "nowhere.json",
        ),
        (
            "quantize --weights nowhere.pt --data synthetic",
            "nowhere.pt",
        ),
        ("thin --params conv1.weight", "--level"),
        ("thin --multiple-of 8", "--level"),
        ("thin --norm l2", "--level"),
        ("thin --aggregate max", "--level"),
        ("thin --level 1", "from 0 to below 1"),
        ("thin --weights nowhere.pt --data synthetic", "nowhere.pt"),
        (
            "summary --draw net.svg --output tables",
            "--output has no effect",
        ),
        (
            "summary --draw net.svg --format csv",
            "--format has no effect",
        ),
        ("summary --kind model --nodes", "--nodes has no effect"),
        ("summary --kind model --batch 2", "--batch has no effect"),
        ("summary --draw-parameters", "--draw"),
        ("activations --log csv", "--out"),
        ("sensitivity --random", "--validation-images"),
        (
            "sensitivity --levels 0.5 --range 0 1 0.1",
            "cannot be used with",
        ),
        ("sensitivity --levels -0.5", "from 0 to 1"),
        ("sensitivity --range 1 0 0.1", "expected START below STOP"),
        ("sensitivity --max-drop -1", "at least 0"),
        (
            "train-cifar --epochs -3",
            "'-3' for '--epochs <N>': expected a whole number of at least 1",
        ),
        ("train-cifar --batch-size 0", "at least 1"),
        ("train-cifar --seed -1", "at least 0"),
        ("train-cifar --min-sparsity 80", "from 0 to 1"),
        ("train-cifar --summary sparsity", "--evaluate"),
        ("train-cifar --evaluate --epochs 3", "cannot be used with"),
        ("train-cifar --evaluate --out x", "cannot be used with"),
        ("train-cifar --evaluate --log csv", "cannot be used with"),
        ("train-cifar --evaluate --histograms", "cannot be used with"),
        (
            "train-cifar --evaluate --min-sparsity 0.5",
            "cannot be used with",
        ),
        (
            "train-cifar --evaluate --train-images 5",
            "cannot be used with",
        ),
        ("train-cifar --resume x --epochs 3", "cannot be used with"),
        ("recipe convert x.yaml --epochs 0", "at least 1"),
    ] {
        let words: Vec<&str> = arguments.split(' ').collect();
        let directory = tempfile::tempdir().unwrap();
        let output = command(&words).current_dir(&directory).output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments}: {said}");
        assert!(
            said.contains(word),
            "{arguments} should say `{word}`: {said}"
        );
        let left = std::fs::read_dir(directory.path().join("runs"));
        assert!(
            left.is_err() || left.unwrap().next().is_none(),
            "{arguments} leaves a directory"
        );
    }
}

#[test]
fn a_device_that_is_not_compiled_in_comes_with_the_command_that_has_it() {
    let compiled = text(
        &command(&["train-cifar", "--device", "list"])
            .output()
            .unwrap()
            .stdout,
    );
    let absent = ["cuda", "metal", "wgpu"]
        .into_iter()
        .find(|name| !compiled.contains(name));
    let absent = absent.expect("no build has all of them");
    let output = command(&["train-cifar", "--device", absent, "--epochs", "1"])
        .output()
        .unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    let command = format!("-- train-cifar --device {absent} --epochs 1");
    assert!(
        said.contains("cargo run --package calcine-cli --features ") && said.contains(&command),
        "{said}"
    );
}

#[test]
fn the_version_is_printed() {
    let output = command(&["--version"]).output().unwrap();
    assert_eq!(
        text(&output.stdout).trim(),
        format!("calcine {}", env!("CARGO_PKG_VERSION"))
    );
}
