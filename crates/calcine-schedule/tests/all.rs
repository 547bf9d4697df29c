//! All integration tests of calcine-schedule, in one binary.

mod golden;
mod promises;
mod properties;
mod published;
#[cfg(feature = "serde")]
mod text;
