//! All integration tests of the crate, as one binary.

#![allow(
    clippy::unwrap_used,
    reason = "tests panic; clippy exempts only the test functions"
)]

mod errors;
mod inputs;
mod layers;
mod oracle;
mod rows;
