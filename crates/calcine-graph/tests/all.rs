//! All integration tests of calcine-graph, in one binary.

mod draw;
mod groups;
mod interpret;
mod layers;
mod network;
mod numbers;
mod oracle;
mod published;
mod random_graph;
mod zoo;
