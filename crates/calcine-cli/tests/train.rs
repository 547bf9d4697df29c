//! `calcine train`: a process, its files, its exit code.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{calcine, command, place, refusal, report, root, stderr};

/// A small network on synthetic images: three epochs of eight steps.
const SMALL: &str = "train simplenet --weights none --data synthetic --epochs 3 --batch-size 32 --train-limit 256 \
                     --test-limit 200 --seed 7 --json";

/// The small network by the recipe of the reference run.
fn small(out: &str) -> String {
    let recipe = root().join("recipes/resnet20-agp.toml");
    format!("{SMALL} --recipe {} --out {out}", recipe.display())
}

/// The small network by a recipe.
fn small_by(recipe: &str, out: &Path) -> String {
    format!("{SMALL} --recipe {recipe} --out {}", out.display())
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
    let (directory, place) = place();
    let out = directory.path().join("run");
    let line = format!(
        "{} --log csv,tensorboard --histograms",
        small(&format!("{place}/run"))
    );
    let report = report(&line);
    let keys = "model data device recipe seed epochs steps top1_before top1 top5 loss sparsity parameters nonzero \
                seconds images_per_second out";
    for key in keys.split_whitespace() {
        assert!(!report[key].is_null(), "{key} is missing in {report}");
    }
    assert_eq!(
        (&report["model"], &report["steps"]),
        (&"simplenet".into(), &24.into())
    );
    assert_eq!(report["data_is_synthetic"], true);
    // ⌊0.8·n⌋ of each weight: 450, 2400, 48 000, 10 080 and 840.
    assert_eq!(report["nonzero"], 61_770 - 360 - 1920 - 38_400 - 8064 - 672);
    for file in ["model.safetensors", "recipe.toml", "log.txt"] {
        assert!(out.join(file).is_file(), "{file} is missing");
    }
    let lines = |file: &str| fs::read_to_string(out.join(file)).unwrap().lines().count();
    assert_eq!((lines("metrics.csv"), lines("sparsity.csv")), (4, 6));
    // At steps 8, 16 and 24: the epochs end earlier than the ten steps between two reports.
    let scalars = fs::read_to_string(out.join("scalars.csv")).unwrap();
    let rows = |tag: &str| scalars.lines().filter(|line| line.contains(tag)).count();
    assert_eq!(rows("Performance/Training/Loss"), 3);
    assert_eq!(rows("sparsity/weights/conv1.weight"), 3);
    assert_eq!(fs::read_dir(out.join("tensorboard")).unwrap().count(), 1);

    let again = calcine(&line);
    assert_eq!(
        again.status.code(),
        Some(0),
        "the same run may be asked for again"
    );
    let other = refusal(&format!("{line} --min-sparsity 0.5"));
    assert!(other.contains("already contains a run"), "{other}");
}

/// The reference run is the same code under its old options.
#[test]
fn the_reference_run_is_the_same_run() {
    let (directory, place) = place();
    let [new, old] = ["new", "old"].map(|name| format!("{place}/{name}"));
    let recipe = root().join("recipes/resnet20-agp.toml");
    let found = report(&small(&new));
    let expected = report(&format!(
        "train-cifar --model simplenet --weights none --data synthetic --epochs 3 --batch-size 32 --train-images 256 \
         --test-images 200 --seed 7 --json --recipe {} --out {old}",
        recipe.display()
    ));
    for key in ["top1", "loss", "nonzero", "steps"] {
        assert_eq!(found[key], expected[key], "{key}");
    }
    assert_same_files(&directory.path().join("new"), &directory.path().join("old"));
}

#[test]
fn a_killed_run_resumes_and_ends_in_the_same_bytes() {
    let (directory, place) = place();
    let [whole, killed] = ["whole", "killed"].map(|name| directory.path().join(name));
    report(&small(&format!("{place}/whole")));
    kill_after(command(&small(&format!("{place}/killed"))), "epoch 0:");
    assert!(
        !killed.join("report.json").exists(),
        "killed too late to test anything"
    );
    let resumed = report(&format!("train --resume {place}/killed --json"));
    assert_eq!(resumed["steps"], 24);
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
    let (directory, place) = place();
    fs::write(directory.path().join("thin.toml"), THINNING).unwrap();
    let start = |out: &Path| small_by(&format!("{place}/thin.toml"), out);
    let whole = directory.path().join("whole");
    let report = report(&start(&whole));
    let thinned = &report["thinned"];
    let number = |key: &str| thinned[key].as_u64().unwrap();
    // As in thin.rs: 3, 8, 60 and 42 channels are left.
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
        ends_alike(&start(&out), epoch, &out, &whole);
    }
}

