//! All integration tests of the crate, as one binary.

#![allow(
    clippy::unwrap_used,
    reason = "tests panic; clippy exempts only the test functions"
)]

mod editing;
mod gradients;
mod layers;
mod models;
mod names;
mod norms;
mod replacing;
mod views;
