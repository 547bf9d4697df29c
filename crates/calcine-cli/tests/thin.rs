//! `calcine thin`, and what other commands make of its file.

use crate::support::{place, refusal, report, root, stdout};

/// Half of the channels go; the summary of the file agrees, and it is trained as any network.
#[test]
fn a_thinned_network_is_one_file_for_every_command() {
    let (directory, place) = place();
    let out = directory.path().join("thin");
    let thinned = report(&format!(
        "thin simplenet --weights none --data synthetic --level 0.5 --batches 2 --test-limit 100 --json --out {place}/thin"
    ));
    let number = |key: &str| thinned[key].as_f64().unwrap();
    // 3, 8, 60 and 42 channels are left: 352,800 / 2 + 240,000 / 4 + 48,000 / 4 + 10,080 / 4 + 840 / 2.
    assert_eq!(number("macs_before"), 651_720.0);
    assert_eq!(number("macs"), 251_340.0);
    assert_eq!(number("top1_pruned"), number("top1"));
    let speed = &thinned["speed"][0];
    assert!(speed["before"].as_f64().unwrap() > 0.0 && speed["after"].as_f64().unwrap() > 0.0);
    assert!(out.join("plan.json").is_file() && out.join("report.json").is_file());

    let file = format!("{place}/thin/thinned.safetensors");
    assert!(stdout(&format!("summary {file}")).contains("251,340"));
    let recipe = root().join("recipes/resnet20-agp.toml");
    let trained = report(&format!(
        "train {file} --recipe {} --data synthetic --epochs 1 --batch-size 32 --train-limit 64 --test-limit 100 --json \
         --out {place}/run",
        recipe.display()
    ));
    // 3·3·25 + 8·3·25 + 60·200 + 42·60 + 10·42 weights.
    assert_eq!(trained["parameters"], 15_765);
}

#[test]
fn what_cannot_be_done_is_said_with_code_two() {
    for (arguments, word) in [
        ("--level 1", "from 0 to below 1"),
        ("--params conv1.weight", "--level"),
        ("--batches 0", "at least 1"),
        ("--norm l3 --level 0.5", "l1, l2 or max"),
    ] {
        let said = refusal(&format!("thin simplenet {arguments}"));
        assert!(
            said.contains(word),
            "{arguments} should say `{word}`: {said}"
        );
    }
}
