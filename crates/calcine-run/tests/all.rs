//! The crate's integration tests, one binary.
#![allow(
    clippy::unwrap_used,
    reason = "a test that fails shows where, and helpers of tests are tests"
)]

mod jobs;
mod problems;
mod shared;
mod training;
