//! Which batch norm follows which layer.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig, ConvTranspose2d, ConvTranspose2dConfig};
use burn::nn::norm::{Normalization, NormalizationConfig};
use burn::nn::{BatchNorm, BatchNormConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::Device;
use calcine_params::Inventory;
use calcine_testkit::{ConvNet, device, each};

use crate::models::Zoo;

fn conv([inputs, outputs]: [usize; 2], device: &Device) -> Conv2d {
    Conv2dConfig::new([inputs, outputs], [1, 1]).init(device)
}

fn norm(features: usize, device: &Device) -> BatchNorm {
    BatchNormConfig::new(features).init(device)
}

/// The path of the norm's scale, and back to the weight.
fn partner<M: Module>(model: &M, weight: &str) -> Option<String> {
    let inventory = Inventory::of(model);
    let weight = inventory.get(weight).unwrap();
    let norm = inventory.norm_of(weight)?;
    let back = inventory.weight_of(norm.gamma);
    assert_eq!(back.map(|back| back.id), Some(weight.id));
    Some(norm.gamma.path.clone())
}

/// Names that say what follows what, in the ways that models have.
#[derive(Module, Debug)]
struct Named {
    conv: Conv2d,
    norm: BatchNorm,
    conv1: Conv2d,
    bn1: BatchNorm,
    depthwise_conv: Conv2d,
    depthwise_bn: BatchNorm,
    conv_2: Conv2d,
    batch_norm_2: BatchNorm,
    up_conv: ConvTranspose2d,
    up_norm: Normalization,
    downsample: Option<(Conv2d, BatchNorm)>,
    classifier: (Linear, BatchNorm, Linear),
}

#[test]
fn names_that_say_so_are_paired() {
    let device = device();
    let groups = Conv2dConfig::new([4, 4], [3, 3]).with_groups(4);
    let up = ConvTranspose2dConfig::new([4, 6], [2, 2]).with_groups(2);
    let model = Named {
        conv: conv([3, 5], &device),
        norm: norm(5, &device),
        conv1: conv([3, 4], &device),
        bn1: norm(4, &device),
        depthwise_conv: groups.init(&device),
        depthwise_bn: norm(4, &device),
        conv_2: conv([3, 4], &device),
        batch_norm_2: norm(4, &device),
        up_conv: up.init(&device),
        up_norm: NormalizationConfig::Batch(BatchNormConfig::new(6)).init(&device),
        downsample: Some((conv([3, 7], &device), norm(7, &device))),
        classifier: (
            LinearConfig::new(8, 9).init(&device),
            norm(9, &device),
            LinearConfig::new(9, 2).init(&device),
        ),
    };
    let rows = [
        ("conv.weight", Some("norm.gamma")),
        ("conv1.weight", Some("bn1.gamma")),
        ("depthwise_conv.weight", Some("depthwise_bn.gamma")),
        ("conv_2.weight", Some("batch_norm_2.gamma")),
        ("up_conv.weight", Some("up_norm.Batch.gamma")),
        ("downsample.0.weight", Some("downsample.1.gamma")),
        ("classifier.0.weight", Some("classifier.1.gamma")),
        ("classifier.2.weight", None),
    ];
    each(rows, |(weight, gamma)| {
        assert_eq!(partner(&model, weight).as_deref(), *gamma);
    });
}

#[test]
fn residual_blocks_and_the_testkits_network_are_paired() {
    let zoo = Zoo::new(&device());
    let gamma = |path: &str| partner(&zoo, path);
    assert_eq!(
        gamma("stages.1.conv2.weight").as_deref(),
        Some("stages.1.bn2.gamma")
    );
    assert_eq!(gamma("stem.weight"), None, "`bn1` may be anybody's");
    assert_eq!(gamma("fc.weight"), None);
    let net = ConvNet::new(&device());
    assert_eq!(partner(&net, "conv.weight").as_deref(), Some("norm.gamma"));
}

/// Names that mislead: each layer has a norm of the right name.
#[derive(Module, Debug)]
struct Misleading {
    // Pre-activation: the norm is of what comes into the convolution.
    bn1: BatchNorm,
    conv1: Conv2d,
    // Of another size.
    conv2: Conv2d,
    bn2: BatchNorm,
    // Of another kind.
    conv3: Conv2d,
    norm3: LayerNorm,
    // Two norms for one layer.
    conv4: Conv2d,
    bn4: BatchNorm,
    norm4: BatchNorm,
    // Two layers for one norm.
    conv: Conv2d,
    batch_conv: Conv2d,
    batch_norm: BatchNorm,
}

#[test]
fn names_that_leave_a_doubt_are_not_paired() {
    let device = device();
    let (conv, norm) = (|| conv([4, 4], &device), |n| norm(n, &device));
    let model = Misleading {
        bn1: norm(4),
        conv1: conv(),
        conv2: conv(),
        bn2: norm(3),
        conv3: conv(),
        norm3: LayerNormConfig::new(4).init(&device),
        conv4: conv(),
        bn4: norm(4),
        norm4: norm(4),
        conv: conv(),
        batch_conv: conv(),
        batch_norm: norm(4),
    };
    let inventory = Inventory::of(&model);
    let paired = inventory.weights().filter_map(|weight| {
        let norm = inventory.norm_of(weight)?;
        Some((weight.path.clone(), norm.gamma.path.clone()))
    });
    assert_eq!(paired.collect::<Vec<_>>(), []);
    let back = inventory
        .iter()
        .filter_map(|parameter| inventory.weight_of(parameter));
    assert_eq!(
        back.collect::<Vec<_>>(),
        Vec::<&calcine_params::Parameter>::new()
    );
}

#[derive(Module, Debug)]
struct Block {
    conv: Conv2d,
    bn: BatchNorm,
}

#[test]
fn a_norm_has_its_four_parameters_and_its_epsilon() {
    let device = device();
    let block = |epsilon| Block {
        conv: conv([3, 4], &device),
        bn: BatchNormConfig::new(4).with_epsilon(epsilon).init(&device),
    };
    let model = (block(1e-5), block(0.25));
    let inventory = Inventory::of(&model);
    let norm = |weight: &str| inventory.norm_of(inventory.get(weight).unwrap()).unwrap();
    let second = norm("1.conv.weight");
    let parts = [second.gamma, second.beta, second.mean, second.variance];
    assert_eq!(
        parts.map(|part| part.path.as_str()),
        [
            "1.bn.gamma",
            "1.bn.beta",
            "1.bn.running_mean",
            "1.bn.running_var"
        ]
    );
    assert_eq!(
        (norm("0.conv.weight").epsilon, second.epsilon),
        (1e-5, 0.25)
    );
}

#[test]
fn an_epsilon_that_is_not_told_is_burns_default_and_can_be_set() {
    #[derive(Module)]
    struct Silent {
        conv: Conv2d,
        bn: BatchNorm,
    }
    impl std::fmt::Debug for Silent {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Silent")
        }
    }
    let device = device();
    let model = Silent {
        conv: Conv2dConfig::new([4, 4], [1, 1])
            .with_groups(2)
            .init(&device),
        bn: BatchNormConfig::new(4).with_epsilon(0.5).init(&device),
    };
    let inventory = Inventory::of(&model);
    let weight = inventory.get("conv.weight").unwrap();
    let mut norm = inventory.norm_of(weight).unwrap();
    assert_eq!(norm.epsilon, 1e-5);
    norm.epsilon = 0.5;
    assert_eq!(norm.epsilon, 0.5);
    // The same silence about groups.
    assert_eq!((weight.groups, weight.inputs()), (1, Some(2)));
    let told = weight.clone().with_groups(2);
    assert_eq!((told.groups, told.inputs()), (2, Some(4)));
}
