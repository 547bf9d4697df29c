//! Agreement with Distiller's ranking by activations, and with the criterion that it meant.

use calcine_criteria::{Apoz, Candidate, Evidence, Level, MeanActivation, Score, Select};
use calcine_testkit::each;
use calcine_testkit::golden;
use serde_json::Value;

use crate::common::{bools, elements, vector};

#[test]
fn golden_activation_ranking() {
    let file = golden::open("activation_ranked");
    let check = |case: &&Value, score: &dyn Score, scale: f32, expected: &str| {
        let statistic = file.values(&case["input"]["statistic"]).1;
        let statistic: Vec<f32> = statistic.into_iter().map(|value| value * scale).collect();
        let evidence =
            Evidence::new(elements(&vec![1.0; statistic.len()])).with_activity(vector(&statistic));
        let level = case["args"]["desired_sparsity"].as_f64().unwrap();
        let candidate = Candidate::new(score.score(&evidence));
        let keep = bools(Level::default().keep(&[candidate], level).remove(0));
        let dropped: Vec<u64> = (0..)
            .zip(keep)
            .filter(|(_, keep)| !keep)
            .map(|(unit, _)| unit)
            .collect();
        let listed = case["expect"][expected].as_array().unwrap().iter();
        let listed: Vec<u64> = listed.map(|unit| unit.as_u64().unwrap()).collect();
        assert_eq!(dropped, listed);
    };
    // In percent there.
    each(file.cases("apoz_0"), |case| {
        check(case, &Apoz, 0.01, "pruned_filters");
    });
    each(file.cases("mean_0"), |case| {
        check(
            case,
            &MeanActivation,
            1.0,
            "pruned_filters_mathematically_right",
        );
    });
}
