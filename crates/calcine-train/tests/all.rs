//! The crate's integration tests, one binary.
#![allow(
    clippy::unwrap_used,
    reason = "a test that fails shows where, and helpers of tests are tests"
)]

mod checkpoints;
mod devices;
mod evaluation;
mod golden;
mod made_up;
mod order;
mod rates;
mod running;
#[cfg(feature = "supervised")]
mod supervised;
mod zeros;
