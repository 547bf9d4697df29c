//! All integration tests of the crate, as one binary.

#![allow(
    clippy::unwrap_used,
    reason = "tests panic; clippy exempts only the test functions"
)]

mod compute;
mod golden;
mod modules;
mod stored;
mod table;
mod text;
