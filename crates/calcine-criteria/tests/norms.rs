//! Norms against loops, and the published ones.

use burn::tensor::{Tensor, TensorData};
use calcine_criteria::{Evidence, Magnitude, Norm, Score, Select, Threshold};
use calcine_fold::{Fold, Granularity, Layout};
use calcine_testkit::{device, each, values};

use crate::common::{bools, candidate, floats};

fn rows(numbers: &[f32], units: usize) -> Evidence {
    let shape = [units, numbers.len() / units];
    Evidence::new(Tensor::from_data(
        TensorData::new(numbers.to_vec(), shape),
        &device(),
    ))
}

fn assert_close(ours: &[f32], expected: impl IntoIterator<Item = f64>) {
    let expected: Vec<f64> = expected.into_iter().collect();
    assert_eq!(ours.len(), expected.len());
    for (ours, expected) in ours.iter().zip(expected) {
        approx::assert_relative_eq!(
            f64::from(*ours),
            expected,
            epsilon = 1e-7,
            max_relative = 1e-5
        );
    }
}

#[test]
fn norms_agree_with_loops() {
    for (units, members) in [(1, 1), (7, 1), (1, 9), (12, 25)] {
        let numbers = values(units * members);
        let of_units = |norm: &dyn Fn(&[f32]) -> f64| -> Vec<f64> {
            numbers.chunks(members).map(norm).collect()
        };
        let l1 = of_units(&|unit| unit.iter().map(|x| f64::from(x.abs())).sum());
        let l2 = of_units(&|unit| {
            unit.iter()
                .map(|&x| f64::from(x).powi(2))
                .sum::<f64>()
                .sqrt()
        });
        let max = of_units(&|unit| unit.iter().map(|x| f64::from(x.abs())).fold(0.0, f64::max));
        let n = members as f64;
        let mean = |norms: &[f64]| norms.iter().map(|norm| norm / n).collect::<Vec<_>>();
        let score = |score: &dyn Score| floats(score.score(&rows(&numbers, units)));
        assert_close(&score(&Norm::L1), l1.clone());
        assert_close(&score(&Norm::L2), l2.clone());
        assert_close(&score(&Norm::MAX), max.clone());
        assert_close(&score(&Norm::L1.length_normalised()), mean(&l1));
        assert_close(&score(&Norm::L2.length_normalised()), mean(&l2));
        assert_close(&score(&Norm::MAX.length_normalised()), mean(&max));
        assert_close(&score(&Magnitude), mean(&l1));
    }
}

#[test]
fn the_magnitude_of_an_element_is_exact() {
    let numbers = [-0.1, 0.0, -0.0, 3e-38, -1e38];
    let magnitudes = floats(Magnitude.score(&rows(&numbers, 5)));
    assert_eq!(magnitudes, numbers.map(f32::abs));
}

/// `reference/distiller.md` §11, test 4.
#[test]
fn published_groups_are_kept() {
    #[rustfmt::skip]
    let tensor = [
        -1.2982, 0.7574, 0.7962, -0.6695, 1.5907, 0.2659, 0.1423, 0.3165, -0.7629,
        -0.5480, -1.2718, 0.8286, -0.6427, 0.3814, -0.7988, 1.0346, 1.3023, -0.9674,
        -0.7951, 1.8784, -0.5654, 0.0456, -0.2849, -0.3332, -0.2367, 0.7467, 0.9212,
        1.3672, 0.2993, -0.0619, 1.8156, 0.7599, 0.1815, 0.4136, 1.8316, 1.7214,
        0.5125, -1.5329, 0.9257, 0.9200, 0.4376, 0.5743, -0.0097, 0.9473, -0.0899,
        0.2372, 2.4369, -0.3410, -1.0595, 0.8056, -0.0357, -1.0105, -0.1451, -0.4194,
    ];
    let matrix: Vec<f32> = (1..=12).map(|i| i as f32).collect();
    let mean_l1 = Norm::L1.length_normalised();
    type Case<'a> = (&'a [f32], &'a [usize], Granularity, Norm, f64, &'a [u8]);
    let cases: [Case<'_>; 6] = [
        (
            &tensor,
            &[2, 3, 3, 3],
            Granularity::Kernel,
            Norm::L1,
            6.0,
            &[1, 1, 0, 1, 0, 1],
        ),
        (
            &tensor,
            &[2, 3, 3, 3],
            Granularity::Filter,
            Norm::L2,
            4.7,
            &[0, 1],
        ),
        (
            &tensor,
            &[2, 3, 3, 3],
            Granularity::Channel,
            Norm::L2,
            3.7,
            &[1, 0, 1],
        ),
        (
            &tensor,
            &[2, 3, 3, 3],
            Granularity::Channel,
            mean_l1,
            0.7,
            &[1, 1, 0],
        ),
        (
            &matrix,
            &[4, 3],
            Granularity::FcOutput,
            Norm::MAX,
            7.0,
            &[0, 0, 1, 1],
        ),
        (
            &matrix,
            &[4, 3],
            Granularity::FcInput,
            Norm::MAX,
            11.0,
            &[0, 0, 1],
        ),
    ];
    each(
        cases,
        |(numbers, shape, granularity, norm, threshold, expected)| {
            let fold = Fold::new(*granularity, shape, Layout::OutputFirst).unwrap();
            let scores = norm.score(&Evidence::new(fold.rows(rows(numbers, 1).rows())));
            let keep = Threshold
                .keep(&[candidate(&floats(scores))], *threshold)
                .remove(0);
            assert_eq!(
                bools(keep)
                    .iter()
                    .map(|keep| u8::from(*keep))
                    .collect::<Vec<_>>(),
                *expected
            );
        },
    );
}

/// Whole numbers, so that sums are exact in any order; enough of them to be joined part by part.
#[test]
fn a_weight_in_place_has_the_norms_of_its_rows() {
    let [before, units, after] = [700, 50, 9];
    let numbers: Vec<f32> = (0..before * units * after)
        .map(|i| (i * 7919 % 31) as f32 - 15.0)
        .collect();
    let stored = Tensor::<1>::from_floats(numbers.as_slice(), &device());
    let in_place = Evidence::in_place(stored.reshape([before, units, after]));
    let rows = Evidence::new(in_place.rows());
    assert_eq!(
        (in_place.units(), in_place.members()),
        (units, before * after)
    );
    each([Norm::L1, Norm::L2, Norm::MAX], |norm| {
        assert_eq!(floats(norm.score(&in_place)), floats(norm.score(&rows)));
        let oracle = |unit: usize| {
            let of_unit = numbers.chunks(after).skip(unit).step_by(units).flatten();
            of_unit.fold(0.0, |sum: f32, w| sum + w.abs())
        };
        if *norm == Norm::L1 {
            let oracle: Vec<f32> = (0..units).map(oracle).collect();
            assert_eq!(floats(norm.score(&in_place)), oracle);
        }
    });
}
