//! Views a weight tensor as rows of units (elements, kernels, filters, channels, blocks).
//!
//! "Folding" here means rearranging a weight into a matrix; it has nothing to do with folding a batch norm into a convolution.
//!
//! # Should I use this crate?
//!
//! Use it when you compute something per filter, per channel, per kernel or per block of a weight
//! (a norm, a share of zeros, a mask) and do not want to write the permutation for each layer type
//! again. If you only work element by element you do not need it.
//!
//! A [`Granularity`] defines what a unit is, and a [`Layout`] says which stored axis is the output and which the input. A [`Fold`]
//! of both converts a weight of any rank to a matrix with **one row per unit**, and back:
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use calcine_fold::{Fold, Granularity, Layout};
//!
//! # fn main() -> Result<(), calcine_fold::FoldError> {
//! let weight = Tensor::<4>::ones([8, 3, 5, 5], &Device::flex());
//! let filters = Fold::new(Granularity::Filter, &[8, 3, 5, 5], Layout::CONVOLUTION)?;
//!
//! let rows = filters.rows(weight); // [8, 75]
//! let l1 = rows.abs().sum_dim(1);  // one norm per filter
//! # let _ = l1;
//! # Ok(())
//! # }
//! ```
//!
//! Use [`Fold::grouped`] for convolutions with groups, such as depthwise convolutions. For N:M sparsity along the inputs, use
//! [`Granularity::Group`]: its units are single weights, numbered so that M consecutive units are M consecutive inputs.
//!
//! | type | for |
//! |---|---|
//! | [`Granularity`] | what one unit is |
//! | [`Layout`] | which stored axis is output, which is input |
//! | [`Fold`] | a granularity and a layout bound to a shape: converts weights to rows and back |
//! | [`FoldError`] | why a shape does not have a granularity |

mod error;
mod fold;
mod granularity;
mod layout;
mod shuffle;
mod spread;

pub use error::FoldError;
pub use fold::Fold;
pub use granularity::{Granularity, UnknownGranularity};
pub use layout::Layout;
