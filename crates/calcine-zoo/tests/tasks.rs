//! Networks that sort no images.

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use calcine_criteria::Norm;
use calcine_recipe::Recipe;
use calcine_summary::{ComputeSettings, compute};
use calcine_thin::{ChannelSelection, PaddingEffect, thin, zero_out_channels};
use calcine_trace::{Network, trace};
use calcine_zoo::{DetectorConfig, NcfConfig, TaskModel, TranslatorConfig};

use calcine_testkit::rows;

use crate::tracing::{images, lively};

/// Numbers below `below`, in no order.
fn indices(shape: [usize; 2], below: i64, device: &Device) -> Tensor<2, Int> {
    let count = i64::try_from(shape[0] * shape[1]).unwrap();
    let numbers = Tensor::<1, Int>::arange(0..count, device) * 7919 + 13;
    numbers.remainder_scalar(below).reshape(shape)
}

fn largest<const D: usize>(x: Tensor<D>) -> f32 {
    x.abs().max().into_scalar::<f32>()
}

/// The largest difference as a share of the largest value, which is not zero.
fn difference<const D: usize>(found: Tensor<D>, expected: Tensor<D>) -> f32 {
    let scale = largest(expected.clone());
    assert!(scale > 1e-3, "{scale}");
    largest(found - expected) / scale
}

fn same_paths<M: Module>(network: &Network, model: &M) {
    let paths = |rows: Vec<calcine_testkit::Row>| -> Vec<(String, Vec<usize>)> {
        rows.into_iter().map(|row| (row.path, row.shape)).collect()
    };
    assert_eq!(paths(rows(network)), paths(rows(model)));
}

#[test]
fn each_traced_computes_the_same_for_any_batch_under_the_same_names() {
    let device = Device::flex();
    let ncf = NcfConfig::new(6040, 3706).with_seed(1).init(&device);
    let network = TaskModel::Ncf.network(1, &device).unwrap();
    same_paths(&network, &ncf);
    for batch in [1, 2, 5] {
        let pairs = indices([batch, 2], 3706, &device);
        let found: Tensor<2> = network.forward(pairs.clone());
        assert!(difference(found, ncf.forward(pairs)) < 1e-5);
    }

    let translator = TranslatorConfig::new(1000).with_seed(1).init(&device);
    let network = TaskModel::Translator.network(1, &device).unwrap();
    same_paths(&network, &translator);
    for batch in [1, 2, 5] {
        let [source, target] = [
            indices([batch, 16], 1000, &device),
            indices([batch, 16], 997, &device),
        ];
        let found: Tensor<3> = network.forward((source.clone(), target.clone()));
        assert!(difference(found, translator.forward(source, target)) < 1e-5);
    }

    let detector = DetectorConfig::new(20).with_seed(1).init(&device);
    let network = TaskModel::Detector.network(1, &device).unwrap();
    same_paths(&network, &detector);
    for batch in [1, 2, 5] {
        let images = images([3, 96, 96], batch, &device);
        let (scores, boxes): (Tensor<3>, Tensor<3>) = network.forward(images.clone());
        let expected = detector.forward(images);
        assert!(difference(scores, expected.0) < 1e-5);
        assert!(difference(boxes, expected.1) < 1e-5);
    }
}

/// The sizes of the layers, added up by hand.
#[test]
fn sizes_are_those_of_the_layers() {
    let device = Device::flex();
    let [users, items] = [6040, 3706];
    let ncf = (users + items) * (8 + 32) + (64 * 32 + 32) + (32 * 16 + 16) + (16 * 8 + 8) + 17;
    let attention = 4 * (64 * 64 + 64);
    let block = attention + (64 * 256 + 256) + (256 * 64 + 64) + 2 * 128;
    let translator = 2 * 1000 * 64 + 4 * block + 2 * (attention + 128) + (64 * 1000 + 1000);
    let convolutions = 9 * (3 * 16 + 16 * 32 + 32 * 64 + 64 * 128);
    let norms = 2 * (16 + 32 + 64 + 128);
    let heads = (64 + 128) * 9 * 4 * (21 + 4) + 2 * 4 * (21 + 4);
    let detector = convolutions + norms + heads;
    for (model, parameters) in [
        (TaskModel::Ncf, ncf),
        (TaskModel::Translator, translator),
        (TaskModel::Detector, detector),
    ] {
        let network = model.network(0, &device).unwrap();
        let table = compute(network.graph(), &network, &ComputeSettings::default()).unwrap();
        assert_eq!(table.parameters, parameters as u64, "{model}");
        assert!(table.macs > 0, "{model}");
    }
}

