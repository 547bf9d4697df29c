//! Sparsity metrics of weights, computed on the device of the weights.
//!
//! # Should I use this crate?
//!
//! Use it to count zeros: of a tensor, or of the filters, channels, kernels or blocks of a weight
//! (with `calcine-fold`, which converts weights to rows). Use `calcine-summary` for a table of a whole model.
//!
//! Counts stay on the device as tensors, so that many of them can be read at once. Only
//! [`Share::read`] reads the device.
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
//! | [`nonzero`] | the number of elements that are not zero |
//! | [`alive_units`], [`nonzero_units`] | the units with an element that is not zero, and their number |
//! | [`moments`] | standard deviation, mean, mean magnitude |
//! | [`Share`] | a count out of a total: density and sparsity |

mod moments;
mod nonzero;
mod share;

pub use moments::moments;
pub use nonzero::{alive_units, nonzero, nonzero_units};
pub use share::Share;
