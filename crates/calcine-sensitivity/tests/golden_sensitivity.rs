//! Against Distiller's `perform_sensitivity_analysis`.

use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Linear, LinearConfig};
use calcine_fold::Grain;
use calcine_sensitivity::{Evaluation, Measurement, Scan, Sensitivity};
use calcine_testkit::golden::{Golden, open};
use serde_json::Value;

use crate::{nonzero, whole};

#[derive(Module, Debug)]
struct Net {
    conv1: Conv2d,
    conv2: Conv2d,
    fc: Linear,
}

/// The case's model. Burn stores linear weights the other way round.
fn model(golden: &Golden, case: &Value) -> Net {
    let device = calcine_testkit::device();
    let mut net = Net {
        conv1: Conv2dConfig::new([3, 8], [3, 3]).init(&device),
        conv2: Conv2dConfig::new([8, 10], [3, 3]).init(&device),
        fc: LinearConfig::new(40, 5).init(&device),
    };
    let weight = |name: &str| golden.tensor::<4>(&case["input"][name], &device);
    net.conv1.weight = Param::from_tensor(weight("conv1.weight"));
    net.conv2.weight = Param::from_tensor(weight("conv2.weight"));
    let fc = golden.tensor::<2>(&case["input"]["fc.weight"], &device);
    net.fc.weight = Param::from_tensor(fc.transpose());
    net
}

/// The case's test function: of the density d of all weights.
fn density(model: &Net) -> Measurement {
    let left: usize = nonzero(model).iter().map(|(_, count)| count).sum();
    let d = left as f64 / (216 + 720 + 200) as f64;
    let evaluation = Evaluation::new(2.0 - d, 1).with("top1", 90.0 * d);
    Measurement::from(evaluation.with("top5", 99.0 * d))
}

fn numbers(list: &Value) -> Vec<f64> {
    list.as_array()
        .unwrap()
        .iter()
        .map(|number| number.as_f64().unwrap())
        .collect()
}

fn scanned(golden: &Golden, case: &Value) -> (Sensitivity, usize) {
    let grain: Grain = case["args"]["group"].as_str().unwrap().parse().unwrap();
    let plan = Scan::new(grain).with_levels(numbers(&case["args"]["sparsities"]));
    let mut evaluations = 0;
    let found = whole(&model(golden, case), &plan, |model| {
        evaluations += 1;
        density(model)
    });
    (found.unwrap(), evaluations)
}

#[test]
fn golden_scans_by_element_filter_and_channel_agree() {
    let Some(golden) = open("sensitivity_analysis") else {
        return;
    };
    for case in golden.cases("group_") {
        let (found, evaluations) = scanned(&golden, case);
        let expected = case["expect"]["sensitivities"].as_array().unwrap();
        assert_eq!(
            found.by_parameter().count(),
            expected.len(),
            "{}",
            case["name"]
        );
        for ((name, points), expected) in found.by_parameter().zip(expected) {
            assert_eq!(expected[0], name, "{}", case["name"]);
            let rows = expected[1].as_array().unwrap();
            assert_eq!(points.len(), rows.len());
            for (point, row) in points.iter().zip(rows) {
                assert_eq!(row[0].as_f64(), Some(point.requested));
                let measured = ["top1", "top5", "loss"].map(|name| point.value(name));
                for (found, expected) in measured.into_iter().zip(numbers(&row[1])) {
                    approx::assert_relative_eq!(found, expected, max_relative = 1e-12);
                }
            }
        }
        let calls = case["expect"]["n_test_calls"].as_u64().unwrap() as usize;
        assert!(
            evaluations < calls,
            "{evaluations} evaluations, Distiller made {calls}"
        );
    }
}

/// Distiller prunes one copy to each level in turn, so after 0.6 it finds nothing to prune at 0.2 and
/// reports 0.6 twice. Here each level prunes the model's own weights.
#[test]
fn golden_levels_that_descend_do_not_add_up_as_distillers_do() {
    let Some(golden) = open("sensitivity_analysis") else {
        return;
    };
    let case = golden.cases("levels_accumulate")[0];
    let theirs: Vec<&Value> = case["expect"]["nonzero_counts_at_each_call"]
        .as_array()
        .unwrap()
        .iter()
        .map(|counts| &counts["conv2.weight"])
        .collect();
    assert_eq!(theirs, [&Value::from(288), &Value::from(288)]);
    let (found, _) = scanned(&golden, case);
    let (_, points) = found
        .by_parameter()
        .find(|(name, _)| *name == "conv2.weight")
        .unwrap();
    let ours: Vec<f64> = points
        .iter()
        .map(|point| 720.0 * (1.0 - point.achieved))
        .collect();
    assert_eq!(ours, [288.0, 576.0]);
}

/// Distiller's scan takes three words. Here any grain can be scanned, `Filters` being one of them; a word
/// that is none is an error that lists them.
#[test]
fn golden_groups_that_distiller_refuses_are_grains_or_errors() {
    let Some(golden) = open("sensitivity_analysis") else {
        return;
    };
    for case in golden.cases("bad_group_") {
        match case["args"]["group"].as_str().unwrap().parse::<Grain>() {
            Ok(grain) => assert_eq!(grain, Grain::Filter),
            Err(error) => assert!(error.to_string().contains("is no grain"), "{error}"),
        }
    }
}
