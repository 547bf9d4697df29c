//! Which batch norm follows which layer.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig, ConvTranspose2d, ConvTranspose2dConfig};
use burn::nn::norm::{Normalization, NormalizationConfig};
use burn::nn::{BatchNorm, BatchNormConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::{Device, Distribution, Tensor};
use calcine_fold::{Fold, Granularity};
use calcine_params::{Groups, Inventory, Parameter, UnitError};
use calcine_testkit::{ConvNet, device, each};

use crate::models::Zoo;

fn conv([inputs, outputs]: [usize; 2], device: &Device) -> Conv2d {
    Conv2dConfig::new([inputs, outputs], [1, 1]).init(device)
}

fn norm(features: usize, device: &Device) -> BatchNorm {
    BatchNormConfig::new(features).init(device)
}

/// The parameters of a model whose convolutions have these groups, and one where none are given.
fn told<M: Module>(model: &M, groups: &[(&str, usize)]) -> Inventory {
    let mut inventory = Inventory::from_module(model);
    let unknown = Inventory::from_module(model);
    for weight in unknown
        .weights()
        .filter(|weight| weight.groups == Groups::Unknown)
    {
        let own = groups.iter().find(|(path, _)| *path == weight.path);
        inventory.tell_groups(&weight.path, own.map_or(1, |(_, groups)| *groups));
    }
    inventory
}

/// The path of the norm's scale, and back to the weight.
fn partner(inventory: &Inventory, weight: &str) -> Option<String> {
    let weight = inventory.get(weight).unwrap();
    let norm = inventory.norm_of(weight)?;
    let back = inventory.weight_of(norm.gamma);
    assert_eq!(back.map(|back| back.id), Some(weight.id));
    Some(norm.gamma.path.clone())
}

/// Names that say what follows what, in the ways that models have; shapes leave no choice.
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
fn names_that_say_so_are_paired_where_shapes_leave_no_choice() {
    let device = device();
    let groups = Conv2dConfig::new([4, 12], [3, 3]).with_groups(4);
    let up = ConvTranspose2dConfig::new([4, 6], [2, 2]).with_groups(2);
    let model = Named {
        conv: conv([3, 5], &device),
        norm: norm(5, &device),
        conv1: conv([3, 4], &device),
        bn1: norm(4, &device),
        depthwise_conv: groups.init(&device),
        depthwise_bn: norm(12, &device),
        conv_2: conv([3, 8], &device),
        batch_norm_2: norm(8, &device),
        up_conv: up.init(&device),
        up_norm: NormalizationConfig::Batch(BatchNormConfig::new(6)).init(&device),
        downsample: Some((conv([3, 7], &device), norm(7, &device))),
        classifier: (
            LinearConfig::new(8, 9).init(&device),
            norm(9, &device),
            LinearConfig::new(9, 2).init(&device),
        ),
    };
    let inventory = told(
        &model,
        &[("depthwise_conv.weight", 4), ("up_conv.weight", 2)],
    );
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
        assert_eq!(partner(&inventory, weight).as_deref(), *gamma);
    });
}

#[test]
fn what_may_be_before_a_layer_or_behind_another_is_not_paired() {
    let zoo = Zoo::new(&device());
    let inventory = told(&zoo, &[]);
    let gamma = |path: &str| partner(&inventory, path);
    let doubtful = inventory.get("stages.1.conv2.weight").unwrap();
    assert_eq!(doubtful.inputs(), doubtful.outputs());
    assert_eq!(
        gamma(&doubtful.path),
        None,
        "it may be a pre-activation block"
    );
    assert!(inventory.may_have_norm(doubtful));
    assert!(!inventory.may_have_norm(inventory.get("fc.weight").unwrap()));
    assert_eq!(gamma("stem.weight"), None, "`bn1` may be anybody's");
    assert_eq!(gamma("fc.weight"), None);
    let net = ConvNet::new(&device());
    for inventory in [told(&net, &[]), Inventory::from_module(&net)] {
        let found = partner(&inventory, "conv.weight");
        // Groups of two inputs each could make eight: the norm may be of the inputs.
        let known = inventory.get("conv.weight").unwrap().groups != Groups::Unknown;
        assert_eq!(found.as_deref(), known.then_some("norm.gamma"));
    }
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
    // Of which one may stand between the others, as of all four of a block.
    conv6: Conv2d,
    bn6: BatchNorm,
    conv7: Conv2d,
    bn7: BatchNorm,
    // As many inputs as outputs: the norm may be of the inputs.
    conv8: Conv2d,
    bn8: BatchNorm,
}

