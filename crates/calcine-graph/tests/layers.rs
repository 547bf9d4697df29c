//! Nearest layers up and down a network.

use calcine_graph::Node;

use crate::motifs;
use crate::zoo;

fn names(nodes: &[&Node]) -> Vec<String> {
    nodes.iter().map(|node| node.name.clone()).collect()
}

#[test]
fn the_search_stops_at_the_first_layer_of_each_way() {
    let graph = zoo::resnet(3);
    assert_eq!(
        names(&graph.layers_after("bn1.relu")),
        [
            "layer1.0.conv1",
            "layer1.1.conv1",
            "layer1.2.conv1",
            "layer2.0.conv1",
            "layer2.0.downsample.0"
        ]
    );
    assert_eq!(
        names(&graph.layers_after("layer1.0.conv1")),
        ["layer1.0.conv2"]
    );
    assert_eq!(
        names(&graph.layers_before("layer1.1.conv1")),
        ["conv1", "layer1.0.conv2"]
    );
    assert!(graph.layers_before("conv1").is_empty());
    assert!(graph.layers_after("fc").is_empty());
    assert!(graph.layers_after("no such node").is_empty());
}

#[test]
fn a_product_with_a_parameter_is_a_layer() {
    let graph = motifs::encoder(5, 12, 3, false);
    assert_eq!(
        names(&graph.layers_before("project")),
        ["query", "key", "value"]
    );
    let graph = motifs::bilinear();
    assert_eq!(graph.layers_after("input.matmul").len(), 1);
}
