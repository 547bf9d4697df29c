//! What commands do with the files and directories of others.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::time::SystemTime;

use crate::support::{calcine, place, refusal, report, root, stderr};

const SMALL: &str = "simplenet --weights none --data synthetic";

fn train(out: &str, more: &str) -> String {
    let recipe = root().join("recipes/resnet20-agp.toml");
    format!(
        "train {SMALL} --recipe {} --epochs 1 --train-limit 64 --batch-size 32 --test-limit 100 {more} --json --out {out}",
        recipe.display()
    )
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
    let (directory, place) = place();
    let out = format!("{place}/run");
    let reported = report(&train(&out, ""));
    let before = files(&directory.path().join("run"));

    for line in [train(&out, ""), format!("train --resume {out} --json")] {
        assert_eq!(report(&line), reported);
        let said = stderr(&calcine(&line));
        assert!(said.contains("finished before"), "{said}");
    }
    for line in [
        format!("quantize {SMALL} --calibration-images 20 --test-limit 100 --out {out}"),
        format!("thin {SMALL} --batches 1 --test-limit 100 --out {out}"),
        train(&out, "--seed 9"),
    ] {
        let text = refusal(&line);
        assert!(text.contains("already contains a run"), "{text}");
    }
    assert_eq!(files(&directory.path().join("run")), before);
}

#[test]
fn a_directory_in_which_a_run_writes_is_refused() {
    let (directory, out) = place();
    let lock = File::create(directory.path().join(".lock")).unwrap();
    lock.lock().unwrap();
    for line in [
        train(&out, ""),
        format!("quantize {SMALL} --out {out}"),
        format!("thin {SMALL} --out {out}"),
        format!("sensitivity {SMALL} --levels 0.5 --validation-limit 8 --out {out}"),
    ] {
        let text = refusal(&line);
        assert!(text.contains("another run is writing to it"), "{text}");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}
