//! Scores that compare units with each other, look at norms, or draw random scores.

use burn::tensor::{Tensor, TensorData};
use calcine_criteria::{
    Evidence, GeometricMedian, GlobalLevel, Lamp, Level, Magnitude, Needs, Noisy, Norm, NormScale,
    Random, Score, Select,
};
use calcine_testkit::{device, rounds, values};

use crate::common::{Dice, bools, candidate, dropped, elements, floats, kept, vector};

fn evidence(numbers: &[f32], units: usize) -> Evidence {
    let shape = [units, numbers.len() / units];
    Evidence::new(Tensor::from_data(
        TensorData::new(numbers.to_vec(), shape),
        &device(),
    ))
}

#[test]
fn the_geometric_median_score_is_the_sum_of_distances() {
    for (units, members) in [(1, 4), (5, 3), (16, 27)] {
        let numbers = values(units * members);
        let rows: Vec<&[f32]> = numbers.chunks(members).collect();
        let distance = |a: &[f32], b: &[f32]| {
            let squares = a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2));
            squares.sum::<f64>().sqrt()
        };
        let ours = floats(GeometricMedian.score(&evidence(&numbers, units)));
        for (ours, a) in ours.iter().zip(&rows) {
            let expected: f64 = rows.iter().map(|b| distance(a, b)).sum();
            // Of equal rows the inner products leave a rounding error under the root.
            approx::assert_relative_eq!(
                f64::from(*ours),
                expected,
                epsilon = 5e-3,
                max_relative = 2e-3
            );
        }
    }
}

#[test]
fn a_copy_is_nearer_to_the_median_than_an_outlier_of_any_norm() {
    let scores = floats(GeometricMedian.score(&evidence(&[1., 1., 1., 1.1, 1., 0.9, 0., 0.], 4)));
    let lowest = |scores: &[f32]| (0..4).min_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    assert_eq!(lowest(&scores), Some(0));
    assert!(scores[..3].iter().all(|score| *score < scores[3]));
}

#[test]
fn lamp_is_the_share_of_a_square_in_all_no_smaller() {
    // Squares 9, 1, 4, 1; of the two 1s the first ranks lower.
    let scores = floats(Lamp.score(&evidence(&[3.0, -1.0, 2.0, 1.0], 4)));
    assert_eq!(scores, [1.0, 1.0 / 15.0, 4.0 / 13.0, 1.0 / 14.0]);
    assert_eq!(floats(Lamp.score(&evidence(&[0.0, 0.0], 2))), [0.0, 0.0]);
    // Rows are scored by their squared norm.
    let rows = floats(Lamp.score(&evidence(&[1.0, 1.0, 1.0, 0.0], 2)));
    assert_eq!(rows, [1.0, 1.0 / 3.0]);
}

#[test]
fn lamp_ranks_as_magnitude_within_a_layer_and_spares_layers_of_small_weights() {
    let mut dice = Dice::new(5);
    let large: Vec<f32> = (0..60).map(|_| 10.0 * dice.unit() as f32).collect();
    let small: Vec<f32> = large.iter().map(|x| x / 1000.0).collect();
    let scores = |layer: &[f32]| floats(Lamp.score(&Evidence::new(elements(layer))));
    let order = |scores: &[f32]| {
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
        order
    };
    assert_eq!(order(&scores(&large)), order(&large));
    let layers = [candidate(&scores(&large)), candidate(&scores(&small))];
    let lost: Vec<usize> = GlobalLevel::default()
        .keep(&layers, 0.5)
        .into_iter()
        .map(|keep| dropped(&bools(keep)))
        .collect();
    assert_eq!(lost, [30, 30]);
}

#[test]
fn the_scale_of_the_norm_counts_by_magnitude() {
    assert_eq!(NormScale.needs(), Needs::NormScale);
    let evidence = evidence(&[1.0, 2.0], 2).with_norm_scale(vector(&[-0.5, 0.1]));
    assert_eq!(floats(NormScale.score(&evidence)), [0.5, 0.1]);
}

