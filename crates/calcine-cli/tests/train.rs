//! `calcine train` as a user runs it: a process, its files, its exit code.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::support::{command, report, stderr};

/// A small network on synthetic images: three epochs of eight steps.
const SMALL: [&str; 15] = [
    "--model",
    "simplenet",
    "--data",
    "synthetic",
    "--epochs",
    "3",
    "--batch-size",
    "32",
    "--train-images",
    "256",
    "--test-images",
    "200",
    "--seed",
    "7",
    "--json",
];

fn train_cifar(arguments: &[&str]) -> Command {
    command(&[&["train-cifar"], arguments].concat())
}

/// The small network by a recipe.
fn small_by(recipe: &Path, out: &Path) -> Command {
    let [recipe, out] = [recipe, out].map(|path| path.to_str().unwrap());
    train_cifar(&[&SMALL[..], &["--recipe", recipe, "--out", out]].concat())
}

fn run(arguments: &[&str]) -> Output {
    train_cifar(arguments).output().unwrap()
}

/// Every file of a run but those with times in them; of `scalars.csv` all rows but the speed.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            let inner = files(&path)
                .into_iter()
                .map(|(file, bytes)| (format!("{name}/{file}"), bytes));
            found.extend(inner);
        } else if name == "scalars.csv" {
            let text = fs::read_to_string(&path).unwrap();
            let timeless = text
                .lines()
                .filter(|line| !line.contains("SamplesPerSecond"));
            found.insert(name, timeless.collect::<Vec<_>>().join("\n").into_bytes());
        } else if name == "run.json" {
            // The command line has the directory.
            let text = fs::read_to_string(&path).unwrap();
            let run: serde_json::Value = serde_json::from_str(&text).unwrap();
            found.insert(name, run["settings"].to_string().into_bytes());
        } else if name != "log.txt" && name != "report.json" {
            found.insert(name, fs::read(&path).unwrap());
        }
    }
    found
}

#[test]
fn a_whole_run_reports_in_json_and_leaves_its_files() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("run");
    let logs = ["--log", "csv,tensorboard", "--histograms"];
    let output = run(&[&SMALL[..], &logs, &["--out", out.to_str().unwrap()]].concat());
    let report = report(&output);
    for key in [
        "model",
        "data",
        "device",
        "recipe",
        "seed",
        "epochs",
        "steps",
        "top1_before",
        "top1",
        "top5",
        "loss",
        "sparsity",
        "parameters",
        "nonzero",
        "seconds",
        "images_per_second",
        "out",
    ] {
        assert!(!report[key].is_null(), "{key} is missing in {report}");
    }
    assert_eq!(
        (&report["model"], &report["steps"]),
        (&"simplenet".into(), &24.into())
    );
    assert_eq!(report["data_is_synthetic"], true);
    assert!(
        stderr(&output).contains("NOT CIFAR-10"),
        "{}",
        stderr(&output)
    );
    // ⌊0.8·n⌋ of each weight: 450, 2400, 48 000, 10 080 and 840.
    assert_eq!(report["nonzero"], 61_770 - 360 - 1920 - 38_400 - 8064 - 672);
    for file in [
        "model.safetensors",
        "metrics.csv",
        "sparsity.csv",
        "scalars.csv",
        "recipe.toml",
        "log.txt",
    ] {
        assert!(out.join(file).is_file(), "{file} is missing");
    }
    assert_eq!(
        fs::read_to_string(out.join("metrics.csv"))
            .unwrap()
            .lines()
            .count(),
        4
    );
    assert_eq!(
        fs::read_to_string(out.join("sparsity.csv"))
            .unwrap()
            .lines()
            .count(),
        6
    );
    // At steps 8, 16 and 24: the epochs end earlier than the ten steps between two reports.
    let scalars = fs::read_to_string(out.join("scalars.csv")).unwrap();
    let rows = |tag: &str| scalars.lines().filter(|line| line.contains(tag)).count();
    assert_eq!(rows("Performance/Training/Loss"), 3);
    assert_eq!(rows("sparsity/weights/conv1.weight"), 3);
    assert_eq!(fs::read_dir(out.join("tensorboard")).unwrap().count(), 1);

    let again = run(&[
        &SMALL[..],
        &["--out", out.to_str().unwrap(), "--seed", "8"][..2],
    ]
    .concat());
    assert_eq!(
        again.status.code(),
        Some(0),
        "the same run may be asked for again"
    );
    let other = run(&["--data", "synthetic", "--out", out.to_str().unwrap()]);
    assert_eq!(other.status.code(), Some(2));
    assert!(
        stderr(&other).contains("holds a run already"),
        "{}",
        stderr(&other)
    );
}

