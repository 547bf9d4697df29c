//! The crate's integration tests, one binary.
#![allow(
    clippy::unwrap_used,
    reason = "a test that fails shows where, and helpers of tests are tests"
)]

mod asked;
mod binding;
mod broken;
mod dependency;
mod fallen_units;
mod garbage;
mod grammar;
mod known;
mod mistakes;
mod recipes;
mod techniques;
