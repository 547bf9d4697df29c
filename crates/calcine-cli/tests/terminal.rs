//! The command line as a newcomer meets it: what it prints where, what it refuses, how it ends.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::support::{calcine, command, place, root};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A short training run.
fn train(out: &str) -> String {
    let recipe = root().join("recipes/resnet20-agp.toml");
    format!(
        "train simplenet --weights none --data synthetic --out {out} --train-limit 64 --test-limit 50 --batch-size 32 \
         --recipe {}",
        recipe.display()
    )
}

const ALL_TABLES: &str =
    "summary simplenet --kind compute --kind sparsity --kind model --kind modules";

#[test]
fn tables_are_as_wide_as_columns_says_and_80_in_a_pipe() {
    for (columns, width) in [(None, 80), (Some("100"), 100), (Some("60"), 60)] {
        let mut command = command(ALL_TABLES);
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
    let mut wide = command(ALL_TABLES);
    let wide = text(&wide.env("COLUMNS", "300").output().unwrap().stdout);
    let heads = wide.lines().filter(|line| line.starts_with('┌'));
    assert_eq!(heads.count(), 4, "each table is whole:\n{wide}");
}

/// `summary | head`, and with nobody at stderr either.
#[test]
fn a_reader_that_has_gone_is_no_failure() {
    let (_directory, place) = place();
    let run = format!("{} --epochs 1", train(&format!("{place}/run")));
    for line in [
        ALL_TABLES,
        "evaluate simplenet --device list",
        "--help",
        &run,
    ] {
        let mut child = command(line)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        if line == run {
            drop(child.stderr.take());
        }
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{line}");
        assert_eq!(text(&output.stderr).matches("panicked").count(), 0);
    }
}

#[test]
fn a_run_says_what_it_runs_and_names_all_that_it_wrote_without_colours() {
    let (directory, place) = place();
    let out = directory.path().join("run");
    let output = calcine(&format!("{} --epochs 2", train(&format!("{place}/run"))));
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{stderr}");
    let results = format!("results go to {}", out.display());
    for word in [
        "training simplenet with random weights; synthetic images",
        "device flex",
        "2 epochs of 2 steps by ",
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
    let (directory, place) = place();
    let text_of_it = "format = 1\n[train]\nepochs = 2\nlr = 0.02\n\
        [pruner.channels]\nparams = [\"**.weight\", \"!fc3.weight\"]\nscore = \"l1\"\ngranularity = \"filter\"\n\
        dependency = \"auto\"\nlevel = 0.5\n[[policy]]\npruner = \"channels\"\nepochs = [0]\n[thin]\nat = [1]\n";
    std::fs::write(directory.path().join("thin.toml"), text_of_it).unwrap();
    let output = calcine(&format!(
        "train simplenet --weights none --data synthetic --out {place}/run --train-limit 64 --test-limit 50 \
         --batch-size 32 --recipe {place}/thin.toml"
    ));
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
    let (directory, place) = place();
    let network = "simplenet --weights none --data synthetic";
    let cases = [
        (
            "train",
            format!(
                "{} --epochs 200 --train-limit 256",
                train("OUT").replace("--train-limit 64 ", "")
            ),
            "epoch 0:",
        ),
        (
            "sensitivity",
            format!("sensitivity {network} --validation-limit 2000 --out OUT"),
            "1/",
        ),
        (
            "quantize",
            format!(
                "quantize {network} --search lapq --search-images 100 --calibration-images 20 --test-limit 50 --out OUT"
            ),
            "1/",
        ),
    ];
    for (name, line, first) in cases {
        for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
            let out = directory.path().join(format!("{name}{signal}"));
            let line = line.replace("OUT", &format!("{place}/{name}{signal}"));
            let (status, said) = signalled(command(&line), first, signal);
            assert_eq!(status, Some(code), "{line} {signal}: {said}");
            assert!(said.contains("stopping after this"), "{said}");
            let last = said.lines().last().unwrap();
            assert!(
                last.starts_with("stopped") && last.contains("continue with"),
                "{last}"
            );
            assert!(!said.contains("error:"), "{said}");
            if name == "train" {
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
            "quantize simplenet --bits 4",
            "--bits has no effect: it is for --search mixed-precision",
        ),
        (
            "quantize simplenet --search lapq --budget 9",
            "--budget has no effect",
        ),
        (
            "quantize simplenet --search greedy --rounds 2",
            "--rounds has no effect: it is for --search lapq",
        ),
        (
            "quantize simplenet --search-images 9",
            "--search-images has no effect: it is for --search",
        ),
        (
            "quantize simplenet --calibration x.json --calibration-images 9",
            "cannot be used with",
        ),
        (
            "quantize simplenet --calibration nowhere.json --data synthetic",
            "nowhere.json",
        ),
        (
            "quantize simplenet --weights nowhere.pt --data synthetic",
            "nowhere.pt",
        ),
        ("thin simplenet --params conv1.weight", "--level"),
        ("thin simplenet --multiple-of 8", "--level"),
        ("thin simplenet --norm l2", "--level"),
        ("thin simplenet --aggregate max", "--level"),
        ("thin simplenet --level 1", "from 0 to below 1"),
        (
            "thin simplenet --weights nowhere.pt --data synthetic",
            "nowhere.pt",
        ),
        (
            "summary simplenet --draw net.svg --out tables",
            "--out has no effect",
        ),
        (
            "summary simplenet --draw net.svg --format csv",
            "--format has no effect",
        ),
        (
            "summary simplenet --kind model --nodes",
            "--nodes has no effect",
        ),
        (
            "summary simplenet --kind model --batch 2",
            "--batch-size has no effect",
        ),
        ("summary simplenet --draw-parameters", "--draw"),
        ("activations simplenet --log csv", "--out"),
        ("sensitivity simplenet --random", "--validation-limit"),
        (
            "sensitivity simplenet --levels 0.5 --range 0 1 0.1",
            "cannot be used with",
        ),
        ("sensitivity simplenet --levels -0.5", "from 0 to 1"),
        (
            "sensitivity simplenet --range 1 0 0.1",
            "expected START below STOP",
        ),
        ("sensitivity simplenet --max-drop -1", "at least 0"),
        (
            "train simplenet --recipe r.toml --epochs -3",
            "'-3' for '--epochs <N>': expected a whole number of at least 1",
        ),
        (
            "train simplenet --recipe r.toml --batch-size 0",
            "at least 1",
        ),
        ("train simplenet --recipe r.toml --seed -1", "at least 0"),
        (
            "train simplenet --recipe r.toml --min-sparsity 80",
            "from 0 to 1",
        ),
        (
            "train-cifar --summary sparsity --recipe r.toml",
            "--evaluate",
        ),
        (
            "train-cifar --evaluate --epochs 3 --recipe r.toml",
            "cannot be used with",
        ),
        (
            "train-cifar --evaluate --out x --recipe r.toml",
            "cannot be used with",
        ),
        (
            "train-cifar --evaluate --log csv --recipe r.toml",
            "cannot be used with",
        ),
        (
            "train-cifar --evaluate --histograms --recipe r.toml",
            "cannot be used with",
        ),
        (
            "train-cifar --evaluate --min-sparsity 0.5 --recipe r.toml",
            "cannot be used with",
        ),
        (
            "train-cifar --evaluate --train-limit 5 --recipe r.toml",
            "cannot be used with",
        ),
        ("train --resume x --epochs 3", "cannot be used with"),
        ("recipe convert x.yaml --epochs 0", "at least 1"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let output = command(arguments).current_dir(&directory).output().unwrap();
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
    let compiled = text(&calcine("evaluate simplenet --device list").stdout);
    let absent = ["cuda", "metal", "wgpu"]
        .into_iter()
        .find(|name| !compiled.contains(name));
    let absent = absent.expect("no build has all of them");
    let output = calcine(&format!(
        "evaluate simplenet --device {absent} --test-limit 1"
    ));
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    let command = format!("-- evaluate simplenet --device {absent} --test-limit 1");
    assert!(
        said.contains("cargo run --package calcine-cli --features ") && said.contains(&command),
        "{said}"
    );
}

#[test]
fn the_version_is_printed() {
    let output = calcine("--version");
    assert_eq!(
        text(&output.stdout).trim(),
        format!("calcine {}", env!("CARGO_PKG_VERSION"))
    );
}
