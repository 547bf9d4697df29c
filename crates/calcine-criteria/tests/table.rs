//! One table of cases for every selection.

use calcine_criteria::{
    AtLeast, Candidate, GlobalLevel, Level, Reference, Select, Sensitivity, Threshold,
};
use calcine_testkit::each;

use crate::common::{bools, candidate, kept, kept_elements, vector};

fn selection(name: &str) -> Box<dyn Select + Send> {
    match name {
        "threshold" => Box::new(Threshold),
        "level" => Box::new(Level::default()),
        "global_level" => Box::new(GlobalLevel::default()),
        _ => panic!("{name}: no such selection"),
    }
}

#[test]
fn scores_and_an_amount_give_a_decision() {
    const INF: f32 = f32::INFINITY;
    // Decisions are written as digits: 1 keeps.
    let rows: [(&str, &[f32], f64, &str); 31] = [
        ("threshold", &[0.1, 0.5, 0.3], 0.3, "010"),
        ("threshold", &[0.4, 0.400_000_03], 0.4, "01"),
        ("threshold", &[0.0, 1e-30], 0.0, "01"),
        ("threshold", &[1.0, 2.0], 3.0, "00"),
        ("threshold", &[0.0, 2.0], -1.0, "11"),
        ("threshold", &[f32::NAN, INF, 2.0], 1.0, "011"),
        ("level", &[3.0, 1.0, 2.0], 0.34, "101"),
        ("level", &[3.0, 1.0, 2.0], 0.33, "111"),
        ("level", &[3.0, 1.0, 2.0], 0.0, "111"),
        ("level", &[3.0, 1.0, 2.0], 1.0, "000"),
        ("level", &[3.0, 1.0, 2.0], 7.0, "000"),
        ("level", &[3.0, 1.0, 2.0], -1.0, "111"),
        ("level", &[3.0, 1.0, 2.0], f64::NAN, "111"),
        ("level", &[5.0], 0.99, "1"),
        ("level", &[5.0], 1.0, "0"),
        ("level", &[1.0, 1.0, 1.0, 1.0], 0.5, "0011"),
        ("level", &[1.0, 0.0, 1.0, 1.0], 0.5, "0011"),
        ("level", &[2.0, 1.0, 1.0, 1.0, 0.0], 0.6, "10010"),
        ("level", &[0.0, -0.0, 1e-40, 1.0], 0.5, "0011"),
        ("level", &[-0.0, 0.0, 1.0, 1.0], 0.25, "0111"),
        ("level", &[-1.0, -2.0, 3.0, 0.0], 0.5, "0011"),
        ("level", &[-1.0, -2.0, 3.0, 0.0], 0.25, "1011"),
        ("level", &[f32::NAN, 1.0, 2.0, 3.0], 0.75, "1000"),
        ("level", &[f32::NAN, INF, 2.0, INF], 0.5, "0101"),
        ("level", &[f32::MIN_POSITIVE, 0.0], 0.5, "10"),
        ("level", &[1.0, 1.000_000_1, 1.000_000_2], 0.67, "001"),
        ("level", &[-INF, f32::MIN, 0.0, f32::MAX, INF], 0.8, "00001"),
        ("global_level", &[3.0, 1.0, 2.0], 0.34, "101"),
        ("global_level", &[1.0, 1.0, 1.0], 0.34, "011"),
        ("global_level", &[1.0, 2.0], 0.0, "11"),
        ("global_level", &[1.0, 2.0], 1.0, "00"),
    ];
    each(rows, |(select, scores, amount, expected)| {
        let kept = kept(&selection(select), scores, *amount);
        let digits: String = kept
            .iter()
            .map(|keep| if *keep { '1' } else { '0' })
            .collect();
        assert_eq!(digits, *expected);
    });
}

#[test]
fn layers_compete_under_a_global_level_and_not_under_a_level() {
    let layers = [
        candidate(&[0.1, 0.2, 0.3]),
        candidate(&[1.0, 2.0]),
        candidate(&[0.2]),
    ];
    let keep = |select: &dyn Select, amount| -> Vec<Vec<bool>> {
        select
            .keep(&layers, amount)
            .into_iter()
            .map(bools)
            .collect()
    };
    let (t, f) = (true, false);
    let emptying = GlobalLevel {
        at_least: AtLeast::Units(0),
    };
    // Of the tied 0.2s the first layer's goes first.
    assert_eq!(keep(&emptying, 0.34), [vec![f, f, t], vec![t, t], vec![t]]);
    assert_eq!(keep(&emptying, 0.5), [vec![f, f, t], vec![t, t], vec![f]]);
    assert_eq!(keep(&emptying, 0.7), [vec![f, f, f], vec![t, t], vec![f]]);
    // Unless told otherwise the last unit of a layer stays, and others fall in its place.
    let kind = GlobalLevel::default();
    assert_eq!(keep(&kind, 0.5), [vec![f, f, t], vec![f, t], vec![t]]);
    assert_eq!(keep(&kind, 0.99), [vec![f, f, t], vec![f, t], vec![t]]);
    assert_eq!(keep(&kind, 1.0), [vec![f, f, f], vec![f, f], vec![f]]);
    assert_eq!(
        keep(&Level::default(), 0.5),
        [vec![f, t, t], vec![f, t], vec![t]]
    );
}

#[test]
fn sensitivity_multiplies_the_unbiased_deviation_of_the_signed_weights() {
    // Deviation √(10/3) = 1.8257 about the mean 1.
    let weight = [-1.0, 0.0, 2.0, 3.0];
    assert_eq!(
        kept_elements(&Sensitivity::FROZEN, &weight, 0.5),
        [true, false, true, true]
    );
    assert_eq!(
        kept_elements(&Sensitivity::FROZEN, &weight, 1.0),
        [false, false, true, true]
    );
    assert_eq!(
        kept_elements(&Sensitivity::FROZEN, &weight, 1.1),
        [false, false, false, true]
    );
    assert_eq!(
        kept_elements(&Sensitivity::FROZEN, &weight, 2.0),
        [false; 4]
    );
    assert_eq!(
        kept_elements(&Sensitivity::FROZEN, &[-2.0], 1.0),
        [true],
        "one element has no deviation"
    );
}

#[test]
fn a_frozen_deviation_drops_survivors_that_shrink() {
    let weight = crate::common::elements(&[-1.0, 0.0, 2.0, 3.0]);
    let reference = Sensitivity::FROZEN.measure(&weight, &vector(&[1.0, 0.0, 2.0, 3.0]));
    let later = candidate(&[0.1, 0.0, 0.2, 1.9]).with_reference(reference);
    assert_eq!(
        bools(Sensitivity::FROZEN.keep(&[later], 1.0).remove(0)),
        [false, false, false, true]
    );
}

#[test]
fn selections_without_a_measure_have_no_reference() {
    let weight = crate::common::elements(&[1.0, 2.0]);
    let scores = vector(&[1.0, 2.0]);
    for select in ["threshold", "level", "global_level"] {
        assert_eq!(selection(select).reference(), Reference::None);
        assert!(selection(select).measure(&weight, &scores).is_none());
    }
}

#[test]
fn what_was_kept_before_is_there_for_selections_that_ask() {
    let candidate = Candidate::new(vector(&[1.0])).with_kept(Some(vector(&[1.0]).bool()));
    assert_eq!(bools(candidate.kept.unwrap()), [true]);
}
