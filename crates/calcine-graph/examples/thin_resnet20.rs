//! Prints the compute table and the channel groups of ResNet-20, before and after half of each group is removed.
//!
//! ```text
//! cargo run -p calcine-graph --example thin_resnet20 [resnet20.svg]
//! ```
#![allow(
    clippy::print_stdout,
    reason = "the tables are what the example is for"
)]

use calcine_graph::{Axes, Drawing, Graph, ThinningPlan, UnitId, weakest};

#[path = "../tests/network.rs"]
#[allow(dead_code, reason = "the tests' networks need more of it")]
mod network;
#[path = "../tests/zoo.rs"]
#[allow(dead_code, reason = "the tests have more networks")]
mod zoo;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let graph = zoo::resnet(3);
    table(&graph)?;
    let axes = graph.axes()?;
    println!("\ngroups");
    for group in axes.groups() {
        let (path, axis) = group.name();
        let (units, members) = (group.units.len(), group.members.len());
        println!("{units:>4} units of {path} axis {axis}, cut from {members} axes");
    }
    if let Some(reason) = axes.pinned("fc.weight", 1) {
        println!("fc.weight axis 1 stays: {reason}");
    }

    let plan = half(&axes)?;
    let thinned = plan.apply(&graph)?;
    println!("\nhalf of each group, {} cuts", plan.cuts().len());
    table(&thinned)?;
    if let Some(path) = std::env::args().nth(1) {
        std::fs::write(path, Drawing::default().svg(&thinned)?)?;
    }
    Ok(())
}

/// Removes half of each group. Real scores are computed from weights; here, later units have smaller scores.
fn half(axes: &Axes) -> Result<ThinningPlan, calcine_graph::PlanError> {
    let units = axes
        .groups()
        .iter()
        .enumerate()
        .flat_map(|(group, content)| {
            let count = content.units.len();
            let scores: Vec<f64> = (0..count).map(|unit| 1.0 / (1 + unit) as f64).collect();
            let gone = weakest(&scores, count / 2, 8);
            gone.into_iter().map(move |unit| UnitId { group, unit })
        });
    ThinningPlan::removing(axes, units)
}

fn table(graph: &Graph) -> Result<(), calcine_graph::GraphError> {
    let compute = graph.compute()?;
    println!(
        "{:<22} {:<44} {:>14} {:>8} {:>10}",
        "layer", "type", "output", "weights", "MACs"
    );
    for row in compute.layers() {
        let kind = format!("{} {}", row.kind, row.attributes);
        let output = format!("{:?}", row.output);
        println!(
            "{:<22} {kind:<44} {output:>14} {:>8} {:>10}",
            row.name, row.weights, row.macs
        );
    }
    let (weights, macs) = (compute.weights, compute.macs);
    println!(
        "{:<22} {:<44} {:>14} {weights:>8} {macs:>10}",
        "total", "", ""
    );
    println!(
        "activations {}, at most {} at once",
        compute.activations, compute.peak
    );
    Ok(())
}
