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
mod engines;
mod forms;
mod hostile;
mod maker;
mod metadata;
mod nets;
mod operators;
mod quantized;
mod random;
mod recipes;
mod resnet;
mod roundtrip;
mod runtime;
mod zoo;
