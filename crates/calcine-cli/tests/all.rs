//! The program as a user runs it: processes, their files, their exit codes.
#![allow(clippy::unwrap_used, reason = "tests")]

mod activations;
mod files;
mod quantize;
mod sensitivity;
mod support;
mod terminal;
mod thin;
mod train;
