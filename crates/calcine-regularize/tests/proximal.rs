//! Proximal steps against minimisation by brute force, and what holds for any of them.

use calcine_regularize::{
    ElasticNet, GroupLasso, GroupVariance, L1, L2, Regularizer, Scale, Separable, SparseGroupLasso,
};
use calcine_testkit::{device, each};

use crate::cases::{Case, cases};
use crate::common::{Dice, Rows, assert_close, doubles, floats, tensor};

/// The cases that have a proximal step, for rows of this many units.
fn stepping(units: usize) -> Vec<Case> {
    let zeros = || tensor(&vec![vec![0.0]; units], &device());
    let mut cases = cases(units);
    cases.retain(|case| case.regularizer.proximal(zeros(), 1.0).is_some());
    cases
}

fn step(case: &Case, rows: &Rows, step: f64) -> Rows {
    let stepped = case.regularizer.proximal(tensor(rows, &device()), step);
    let stepped = doubles(stepped.unwrap());
    stepped.chunks(rows[0].len()).map(<[f64]>::to_vec).collect()
}

/// Minimises a convex function of a row by a grid that closes in on the best point found.
fn minimiser(start: &[f64], cost: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    const SIDE: usize = 9;
    let mut best = start.to_vec();
    let mut radius = 1.0;
    while radius > 1e-7 {
        let centre = best.clone();
        let mut least = cost(&best);
        for at in 0..SIDE.pow(start.len() as u32) {
            let offset = |member: usize| (at / SIDE.pow(member as u32) % SIDE) as f64 - 4.0;
            let point: Vec<f64> = (0..start.len())
                .map(|member| centre[member] + radius * offset(member) / 4.0)
                .collect();
            let cost = cost(&point);
            if cost < least {
                (least, best) = (cost, point);
            }
        }
        radius *= 0.7;
    }
    best
}

#[test]
fn which_regularizers_step_is_as_documented() {
    let smoothed = GroupLasso {
        scale: Scale::None,
        smoothing: 1e-8,
    };
    let rows = tensor(&vec![vec![1.0, 2.0]; 2], &device());
    let steps = |regularizer: &dyn Regularizer| regularizer.proximal(rows.clone(), 0.1).is_some();
    let lasso = GroupLasso::default();
    let share = 0.5;
    let closed: [&dyn Separable; 5] = [
        &L1,
        &L2,
        &lasso,
        &ElasticNet { share },
        &SparseGroupLasso { share, lasso },
    ];
    assert!(closed.iter().all(|regularizer| steps(regularizer)));
    assert!(!steps(&GroupVariance::default()) && !steps(&smoothed) && !steps(&(L1, L2)));
    let lasso = smoothed;
    assert!(!steps(&SparseGroupLasso { share, lasso }));
}

#[test]
fn a_proximal_step_is_the_minimiser_that_brute_force_finds() {
    for (units, members, length) in [(2, 1, 0.3), (2, 2, 0.1), (3, 2, 0.5), (2, 3, 0.2)] {
        each(stepping(units), |case| {
            let rows = Dice::new(units as u64).rows_with_zeros(units, members);
            let ours = step(case, &rows, length);
            for (unit, row) in rows.iter().enumerate() {
                // They are sums over units, so that all others may be zero.
                let cost = |point: &[f64]| {
                    let mut alone: Rows = vec![vec![0.0; members]; units];
                    alone[unit] = point.to_vec();
                    let squares: f64 = point.iter().zip(row).map(|(x, w)| (x - w).powi(2)).sum();
                    0.5 * squares + length * (case.oracle)(&alone)
                };
                let expected = minimiser(row, cost);
                assert_close(&ours[unit], &expected, 1e-5, "minimiser");
            }
        });
    }
}

