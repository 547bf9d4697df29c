//! MODEL and its weights, which every command takes the same way.

use std::fs;

use crate::support::{
    calcine, network_file, place, quantized_file, refusal, report, stderr, stdout,
};

/// The commands that take a MODEL, each with what it needs besides and where it may write.
fn commands(out: &str) -> [(&'static str, String); 8] {
    let recipe = crate::support::root().join("recipes/short/fine-tune.toml");
    let data = "--data synthetic";
    [
        ("summary", String::new()),
        ("bench", String::new()),
        ("activations", format!("{data} --validation-limit 10")),
        ("evaluate", format!("{data} --test-limit 10")),
        (
            "sensitivity",
            format!("{data} --levels 0.5 --validation-limit 10 --out {out}/s"),
        ),
        (
            "train",
            format!("{data} --recipe {} --out {out}/t", recipe.display()),
        ),
        ("thin", format!("{data} --test-limit 10 --out {out}/h")),
        ("quantize", format!("{data} --test-limit 10 --out {out}/q")),
    ]
}

#[test]
fn what_is_no_model_is_refused_alike_by_every_command() {
    let (directory, place) = place();
    let write = |name: &str, bytes: &[u8]| {
        fs::write(directory.path().join(name), bytes).unwrap();
        format!("{place}/{name}")
    };
    let onnx = write("net.safetensors", b"\x08\x09\x12\x07pytorch");
    let pickle = write("weights.pth", b"PK\x03\x04 and so on");
    let text = write("notes.txt", b"nothing that is known");
    let cases = [
        ("resnett20", "did you mean `resnet20`?"),
        (
            "nowhere/net.safetensors",
            "there is no network file nowhere/net.safetensors",
        ),
        (&*place, "expected a network of the zoo or a network file"),
        (&*onnx, "the file is not an ONNX model: it has no graph"),
        (&*pickle, "holds PyTorch weights without a network"),
        (&*text, "neither a network file"),
    ];
    for (command, more) in commands(&place) {
        for (model, expected) in cases {
            let said = refusal(&format!("{command} {model} {more}"));
            assert!(said.contains(expected), "{command} {model}: {said}");
        }
    }
    let left = fs::read_dir(&directory).unwrap().count();
    assert_eq!(left, 3, "a refused command leaves nothing");
}

#[test]
fn a_network_file_has_its_weights_and_is_no_file_of_weights() {
    let (directory, place) = place();
    let file = network_file(directory.path());
    let quantized = quantized_file(directory.path());
    for (command, more) in commands(&place) {
        let said = refusal(&format!("{command} {file} --weights default {more}"));
        assert!(
            said.contains("--weights default has no effect"),
            "{command}: {said}"
        );
        for file in [&file, &quantized] {
            let said = refusal(&format!("{command} simplenet --weights {file} {more}"));
            assert!(
                said.contains("as MODEL instead of `simplenet`"),
                "{command}: {said}"
            );
        }
        let said = refusal(&format!(
            "{command} simplenet --weights {place}/none.pt {more}"
        ));
        assert!(
            said.contains("there is no file of weights"),
            "{command}: {said}"
        );
    }
}

#[test]
fn a_quantized_network_is_a_model_for_all_that_does_not_change_it() {
    let (directory, place) = place();
    let file = quantized_file(directory.path());
    let data = "--data synthetic --test-limit 50";
    let written = fs::read(directory.path().join("quantized/report.json")).unwrap();
    let quantized: serde_json::Value = serde_json::from_slice(&written).unwrap();
    let evaluated = report(&format!("evaluate {file} {data} --json"));
    assert_eq!(evaluated["top1"], quantized["top1"]);
    assert_eq!(evaluated["parameters"], 61_770);
    let old = report(&format!(
        "train-cifar --evaluate --json --weights {file} {data} --recipe {}/recipes/resnet20-agp.toml",
        crate::support::root().display()
    ));
    assert_eq!(old["top1"], quantized["top1"]);

    let summary = |kind: &str| stdout(&format!("summary {file} --kind {kind}"));
    let integers = stdout(&format!("summary {file}"));
    assert!(
        integers.contains("conv1") && integers.contains("48000"),
        "{integers}"
    );
    assert!(summary("sparsity").contains("conv1.weight"));
    assert!(summary("modules").contains("conv1"));
    let text = refusal(&format!("summary {file} --kind compute"));
    assert!(text.contains("integers"), "{text}");
    let text = stdout(&format!(
        "activations {file} --data synthetic --validation-limit 8"
    ));
    assert!(text.contains("relu"), "{text}");

    for command in ["thin", "quantize", "sensitivity", "train"] {
        let (_, more) = commands(&place)
            .into_iter()
            .find(|(name, _)| *name == command)
            .unwrap();
        let text = refusal(&format!("{command} {file} {more}"));
        assert!(
            text.contains("holds a quantized network, which can be evaluated"),
            "{text}"
        );
    }
}

#[test]
fn options_of_weights_choose_within_a_file_and_need_one() {
    let (_directory, place) = place();
    let recipe = crate::support::root().join("recipes/short/fine-tune.toml");
    let run = format!(
        "train simplenet --weights none --data synthetic --recipe {} --epochs 1 --train-limit 64 --batch-size 32 \
         --test-limit 100 --out {place}/run",
        recipe.display()
    );
    stdout(&run);
    let file = format!("{place}/run/model.safetensors");
    let text = refusal(&format!(
        "summary simplenet --weights {file} --weights-key ema"
    ));
    assert!(text.contains("`ema`") && text.contains("`conv1`"), "{text}");
    let ignored =
        format!("summary simplenet --kind sparsity --weights {file} --weights-ignore fc*");
    assert!(stdout(&ignored).contains("fc1.weight"));
    let text = refusal("summary simplenet --weights none --weights-ignore fc*");
    assert!(
        text.contains("the weights of simplenet are random"),
        "{text}"
    );
    refusal("summary simplenet --weights-ignore fc*");
    let fresh = calcine("summary simplenet");
    assert!(stderr(&fresh).contains("no weights are shipped for simplenet: they are random"));
}
