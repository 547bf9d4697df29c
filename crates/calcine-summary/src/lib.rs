//! Tables of a model: sparsity, compute and modules.
//!
//! # Should I use this crate?
//!
//! Use it to see how sparse each weight of a model is, what each layer costs, and which modules the model consists of,
//! on a console or in a file. To count the zeros of one tensor, use `calcine-sparsity`.
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
//! | [`sparsity`], [`SparsityTable`], [`SparsityRow`] | the zeros of every weight, by element and by structure |
//! | [`Weight`] | a weight that does not belong to a model, for [`SparsityTable::of_weights`] |
//! | [`compute`], [`ComputeTable`], [`ComputeRow`] | the multiply-accumulates of every layer, with and without zeros; memory |
//! | [`ComputeSettings`], [`Rows`] | the batch size, and which operations have a row |
//! | [`StoredBytes`] | the size of weights in a file, in several encodings |
//! | [`model`], [`ModelTable`], [`ModelRow`] | the tree of modules and parameters |
//! | [`modules`], [`ModulesTable`], [`ModulesRow`] | the names and types of layers and operations |
//! | [`Table`] | what all tables have in common |
//! | [`Sheet`] | a text table for console, CSV and Markdown |
//!
//! Each table has `sheet()` for text, `to_csv()`, `to_json()`, and a `Display` for a console. The sparsity table and
//! the tree of modules need only a model; compute and the names of operations need its graph, which `calcine-trace`
//! records.

mod compute;
mod error;
mod model;
mod modules;
mod sheet;
mod sparsity;
mod stored;
mod table;
mod weights;

pub use compute::{ComputeRow, ComputeSettings, ComputeTable, Rows, compute};
pub use error::ComputeError;
pub use model::{ModelRow, ModelTable, model};
pub use modules::{ModulesRow, ModulesTable, modules};
pub use sheet::Sheet;
pub use sparsity::{SparsityRow, SparsityTable, Weight, sparsity, sparsity_of};
pub use stored::StoredBytes;
pub use table::Table;
