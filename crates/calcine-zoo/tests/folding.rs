//! Ranking filters with their batch norm folded in, against Distiller's.

use burn::module::Module;
use burn::optim::SgdConfig;
use burn::tensor::{Device, Tensor};
use calcine_recipe::Recipe;
use calcine_trace::trace;
use calcine_zoo::{ResNet, ResNetConfig};
use safetensors::SafeTensors;
use serde_json::Value;

use crate::import::shared;

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
    let Some(golden) = shared("golden") else {
        return;
    };
    let text = std::fs::read_to_string(golden.join("bn_folding.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    let case = cases
        .iter()
        .find(|case| case["name"] == "prune_with_fold_batchnorm");
    let case = case.expect("the case is there");
    let bytes = std::fs::read(golden.join("resnet20_base.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap().tensors();
    let parameters = tensors
        .into_iter()
        .filter(|(name, _)| name != "x" && name != "logits");
    let parameters = safetensors::serialize(parameters, None).unwrap();
    let model = || {
        let model = ResNetConfig::new(20)
            .init(&Device::flex().autodiff())
            .unwrap();
        calcine_weights::load_bytes(model, &parameters).unwrap()
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
