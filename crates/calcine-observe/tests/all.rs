//! All integration tests of the crate, as one binary.

#![allow(
    clippy::unwrap_used,
    reason = "tests panic; clippy exempts only the test functions"
)]

mod activity;
mod observing;
mod observing_golden;
mod refit;
mod sampling;
