//! The Rust programs of the guides as documentation tests: each compiles as it is printed.
#![cfg(doctest)]

#[doc = include_str!("../README.md")]
mod readme {}
#[doc = include_str!("../docs/your-model.md")]
mod your_model {}
#[doc = include_str!("../docs/logs.md")]
mod logs {}
#[doc = include_str!("../docs/quantization.md")]
mod quantization {}
#[doc = include_str!("../docs/sensitivity.md")]
mod sensitivity {}
#[doc = include_str!("../docs/summaries.md")]
mod summaries {}
#[doc = include_str!("../docs/thinning.md")]
mod thinning {}
#[doc = include_str!("../docs/recipes.md")]
mod recipes {}
#[doc = include_str!("../docs/devices.md")]
mod devices {}
