//! All integration tests of the crate, as one binary.

#![allow(
    clippy::unwrap_used,
    reason = "tests panic; clippy exempts only the test functions"
)]

mod cases;
mod common;
mod golden_regularizers;
mod golden_thresholds;
mod gradients;
mod promises;
mod proximal;
mod structures;
mod thresholds;
