//! What a model is, as tables.
//!
//! # Should I use this crate?
//!
//! Use it to see how sparse each weight of a model is, what each layer costs, and what the model consists of, on
//! a console or in a file. To count the zeros of one tensor use `calcine-sparsity`.
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
//! | [`compute`], [`ComputeTable`], [`ComputeRow`] | what every layer computes, with and without zeros; memory |
//! | [`ComputeSettings`], [`Rows`] | for how large a batch, and of which operations |
//! | [`StoredBytes`] | what weights take in a file, encoded |
//! | [`model`], [`ModelTable`], [`ModelRow`] | the tree of modules and parameters |
//! | [`modules`], [`ModulesTable`], [`ModulesRow`] | names and types of layers and operations |
//! | [`Sheet`] | a table of text: console, CSV, Markdown |
//!
//! Each table has `sheet()` for text, `to_csv()`, `to_json()`, and a `Display` for a console. A model alone is
//! enough for sparsity and the tree; compute and names of operations need its graph, which `calcine-trace` makes.

mod compute;
mod error;
mod model;
mod modules;
mod sheet;
mod sparsity;
mod stored;
mod weights;

pub use compute::{ComputeRow, ComputeSettings, ComputeTable, Rows, compute};
pub use error::ComputeError;
pub use model::{ModelRow, ModelTable, model};
pub use modules::{ModulesRow, ModulesTable, modules};
pub use sheet::Sheet;
pub use sparsity::{SparsityRow, SparsityTable, Weight, sparsity};
pub use stored::StoredBytes;
