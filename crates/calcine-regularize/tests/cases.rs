//! Every regularizer beside its penalty as a loop in double precision.

use std::fmt;

use burn::tensor::{Bool, Tensor};
use calcine_regularize::{
    ElasticNet, GroupLasso, GroupVariance, L1, L2, Regularizer, Scale, Selected, Separable,
    SparseGroupLasso,
};
use calcine_testkit::device;

type Oracle = Box<dyn Fn(&[Vec<f64>]) -> f64>;

/// A regularizer and the slow, obvious computation of it.
pub(crate) struct Case {
    name: &'static str,
    pub(crate) regularizer: Box<dyn Regularizer + Send>,
    /// The penalty of these rows, without a strength.
    pub(crate) oracle: Oracle,
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// All regularizers, for rows of this many units.
pub(crate) fn cases(units: usize) -> Vec<Case> {
    vec![
        of_units("l1", L1, l1),
        of_units("l2", L2, l2),
        of_units("elastic net", ElasticNet { share: 0.7 }, |row| {
            0.7 * l1(row) + 0.3 * l2(row)
        }),
        of_units("group lasso", GroupLasso::default(), |row| norm(row, 0.0)),
        of_units("group lasso by size", BY_SIZE, scaled_norm),
        of_units("smoothed group lasso", SMOOTHED, |row| norm(row, 1e-3)),
        of_units(
            "sparse group lasso",
            SparseGroupLasso {
                share: 0.4,
                lasso: BY_SIZE,
            },
            |row| 0.4 * l1(row) + 0.6 * scaled_norm(row),
        ),
        case("group variance", GroupVariance::default(), |rows| {
            inverse_variance(rows, 0.0)
        }),
        case(
            "smoothed group variance",
            GroupVariance { smoothing: 1e-3 },
            |rows| inverse_variance(rows, 1e-3),
        ),
        selected("selected l2", L2, units, l2),
        selected(
            "selected group lasso",
            GroupLasso::default(),
            units,
            |row| norm(row, 0.0),
        ),
        selected("selected smoothed lasso", SMOOTHED, units, |row| {
            norm(row, 1e-3)
        }),
        of_units("pair", (L1, GroupLasso::default()), |row| {
            l1(row) + norm(row, 0.0)
        }),
        selected("selected pair", (L2, L1), units, |row| l1(row) + l2(row)),
    ]
}

const BY_SIZE: GroupLasso = GroupLasso {
    scale: Scale::SqrtSize,
    smoothing: 0.0,
};

const SMOOTHED: GroupLasso = GroupLasso {
    scale: Scale::None,
    smoothing: 1e-3,
};

fn case(
    name: &'static str,
    regularizer: impl Regularizer + Send + 'static,
    oracle: impl Fn(&[Vec<f64>]) -> f64 + 'static,
) -> Case {
    Case {
        name,
        regularizer: Box::new(regularizer),
        oracle: Box::new(oracle),
    }
}

/// A sum over units.
fn of_units(
    name: &'static str,
    regularizer: impl Separable + Send + 'static,
    penalty: fn(&[f64]) -> f64,
) -> Case {
    case(name, regularizer, move |rows| {
        rows.iter().map(|row| penalty(row)).sum()
    })
}

/// A sum over every other unit, the first among them.
fn selected(
    name: &'static str,
    inner: impl Separable + Send + 'static,
    units: usize,
    penalty: fn(&[f64]) -> f64,
) -> Case {
    let selection: Vec<bool> = (0..units).map(|unit| unit % 2 == 0).collect();
    let selected = Selected {
        inner,
        units: Tensor::<1, Bool>::from_bool(selection.as_slice(), &device()),
    };
    case(name, selected, move |rows| {
        rows.iter().step_by(2).map(|row| penalty(row)).sum()
    })
}

fn l1(row: &[f64]) -> f64 {
    row.iter().map(|w| w.abs()).sum()
}

fn l2(row: &[f64]) -> f64 {
    row.iter().map(|w| 0.5 * w * w).sum()
}

fn norm(row: &[f64], smoothing: f64) -> f64 {
    (row.iter().map(|w| w * w).sum::<f64>() + smoothing).sqrt()
}

fn scaled_norm(row: &[f64]) -> f64 {
    (row.len() as f64).sqrt() * norm(row, 0.0)
}

fn inverse_variance(rows: &[Vec<f64>], smoothing: f64) -> f64 {
    let norms: Vec<f64> = rows.iter().map(|row| norm(row, smoothing)).collect();
    let units = norms.len() as f64;
    let mean = norms.iter().sum::<f64>() / units;
    let squares: f64 = norms.iter().map(|norm| (norm - mean).powi(2)).sum();
    if squares == 0.0 {
        return 0.0;
    }
    (units - 1.0) / squares
}
