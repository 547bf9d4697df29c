//! Which activation belongs to which weight.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::tensor::activation::{gelu, relu, silu};
use burn::tensor::{Device, Tensor};
use calcine_observe::{
    AtAddition, Norms, ObserveError, Places, Zeros, activations_of, inputs_of, observe,
    observe_filters, observe_inputs,
};
use calcine_testkit::device;
use calcine_trace::{Network, trace};

use calcine_testkit::networks::{Mixed, Residual, Shared};
use calcine_testkit::numbers;

fn residual() -> Network {
    let model = Residual::new(&device());
    trace(&model, numbers([1, 3, 6, 6]), |m, x| m.forward(x)).unwrap()
}

fn found(network: &Network, weight: &str, at_addition: AtAddition) -> Result<Vec<String>, String> {
    let nodes =
        activations_of(network.graph(), weight, at_addition).map_err(|error| error.to_string())?;
    Ok(nodes.into_iter().map(|node| node.name.clone()).collect())
}

fn one(name: &str) -> Result<Vec<String>, String> {
    Ok(vec![name.to_owned()])
}

#[test]
fn filters_are_followed_through_the_batch_norm_to_the_relu() {
    let network = residual();
    assert_eq!(
        found(&network, "conv1.weight", AtAddition::Stop),
        one("bn1.relu")
    );
    let inner = found(&network, "layer1.1.conv1.weight", AtAddition::Stop);
    assert_eq!(inner, one("layer1.1.bn1.relu"));
}

#[test]
fn a_sum_ends_the_search_unless_it_may_pass() {
    let network = residual();
    let error = found(&network, "layer1.0.conv2.weight", AtAddition::Stop).unwrap_err();
    let expected = "the filters of `layer1.0.conv2.weight` have no activation function of their own: \
                    `layer1.0.bn2.add` comes first";
    assert_eq!(error, expected);
    for weight in ["layer1.1.conv2.weight", "layer1.1.downsample.0.weight"] {
        let passed = found(&network, weight, AtAddition::Continue);
        assert_eq!(passed, one("layer1.1.bn2.relu"), "{weight}");
    }
}

#[test]
fn the_networks_output_has_no_activation_function() {
    let error = found(&residual(), "fc.weight", AtAddition::Continue).unwrap_err();
    assert!(
        error.ends_with("the output of the network comes first"),
        "{error}"
    );
}

#[test]
fn an_unknown_weight_is_an_error_with_the_nearest_names() {
    let network = residual();
    let error = found(&network, "conv1.wieght", AtAddition::Stop).unwrap_err();
    assert!(error.contains("nearest: conv1.weight"), "{error}");
    let error = inputs_of(network.graph(), "bn1.gamma").unwrap_err();
    assert!(matches!(error, ObserveError::NoWeight { .. }));
}

/// Pools before the activation function, several operations in one function, and a gate.
#[derive(Module, Debug)]
struct Turns {
    pooled: Conv2d,
    norm: BatchNorm,
    gated: Conv2d,
    smooth: Conv2d,
    plain: Conv2d,
    pool: MaxPool2d,
    fc: Linear,
}

