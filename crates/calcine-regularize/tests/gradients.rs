//! Values against loops; gradients against autodiff of the value and against differences of the loops.

use burn::tensor::{DType, FloatDType};
use calcine_regularize::{GroupLasso, GroupVariance, L1, Regularizer};
use calcine_testkit::{device, each};

use crate::cases::{Case, cases};
use crate::common::{Dice, Rows, assert_close, doubles, floats, tensor};

const SHAPES: [(usize, usize); 6] = [(1, 1), (5, 1), (1, 7), (2, 3), (6, 12), (4, 300)];

/// Runs every regularizer on weights of every shape.
fn for_each_case(check: impl Fn(&Case, &mut Dice, usize, usize)) {
    for (units, members) in SHAPES {
        each(cases(units), |case| {
            for round in 0..5 {
                check(case, &mut Dice::new(round), units, members);
            }
        });
    }
}

fn autodiff(regularizer: &dyn Regularizer, rows: &Rows, strength: f64) -> Vec<f64> {
    let leaf = tensor(rows, &device().autodiff()).require_grad();
    let gradients = regularizer.value(leaf.clone(), strength).backward();
    doubles(leaf.grad(&gradients).unwrap())
}

fn differences(case: &Case, rows: &Rows, strength: f64) -> Vec<f64> {
    const STEP: f64 = 1e-6;
    let penalty_at = |unit: usize, member: usize, step: f64| {
        let mut rows = rows.clone();
        rows[unit][member] += step;
        (case.oracle)(&rows)
    };
    let slope = |(unit, member)| {
        strength * (penalty_at(unit, member, STEP) - penalty_at(unit, member, -STEP)) / (2.0 * STEP)
    };
    let members = rows[0].len();
    (0..rows.len() * members)
        .map(|at| slope((at / members, at % members)))
        .collect()
}

#[test]
fn values_agree_with_loops() {
    for_each_case(|case, dice, units, members| {
        let rows = dice.rows_with_zeros(units, members);
        let ours = case.regularizer.value(tensor(&rows, &device()), 0.3);
        assert_eq!(ours.dims(), [1]);
        let expected = 0.3 * (case.oracle)(&rows);
        assert_close(&doubles(ours), &[expected], 1e-4, "value");
    });
}

#[test]
fn away_from_kinks_the_gradient_is_the_slope_of_the_loops() {
    for_each_case(|case, dice, units, members| {
        let rows = dice.rows(units, members);
        let ours = case.regularizer.gradient(tensor(&rows, &device()), 0.3);
        assert_eq!(ours.dims(), [units, members]);
        let expected = differences(case, &rows, 0.3);
        assert_close(&doubles(ours), &expected, 2e-4, "slope");
    });
}

#[test]
fn the_gradient_is_autodiff_of_the_value_at_kinks_too() {
    for_each_case(|case, dice, units, members| {
        let rows = dice.rows_with_zeros(units, members);
        let ours = case.regularizer.gradient(tensor(&rows, &device()), 0.3);
        let expected = autodiff(&case.regularizer, &rows, 0.3);
        assert!(expected.iter().all(|slope| slope.is_finite()));
        assert_close(&doubles(ours), &expected, 2e-4, "slope");
    });
}

#[test]
fn zeros_feel_no_force() {
    for_each_case(|case, dice, units, members| {
        let rows = dice.rows_with_zeros(units, members);
        let forces = floats(case.regularizer.gradient(tensor(&rows, &device()), 0.3));
        for (weight, force) in rows.iter().flatten().zip(forces) {
            assert!(*weight != 0.0 || force == 0.0, "{force} at zero");
        }
    });
}

