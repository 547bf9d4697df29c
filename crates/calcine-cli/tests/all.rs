//! The program as a user runs it: processes, their files, their exit codes.
#![allow(clippy::unwrap_used, reason = "tests")]

mod activations;
mod bench;
mod data;
mod export;
mod files;
mod models;
mod quantize;
mod recipe;
mod sensitivity;
mod support;
mod terminal;
mod thin;
mod train;
