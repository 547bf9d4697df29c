//! All integration tests of calcine-graph, in one binary.

mod groups;
mod network;
mod published;
mod zoo;
