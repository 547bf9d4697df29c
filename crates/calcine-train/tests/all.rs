//! The crate's integration tests, one binary.
#![allow(
    clippy::unwrap_used,
    reason = "a test that fails shows where, and helpers of tests are tests"
)]

mod accumulating;
mod checkpoints;
mod collecting;
mod damaged_checkpoints;
mod devices;
mod distilling;
mod drawing;
mod early_exits;
mod evaluation;
mod golden;
mod holds;
mod logs;
mod made_up;
mod objectives;
mod order;
mod outcomes;
mod penalties;
mod ranking;
mod rates;
mod reconstructing;
mod rewinding;
mod running;
#[cfg(feature = "supervised")]
mod several_devices;
mod shared_parameters;
#[cfg(feature = "supervised")]
mod supervised;
#[cfg(feature = "tensorboard")]
mod tensorboard;
mod thinning;
mod watching;
mod zeros;
