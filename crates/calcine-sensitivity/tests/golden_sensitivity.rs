//! Against Distiller's `perform_sensitivity_analysis`.

use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Linear, LinearConfig};
use calcine_fold::Granularity;
use calcine_sensitivity::{Evaluation, Measurement, Scan, Sensitivity};
use calcine_testkit::golden::{Golden, open};
use calcine_testkit::numbers as numbers_of;
use calcine_trace::{Network, trace};
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
    let convolution = |name: &str| {
        let weight = golden.tensor::<4>(&case["input"][name], &device);
        let [outputs, inputs, high, wide] = weight.dims();
        let mut layer = Conv2dConfig::new([inputs, outputs], [high, wide]).init(&device);
        layer.weight = Param::from_tensor(weight);
        layer
    };
    let weight = golden.tensor::<2>(&case["input"]["fc.weight"], &device);
    let [outputs, inputs] = weight.dims();
    let mut fc = LinearConfig::new(inputs, outputs).init(&device);
    fc.weight = Param::from_tensor(weight.transpose());
    Net {
        conv1: convolution("conv1.weight"),
        conv2: convolution("conv2.weight"),
        fc,
    }
}

/// The network of the model, which knows the groups that channels depend on. Each layer has an input of its own.
fn traced(model: &Net) -> Network {
    let image = |layer: &Conv2d| {
        let [_, inputs, high, wide] = layer.weight.dims();
        numbers_of([1, inputs, high, wide])
    };
    let row = numbers_of([1, model.fc.weight.dims()[0]]);
    let inputs = (image(&model.conv1), image(&model.conv2), row);
    let network = trace(model, inputs, |m, (first, second, row)| {
        let convolved = (m.conv1.forward(first), m.conv2.forward(second));
        (convolved.0, convolved.1, m.fc.forward(row))
    });
    network.unwrap()
}

/// The case's test function, "(90*d, 99*d, 2-d)" of the density d of all weights, by its three numbers.
fn test_function(case: &Value) -> [f64; 3] {
    let text = case["args"]["test_function"].as_str().unwrap();
    let formula = text.rsplit_once('(').unwrap().1;
    let terms: Vec<f64> = formula
        .split(',')
        .map(|term| {
            term.trim()
                .split(['*', '-'])
                .next()
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect();
    terms.try_into().unwrap()
}

fn measured<M: Module>(model: &M, all: usize, [top1, top5, loss]: [f64; 3]) -> Measurement {
    let left: usize = nonzero(model).iter().map(|(_, count)| count).sum();
    let d = left as f64 / all as f64;
    let evaluation = Evaluation::new(loss - d, 1).with_metric("top1", top1 * d);
    Measurement::from(evaluation.with_metric("top5", top5 * d))
}

/// How many weights there are in all, none of which is zero, and of each parameter.
fn counts<M: Module>(model: &M) -> (usize, Vec<(String, usize)>) {
    let counts = nonzero(model);
    (counts.iter().map(|(_, count)| count).sum(), counts)
}

fn numbers(list: &Value) -> Vec<f64> {
    list.as_array()
        .unwrap()
        .iter()
        .map(|number| number.as_f64().unwrap())
        .collect()
}

fn scanned(golden: &Golden, case: &Value, function: [f64; 3]) -> (Sensitivity, usize) {
    let granularity: Granularity = case["args"]["group"].as_str().unwrap().parse().unwrap();
    let plan = Scan::new(granularity).with_levels(numbers(&case["args"]["sparsities"]));
    let mut evaluations = 0;
    let model = traced(&model(golden, case));
    let (all, _) = counts(&model);
    let found = whole(&model, &plan, |model| {
        evaluations += 1;
        measured(model, all, function)
    });
    (found.unwrap(), evaluations)
}

#[test]
fn golden_scans_by_element_filter_and_channel_agree() {
    let golden = open("sensitivity_analysis");
    let cases = golden.having(&["/args/test_function", "/expect/sensitivities"]);
    assert!(!cases.is_empty());
    for case in cases {
        let (found, evaluations) = scanned(&golden, case, test_function(case));
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

/// Distiller prunes one copy to each level in turn, so after a higher level it finds nothing to prune at a lower one and
/// reports the higher one twice. Here each level prunes the model's own weights.
#[test]
fn golden_levels_that_descend_do_not_add_up_as_distillers_do() {
    let golden = open("sensitivity_analysis");
    let mut cases = golden.having(&["/expect/nonzero_counts_at_each_call"]);
    cases.retain(|case| case["expect"]["sensitivities"].is_null());
    assert!(!cases.is_empty());
    for case in cases {
        let (_, counts) = counts(&model(&golden, case));
        let (found, _) = scanned(&golden, case, [1.0; 3]);
        let levels = numbers(&case["args"]["sparsities"]);
        let calls = case["expect"]["nonzero_counts_at_each_call"].as_array();
        for name in case["args"]["params"].as_array().unwrap() {
            let name = name.as_str().unwrap();
            let of = |(path, _): &&(String, usize)| path == name;
            let all = counts.iter().find(of).unwrap().1 as f64;
            let mut points = found.by_parameter();
            let (_, points) = points.find(|(path, _)| *path == name).unwrap();
            let mut highest = 0.0_f64;
            for (at, &level) in levels.iter().enumerate() {
                let left = |level: f64| all - (level * all).floor();
                let ours = all * (1.0 - points[at].achieved);
                approx::assert_relative_eq!(ours, left(level), max_relative = 1e-12);
                highest = highest.max(level);
                let theirs = calls.unwrap()[at][name].as_f64().unwrap();
                approx::assert_relative_eq!(theirs, left(highest), max_relative = 1e-12);
            }
        }
    }
}

/// Distiller's scan takes three words. Here any granularity can be scanned, `Filters` being one of them; a word
/// that is none is an error that lists them.
#[test]
fn golden_groups_that_distiller_refuses_are_granularities_or_errors() {
    let golden = open("sensitivity_analysis");
    for case in golden.having(&["/args/group", "/expect/error"]) {
        match case["args"]["group"]
            .as_str()
            .unwrap()
            .parse::<Granularity>()
        {
            Ok(granularity) => assert_eq!(granularity, Granularity::Filter),
            Err(error) => assert!(error.to_string().contains("unknown granularity"), "{error}"),
        }
    }
}
