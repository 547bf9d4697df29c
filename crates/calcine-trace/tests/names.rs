use burn::module::{Module, Param};
use burn::nn::conv::{
    Conv1dConfig, Conv2dConfig, Conv3dConfig, ConvTranspose1dConfig, ConvTranspose2dConfig,
    ConvTranspose3dConfig,
};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use calcine_params::{Groups, Inventory};
use calcine_testkit::device;
use calcine_trace::{Network, trace};

use crate::{difference, numbers};
use calcine_testkit::networks::{Mixed, Residual, Shared};

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

/// Whatever works on the model's parameters works on the network's, which knows the groups too.
#[test]
fn parameters_are_listed_as_the_model_lists_them() {
    let device = device();
    let model = Mixed::new(&device);
    let network = trace(&model, numbers([1, 2, 8, 8]), |m, x| m.forward(x)).unwrap();
    let (ours, mut theirs) = (
        Inventory::from_module(&network),
        Inventory::from_module(&model),
    );
    let groups = |inventory: &Inventory, path: &str| inventory.get(path).unwrap().groups;
    let rows = [
        ("stem.weight", 1),
        ("depthwise.weight", 8),
        ("grouped.weight", 2),
        ("up.weight", 1),
        ("head.weight", 1),
    ];
    for (path, expected) in rows {
        assert_eq!(groups(&ours, path), Groups::Known(expected), "{path}");
    }
    assert_eq!(groups(&theirs, "grouped.weight"), Groups::Unknown);
    for (weight, groups) in network.graph().convolution_groups() {
        theirs.tell_groups(weight, groups);
    }
    assert!(ours.iter().eq(theirs.iter()));
    assert_eq!(network.num_params(), model.num_params());

    let model = Residual::new(&device);
    let network = trace(&model, numbers([1, 3, 6, 6]), |m, x| m.forward(x)).unwrap();
    let (ours, mut theirs) = (
        Inventory::from_module(&network),
        Inventory::from_module(&model),
    );
    for (weight, groups) in network.graph().convolution_groups() {
        theirs.tell_groups(weight, groups);
    }
    assert!(ours.iter().eq(theirs.iter()));
}

/// The groups and the epsilon come from the recorded operation.
#[test]
fn convolutions_of_a_network_know_their_outputs_inputs_and_groups() {
    fn check<M: Module, const D: usize>(
        layer: &M,
        sample: [usize; D],
        expected: [usize; 3],
        forward: fn(&M, Tensor<D>) -> Tensor<D>,
    ) {
        let network = trace(layer, numbers(sample), forward).unwrap();
        for network in [network.clone(), network.valid(), network.train()] {
            // Wherever the network is held.
            let inventory = Inventory::from_module(&vec![Some(network)]);
            let weight = inventory.get("0.weight").unwrap();
            let sides = [weight.outputs(), weight.inputs(), weight.groups.get()];
            assert_eq!(sides, expected.map(Some), "{weight:?}");
        }
    }
    let device = device();
    let one = |config: Conv1dConfig, expected| {
        check(&config.init(&device), [1, 6, 9], expected, |m, x| {
            m.forward(x)
        });
    };
    one(Conv1dConfig::new(6, 4, 3), [4, 6, 1]);
    one(Conv1dConfig::new(6, 4, 3).with_groups(2), [4, 6, 2]);
    let two = |config: Conv2dConfig, expected| {
        let sample = [1, 6, 5, 5];
        check(&config.init(&device), sample, expected, |m, x| m.forward(x));
    };
    two(Conv2dConfig::new([6, 4], [3, 1]), [4, 6, 1]);
    two(Conv2dConfig::new([6, 4], [3, 1]).with_groups(2), [4, 6, 2]);
    two(
        Conv2dConfig::new([6, 12], [3, 3]).with_groups(6),
        [12, 6, 6],
    );
    let three = |config: Conv3dConfig, expected| {
        let sample = [1, 6, 4, 4, 4];
        check(&config.init(&device), sample, expected, |m, x| m.forward(x));
    };
    three(Conv3dConfig::new([6, 4], [3, 2, 1]), [4, 6, 1]);
    three(
        Conv3dConfig::new([6, 4], [3, 2, 1]).with_groups(2),
        [4, 6, 2],
    );
    let up = ConvTranspose1dConfig::new([6, 4], 3);
    let sample = [1, 6, 5];
    check(&up.init(&device), sample, [4, 6, 1], |m, x| m.forward(x));
    let up = up.with_groups(2);
    check(&up.init(&device), sample, [4, 6, 2], |m, x| m.forward(x));
    let up = ConvTranspose2dConfig::new([6, 4], [3, 3]).with_groups(2);
    check(&up.init(&device), [1, 6, 5, 5], [4, 6, 2], |m, x| {
        m.forward(x)
    });
    let up = ConvTranspose3dConfig::new([6, 4], [3, 3, 1]).with_groups(2);
    check(&up.init(&device), [1, 6, 3, 3, 3], [4, 6, 2], |m, x| {
        m.forward(x)
    });
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
    assert_eq!(Inventory::from_module(&network).iter().count(), 2);
    let bytes = network.to_bytes().unwrap();
    assert!(Network::from_bytes(&bytes, &device()).is_ok());
}

