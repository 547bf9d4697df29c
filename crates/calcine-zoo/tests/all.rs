//! All integration tests of the crate, as one binary.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests panic and print; clippy exempts only the test functions themselves"
)]

mod compute;
mod counts;
mod folding;
mod import;
mod initial;
mod mismatch;
mod quantized;
mod saving;
mod thinning;
mod tracing;
