//! Charts as a caller sees them.
#![allow(clippy::unwrap_used, reason = "tests")]

mod drawing;
mod refusing;
