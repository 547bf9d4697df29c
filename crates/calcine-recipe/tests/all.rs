//! The crate's integration tests, one binary.
#![allow(
    clippy::unwrap_used,
    reason = "a test that fails shows where, and helpers of tests are tests"
)]

mod asked;
mod binding;
mod broken;
mod dependency;
mod fallen_units;
mod garbage;
mod grammar;
mod known;
mod mistakes;
mod recipes;
mod techniques;

/// The graph of a traced model.
fn graph(model: &calcine_testkit::ConvNet) -> calcine_graph::Graph {
    use burn::module::Module;
    let sample = calcine_testkit::numbers([1, 2, 6, 6]);
    let network = calcine_trace::trace(&model.valid(), sample, |net, images| net.forward(images));
    network.unwrap().graph().clone()
}
