//! All tests of the crate.
#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::float_cmp,
    clippy::print_stdout,
    reason = "tests"
)]

mod cases;
mod hostile;
mod operators;
mod quantized;
mod resnet;
mod roundtrip;
mod runtime;
mod zoo;
