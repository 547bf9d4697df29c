//! All integration tests of calcine-graph, in one binary.

mod definitions;
mod draw;
mod groups;
mod interpret;
mod layers;
mod memory;
mod motifs;
mod network;
mod numbers;
mod odd;
mod oracle;
mod plans;
mod published;
mod random_graph;
mod settings;
mod zoo;
