//! Pruning masks keyed by parameter: combine, apply, save.
//!
//! # Should I use this crate?
//!
//! Use it to keep pruned weights at zero in your own training loop. Deciding what is pruned is the task of
//! `calcine-criteria`, and scheduling that of `calcine-train`.
//!
//! A [`Masks`] belongs to the policy that computed it. If several policies mask one parameter, their masks are
//! [intersected](Masks::intersection): an element is dropped if any of them drops it.
//!
//! ```
//! use burn::nn::{Linear, LinearConfig};
//! use burn::tensor::{Device, Tensor};
//! use calcine_mask::Masks;
//! use calcine_params::Inventory;
//!
//! let layer: Linear = LinearConfig::new(2, 2).init(&Device::flex());
//! let weight = Inventory::from_module(&layer).get("weight").unwrap().clone();
//!
//! let keep = Tensor::<2>::from_data([[1.0, 0.0], [0.0, 1.0]], &Device::flex()).bool();
//! let mut masks = Masks::default();
//! masks.insert(&weight, keep);
//! let layer = masks.apply(layer); // exact zeros, and the layer can still be trained
//! assert_eq!(layer.weight.val().abs().greater_scalar(0.0).int().sum().into_scalar::<i64>(), 2);
//! ```

mod file;
mod masks;

pub use file::MaskFileError;
pub use masks::Masks;