#[test]
fn a_killed_run_resumes_and_ends_in_the_same_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let [whole, killed] = ["whole", "killed"].map(|name| directory.path().join(name));
    let output = run(&[&SMALL[..], &["--out", whole.to_str().unwrap()]].concat());
    report(&output);

    kill_after(
        train_cifar(&[&SMALL[..], &["--out", killed.to_str().unwrap()]].concat()),
        "epoch 0:",
    );
    assert!(
        !killed.join("report.json").exists(),
        "killed too late to test anything"
    );

    let resumed = run(&["--resume", killed.to_str().unwrap(), "--json"]);
    assert_eq!(report(&resumed)["steps"], 24);
    assert_same_files(&killed, &whole);
}

/// Kills a run as soon as it has written a line that begins like this.
fn kill_after(mut command: Command, beginning: &str) {
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let found = lines.find(|line| line.as_ref().unwrap().starts_with(beginning));
    assert!(found.is_some(), "the run never says `{beginning}`");
    child.kill().unwrap();
    child.wait().unwrap();
}

fn assert_same_files(found: &Path, expected: &Path) {
    let (found, expected) = (files(found), files(expected));
    assert_eq!(
        found.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>()
    );
    for (name, bytes) in &expected {
        assert!(bytes == &found[name], "{name} differs");
    }
}

/// Channels fall with all that makes them, the network is thinned in mid-run, single weights fall from then on;
/// momentum, masks and schedules follow. Killed at any moment, also around the thinning, it ends in the same bytes.
#[test]
fn a_run_that_thins_resumes_and_ends_in_the_same_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let recipe = directory.path().join("thin.toml");
    fs::write(&recipe, THINNING).unwrap();
    let start = |out: &Path| small_by(&recipe, out);
    let whole = directory.path().join("whole");
    let report = report(&start(&whole).output().unwrap());
    let thinned = &report["thinned"];
    let number = |key: &str| thinned[key].as_u64().unwrap();
    // As in tests/thin.rs: 3, 8, 60 and 42 channels are left.
    assert_eq!(number("macs_before"), 651_720);
    assert_eq!(number("macs"), 251_340);
    assert_eq!(thinned["speed"].as_array().unwrap().len(), 4);
    // ⌊0.5·n⌋ of what is left of each weight: 225, 600, 12 000, 2520 and 420.
    assert_eq!(report["nonzero"], 113 + 300 + 6000 + 1260 + 210);
    for file in ["thinned-1.safetensors", "thinned.safetensors"] {
        assert!(whole.join(file).is_file(), "{file} is missing");
    }

    for epoch in ["epoch 0:", "epoch 1:"] {
        let out = directory.path().join(epoch[..7].replace(' ', "-"));
        kill_after(start(&out), epoch);
        assert!(
            !out.join("report.json").exists(),
            "killed too late to test anything"
        );
        let resumed = run(&["--resume", out.to_str().unwrap(), "--json"]);
        self::report(&resumed);
        assert_same_files(&out, &whole);
    }
}

/// Ranges that follow training, steps that are learned, and the stage that the run is at are all in its checkpoints.
#[test]
fn quantization_aware_runs_resume_and_end_in_the_same_bytes() {
    let directory = tempfile::tempdir().unwrap();
    for method in ["linear", "lsq"] {
        let recipe = directory.path().join(format!("{method}.toml"));
        let text = format!(
            "format = 1\n[train]\nepochs = 3\nlr = 0.02\nmomentum = 0.9\n\
             [quantize]\nmethod = \"{method}\"\nweights = 4\nactivations = 4\nimages = 32\n\
             start = 1\nfreeze_ranges = 2\n"
        );
        fs::write(&recipe, text).unwrap();
        let start = |out: &Path| small_by(&recipe, out);
        let whole = directory.path().join(method);
        report(&start(&whole).output().unwrap());
        assert!(whole.join("quantized.safetensors").is_file());
        for epoch in ["epoch 0:", "epoch 1:"] {
            let out = directory.path().join(format!("{method}-{}", &epoch[6..7]));
            kill_after(start(&out), epoch);
            assert!(
                !out.join("report.json").exists(),
                "killed too late to test anything"
            );
            report(&run(&["--resume", out.to_str().unwrap(), "--json"]));
            assert_same_files(&out, &whole);
        }
    }
}

