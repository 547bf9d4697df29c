//! Agreement with Distiller's group thresholds.

use calcine_fold::{Fold, Granularity, Layout};
use calcine_regularize::Criterion;
use calcine_testkit::golden::{self, Golden};
use calcine_testkit::{device, each};
use serde_json::Value;

use crate::common::{assert_close, doubles};
use crate::structures::{Weight, granularity, kept, mask};

/// What is right, where Distiller's is not: it divides the means of rows and columns by the wrong side
/// of the matrix (surprise 4).
fn right<'a>(expect: &'a Value, key: &str) -> Option<&'a Value> {
    expect
        .get(format!("{key}_mathematically_right"))
        .or_else(|| expect.get(key))
}

fn check(file: &Golden, case: &Value) {
    let (args, expect) = (&case["args"], &case["expect"]);
    let word = |key: &str| args[key].as_str().unwrap();
    match case["name"].as_str().unwrap() {
        // Any granularity and any criterion go together here.
        "unsupported_4D" | "structure_pruner_criteria" => {}
        "unsupported_criteria" => {
            word("criteria").parse::<Criterion>().unwrap_err();
        }
        // Its channels of a matrix are the columns. Spreading decisions is the fold's work.
        "expand_channels_2d" => {
            let fold = Fold::new(Granularity::FcInput, &[3, 5], Layout::OutputFirst).unwrap();
            let keep = file.tensor::<1>(&case["input"]["map"], &device()).bool();
            assert_eq!(mask(&fold, keep), kept(file, &expect["mask"]));
        }
        "structure_pruner" => {
            let regime = &args["reg_regims"]["w"];
            let group = granularity(regime[1].as_str().unwrap()).unwrap();
            let weight = Weight::of(file, &case["input"]["w"], group);
            let criterion: Criterion = word("criteria").parse().unwrap();
            let keep = criterion.keep(weight.rows(), regime[0].as_f64().unwrap());
            assert_eq!(mask(&weight.fold, keep), kept(file, &expect["mask"]));
        }
        _ => {
            let group = granularity(word("group_type")).unwrap();
            let weight = Weight::of(file, &case["input"]["w"], group);
            let criterion: Criterion = word("criteria").parse().unwrap();
            if let Some(norms) = right(expect, "group_norms") {
                let norms: Vec<f64> = file.values(norms).1.into_iter().map(f64::from).collect();
                assert_close(
                    &doubles(criterion.norms(weight.rows())),
                    &norms,
                    1e-6,
                    "norm",
                );
            }
            let keep = criterion.keep(weight.rows(), args["threshold"].as_f64().unwrap());
            let map: Vec<bool> = keep.clone().into_data().iter::<bool>().collect();
            assert_eq!(map, kept(file, right(expect, "binary_map").unwrap()));
            // The mask beside a corrected map is Distiller's wrong one.
            if expect.get("binary_map_mathematically_right").is_none() {
                assert_eq!(mask(&weight.fold, keep), kept(file, &expect["mask"]));
            }
        }
    }
}

#[test]
fn golden_group_threshold() {
    let file = golden::open("group_threshold");
    each(file.cases(""), |case| check(&file, case));
}
