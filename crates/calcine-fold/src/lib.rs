//! A weight tensor as rows of units.
//!
//! # Should I use this crate?
//!
//! Use it when you compute something per filter, per channel, per kernel or per block of a weight
//! (a norm, a share of zeros, a mask) and do not want to write the permutation for each layer type
//! again. If you only work element by element you do not need it.
//!
//! A [`Granularity`] names what a unit is, a [`Layout`] says which stored axis is the output and which
//! the input, and a [`Fold`] of both turns a weight of any rank into a matrix with **one row per
//! unit** and back:
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
//! Convolutions with groups, depthwise ones among them, have their own [`Fold::grouped`]. Pruning N of M
//! weights along the inputs uses [`Granularity::Group`], whose rows of one scalar each are numbered so that M
//! consecutive ones are M consecutive inputs.
//!
//! | type | for |
//! |---|---|
//! | [`Granularity`] | what one unit is |
//! | [`Layout`] | which stored axis is output, which is input |
//! | [`Fold`] | a granularity and a layout bound to a shape: there and back |
//! | [`FoldError`] | a granularity that a shape does not have |

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