#[test]
fn names_that_leave_a_doubt_are_not_paired() {
    let device = device();
    let sides = |inputs, outputs| self::conv([inputs, outputs], &device);
    let (conv, norm) = (|| sides(2, 4), |n| norm(n, &device));
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
        conv6: sides(2, 7),
        bn6: norm(7),
        conv7: sides(2, 7),
        bn7: norm(7),
        conv8: sides(9, 9),
        bn8: norm(9),
    };
    let inventory = told(&model, &[]);
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
fn a_norm_has_its_four_parameters() {
    let device = device();
    let block = || Block {
        conv: conv([3, 4], &device),
        bn: norm(4, &device),
    };
    // Three inputs for each group never make four.
    let model = (block(), block());
    let inventory = Inventory::from_module(&model);
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
}

#[test]
fn what_a_layer_does_not_tell_is_unknown_and_can_be_told() {
    let device = device();
    let model = Block {
        conv: Conv2dConfig::new([4, 6], [1, 1])
            .with_groups(2)
            .init(&device),
        bn: norm(6, &device),
    };
    let mut inventory = Inventory::from_module(&model);
    let weight = inventory.get("conv.weight").unwrap();
    assert_eq!((weight.groups, weight.inputs()), (Groups::Unknown, None));
    assert_eq!(
        (weight.outputs(), weight.groups.to_string()),
        (Some(6), "unknown".to_owned())
    );
    assert!(
        inventory.norm_of(weight).is_none(),
        "the norm may be of the inputs"
    );
    let told = weight.clone().with_groups(2);
    assert_eq!((told.groups.get(), told.inputs()), (Some(2), Some(4)));
    inventory.tell_groups("conv.weight", 2);
    assert_eq!(inventory.get("conv.weight"), Some(&told));
    assert!(inventory.norm_of(&told).is_some());
}

#[test]
fn units_that_depend_on_unknown_groups_are_refused() {
    let device = device();
    let conv = Conv2dConfig::new([4, 6], [3, 3]).with_groups(2);
    let model = Block {
        conv: conv.init(&device),
        bn: norm(6, &device),
    };
    let inventory = Inventory::from_module(&model);
    let weight = inventory.get("conv.weight").unwrap();
    let known = weight.clone().with_groups(2);
    let rows = [
        (Granularity::Element, true),
        (Granularity::Layer, true),
        (Granularity::Filter, true),
        (Granularity::Kernel, true),
        (Granularity::Channel, false),
        (Granularity::Group { of: 2 }, false),
    ];
    each(rows, |&(granularity, is_known)| {
        let values = || Tensor::<4>::random(weight_shape(weight), Distribution::Default, &device);
        match weight.fold(granularity) {
            Ok(fold) => {
                assert!(is_known, "{granularity}");
                let values = values();
                let rows = |fold: &Fold| fold.rows(values.clone()).into_data();
                assert_eq!(
                    rows(&fold),
                    rows(&known.fold(granularity).unwrap()),
                    "{granularity}"
                );
            }
            Err(error) => {
                assert!(
                    !is_known && matches!(error, UnitError::Groups { .. }),
                    "{error}"
                );
                let advice = "the groups of `conv.weight` are unknown, and `";
                let text = error.to_string();
                assert!(text.starts_with(advice), "{text}");
                assert!(text.contains("Trace the model"), "{text}");
                assert!(text.contains("`Inventory::tell_groups`"), "{text}");
                known.fold(granularity).unwrap();
            }
        }
    });
}

fn weight_shape(weight: &Parameter) -> [usize; 4] {
    weight.shape.clone().try_into().unwrap()
}
