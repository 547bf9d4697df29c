//! Regularizers for pruning: as loss value, as gradient without a tape, as proximal step.
//!
//! # Should I use this crate?
//!
//! Use it to push weights, or whole filters, channels and kernels, towards zero in a loop of your own,
//! on any device, without a recipe or a trainer. It knows rows (one per unit, from `calcine-fold`), not
//! layers or models, and it reads nothing from the device.
//!
//! A [`Regularizer`] is one penalty in three forms. They need not be mixed: add its **value** to the
//! loss, or its **gradient** to the weight's before the optimizer (the same, but no tape is kept), or
//! take its **proximal step** after the optimizer. Only the last makes true zeros: a subgradient step
//! jumps over them.
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use calcine_regularize::{GroupLasso, Regularizer};
//!
//! let filters = Tensor::<2>::from_data([[3.0, 4.0], [0.3, 0.4]], &Device::flex());
//! let lasso = GroupLasso::default();
//! let penalty = lasso.value(filters.clone(), 0.1);
//! assert!((penalty.into_scalar::<f32>() - 0.55).abs() < 1e-6);
//!
//! let (rate, strength) = (0.1, 10.0);
//! let shrunk = lasso.proximal(filters, rate * strength).expect("it has a closed form");
//! let zeros = shrunk.into_data().iter::<f32>().filter(|w| *w == 0.0).count();
//! assert_eq!(zeros, 2); // the second filter, whose norm was below 1
//! ```
//!
//! | regularizers | penalty | proximal step | [`Separable`] |
//! |---|---|---|---|
//! | [`L1`] | Σ\|w\| | soft threshold | yes |
//! | [`L2`] | ½·Σw² | shrinkage | yes |
//! | [`ElasticNet`] | a share of L1, the rest L2 | both | yes |
//! | [`GroupLasso`] | Σ‖w_g‖, with or without √size | block soft threshold | yes |
//! | [`SparseGroupLasso`] | a share of L1, the rest group lasso | both | yes |
//! | [`GroupVariance`] | 1 / Var‖w_g‖ | none | no |
//! | [`Selected`] | any separable one, of some units only; growing, it is GReg | its own | yes |
//! | a pair `(A, B)` | A + B | none | if both are |
//!
//! What a group is, the fold says: two folds of one weight give the sum over rows *and* columns. L1 on
//! the scale γ of a batch-norm, one element a channel, is network slimming (Liu et al., 2017); there is
//! nothing to it but [`L1`] on γ.
//!
//! Where steps are plain gradients, a [`Criterion`] says which groups are small enough to be set to
//! zero after the step.
//!
//! # Where Distiller differs
//!
//! Values, gradients and thresholds are tested against Distiller's own numbers. Ours depart from it
//! where it is wrong or arbitrary:
//!
//! * Its `Mean_*` thresholds of the rows and columns of a matrix divide by the wrong side. Here a mean
//!   divides by the number of the group's members.
//! * It smooths the norms of channels (by 1e-8), in lasso and variance, and of nothing else. Here
//!   [`GroupLasso::smoothing`] and [`GroupVariance::smoothing`] are yours to set, and 0 unless you do.
//! * Its group lasso of `Channels+4D` fails by a misspelt name. Here it is two folds, as `Rows+Cols` is.
//! * Its regularizers threshold no whole layers, and by no norm but `Mean_Abs` and `Max`; their variance
//!   is of channels only. Here each works for any rows.
//! * Its strength of a regularizer is the threshold too. Here they are two numbers.

#![cfg_attr(doctest, doc = include_str!("../README.md"))]

mod criterion;
mod norm;
pub mod regularizer;

pub use criterion::{Criterion, UnknownCriterion};
pub use regularizer::{
    ElasticNet, GroupLasso, GroupVariance, L1, L2, Regularizer, Scale, Selected, Separable,
    SparseGroupLasso,
};
