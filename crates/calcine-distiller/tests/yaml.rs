//! Schedules as people write them: each means what Distiller, which read YAML 1.1 by PyYAML, made of it, or is
//! refused with a reason.

use calcine_distiller::{Options, convert};
use calcine_testkit::each;

/// A pruner of one weight and its policy, with other keys.
fn pruner(keys: &str, policy: &str) -> String {
    format!(
        "pruners:\n  p:\n    class: AutomatedGradualPruner\n{keys}    weights: [conv.weight]\n\
         policies:\n  - pruner: {{instance_name: p}}\n{policy}"
    )
}

const AGP: &str = "    initial_sparsity: 0.1\n    final_sparsity: 0.9\n";
const WINDOW: &str = "    starting_epoch: 0\n    ending_epoch: 10\n    frequency: 1\n";

fn rate(gamma: &str) -> String {
    format!(
        "lr_schedulers:\n  l: {{class: StepLR, step_size: 1_0, gamma: {gamma}}}\n\
         policies:\n  - lr_scheduler: {{instance_name: l}}\n{WINDOW}"
    )
}

#[test]
fn every_spelling_of_a_schedule_means_what_it_meant_or_is_refused() {
    let window =
        |end: &str| format!("    starting_epoch: 0\n    ending_epoch: {end}\n    frequency: 1\n");
    let args = |args: &str| {
        format!(
            "pruners:\n  p: {{class: L1RankedStructureParameterPruner, group_type: Filters, desired_sparsity: 0.4, weights: [conv.weight]}}\n\
             policies:\n  - pruner: {{instance_name: p, args: {{{args}}}}}\n{WINDOW}"
        )
    };
    let plain = pruner(AGP, WINDOW);
    // What is written, then what the recipe has, or what the error says.
    let rows: Vec<(&str, String, Result<&str, &str>)> = vec![
        (
            "plain",
            plain.clone(),
            Ok("level = { curve = \"cubic\", from = 0.1, to = 0.9 }"),
        ),
        (
            "BOM",
            format!("\u{feff}{plain}"),
            Ok("from = 0.1, to = 0.9"),
        ),
        (
            "CRLF",
            plain.replace('\n', "\r\n"),
            Ok("from = 0.1, to = 0.9"),
        ),
        ("tabs", plain.replace("    ", "\t"), Err("no YAML")),
        (
            "a key twice",
            pruner(&format!("{AGP}    final_sparsity: 0.5\n"), WINDOW),
            Err("duplicate"),
        ),
        (
            "an instance twice",
            plain.replace(
                "policies:",
                "pruners:\n  q: {class: BernoulliFilterPruner}\npolicies:",
            ),
            Err("duplicate"),
        ),
        (
            "two documents",
            format!("{plain}---\n{plain}"),
            Err("no YAML"),
        ),
        ("a document mark", format!("---\n{plain}"), Ok("from = 0.1")),
        (
            "nothing",
            String::new(),
            Err("the schedule is nothing, expected a map"),
        ),
        (
            "a comment",
            "# later\n".to_owned(),
            Err("the schedule is nothing"),
        ),
        (
            "version alone",
            "version: 1\n".to_owned(),
            Err("`policies` is missing"),
        ),
        (
            "no policies",
            "version: 1\npolicies:\n".to_owned(),
            Err("`policies` is missing"),
        ),
        ("an octal end", pruner(AGP, &window("010")), Ok("end = 8")),
        (
            "a hexadecimal end",
            pruner(AGP, &window("0x0A")),
            Ok("end = 10"),
        ),
        (
            "a binary end",
            pruner(AGP, &window("0b1010")),
            Ok("end = 10"),
        ),
        (
            "an end with underscores",
            pruner(AGP, &window("1_0")),
            Ok("end = 10"),
        ),
        (
            "a sexagesimal end",
            pruner(AGP, &window("1:10")),
            Ok("end = 70"),
        ),
        (
            "a negative end",
            pruner(AGP, &window("-3")),
            Err("`ending_epoch` is the number -3"),
        ),
        (
            "half an epoch",
            pruner(AGP, &window("10.5")),
            Err("`ending_epoch` is the number 10.5, expected a whole number"),
        ),
        (
            "an end in quotes",
            pruner(AGP, &window("\"10\"")),
            Err("`ending_epoch` is the text \"10\""),
        ),
        (
            "an exponent without a point",
            rate("1e-1"),
            Ok("gamma = 0.1"),
        ),
        ("an exponent", rate("1.0e-1"), Ok("gamma = 0.1")),
        ("a bare point", rate(".5"), Ok("gamma = 0.5")),
        ("infinity", rate(".inf"), Err("non-finite float")),
        ("not a number", rate(".nan"), Err("non-finite float")),
        (
            "percent",
            pruner("    initial_sparsity: 5\n    final_sparsity: 85\n", WINDOW),
            Err("5, expected between 0 and 1"),
        ),
        (
            "a percent sign",
            pruner(
                "    initial_sparsity: 5%\n    final_sparsity: 0.5\n",
                WINDOW,
            ),
            Err("`initial_sparsity` is the text \"5%\""),
        ),
        (
            "null",
            pruner("    initial_sparsity: ~\n    final_sparsity: 0.5\n", WINDOW),
            Err("`initial_sparsity` is missing"),
        ),
        (
            "yes",
            args("mask_on_forward_only: yes"),
            Ok("hold = \"forward\""),
        ),
        (
            "on",
            args("mask_on_forward_only: On"),
            Ok("hold = \"forward\""),
        ),
        (
            "off",
            args("mask_on_forward_only: off, use_double_copies: on"),
            Ok("hold = \"shadow\""),
        ),
        (
            "y",
            args("mask_on_forward_only: y"),
            Err("`mask_on_forward_only` is the text \"y\", expected true or false"),
        ),
        (
            "one for true",
            args("mask_on_forward_only: 1"),
            Err("`mask_on_forward_only` is the number 1"),
        ),
        (
            "an anchor",
            pruner(&AGP.replace("0.9", "&last 0.9"), WINDOW)
                + "  - lr_scheduler: {instance_name: l}\n    starting_epoch: 0\n    ending_epoch: 9\n\
                   lr_schedulers:\n  l: {class: StepLR, step_size: 10, gamma: *last}\n",
            Ok("gamma = 0.9"),
        ),
        (
            "a merge",
            format!(
                "pruners:\n  a: &base\n    class: AutomatedGradualPruner\n{AGP}    weights: [conv.weight]\n  \
                 b:\n    <<: *base\n    final_sparsity: 0.8\n    weights: [head.weight]\n\
                 policies:\n  - pruner: {{instance_name: a}}\n{WINDOW}  - pruner: {{instance_name: b}}\n{WINDOW}"
            ),
            Ok("from = 0.1, to = 0.8"),
        ),
        (
            "an alias of nothing",
            plain.replace("[conv.weight]", "*w"),
            Err("no YAML"),
        ),
        (
            "a name that is no list",
            plain.replace("[conv.weight]", "conv.weight"),
            Ok("params = [\"conv.weight\"]"),
        ),
        (
            "a weight twice",
            plain.replace("[conv.weight]", "[conv.weight, conv.weight]"),
            Ok("params"),
        ),
    ];
    each(rows, |(what, yaml, expected)| {
        let converted = convert(Some("s.yaml"), yaml, &Options::default());
        match (converted, expected) {
            (Ok(converted), Ok(fragment)) => {
                assert!(
                    converted.recipe.contains(fragment),
                    "{what}: {}",
                    converted.recipe
                );
            }
            (Err(error), Err(fragment)) => {
                assert!(error.to_string().contains(fragment), "{what}: {error}");
            }
            (Ok(converted), Err(_)) => panic!("{what}: accepted\n{}", converted.recipe),
            (Err(error), Ok(_)) => panic!("{what}: {error}"),
        }
    });
}

#[test]
fn numbers_that_pyyaml_reads_otherwise_are_warned_of() {
    let warned = |yaml: &str, fragment: &str| {
        let converted = convert(None, yaml, &Options::default()).unwrap();
        let all: Vec<String> = converted.warnings.iter().map(ToString::to_string).collect();
        assert!(
            all.iter().any(|warning| warning.contains(fragment)),
            "{all:#?}"
        );
    };
    warned(&rate("1e-1"), "`1e-1` was text for Distiller");
    let octal = pruner(AGP, &WINDOW.replace("10", "010"));
    warned(&octal, "`010` is the number 8 in YAML 1.1");
}
