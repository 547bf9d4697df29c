//! Regularizers for pruning, in three forms: loss value, gradient without autodiff, and proximal step.
//!
//! # Should I use this crate?
//!
//! Use it to push weights, or whole filters, channels and kernels, towards zero in your own training loop, on any device, without
//! a recipe or a trainer. It works with rows (one per unit, from `calcine-fold`), not with layers or models, and does not read from
//! the device.
//!
//! A [`Regularizer`] is a penalty in three forms, of which you use one: add its **value** to the loss; or add its **gradient** to
//! that of the weight before the optimizer step (which is equivalent, but needs no autodiff); or take its **proximal step** after the
//! optimizer step. Only the proximal step produces exact zeros: a subgradient step jumps across zero.
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
//! | [`Selected`] | a separable regularizer on some units only; with a growing strength it is GReg | that of the regularizer | yes |
//! | a pair `(A, B)` | A + B | none | if both are |
//!
//! The groups are the rows: apply a regularizer to two unit views of a weight to penalize rows *and* columns. For network slimming
//! (Liu et al., 2017), apply [`L1`] to the scale γ of a batch norm.
//!
//! If you use gradients instead of proximal steps, a [`Criterion`] decides which groups are small enough to be set to zero after the
//! step.
//!
//! # Where Distiller differs
//!
//! Values, gradients and thresholds are tested against those of Distiller. They differ where Distiller is wrong or arbitrary:
//!
//! * Its `Mean_*` thresholds of the rows and columns of a matrix divide by the wrong side. Here a mean
//!   divides by the number of the group's members.
//! * It smooths the norms of channels (by 1e-8), in lasso and variance, and of nothing else. Here
//!   [`GroupLasso::smoothing`] and [`GroupVariance::smoothing`] are settings with the default 0.
//! * Its group lasso of `Channels+4D` fails because of a misspelt name. Here it is two unit views, like `Rows+Cols`.
//! * Its regularizers cannot threshold whole layers, support only the norms `Mean_Abs` and `Max`, and compute the variance of channels
//!   only. Here everything works for any rows.
//! * It uses the strength of a regularizer as the threshold, too. Here these are two numbers.

#![cfg_attr(doctest, doc = include_str!("../README.md"))]

mod criterion;
mod norm;
pub mod regularizer;

pub use criterion::{Criterion, UnknownCriterion};
pub use regularizer::{
    ElasticNet, GroupLasso, GroupVariance, L1, L2, Regularizer, Scale, Selected, Separable,
    SparseGroupLasso,
};
