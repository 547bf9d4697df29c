//! Ranking filters with their batch norm folded in, against Distiller's.

use burn::module::Module;
use burn::optim::SgdConfig;
use burn::tensor::{Device, Tensor};
use calcine_recipe::Recipe;
use calcine_testkit::golden;
use calcine_trace::trace;
use calcine_zoo::{ResNet, ResNetConfig, weights};
use safetensors::SafeTensors;

/// The filters of a weight that a recipe's one pruner drops before its first step.
fn dropped(model: ResNet, weight: &str, keys: &str) -> Vec<u64> {
    let text = format!(
        "format = 1\n[train]\nepochs = 1\nlr = 0.0\n[pruner.p]\nparams = [\"{weight}\"]\n\
         score = \"magnitude\"\ngrain = \"filter\"\n{keys}\n[[policy]]\npruner = \"p\"\nepochs = [0]\n"
    );
    let recipe = Recipe::parse(&text).unwrap();
    let image = Tensor::<4>::zeros([1, 3, 32, 32], &Device::flex());
    let network = trace(&model.valid(), image, |model, image| model.forward(image)).unwrap();
    // The graph tells which norm follows.
    let mut driver = recipe.bind_traced(&model, network.graph(), 1).unwrap();
    let images = Tensor::<4>::zeros([1, 3, 32, 32], &Device::flex().autodiff());
    let pass = driver.forward_backward(&model, images, |model, images| {
        (model.forward(images).sum(), ())
    });
    let _ = driver.step(model, &mut SgdConfig::new().init(), pass.gradients);
    let keep = driver.masks().keep(weight).expect("it fired").float();
    let filters = 16;
    let members = keep.dims()[0] / filters;
    let sums = keep.reshape([filters, members]).sum_dim(1).into_data();
    let filters = (0..).zip(sums.iter::<f32>());
    filters
        .filter(|(_, sum)| *sum == 0.0)
        .map(|(filter, _)| filter)
        .collect()
}

#[test]
fn golden_ranking_with_the_norm_folded_in() {
    let file = golden::open("bn_folding");
    let case = file.cases("prune_with_fold_batchnorm")[0];
    let bytes = golden::bytes("resnet20_base.safetensors");
    let tensors = SafeTensors::deserialize(&bytes).unwrap().tensors();
    let parameters = tensors
        .into_iter()
        .filter(|(name, _)| name != "x" && name != "logits");
    let parameters = safetensors::serialize(parameters, None).unwrap();
    let model = || {
        let model = ResNetConfig::new(20)
            .init(&Device::flex().autodiff())
            .unwrap();
        weights::load_bytes(model, &parameters).unwrap()
    };
    let weight = case["args"]["weight"].as_str().unwrap();
    let level = format!("level = {}", case["args"]["desired_sparsity"]);
    let listed = |key: &str| -> Vec<u64> {
        let filters = case["expect"][key].as_array().unwrap().iter();
        filters.map(|filter| filter.as_u64().unwrap()).collect()
    };
    let folded = dropped(model(), weight, &format!("{level}\nfold_norm = true"));
    assert_eq!(folded, listed("pruned_filters"));
    let plain = dropped(model(), weight, &level);
    assert_eq!(plain, listed("pruned_filters_without_folding"));
}
