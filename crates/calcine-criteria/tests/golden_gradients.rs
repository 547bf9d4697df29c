//! Agreement with Distiller's gradient ranking, and with the criterion that it meant.

use burn::tensor::{Tensor, TensorData};
use calcine_criteria::{Candidate, Evidence, Level, Score, Select, Taylor};
use calcine_fold::{Fold, Granularity, Layout};
use calcine_testkit::golden::{self, Golden};
use calcine_testkit::{device, each};
use serde_json::Value;

use crate::common::{bools, floats};

fn rows(file: &Golden, reference: &Value) -> Tensor<2> {
    let (shape, numbers) = file.values(reference);
    let fold = Fold::new(Granularity::Filter, &shape, Layout::CONVOLUTION).unwrap();
    let count = numbers.len();
    fold.rows(Tensor::<1>::from_data(
        TensorData::new(numbers, [count]),
        &device(),
    ))
}

fn dropped(scores: Tensor<1>, level: f64) -> Vec<u64> {
    let keep = Level::default()
        .keep(&[Candidate::new(scores)], level)
        .remove(0);
    let units = (0..).zip(bools(keep));
    units
        .filter(|(_, keep)| !keep)
        .map(|(unit, _)| unit)
        .collect()
}

#[test]
fn golden_gradient_ranking() {
    let file = golden::open("activation_ranked");
    each(file.cases("gradient_0"), |case| {
        let (input, expect) = (&case["input"], &case["expect"]);
        let evidence =
            Evidence::new(rows(&file, &input["w"])).with_gradient(rows(&file, &input["grad"]));
        let level = case["args"]["desired_sparsity"].as_f64().unwrap();
        let signed = Taylor::SIGNED.score(&evidence);
        let saliency = file.values(&expect["saliency"]).1;
        for (ours, theirs) in floats(signed.clone()).iter().zip(saliency) {
            approx::assert_relative_eq!(*ours, theirs, max_relative = 2e-4, epsilon = 1e-5);
        }
        let listed = |key: &str| -> Vec<u64> {
            let units = expect[key].as_array().unwrap().iter();
            units.map(|unit| unit.as_u64().unwrap()).collect()
        };
        assert_eq!(dropped(signed, level), listed("pruned_filters"));
        let absolute = Taylor::ABSOLUTE.score(&evidence);
        let expected = listed("pruned_by_absolute_saliency");
        assert_eq!(dropped(absolute, level), expected);
        let square = Taylor::SQUARE.score(&evidence);
        assert_eq!(dropped(square, level), expected);
    });
}
