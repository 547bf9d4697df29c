//! Checkpoints that something happened to.

use std::fs;
use std::path::Path;

use calcine_testkit::each;
use tempfile::tempdir;

use crate::checkpoints::{mlp_run, names, trained};
use crate::made_up::{sgd, training_device};

/// What is done to a directory, and a fragment of the error that resuming then gives.
type Damage = (&'static str, fn(&Path), &'static str);

#[test]
fn a_damaged_checkpoint_is_an_error_that_names_the_file() {
    fn rewrite(checkpoint: &Path, from: &str, to: &str) {
        let file = checkpoint.join("checkpoint.json");
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(file, text.replace(from, to)).unwrap();
    }
    fn truncate(file: &Path) {
        let bytes = fs::read(file).unwrap();
        fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
    }
    let damages: [Damage; 12] = [
        (
            "format",
            |c| rewrite(c, "\"format\": 2", "\"format\": 9"),
            "it has format 9, but this version reads format 2",
        ),
        (
            "no header",
            |c| fs::remove_file(c.join("checkpoint.json")).unwrap(),
            "checkpoint.json",
        ),
        (
            "half a header",
            |c| truncate(&c.join("checkpoint.json")),
            "checkpoint.json",
        ),
        (
            "key",
            |c| rewrite(c, "\"unfinished\"", "\"unfinnished\""),
            "unfinnished",
        ),
        (
            "no model",
            |c| fs::remove_file(c.join("model.safetensors")).unwrap(),
            "model.safetensors",
        ),
        (
            "half a model",
            |c| truncate(&c.join("model.safetensors")),
            "model.safetensors",
        ),
        (
            "no state",
            |c| fs::remove_file(c.join("optimizer.safetensors")).unwrap(),
            "optimizer",
        ),
        (
            "half a state",
            |c| truncate(&c.join("optimizer.safetensors")),
            "optimizer.safetensors",
        ),
        (
            "no masks",
            |c| fs::remove_file(c.join("policy-0-ramp.masks.safetensors")).unwrap(),
            "`ramp` does not fit: no masks.safetensors",
        ),
        (
            "half a mask",
            |c| truncate(&c.join("policy-0-ramp.masks.safetensors")),
            "`ramp`",
        ),
        (
            "policy",
            |c| rewrite(c, "\"ramp\"", "\"other\""),
            "[\"other\", \"head: in/out\"]",
        ),
        (
            "steps",
            |c| rewrite(c, "\"steps_per_epoch\": 5", "\"steps_per_epoch\": 6"),
            "its epochs have 6 steps, those of this run 5",
        ),
    ];
    let whole = trained();
    each(damages, |(_, damage, fragment)| {
        let copy = tempdir().unwrap();
        let checkpoint = copy.path().join("step-00000015");
        fs::create_dir(&checkpoint).unwrap();
        for name in names(&whole.path().join("step-00000015")) {
            fs::copy(
                whole.path().join("step-00000015").join(&name),
                checkpoint.join(&name),
            )
            .unwrap();
        }
        damage(&checkpoint);
        let error = mlp_run(0, sgd)
            .resume(copy.path(), &training_device())
            .unwrap_err();
        assert!(error.to_string().contains(fragment), "{error}");
    });
}
