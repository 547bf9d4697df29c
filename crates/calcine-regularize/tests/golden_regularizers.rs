//! Agreement with Distiller's regularizers: values, gradients, and the masks made from them.

use burn::tensor::{Bool, Tensor};
use calcine_fold::{Fold, Granularity, Layout};
use calcine_regularize::{Criterion, GroupLasso, GroupVariance, L1, Regularizer, Scale};
use calcine_testkit::golden::{self, Golden};
use calcine_testkit::{device, each};
use serde_json::Value;

use crate::common::{assert_close, doubles};
use crate::structures::{Weight, granularity, kept, mask, stored};

fn word<'a>(args: &'a Value, key: &str) -> &'a str {
    args[key].as_str().unwrap()
}

fn strength(args: &Value) -> f64 {
    args["strength"].as_f64().unwrap()
}

/// Distiller smooths the norms of channels and of nothing else (surprise 18).
fn smoothing(granularity: Granularity) -> f64 {
    if granularity == Granularity::Channel {
        1e-8
    } else {
        0.0
    }
}

fn lasso(granularity: Granularity) -> GroupLasso {
    GroupLasso {
        scale: Scale::None,
        smoothing: smoothing(granularity),
    }
}

/// The value, and the gradient in stored order.
fn term(weight: &Weight, regularizer: &dyn Regularizer, strength: f64) -> (f64, Vec<f64>) {
    let value = doubles(regularizer.value(weight.rows(), strength))[0];
    let gradient = regularizer.gradient(weight.rows(), strength);
    (value, stored(&weight.fold, gradient))
}

fn check_term(file: &Golden, expect: &Value, ours: &(f64, Vec<f64>)) {
    // What Distiller was meant to return stands beside what it raises.
    let expected = |key: &str| {
        let intended = expect.get(format!("{key}_intended"));
        intended.unwrap_or(&expect[key]).clone()
    };
    let loss = expected("loss").as_f64().unwrap();
    approx::assert_relative_eq!(ours.0, loss, epsilon = 1e-7, max_relative = 2e-5);
    let gradient = file.values(&expected("grad")).1;
    let gradient: Vec<f64> = gradient.into_iter().map(f64::from).collect();
    assert_close(&ours.1, &gradient, 2e-5, "slope");
}

/// One group, or several joined by a plus: the sum over as many folds.
fn check_lasso(file: &Golden, case: &Value) {
    let (args, expect) = (&case["args"], &case["expect"]);
    let mut sum = (0.0, Vec::new());
    for group in word(args, "group_type").split('+') {
        let group = granularity(group).unwrap();
        let weight = Weight::of(file, &case["input"]["w"], group);
        let (value, gradient) = term(&weight, &lasso(group), strength(args));
        sum.0 += value;
        sum.1.resize(gradient.len(), 0.0);
        for (sum, slope) in sum.1.iter_mut().zip(gradient) {
            *sum += slope;
        }
    }
    check_term(file, expect, &sum);
}

/// Distiller takes the strength for the threshold too.
fn check_threshold(file: &Golden, case: &Value) {
    let args = &case["args"];
    let group = args.get("group_type").map_or(Granularity::Element, |word| {
        granularity(word.as_str().unwrap()).unwrap()
    });
    let weight = Weight::of(file, &case["input"]["w"], group);
    let mut threshold = strength(args);
    let criterion = match word(args, "threshold_criteria") {
        "any non-empty" => Criterion::Max,
        word => word.parse().unwrap(),
    };
    // Its means of rows and columns divide by the wrong side (surprise 4). With the threshold that this
    // amounts to, ours are the same.
    if criterion == Criterion::MeanAbs && weight.fold.shape().len() == 2 {
        threshold *= weight.fold.units() as f64 / weight.fold.members() as f64;
    }
    let keep = criterion.keep(weight.rows(), threshold);
    assert_eq!(
        mask(&weight.fold, keep),
        kept(file, &case["expect"]["mask"])
    );
}

