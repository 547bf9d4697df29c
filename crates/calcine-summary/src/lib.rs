//! What a model is, as tables.
//!
//! # Should I use this crate?
//!
//! Use it to see how sparse each weight of a model is, by element and by structure, on a console or in
//! a file. To count the zeros of one tensor use `calcine-sparsity`.
//!
//! ```
//! use burn::nn::{Linear, LinearConfig};
//! use burn::tensor::Device;
//!
//! let layer: Linear = LinearConfig::new(4, 2).init(&Device::flex());
//! let table = calcine_summary::sparsity(&layer);
//! assert_eq!(table.total().total, 8);
//! println!("{table}");
//! ```
//!
//! | item | what |
//! |---|---|
//! | [`sparsity`], [`SparsityTable`], [`SparsityRow`] | zeros of every weight, by element and structure |
//! | [`Weight`] | a weight that is in no model, for [`SparsityTable::of_weights`] |
//! | [`Sheet`] | a table of text: console, CSV, Markdown |

mod sheet;
mod sparsity;

pub use sheet::Sheet;
pub use sparsity::{SparsityRow, SparsityTable, Weight, sparsity};
