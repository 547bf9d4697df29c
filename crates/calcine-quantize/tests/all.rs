//! All integration tests of the crate, as one binary.

#![allow(
    clippy::unwrap_used,
    clippy::float_cmp,
    reason = "tests panic, and what is exact is compared exactly"
)]

mod arithmetic;
mod computed;
mod engine;
mod errors;
mod exact;
mod fast;
mod files;
mod golden;
mod golden_model;
mod golden_ops;
mod in_memory;
mod layers;
mod models;
mod preparing;
mod qat;
mod ranges;
mod reports;
mod rows;
mod searching;
mod sensitive;
mod settings;
mod shapes;
