//! Agreement with Distiller's dynamic network surgery.

use calcine_criteria::{Candidate, Evidence, Hysteresis, Magnitude, Score, Select};
use calcine_testkit::each;
use calcine_testkit::golden::{self, Golden};
use serde_json::Value;

use crate::common::{bools, elements, floats};

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

fn check(file: &Golden, case: &Value) {
    let (args, expect) = (&case["args"], &case["expect"]);
    let select = Hysteresis {
        low: number(&args["low_thresh_mult"]),
        high: number(&args["hi_thresh_mult"]),
    };
    let steps = case["input"]["w_at_step"].as_array().unwrap().iter();
    let epochs = args["current_epoch_of_step"].as_array().unwrap();
    let masks = expect["mask_at_step"].as_array().unwrap();
    let (mut reference, mut kept) = (None, None);
    for ((weight, epoch), expected) in steps.zip(epochs).zip(masks) {
        let weight = elements(&file.values(weight).1);
        let scores = Magnitude.score(&Evidence::new(weight.clone()));
        if reference.is_none() {
            reference = select.measure(&weight, &scores);
            let found = floats(reference.clone().unwrap());
            for (found, key) in found.iter().zip(["mean_abs_first", "std_abs_first"]) {
                approx::assert_relative_eq!(
                    f64::from(*found),
                    number(&expect[key]),
                    max_relative = 1e-5
                );
            }
        }
        let age = number(epoch) - number(&args["starting_epoch"]);
        let growth = 1.0 + age * number(&args["sensitivity_multiplier"]);
        let candidate = Candidate::new(scores)
            .with_reference(reference.clone())
            .with_kept(kept);
        let amount = number(&args["sensitivity"]) * growth;
        let keep = select.keep(&[candidate], amount).remove(0);
        let expected: Vec<bool> = file.values(expected).1.iter().map(|k| *k != 0.0).collect();
        assert_eq!(bools(keep.clone()), expected);
        kept = Some(keep);
    }
}

#[test]
fn golden_splicing_pruner() {
    let file = golden::open("splicing_pruner");
    each(file.cases(""), |case| check(&file, case));
}