#[test]
fn a_weight_of_zeros_costs_nothing_and_feels_nothing() {
    let zeros: Rows = vec![vec![0.0; 3]; 4];
    each(cases(4), |case| {
        let value = doubles(case.regularizer.value(tensor(&zeros, &device()), 2.0));
        assert_close(&value, &[2.0 * (case.oracle)(&zeros)], 1e-5, "value");
        let gradient = case.regularizer.gradient(tensor(&zeros, &device()), 2.0);
        assert_eq!(floats(gradient), [0.0; 12]);
        assert_eq!(autodiff(&case.regularizer, &zeros, 2.0), [0.0; 12]);
    });
}

#[test]
fn the_strength_is_a_factor_and_zero_is_none() {
    for_each_case(|case, dice, units, members| {
        let rows = tensor(&dice.rows(units, members), &device());
        let value = |strength| doubles(case.regularizer.value(rows.clone(), strength));
        let gradient = |strength| doubles(case.regularizer.gradient(rows.clone(), strength));
        let twice = |numbers: Vec<f64>| numbers.iter().map(|x| 2.0 * x).collect::<Vec<_>>();
        assert_close(&value(2.0), &twice(value(1.0)), 1e-6, "value");
        assert_close(&gradient(2.0), &twice(gradient(1.0)), 1e-6, "slope");
        assert!(value(0.0).iter().chain(&gradient(0.0)).all(|x| *x == 0.0));
    });
}

#[test]
fn a_gradient_is_on_no_tape() {
    let leaf = tensor(&vec![vec![1.0, -2.0]; 3], &device().autodiff()).require_grad();
    each(cases(3), |case| {
        let gradient = case.regularizer.gradient(leaf.clone(), 1.0);
        assert!(!gradient.is_tracked() && !gradient.device().is_autodiff());
        if let Some(stepped) = case.regularizer.proximal(leaf.clone(), 1.0) {
            assert!(!stepped.is_tracked() && !stepped.device().is_autodiff());
        }
    });
}

#[test]
fn half_precision_stays_what_it_is() {
    if !device().supports_dtype(DType::F16) {
        return;
    }
    let rows = Dice::new(5).rows_with_zeros(4, 6);
    let half = tensor(&rows, &device()).cast(FloatDType::F16);
    each(cases(4), |case| {
        let gradient = case.regularizer.gradient(half.clone(), 0.3);
        assert_eq!(gradient.dtype(), DType::F16);
        let expected = autodiff(&case.regularizer, &rows, 0.3);
        assert_close(&doubles(gradient), &expected, 2e-2, "slope");
        if let Some(stepped) = case.regularizer.proximal(half.clone(), 0.3) {
            assert_eq!(stepped.dtype(), DType::F16);
        }
    });
}

#[test]
fn groups_of_one_make_the_lasso_an_l1() {
    let rows = tensor(&Dice::new(3).rows_with_zeros(40, 1), &device());
    let lasso = GroupLasso::default();
    assert_close(
        &doubles(lasso.gradient(rows.clone(), 0.3)),
        &doubles(L1.gradient(rows.clone(), 0.3)),
        1e-6,
        "slope",
    );
    assert_close(
        &doubles(lasso.proximal(rows.clone(), 0.3).unwrap()),
        &doubles(L1.proximal(rows, 0.3).unwrap()),
        1e-6,
        "step",
    );
}

#[test]
fn units_of_equal_norm_have_no_variance_and_no_gradient() {
    let rows = tensor(&vec![vec![3.0, 4.0]; 4], &device());
    assert_eq!(
        floats(GroupVariance::default().value(rows.clone(), 1.0)),
        [0.0]
    );
    assert_eq!(
        floats(GroupVariance::default().gradient(rows, 1.0)),
        [0.0; 8]
    );
}

#[test]
fn a_step_along_the_group_variance_spreads_the_norms() {
    let rows = tensor(&vec![vec![1.0, 0.0], vec![0.0, 2.0]], &device());
    let force = GroupVariance::default().gradient(rows, 1.0);
    // The small unit is pushed down, the large one up: gradients are subtracted.
    let force = floats(force);
    assert!(force[0] > 0.0 && force[3] < 0.0, "{force:?}");
}
