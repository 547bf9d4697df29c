//! Scores that look at gradients, against loops.

use burn::tensor::{Tensor, TensorData};
use calcine_criteria::{Evidence, Gradient, Movement, Needs, Score, SecondOrder, Snip, Taylor};
use calcine_testkit::{device, each, values};

use crate::common::floats;

fn rows(numbers: &[f32], units: usize) -> Tensor<2> {
    let shape = [units, numbers.len() / units];
    Tensor::from_data(TensorData::new(numbers.to_vec(), shape), &device())
}

/// A score and what it is of one unit's weights and gradients.
type Case = (Box<dyn Score + Send>, fn(&[(f64, f64)]) -> f64);

fn sum(unit: &[(f64, f64)], term: impl Fn(f64, f64) -> f64) -> f64 {
    unit.iter().map(|&(w, g)| term(w, g)).sum()
}

fn cases() -> Vec<Case> {
    vec![
        (Box::new(Taylor::SIGNED), |u| sum(u, |w, g| w * g)),
        (Box::new(Taylor::ABSOLUTE), |u| sum(u, |w, g| w * g).abs()),
        (Box::new(Taylor::SQUARE), |u| sum(u, |w, g| w * g).powi(2)),
        (Box::new(Gradient), |u| sum(u, |_, g| g.abs())),
        (Box::new(Snip), |u| sum(u, |w, g| (w * g).abs())),
        (Box::new(Movement), |u| -sum(u, |w, g| w * g)),
        (Box::new(SecondOrder), |u| {
            0.5 * sum(u, |w, g| w * w * g * g)
        }),
    ]
}

#[test]
fn scores_of_weights_and_gradients_agree_with_loops() {
    for (units, members) in [(6, 1), (1, 5), (9, 12)] {
        let numbers = values(2 * units * members);
        let (weight, gradient) = numbers.split_at(units * members);
        let evidence = Evidence::new(rows(weight, units)).with_gradient(rows(gradient, units));
        let pairs: Vec<(f64, f64)> = weight
            .iter()
            .zip(gradient)
            .map(|(&w, &g)| (f64::from(w), f64::from(g)))
            .collect();
        for (index, (score, oracle)) in cases().into_iter().enumerate() {
            assert_eq!(score.needs(), Needs::Gradient);
            let ours = floats(score.score(&evidence));
            for (ours, unit) in ours.iter().zip(pairs.chunks(members)) {
                approx::assert_relative_eq!(
                    f64::from(*ours),
                    oracle(unit),
                    epsilon = 1e-5,
                    max_relative = 1e-4
                );
            }
            assert_eq!(ours.len(), units, "score {index}");
        }
    }
}

#[test]
fn for_elements_snip_is_the_absolute_first_order_change() {
    let numbers = values(40);
    let evidence = Evidence::new(rows(&numbers[..20], 20)).with_gradient(rows(&numbers[20..], 20));
    assert_eq!(
        floats(Snip.score(&evidence)),
        floats(Taylor::ABSOLUTE.score(&evidence))
    );
}

#[test]
fn a_weight_that_training_shrinks_moves_little() {
    // Descent moves against the gradient: 2 with gradient 1 shrinks, −2 with gradient 1 grows.
    let cases = [(2.0, 1.0, -2.0), (-2.0, 1.0, 2.0), (2.0, -1.0, 2.0)];
    each(cases, |(weight, gradient, movement)| {
        let evidence = Evidence::new(rows(&[*weight], 1)).with_gradient(rows(&[*gradient], 1));
        assert_eq!(floats(Movement.score(&evidence)), [*movement]);
    });
}

/// A norm folded into the weight multiplies it and divides its gradient: no product changes, not by a rounding
/// error.
#[test]
fn products_of_a_transformed_weight_and_its_gradient_are_those_before() {
    let numbers = values(60);
    let (weight, rest) = numbers.split_at(20);
    let (gradient, factors) = rest.split_at(20);
    let factors: Vec<f32> = factors.iter().map(|f| f.abs() + 0.1).collect();
    let times = |a: &[f32], b: &dyn Fn(usize) -> f32| -> Vec<f32> {
        a.iter().enumerate().map(|(i, a)| a * b(i)).collect()
    };
    let plain = Evidence::new(rows(weight, 5)).with_gradient(rows(gradient, 5));
    let folded = Evidence::new(rows(&times(weight, &|i| factors[i]), 5))
        .with_gradient(rows(&times(gradient, &|i| 1.0 / factors[i]), 5))
        .with_weight_times_gradient(rows(&times(weight, &|i| gradient[i]), 5));
    let products: [Box<dyn Score + Send>; 6] = [
        Box::new(Taylor::SIGNED),
        Box::new(Taylor::ABSOLUTE),
        Box::new(Taylor::SQUARE),
        Box::new(Snip),
        Box::new(Movement),
        Box::new(SecondOrder),
    ];
    for score in products {
        assert_eq!(floats(score.score(&folded)), floats(score.score(&plain)));
    }
    assert_ne!(
        floats(Gradient.score(&folded)),
        floats(Gradient.score(&plain))
    );
}