#[test]
fn random_scores_follow_the_seed_and_not_the_weights() {
    let draw = |seed, scale: f32| {
        let weight: Vec<f32> = values(50).iter().map(|x| x * scale).collect();
        floats(Random.score(&evidence(&weight, 50).with_seed(seed)))
    };
    assert_eq!(draw(3, 1.0), draw(3, 7.0));
    assert_ne!(draw(3, 1.0), draw(4, 1.0));
    assert!(draw(3, 1.0).iter().all(|x| (0.0..1.0).contains(x)));
}

#[test]
fn random_scores_for_growing_give_every_unit_the_same_chance() {
    let weight: Vec<f32> = (0..60).map(|i| f32::from(i % 2 == 0)).collect();
    let seen = || evidence(&weight, 60).with_seed(5);
    let draw = |weight: &[f32]| floats(Random.score(&evidence(weight, 60).with_seed(5)));
    assert_eq!(
        floats(Random.score(&seen().growing())),
        draw(&[1.0; 60]),
        "as of units that are all alive"
    );
    let keeping = floats(Random.score(&seen()));
    assert!(
        keeping
            .iter()
            .zip(&weight)
            .all(|(score, w)| (*score < 0.0) == (*w == 0.0))
    );
}

#[test]
fn a_score_that_draws_asks_for_a_seed() {
    let noisy = Noisy {
        score: Norm::L1,
        probability: 0.5,
    };
    let rows: [(Box<dyn Score + Send>, bool); 4] = [
        (Box::new(Random), true),
        (Box::new(noisy), true),
        (Box::new(Box::new(Random) as Box<dyn Score + Send>), true),
        (Box::new(Norm::L1), false),
    ];
    for (score, draws) in rows {
        assert_eq!(score.draws(), draws);
        let unseeded = || floats(score.score(&evidence(&[1.0; 8], 4)));
        let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(unseeded)).is_err();
        assert_eq!(refused, draws);
    }
}

#[test]
fn noise_comes_once_a_ranking_and_not_once_a_batch() {
    let numbers = values(30);
    let noisy = Noisy {
        score: Norm::L1,
        probability: 1.0,
    };
    let batch = noisy.of_batch(&evidence(&numbers, 10));
    assert_eq!(
        floats(batch.clone()),
        floats(Norm::L1.score(&evidence(&numbers, 10)))
    );
    let seen = evidence(&numbers, 10).with_seed(3);
    assert_eq!(
        floats(noisy.of_mean(batch, &seen)),
        floats(noisy.score(&seen))
    );
}

#[test]
fn random_scores_drawn_anew_bring_no_unit_back() {
    let mut weight = vec![1.0; 60];
    for firing in 1..=5_u8 {
        let scores = Random.score(&evidence(&weight, 30).with_seed(u64::from(firing)));
        let kept = kept(&Level::default(), &floats(scores), f64::from(firing) / 6.0);
        let alive = |weight: &[f32], unit: usize| weight[2 * unit] != 0.0;
        assert!(
            (0..30).all(|unit| !kept[unit] || alive(&weight, unit)),
            "{firing}"
        );
        for (unit, _) in kept.iter().enumerate().filter(|(_, kept)| !**kept) {
            weight[2 * unit..2 * unit + 2].fill(0.0);
        }
    }
}

#[test]
fn noise_comes_as_often_as_its_probability_says() {
    let numbers = values(30);
    let plain = floats(Norm::L1.score(&evidence(&numbers, 10)));
    let noisy = |probability, seed| {
        let noisy = Noisy {
            score: Norm::L1,
            probability,
        };
        floats(noisy.score(&evidence(&numbers, 10).with_seed(seed)))
    };
    let seeds = rounds(200);
    let often = |probability| {
        let disturbed = (0..seeds).filter(|seed| noisy(probability, *seed) != plain);
        disturbed.count() as f64
    };
    assert_eq!((often(0.0), often(1.0)), (0.0, seeds as f64));
    // Five deviations.
    let (mean, variance) = (0.3 * seeds as f64, 0.21 * seeds as f64);
    approx::assert_abs_diff_eq!(often(0.3), mean, epsilon = 5.0 * variance.sqrt());
    let needs = Noisy {
        score: Box::new(Magnitude) as Box<dyn Score + Send>,
        probability: 0.5,
    };
    assert_eq!(needs.needs(), Needs::Weight);
}
