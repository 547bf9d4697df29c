//! Writes a file atomically: whole or not at all.
//!
//! # Should I be using this crate?
//!
//! Yes, for every file that is written as a whole. No, for logs that grow: they are appended to.
//!
//! | function | does |
//! |---|---|
//! | [`write()`] | replaces a file by other contents, in one moment |
//! | [`sync_directory`] | flushes the entries of a directory to the disk |

mod atomic;

pub use atomic::{sync_directory, write};
