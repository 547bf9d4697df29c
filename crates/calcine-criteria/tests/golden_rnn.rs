//! Agreement with Distiller's pruner of recurrent networks: what a threshold with two slopes leaves of a weight.

use calcine_criteria::Threshold;
use calcine_testkit::{each, golden};

use crate::common::kept_elements;

/// The threshold of each epoch itself is compared where the curve is, in calcine-schedule.
#[test]
fn golden_baidu_rnn_masks() {
    let file = golden::open("baidu_rnn_pruner");
    let cases = file.having(&["/input/w", "/expect/threshold", "/expect/mask"]);
    each(cases, |case| {
        let weight = file.values(&case["input"]["w"]).1;
        let thresholds = case["expect"]["threshold"].as_array().unwrap();
        let masks = case["expect"]["mask"].as_array().unwrap();
        assert_eq!(thresholds.len(), masks.len());
        for (threshold, mask) in thresholds.iter().zip(masks) {
            let threshold = threshold.as_f64().unwrap();
            let kept = kept_elements(&Threshold, &weight, threshold);
            let mask = file.values(mask).1;
            let expected: Vec<bool> = mask.iter().map(|keep| *keep != 0.0).collect();
            assert_eq!(kept, expected, "above {threshold}");
        }
    });
}
