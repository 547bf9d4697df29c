//! Norms of units against loops, and what a threshold keeps.

use calcine_regularize::Criterion;
use calcine_testkit::{device, each};

use crate::common::{Dice, assert_close, doubles, tensor};

fn kept(criterion: Criterion, rows: &[&[f64]], threshold: f64) -> Vec<bool> {
    let rows = rows.iter().map(|row| row.to_vec()).collect();
    let keep = criterion.keep(tensor(&rows, &device()), threshold);
    keep.into_data().iter::<bool>().collect()
}

#[test]
fn norms_agree_with_loops() {
    let l1 = |row: &[f64]| row.iter().map(|w| w.abs()).sum::<f64>();
    let l2 = |row: &[f64]| row.iter().map(|w| w * w).sum::<f64>().sqrt();
    let max = |row: &[f64]| row.iter().fold(0.0, |most: f64, w| most.max(w.abs()));
    for (units, members) in [(1, 1), (7, 1), (1, 9), (12, 25)] {
        let rows = Dice::new(1).rows_with_zeros(units, members);
        each(Criterion::NAMES, |name| {
            let criterion: Criterion = name.parse().unwrap();
            let norm = |row: &[f64]| match criterion {
                Criterion::MeanAbs => l1(row) / members as f64,
                Criterion::L1 => l1(row),
                Criterion::MeanL2 => l2(row) / members as f64,
                Criterion::L2 => l2(row),
                Criterion::Max => max(row),
                _ => panic!("no loop for {criterion}"),
            };
            let expected: Vec<f64> = rows.iter().map(|row| norm(row)).collect();
            let norms = criterion.norms(tensor(&rows, &device()));
            assert_close(&doubles(norms), &expected, 1e-6, name);
        });
    }
}

#[test]
fn a_unit_at_the_threshold_goes() {
    let rows: [&[f64]; 3] = [&[0.5, 0.5], &[0.5, 0.75], &[0.0, 0.0]];
    assert_eq!(kept(Criterion::MeanAbs, &rows, 0.5), [false, true, false]);
    assert_eq!(kept(Criterion::MeanAbs, &rows, 0.0), [true, true, false]);
}

#[test]
fn the_threshold_is_rounded_to_single_precision() {
    // 0.4 as `f32` is a little above 0.4.
    assert_eq!(
        kept(Criterion::Max, &[&[0.4], &[0.400_000_03]], 0.4),
        [false, true]
    );
}

#[test]
fn nan_is_dropped() {
    assert_eq!(
        kept(Criterion::L1, &[&[f64::NAN], &[1.0]], 0.5),
        [false, true]
    );
}