/// Fields that are called as a network calls its inputs, operations and constants.
#[derive(Module, Debug)]
struct Adversarial {
    input: Linear,
    input_0: Linear,
    relu: Linear,
    add: Linear,
    conv1: Linear,
    conv1_2: Linear,
    constant: Vec<Param<Tensor<1>>>,
    steps: Param<Tensor<1>>,
}

impl Adversarial {
    fn new() -> Self {
        let layer = || LinearConfig::new(3, 3).init(&device());
        let vector =
            |first: f32| Param::from_tensor(Tensor::from_floats([first, 1.0, 2.0], &device()));
        Self {
            input: layer(),
            input_0: layer(),
            relu: layer(),
            add: layer(),
            conv1: layer(),
            conv1_2: layer(),
            constant: (0..30_u8).map(|i| vector(f32::from(i))).collect(),
            steps: vector(0.5),
        }
    }

    fn forward(&self, a: Tensor<2>, b: Tensor<2>) -> Tensor<2> {
        let device = a.device();
        let a = relu(a) + relu(b) * Tensor::<2>::from_floats([[3.0, 4.0, 5.0]], &device);
        let x = self.relu.forward(
            self.add
                .forward(self.input_0.forward(self.input.forward(a))),
        );
        let x = self.conv1.forward(relu(self.conv1.forward(x)));
        let x = self.conv1_2.forward(x) * self.steps.val().unsqueeze();
        let x = x + Tensor::<2>::from_floats([[100.0, 200.0, 300.0]], &device);
        let more = self.constant.iter().map(|vector| vector.val().unsqueeze());
        more.fold(x, |x, row| x + row)
    }
}

#[test]
fn fields_keep_their_names_and_nothing_else_has_them() {
    let model = Adversarial::new();
    let sample = (numbers([1, 3]), numbers([1, 3]));
    let network = trace(&model, sample, |m: &Adversarial, (a, b)| m.forward(a, b)).unwrap();
    let graph = network.graph();
    let of_layer = |name: &str| {
        let node = graph.node(name).unwrap();
        graph.value(node.inputs[1]).name.clone()
    };
    for layer in ["input", "input_0", "relu", "add", "conv1", "conv1_2"] {
        assert_eq!(of_layer(layer), format!("{layer}.weight"));
    }
    assert_eq!(of_layer("conv1_3"), "conv1.weight");
    let inputs: Vec<&str> = graph
        .inputs
        .iter()
        .map(|id| &*graph.value(*id).name)
        .collect();
    assert_eq!(inputs, ["input_0_2", "input_1"]);
    let unique: std::collections::HashSet<&str> =
        graph.values.iter().map(|value| &*value.name).collect();
    assert_eq!(unique.len(), graph.values.len());
    graph.check().unwrap();
}

#[test]
fn a_file_tells_constants_from_parameters_of_their_name() {
    let model = Adversarial::new();
    let sample = (numbers([1, 3]), numbers([1, 3]));
    let network = trace(&model, sample, |m: &Adversarial, (a, b)| m.forward(a, b)).unwrap();
    let again = Network::from_bytes(&network.to_bytes().unwrap(), &device()).unwrap();
    assert_eq!(again.graph(), network.graph());
    let x = (numbers([4, 3]), numbers([4, 3]));
    let (a, b): (Tensor<2>, Tensor<2>) = (network.forward(x.clone()), again.forward(x.clone()));
    assert_eq!(difference(&a, &b), 0.0);
    assert!(difference(&a, &model.forward(x.0, x.1)) < 1e-3);
}

#[test]
fn the_only_input_is_called_input_unless_a_field_is() {
    let layer: Linear = LinearConfig::new(3, 3).init(&device());
    let input_of = |network: &Network| {
        network
            .graph()
            .value(network.graph().inputs[0])
            .name
            .clone()
    };
    let plain = trace(&layer, numbers([1, 3]), |m, x| m.forward(x)).unwrap();
    assert_eq!(input_of(&plain), "input");
    let model = Adversarial::new();
    let named = trace(&model, numbers([1, 3]), |m, x| m.input.forward(x)).unwrap();
    assert_eq!(input_of(&named), "input_2");
    assert_eq!(names(&named), ["input"]);
}