/// A training run under a lasso of filters whose small ones are set to zero after each step. Whether the
/// last mask outlives the window is the trainer's to decide.
fn check_run(file: &Golden, case: &Value) {
    let args = &case["args"];
    let filters = Weight::of(file, &case["input"]["w"], Granularity::Filter).fold;
    let weight = |reference: &Value| filters.rows(file.tensor::<4>(reference, &device()));
    let criterion: Criterion = word(args, "threshold_criteria").parse().unwrap();
    let mut rows = weight(&case["input"]["w"]);
    let mut drop = None;
    for step in case["expect"]["trace"].as_array().unwrap() {
        let inside = step["epoch"].as_u64() < args["ending_epoch"].as_u64();
        if inside {
            let value = GroupLasso::default().value(rows.clone(), strength(args));
            let expected = step["components"][0][1].as_f64().unwrap();
            approx::assert_relative_eq!(doubles(value)[0], expected, max_relative = 1e-5);
        }
        rows = rows + weight(&step["update_added"]);
        if inside {
            let keep = criterion.keep(rows.clone(), strength(args));
            drop = Some(keep.bool_not());
        } else if args["keep_mask"] == false {
            drop = None;
        }
        if let Some(drop) = &drop {
            rows = masked(rows, drop.clone());
        }
        let expected = doubles(weight(&step["w_after"]));
        assert_close(&doubles(rows.clone()), &expected, 1e-6, "weight");
    }
}

fn masked(rows: Tensor<2>, drop: Tensor<1, Bool>) -> Tensor<2> {
    let [units, members] = rows.dims();
    rows.mask_fill(drop.reshape([units, 1]).expand([units, members]), 0.0)
}

fn check_sum_over_parameters(file: &Golden, case: &Value) {
    let regimes = case["args"]["reg_regims"].as_object().unwrap();
    let values = regimes.iter().map(|(parameter, regime)| {
        let group = granularity(regime[1].as_str().unwrap()).unwrap();
        let weight = Weight::of(file, &case["input"][parameter], group);
        term(&weight, &lasso(group), regime[0].as_f64().unwrap()).0
    });
    let loss = case["expect"]["loss"].as_f64().unwrap();
    approx::assert_relative_eq!(values.sum::<f64>(), loss, max_relative = 1e-5);
}

fn check(file: &Golden, case: &Value) {
    let (args, expect) = (&case["args"], &case["expect"]);
    match case["name"].as_str().unwrap() {
        // No criterion, no mask. An L2 criterion, and the variance of filters, are valid here.
        "threshold_none" | "grouplasso_bad_criteria" | "groupvariance_Filters" => {}
        "grouplasso_unknown_group" => assert_eq!(granularity(word(args, "group_type")), None),
        "grouplasso_accumulated" => check_sum_over_parameters(file, case),
        // A granularity that the weight does not have: the fold refuses it.
        name if name.starts_with("grouplasso_wrong_dims") => {
            let shape = file.values(&case["input"]["w"]).0;
            let group = granularity(word(args, "group_type")).unwrap();
            Fold::new(group, &shape, Layout::OutputFirst).unwrap_err();
        }
        name if name.starts_with("l1_") => {
            let weight = Weight::of(file, &case["input"]["w"], Granularity::Element);
            check_term(file, expect, &term(&weight, &L1, strength(args)));
        }
        name if name.starts_with("grouplasso_") => check_lasso(file, case),
        name if name.starts_with("groupvariance_") => {
            let group = granularity(word(args, "group_type")).unwrap();
            let weight = Weight::of(file, &case["input"]["w"], group);
            let variance = GroupVariance {
                smoothing: smoothing(group),
            };
            check_term(file, expect, &term(&weight, &variance, strength(args)));
        }
        name if name.starts_with("threshold_") => check_threshold(file, case),
        name if name.starts_with("policy_keep_") => check_run(file, case),
        name => panic!("{name}: no such case"),
    }
}

#[test]
fn golden_regularizers() {
    let file = golden::open("regularizers");
    each(file.cases(""), |case| check(&file, case));
}