#[test]
fn a_later_token_changes_nothing_before_it() {
    let device = Device::flex();
    let model = TranslatorConfig::new(50).init(&device);
    let source = indices([1, 6], 50, &device);
    let target = indices([1, 5], 50, &device);
    let other = target
        .clone()
        .slice_assign([0..1, 4..5], Tensor::from_ints([[49]], &device));
    let [one, two] = [target, other].map(|target| model.forward(source.clone(), target));
    let before = |logits: &Tensor<3>| logits.clone().narrow(1, 0, 4).into_data();
    assert_eq!(before(&one), before(&two));
    assert!(largest((one - two).narrow(1, 4, 1)) > 1e-3);
}

#[test]
fn the_detector_thinned_computes_what_it_computed_masked() {
    let device = Device::flex();
    let model = lively(DetectorConfig::new(20).init(&device));
    let sample = images([3, 96, 96], 1, &device);
    let network = trace(&model, sample, |model, images| model.forward(images)).unwrap();
    let axes = network.graph().axes().unwrap();
    let units = ChannelSelection::new(0.5).units(&network, &axes, &Norm::L1, |_| true);
    let silent = zero_out_channels(network, &axes, units).unwrap();
    let images = images([3, 96, 96], 2, &device);
    let before: (Tensor<3>, Tensor<3>) = silent.forward(images.clone());
    let thinned = thin(silent, PaddingEffect::KeepBorder).unwrap();
    let after: (Tensor<3>, Tensor<3>) = thinned.network.forward(images);
    assert!(difference(after.0, before.0) < 1e-5);
    assert!(difference(after.1, before.1) < 1e-5);
    assert!(thinned.report.after.macs * 2 < thinned.report.before.macs);
}

/// The share of zeros after the run of a recipe, a step an epoch.
fn zeros(model: TaskModel, recipe: &str, loss: impl Fn(&Network) -> Tensor<1>) -> f64 {
    let recipe = Recipe::parse(recipe).unwrap();
    assert_eq!(recipe.train().model.as_deref(), Some(model.name()));
    let mut network = model.network(1, &Device::flex()).unwrap().train();
    let graph = network.graph().clone();
    let mut driver = recipe.bind_traced(&network, &graph, 1).unwrap();
    let mut optimizer = recipe.train().optimizer.init();
    for _ in 0..recipe.train().epochs {
        let pass = driver.forward_backward(&network, (), |network, ()| (loss(network), ()));
        network = driver.step(network, &mut optimizer, pass.gradients);
    }
    calcine_summary::sparsity(&network).total().sparsity()
}

#[test]
fn each_is_pruned_by_its_recipe() {
    let device = Device::flex().autodiff();
    let ncf = include_str!("../../../recipes/ncf-agp.toml");
    let ncf = zeros(TaskModel::Ncf, ncf, |network| {
        let logits: Tensor<2> = network.forward(indices([8, 2], 3706, &device));
        logits.square().mean()
    });
    // 70 % of the embeddings, which are nearly all.
    assert!((0.69..0.7).contains(&ncf), "{ncf}");
    let translator = include_str!("../../../recipes/translator-agp.toml");
    let translator = zeros(TaskModel::Translator, translator, |network| {
        let [source, target] = [1000, 997].map(|below| indices([2, 16], below, &device));
        let logits: Tensor<3> = network.forward((source, target));
        logits.square().mean()
    });
    // 80 % of the matrices of the blocks, which are 229,376 of 426,472 weights.
    assert!((0.42..0.45).contains(&translator), "{translator}");
    let detector = include_str!("../../../recipes/detector-filters.toml");
    let detector = zeros(TaskModel::Detector, detector, |network| {
        let images = images([3, 96, 96], 2, &device);
        let (scores, boxes): (Tensor<3>, Tensor<3>) = network.forward(images);
        scores.square().mean() + boxes.square().mean()
    });
    // Half the filters of the backbone, whose weights are 97,200 of 270,680.
    assert!((0.15..0.2).contains(&detector), "{detector}");
}