/// Ranges that follow training, scales that are learned, and the stage that the run is at are all in its checkpoints.
#[test]
fn quantization_aware_runs_resume_and_end_in_the_same_bytes() {
    let (directory, place) = place();
    for method in ["linear", "lsq"] {
        let text = format!(
            "format = 1\n[train]\nepochs = 3\nlr = 0.02\nmomentum = 0.9\n\
             [quantize.weights]\nbits = 4\nrange_estimator = \"mse\"\n[quantize.activations]\nbits = 4\nrange_estimator = \"mse\"\n\
             [quantize.training]\nmethod = \"{method}\"\nimages = 32\n\
             start = 1\nfreeze_ranges = 2\n"
        );
        fs::write(directory.path().join(format!("{method}.toml")), text).unwrap();
        let start = |out: &Path| small_by(&format!("{place}/{method}.toml"), out);
        let whole = directory.path().join(method);
        report(&start(&whole));
        assert!(whole.join("quantized.safetensors").is_file());
        for epoch in ["epoch 0:", "epoch 1:"] {
            let out = directory.path().join(format!("{method}-{}", &epoch[6..7]));
            ends_alike(&start(&out), epoch, &out, &whole);
        }
    }
}

/// Kills a run after this line, resumes it, and compares its files with those of a whole run.
fn ends_alike(line: &str, epoch: &str, out: &Path, whole: &Path) {
    kill_after(command(line), epoch);
    assert!(
        !out.join("report.json").exists(),
        "killed too late to test anything"
    );
    report(&format!("train --resume {} --json", out.display()));
    assert_same_files(out, whole);
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
    let (directory, place) = place();
    let file = |name: &str, text: &str| {
        fs::write(directory.path().join(name), text).unwrap();
        format!("{place}/{name}")
    };
    let nan = file("nan.toml", "format = 1\n[train]\nepochs = 1\nlr = 1e30\n");
    let typo = file("typo.toml", "format = 1\n[train]\nepochs = 1\nepocks = 2\n");
    let unknown = file(
        "unknown.toml",
        "format = 1\n[train]\nepochs = 1\nlr = 0.1\n[pruner.p]\nparams = [\"conv9.weight\"]\n\
         score = \"magnitude\"\nlevel = 0.5\n[[policy]]\npruner = \"p\"\nepochs = [0]\n",
    );
    let sound = file("sound.toml", "format = 1\n[train]\nepochs = 1\nlr = 0.01\n");
    let garbage = file("garbage.safetensors", "these are no tensors");
    let cases: [(String, &[&str]); 8] = [
        (
            format!("--recipe {place}/missing"),
            &["missing", "cannot be read"],
        ),
        (String::new(), &["--recipe"]),
        (
            format!("--recipe {typo}"),
            &["typo.toml:4:1", "epocks", "did you mean `epochs`"],
        ),
        (
            format!("--recipe {unknown}"),
            &["unknown.toml:6:11", "conv9.weight", "nearest: conv1.weight"],
        ),
        (
            format!("--recipe {nan} --train-limit 256 --weights none"),
            &["diverged", "loss is"],
        ),
        (
            format!("--recipe {sound} --weights {garbage}"),
            &["garbage.safetensors"],
        ),
        (
            format!("--recipe {sound} --device cuba"),
            &["cuba", "did you mean `cuda`"],
        ),
        (
            format!("--recipe {sound} --histograms"),
            &["--log tensorboard"],
        ),
    ];
    for (arguments, expected) in cases {
        let line = format!("train simplenet {arguments} --data synthetic --out {place}/out");
        let said = refusal(&line);
        for word in expected {
            assert!(said.contains(word), "{line} should say `{word}`: {said}");
        }
        drop(fs::remove_dir_all(directory.path().join("out")));
    }
    assert!(refusal(&format!("train --resume {place}/missing")).contains("missing"));
    let data = calcine(&format!(
        "train simplenet --recipe {sound} --data {place}/missing --out {place}/no-data"
    ));
    assert_eq!(data.status.code(), Some(2), "{}", stderr(&data));
    refusal(&format!(
        "train simplenet --recipe {sound} --mean 0.5,0.5 --std 1,1,1"
    ));
}