/// Runs every regularizer on weights of every shape, with steps from short to all-consuming.
fn for_each_step(check: impl Fn(&Case, &mut Dice, &Rows, f64)) {
    for (units, members) in [(1, 1), (6, 1), (1, 7), (5, 12), (3, 200)] {
        each(stepping(units), |case| {
            for (round, length) in (0..).zip([1e-3, 0.03, 0.3, 1.0, 30.0]) {
                let mut dice = Dice::new(round);
                let rows = dice.rows_with_zeros(units, members);
                check(case, &mut dice, &rows, length);
            }
        });
    }
}

#[test]
fn a_step_flips_no_sign_and_lengthens_no_weight() {
    for_each_step(|case, _, rows, length| {
        let stepped = step(case, rows, length);
        for (before, after) in rows.iter().flatten().zip(stepped.iter().flatten()) {
            assert!(
                before * after >= 0.0 && after.abs() <= before.abs(),
                "{before} to {after}"
            );
        }
    });
}

#[test]
fn zeros_stay_zero() {
    for_each_step(|case, _, rows, length| {
        let stepped = step(case, rows, length);
        for (before, after) in rows.iter().flatten().zip(stepped.iter().flatten()) {
            assert!(*before != 0.0 || *after == 0.0, "{after}");
        }
    });
}

#[test]
fn steps_do_not_drive_weights_apart() {
    let distance = |a: &Rows, b: &Rows| {
        let pairs = a.iter().flatten().zip(b.iter().flatten());
        pairs.map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
    };
    for_each_step(|case, dice, rows, length| {
        let mut near = rows.clone();
        for weight in near.iter_mut().flatten() {
            *weight = f64::from((*weight + 0.1 * dice.unit()) as f32);
        }
        let after = distance(&step(case, rows, length), &step(case, &near, length));
        let before = distance(rows, &near);
        assert!(after <= before * (1.0 + 1e-5), "{before} to {after}");
    });
}

#[test]
fn a_step_of_no_length_changes_nothing() {
    for_each_step(|case, _, rows, _| {
        assert_close(
            &step(case, rows, 0.0).concat(),
            &rows.concat(),
            1e-6,
            "step",
        );
    });
}

#[test]
fn what_is_below_the_step_becomes_zero_exactly() {
    let weights = tensor(&vec![vec![0.3, -0.3, 0.2, -0.5]], &device());
    let soft = floats(L1.proximal(weights, 0.3).unwrap());
    assert_eq!(soft[..3], [0.0; 3]);
    approx::assert_relative_eq!(soft[3], -0.2, max_relative = 1e-6);

    let filters = vec![vec![0.3, 0.4], vec![3.0, 4.0], vec![0.0, 0.0]];
    let block = GroupLasso::default().proximal(tensor(&filters, &device()), 1.0);
    let block = doubles(block.unwrap());
    assert_close(&block, &[0.0, 0.0, 2.4, 3.2, 0.0, 0.0], 1e-6, "step");
    assert_eq!(block[..2], [0.0; 2]);
}

/// The reason for proximal steps: descent along the subgradient jumps about zero for ever.
#[test]
fn proximal_descent_makes_zeros_where_subgradients_make_none() {
    let target = Dice::new(9).rows(8, 4);
    let target = tensor(&target, &device());
    let lasso = GroupLasso::default();
    let (rate, strength) = (0.1, 1.2);
    let mut along = target.clone();
    let mut proximal = target.clone();
    for _ in 0..100 {
        let force = along.clone() - target.clone() + lasso.gradient(along.clone(), strength);
        along = along - force.mul_scalar(rate);
        let fit = proximal.clone() - target.clone();
        let moved = proximal - fit.mul_scalar(rate);
        proximal = lasso.proximal(moved, rate * strength).unwrap();
    }
    let zeros = |rows| floats::<2>(rows).iter().filter(|w| **w == 0.0).count();
    assert_eq!(zeros(along), 0);
    // It ends where one proximal step of the target leads, the minimiser of the whole.
    let minimiser = lasso.proximal(target, strength).unwrap();
    assert_eq!(zeros(proximal.clone()), zeros(minimiser.clone()));
    assert!(zeros(minimiser.clone()) > 0);
    assert_close(&doubles(proximal), &doubles(minimiser), 1e-3, "limit");
}