const THINNING: &str = r#"
format = 1
[train]
epochs = 3
lr = 0.02
momentum = 0.9

[pruner.channels]
params = ["**.weight", "!fc3.weight"]
score = "l1"
granularity = "filter"
dependency = "auto"
level = 0.5

[thin]
at = [1]

[pruner.weights]
params = ["**.weight"]
score = "magnitude"
level = 0.5

[[policy]]
pruner = "channels"
epochs = [0]

[[policy]]
pruner = "weights"
start = 1
end = 3
"#;

#[test]
fn bad_input_ends_with_one_clear_error_and_code_two() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_string_lossy().into_owned()
    };
    let nan = file(
        "nan.toml",
        "format = 1\n[train]\nmodel = \"simplenet\"\nepochs = 1\nlr = 1e30\n",
    );
    let typo = file("typo.toml", "format = 1\n[train]\nepochs = 1\nepocks = 2\n");
    let unknown = file(
        "unknown.toml",
        "format = 1\n[train]\nepochs = 1\nlr = 0.1\n[pruner.p]\nparams = [\"conv9.weight\"]\n\
         score = \"magnitude\"\nlevel = 0.5\n[[policy]]\npruner = \"p\"\nepochs = [0]\n",
    );
    let garbage = file("garbage.safetensors", "these are no tensors");
    let missing = directory
        .path()
        .join("missing")
        .to_string_lossy()
        .into_owned();
    let cases: [(&[&str], &[&str]); 9] = [
        (&["--recipe", &missing], &["missing", "cannot be read"]),
        (
            &["--recipe", &typo],
            &["typo.toml:4:1", "epocks", "did you mean `epochs`"],
        ),
        (
            &["--recipe", &unknown],
            &["unknown.toml:6:11", "conv9.weight", "nearest: conv1.weight"],
        ),
        (
            &[
                "--recipe",
                &nan,
                "--weights",
                "none",
                "--train-images",
                "256",
            ],
            &["diverged", "loss is"],
        ),
        (&["--weights", &missing, "--evaluate"], &["missing"]),
        (
            &["--weights", &garbage, "--evaluate"],
            &["garbage.safetensors"],
        ),
        (&["--device", "cuba"], &["cuba", "did you mean `cuda`"]),
        (&["--histograms"], &["--log tensorboard"]),
        (&["--resume", &missing], &["missing"]),
    ];
    for (i, (arguments, expected)) in cases.into_iter().enumerate() {
        let out = directory
            .path()
            .join(format!("out-{i}"))
            .to_string_lossy()
            .into_owned();
        let common: &[&str] = match arguments {
            ["--resume", ..] => &[],
            [.., "--evaluate"] => &["--data", "synthetic"],
            _ => &["--data", "synthetic", "--out", &out],
        };
        let output = run(&[arguments, common].concat());
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        let errors = said.lines().filter(|line| line.starts_with("error: "));
        assert_eq!(errors.count(), 1, "{arguments:?}: {said}");
        for word in expected {
            assert!(
                said.contains(word),
                "{arguments:?} should say `{word}`: {said}"
            );
        }
    }
    let out = directory.path().join("no-data");
    let data = run(&["--data", &missing, "--out", out.to_str().unwrap()]);
    assert_eq!(data.status.code(), Some(2), "{}", stderr(&data));
}

#[test]
fn the_shipped_recipes_are_sound_and_fit_their_models() {
    let recipes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes");
    let mut files: Vec<_> = fs::read_dir(&recipes)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    let short = recipes.join("short");
    files.extend(
        fs::read_dir(short)
            .unwrap()
            .map(|entry| entry.unwrap().path()),
    );
    files.sort();
    assert!(files.len() >= 20);
    let output = Command::new(env!("CARGO_BIN_EXE_calcine"))
        .args(["recipe", "check"])
        .args(&files)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
}
