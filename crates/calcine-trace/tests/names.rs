use burn::module::Module;
use calcine_params::Inventory;
use calcine_testkit::device;
use calcine_trace::{Network, trace};

use crate::models::{Mixed, Residual, Shared};
use crate::numbers;

fn names(network: &Network) -> Vec<&str> {
    network
        .graph()
        .nodes
        .iter()
        .map(|node| node.name.as_str())
        .collect()
}

#[test]
fn layers_have_the_paths_of_their_parameters() {
    let model = Residual::new(&device());
    let network = trace(&model, numbers([1, 3, 6, 6]), |m, x| m.forward(x)).unwrap();
    let expected = [
        "conv1",
        "bn1",
        "bn1.relu",
        "layer1.0.conv1",
        "layer1.0.bn1",
        "layer1.0.bn1.relu",
        "layer1.0.conv2",
        "layer1.0.bn2",
        "layer1.0.bn2.add",
        "layer1.0.bn2.relu",
        "layer1.1.conv1",
        "layer1.1.bn1",
        "layer1.1.bn1.relu",
        "layer1.1.conv2",
        "layer1.1.bn2",
        "layer1.1.downsample.0",
        "layer1.1.downsample.1",
        "layer1.1.bn2.add",
        "layer1.1.bn2.relu",
        "layer1.1.bn2.mean",
        "layer1.1.bn2.mean_2",
        "layer1.1.bn2.reshape",
        "fc",
    ];
    assert_eq!(names(&network), expected);
}

#[test]
fn a_layer_used_twice_is_one_parameter_and_two_nodes() {
    let network = trace(&Shared::new(&device()), numbers([1, 4]), |m, x| {
        m.forward(x)
    })
    .unwrap();
    assert_eq!(names(&network), ["layer", "layer.relu", "layer_2"]);
    let graph = network.graph();
    assert_eq!(graph.nodes[0].inputs[1], graph.nodes[2].inputs[1]);
    assert_eq!(graph.parameters().count(), 2);
}

/// Whatever works on the model's parameters works on the network's.
#[test]
fn parameters_are_listed_as_the_model_lists_them() {
    let device = device();
    let model = Mixed::new(&device);
    let network = trace(&model, numbers([1, 2, 8, 8]), |m, x| m.forward(x)).unwrap();
    let (ours, theirs) = (Inventory::of(&network), Inventory::of(&model));
    assert!(ours.iter().eq(theirs.iter()));
    assert_eq!(network.num_params(), model.num_params());

    let model = Residual::new(&device);
    let network = trace(&model, numbers([1, 3, 6, 6]), |m, x| m.forward(x)).unwrap();
    let (ours, theirs) = (Inventory::of(&network), Inventory::of(&model));
    assert!(ours.iter().eq(theirs.iter()));
    let norm = |inventory: &Inventory, layer| {
        let norm = inventory.batch_norm(layer).unwrap();
        (norm.epsilon, norm.momentum)
    };
    for layer in [
        "bn1",
        "layer1.0.bn1",
        "layer1.1.bn2",
        "layer1.1.downsample.1",
    ] {
        assert_eq!(norm(&ours, layer), norm(&theirs, layer), "{layer}");
    }
}

/// Tied weights are one parameter, in the graph, in the network and in its file.
#[test]
fn a_parameter_held_twice_is_one() {
    #[derive(burn::module::Module, Debug)]
    struct Tied {
        first: burn::nn::Linear,
        second: burn::nn::Linear,
    }
    let first: burn::nn::Linear = burn::nn::LinearConfig::new(4, 4).init(&device());
    let model = Tied {
        second: first.clone(),
        first,
    };
    let network = trace(&model, numbers([1, 4]), |m, x| {
        m.second.forward(m.first.forward(x))
    })
    .unwrap();
    assert_eq!(network.graph().parameters().count(), 2);
    assert_eq!(Inventory::of(&network).iter().count(), 2);
    let bytes = network.to_bytes().unwrap();
    assert!(Network::from_bytes(&bytes, &device()).is_ok());
}
