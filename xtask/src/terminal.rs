//! What the chores print.

use std::io::{self, Write};

/// Prints a line to stderr.
pub(crate) fn stderr(text: &str) {
    // There is nowhere to say that stderr cannot be written.
    drop(writeln!(io::stderr(), "{text}"));
}
