//! All integration tests of the crate, as one binary.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests panic and print; clippy exempts only the test functions themselves"
)]

mod checkpoints;
mod damaged;
mod import;
mod tied;
mod torch;
mod wrappings;
mod written;
