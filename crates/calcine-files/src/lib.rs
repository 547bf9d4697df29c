//! Writes a file atomically: whole or not at all.
//!
//! # Should I be using this crate?
//!
//! Yes, for every file that is written as a whole. No, for logs that grow: they are appended to.
//!
//! | function | does |
//! |---|---|
//! | [`write()`] | replaces a file by other contents, in one moment |
//! | [`remove_partial`] | removes what a killed process left of its writes |
//! | [`sync_directory`] | flushes the entries of a directory to the disk |

mod atomic;

pub use atomic::{remove_partial, sync_directory, write};
