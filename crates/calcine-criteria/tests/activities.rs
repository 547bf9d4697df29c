//! Scores of what units give and of what they are fed.

use burn::tensor::Tensor;
use calcine_criteria::{
    Activity, Apoz, Candidate, Evidence, MeanActivation, NOfM, Needs, Score, Select, Wanda,
};
use calcine_fold::{Fold, Granularity, Layout};
use calcine_testkit::{device, values};

use crate::common::{bools, elements, floats, vector};

#[test]
fn activity_scores_say_which_statistic_they_need() {
    assert_eq!(Apoz.needs(), Needs::Activity(Activity::ZeroShare));
    assert_eq!(MeanActivation.needs(), Needs::Activity(Activity::Mean));
    assert_eq!(Wanda.needs(), Needs::InputNorm);
}

#[test]
fn what_is_zero_more_often_scores_lower_and_what_is_stronger_higher() {
    let evidence =
        Evidence::new(elements(&[1.0, 1.0, 1.0])).with_activity(vector(&[0.25, 1.0, 0.5]));
    assert_eq!(floats(Apoz.score(&evidence)), [0.75, 0.0, 0.5]);
    assert_eq!(floats(MeanActivation.score(&evidence)), [0.25, 1.0, 0.5]);
}

/// The rows of a weight as stored, flat.
fn rows(fold: &Fold, flat: &[f32]) -> Tensor<2> {
    fold.rows(vector(flat))
}

#[test]
fn wanda_drops_the_smallest_products_of_each_output_of_a_linear_layer() {
    let (inputs, outputs) = (6, 4);
    let weight = values(inputs * outputs);
    let norms: Vec<f32> = (0..inputs)
        .map(|input| 1.0 + 3.0 * (input % 3) as f32)
        .collect();
    let granularity = Granularity::Group { of: inputs };
    let fold = Fold::new(granularity, &[inputs, outputs], Layout::LINEAR).unwrap();
    let evidence =
        Evidence::new(rows(&fold, &weight)).with_input_norm(fold.spread_inputs(vector(&norms)));
    let scores = Wanda.score(&evidence);
    let keep = NOfM { of: inputs }
        .keep(&[Candidate::new(scores)], 0.5)
        .remove(0);
    let keep: Tensor<2, burn::tensor::Bool> = fold.spread(keep);
    let keep: Vec<bool> = keep.into_data().iter::<bool>().collect();
    for output in 0..outputs {
        let product = |input: usize| weight[input * outputs + output].abs() * norms[input];
        let mut order: Vec<usize> = (0..inputs).collect();
        order.sort_by(|&a, &b| product(a).total_cmp(&product(b)));
        for (rank, input) in order.into_iter().enumerate() {
            assert_eq!(keep[input * outputs + output], rank >= inputs / 2);
        }
    }
}

#[test]
fn wanda_of_filters_is_the_sum_over_the_inputs_of_their_group() {
    // Four filters in two groups, of two inputs each, 1 × 2 kernels.
    let shape = [4, 2, 1, 2];
    let weight = values(16);
    let norms = [1.0, 10.0, 100.0, 1000.0];
    let fold = Fold::grouped(Granularity::Filter, &shape, Layout::CONVOLUTION, 2).unwrap();
    let evidence =
        Evidence::new(rows(&fold, &weight)).with_input_norm(fold.spread_inputs(vector(&norms)));
    let scores = floats(Wanda.score(&evidence));
    for (filter, score) in scores.into_iter().enumerate() {
        let product = |at: usize| {
            let norm = norms[filter / 2 * 2 + at / 2];
            weight[filter * 4 + at].abs() * norm
        };
        let expected: f32 = (0..4).map(product).sum();
        approx::assert_relative_eq!(score, expected, max_relative = 1e-5);
    }
}

/// What is dropped gives the constant of its norm, which may be as active as can be.
#[test]
fn what_was_dropped_scores_lowest() {
    let evidence =
        Evidence::new(elements(&[1.0, 0.0, 1.0])).with_activity(vector(&[1.0, 0.0, -3.0]));
    assert_eq!(floats(Apoz.score(&evidence)), [0.0, -1.0, 4.0]);
    assert_eq!(
        floats(MeanActivation.score(&evidence)),
        [1.0, f32::MIN, -3.0]
    );
}

#[test]
fn a_level_over_scores_of_activity_drops_the_most_silent_units() {
    let weight = Tensor::<2>::ones([4, 3], &device());
    let evidence = Evidence::new(weight).with_activity(vector(&[0.9, 0.1, 0.95, 0.3]));
    let candidate = Candidate::new(Apoz.score(&evidence));
    let keep = calcine_criteria::Level::default()
        .keep(&[candidate], 0.5)
        .remove(0);
    assert_eq!(bools(keep), [false, true, false, true]);
}