impl Turns {
    fn new(device: &Device) -> Self {
        let conv = |from, to| Conv2dConfig::new([from, to], [1, 1]).init(device);
        Self {
            pooled: conv(2, 3),
            norm: BatchNormConfig::new(3).init(device),
            gated: conv(3, 4),
            smooth: conv(4, 5),
            plain: conv(5, 6),
            pool: MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
            fc: LinearConfig::new(6, 2).init(device),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let x = self.pool.forward(self.pooled.forward(x)) * 0.5;
        let x = silu(self.gated.forward(relu(self.norm.forward(x))));
        let x = self.plain.forward(gelu(self.smooth.forward(x)));
        let y = x.clone() + relu(x);
        let y: Tensor<2> = y.mean_dim(2).mean_dim(3).flatten(1, 3);
        relu(self.fc.forward(y))
    }
}

#[test]
fn pools_and_scales_are_passed_and_functions_of_several_operations_are_taken_whole() {
    let model = Turns::new(&device());
    let network = trace(&model, numbers([1, 2, 4, 4]), |m, x| m.forward(x)).unwrap();
    assert_eq!(
        found(&network, "pooled.weight", AtAddition::Stop),
        one("norm.relu")
    );
    assert_eq!(
        found(&network, "gated.weight", AtAddition::Stop),
        one("gated.mul")
    );
    assert_eq!(
        found(&network, "smooth.weight", AtAddition::Stop),
        one("smooth.gelu")
    );
    // `x + relu(x)` is a function of x, element by element.
    assert_eq!(
        found(&network, "plain.weight", AtAddition::Stop),
        one("plain.add")
    );
    assert_eq!(
        found(&network, "fc.weight", AtAddition::Stop),
        one("fc.relu")
    );
}

#[test]
fn statistics_are_keyed_by_weights_and_equal_those_of_the_nodes() {
    let network = residual();
    let batches = || [numbers([2, 3, 6, 6]), numbers([3, 3, 6, 6])];
    let weights = ["layer1.1.conv1.weight", "conv1.weight"];
    let filters = observe_filters(&network, batches(), &weights, AtAddition::Stop, &Zeros).unwrap();
    let nodes = observe(&network, batches(), &Places::matching(["**.relu"]), &Zeros).unwrap();
    assert_eq!(filters.get(weights[0]), nodes.get("layer1.1.bn1.relu"));
    assert_eq!(filters.get(weights[1]), nodes.get("bn1.relu"));
    assert_eq!(filters.get(weights[0]).unwrap().zeros.len(), 6);
}

#[test]
fn a_layer_is_fed_what_comes_before_it_and_the_first_one_the_networks_input() {
    let network = residual();
    let batches = || [numbers([2, 3, 6, 6]), numbers([3, 3, 6, 6])];
    let weights = ["conv1.weight", "layer1.0.conv1.weight", "fc.weight"];
    let inputs = observe_inputs(&network, batches(), &weights, &Norms).unwrap();
    let first = &inputs.get("conv1.weight").unwrap().total_l2;
    let expected = batches().map(|x| {
        let sums = x.square().sum_dim(0).sum_dim(2).sum_dim(3);
        sums.reshape([3])
    });
    let expected: Tensor<1> = expected.into_iter().reduce(|a, b| a + b).unwrap().sqrt();
    for (found, expected) in first.iter().zip(expected.into_data().iter::<f64>()) {
        assert!((found - expected).abs() < 1e-4 * expected);
    }
    let nodes = observe(&network, batches(), &Places::matching(["bn1.relu"]), &Norms).unwrap();
    assert_eq!(inputs.get(weights[1]), nodes.get("bn1.relu"));
    assert_eq!(inputs.get("fc.weight").unwrap().l1.len(), 6);
}

#[test]
fn a_weight_used_twice_has_the_statistics_of_both_uses() {
    let model = Shared::new(&device());
    let network = trace(&model, numbers([1, 4]), |m, x| m.forward(x)).unwrap();
    let x = numbers([3, 4]);
    let hidden = relu(model.layer.forward(x.clone()));
    let observed = observe_inputs(&network, [x.clone()], &["layer.weight"], &Norms).unwrap();
    let both = x.square().sum_dim(0) + hidden.square().sum_dim(0);
    let found = &observed.get("layer.weight").unwrap().total_l2;
    for (found, expected) in found.iter().zip(both.sqrt().into_data().iter::<f64>()) {
        assert!(
            (found - expected).abs() < 1e-4 * expected.max(1e-3),
            "{found}, {expected}"
        );
    }
}

#[test]
fn grouped_and_transposed_convolutions_have_inputs_of_all_groups() {
    let model = Mixed::new(&device());
    let network = trace(&model, numbers([1, 2, 8, 8]), |m, x| m.forward(x)).unwrap();
    let weights = ["grouped.weight", "depthwise.weight", "up.weight"];
    let observed = observe_inputs(&network, [numbers([2, 2, 8, 8])], &weights, &Norms).unwrap();
    let channels: Vec<_> = observed.iter().map(|node| node.value.l1.len()).collect();
    assert_eq!(channels, [8, 8, 6]);
}
