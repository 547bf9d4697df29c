//! All integration tests of the crate, as one binary.

#![allow(
    clippy::unwrap_used,
    reason = "tests panic; clippy exempts only the test functions"
)]

mod common;
mod golden_groups;
mod golden_pruners;
mod norms;
mod promises;
mod properties;
mod table;
