//! Sparsity metrics of weights, on the device they live on.
//!
//! # Should I use this crate?
//!
//! Use it to count zeros: of a tensor, or of the filters, channels, kernels or blocks of a weight
//! (with `calcine-fold`, which makes the rows). Use `calcine-summary` for the table of a whole model.
//!
//! Every count stays on the device as a tensor, so many of them can be read at once; only
//! [`Share::read`] reads.
//!
//! ```text
//! density(w)    = #{x : |x| > 0} / numel        a NaN counts as zero, as does -0.0
//! sparsity(w)   = 1 - density(w)
//! unit sparsity = 1 - #{units with some |x| > 0} / #units
//! ```
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use calcine_sparsity::{Share, nonzero, nonzero_units};
//!
//! let rows = Tensor::<2>::from_data([[1.0, 0.0], [0.0, 0.0], [0.0, -2.0]], &Device::flex());
//! let elements = Share::read(nonzero(rows.clone()), 6);
//! let units = Share::read(nonzero_units(rows), 3);
//! assert_eq!((elements.nonzero, units.nonzero), (2, 2));
//! assert_eq!(elements.sparsity(), 1.0 - 2.0 / 6.0);
//! ```
//!
//! | item | what |
//! |---|---|
//! | [`nonzero`] | how many elements are not zero |
//! | [`alive_units`], [`nonzero_units`] | which units are not all zero, and how many |
//! | [`moments`] | standard deviation, mean, mean magnitude |
//! | [`Share`] | a count out of a total: density and sparsity |

mod moments;
mod nonzero;
mod share;

pub use moments::moments;
pub use nonzero::{alive_units, nonzero, nonzero_units};
pub use share::Share;
