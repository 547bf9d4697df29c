//! Patterns of dotted names, and the names that are most similar to one that does not exist.
//!
//! # Should I use this crate?
//!
//! Use it where a user names a parameter, a layer or a node of a model: every file, command and function of Calcine
//! reads such names in the same way, and suggests the same alternatives when nothing matches.
//!
//! | item | what |
//! |---|---|
//! | [`Pattern`] | a glob over dotted names, `layer1.*.conv1` |
//! | [`nearest`] | the three most similar names, for a list in a message |
//! | [`closest`] | the most similar name, if it is similar at all |
//! | [`suggest`] | the end of a message: "did you mean …", or the list of what is valid |

mod pattern;
mod similar;

pub use pattern::{Pattern, PatternError};
pub use similar::{closest, nearest, similarity, suggest};
