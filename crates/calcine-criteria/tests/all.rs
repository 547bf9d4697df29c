//! All integration tests of the crate, as one binary.

#![allow(
    clippy::unwrap_used,
    reason = "tests panic; clippy exempts only the test functions"
)]

mod activities;
mod common;
mod golden_activities;
mod golden_gradients;
mod golden_groups;
mod golden_pruners;
mod golden_ranked;
mod golden_rnn;
mod golden_splicing;
mod gradients;
mod norms;
mod promises;
mod properties;
mod selections;
mod structure;
mod table;
