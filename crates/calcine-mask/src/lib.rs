//! Pruning masks keyed by parameter: combine, apply, save.
//!
//! # Should I use this crate?
//!
//! Use it to hold a model's weights at zero in a training loop of your own. It decides nothing
//! (`calcine-criteria` does) and knows no schedule (`calcine-train` does).
//!
//! A [`Masks`] belongs to the policy that made it; where several policies mask one parameter, their
//! masks are [intersected](Masks::intersection): what any of them drops is dropped.
//!
//! ```
//! use burn::nn::{Linear, LinearConfig};
//! use burn::tensor::{Device, Tensor};
//! use calcine_mask::Masks;
//! use calcine_params::Inventory;
//!
//! let layer: Linear = LinearConfig::new(2, 2).init(&Device::flex());
//! let weight = Inventory::of(&layer).get("weight").unwrap().clone();
//!
//! let keep = Tensor::<2>::from_data([[1.0, 0.0], [0.0, 1.0]], &Device::flex()).bool();
//! let mut masks = Masks::default();
//! masks.insert(&weight, keep);
//! let layer = masks.apply(layer); // true zeros, and the layer trains on
//! assert_eq!(layer.weight.val().abs().greater_scalar(0.0).int().sum().into_scalar::<i64>(), 2);
//! ```

mod file;
mod masks;

pub use file::MaskFileError;
pub use masks::Masks;
