//! Ranking filters with their batch norm folded in, against Distiller's.

use burn::module::Module;
use burn::optim::SgdConfig;
use burn::tensor::{Device, Tensor};
use calcine_params::Inventory;
use calcine_recipe::Recipe;
use calcine_testkit::{each, golden};
use calcine_trace::trace;
use calcine_zoo::ResNet;

use crate::import::golden_resnet;

/// The filters of a weight that a recipe's one pruner drops before its first step.
fn dropped(model: ResNet, weight: &str, keys: &str) -> Vec<u64> {
    let text = format!(
        "format = 1\n[train]\nepochs = 1\nlr = 0.0\n[pruner.p]\nparams = [\"{weight}\"]\ngranularity = \"filter\"\n\
         {keys}\n[[policy]]\npruner = \"p\"\nepochs = [0]\n"
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
    let before = model.clone();
    let _ = driver.step(model, &mut SgdConfig::new().init(), pass.gradients);
    let keep = driver.masks().keep(weight).expect("it fired").float();
    let inventory = Inventory::from_module(&before);
    let filters = inventory.get(weight).unwrap().shape[0];
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
    let cases = file.having(&["/args/fold_batchnorm", "/expect/pruned_filters"]);
    each(cases, |case| {
        let (args, expect) = (&case["args"], &case["expect"]);
        assert_eq!(args["group_type"], "Filters");
        let device = Device::flex().autodiff();
        let weight = args["weight"].as_str().unwrap();
        // Distiller's norm is a mean over the filter, which orders the filters of a layer alike.
        let score = args["norm"].as_str().unwrap().to_lowercase();
        let level = &args["desired_sparsity"];
        let keys = format!("score = \"{score}\"\nlevel = {level}");
        let listed = |key: &str| -> Vec<u64> {
            let filters = expect[key].as_array().unwrap().iter();
            filters.map(|filter| filter.as_u64().unwrap()).collect()
        };
        let folded = format!("{keys}\nfold_norm = true");
        let folded = dropped(golden_resnet(&device), weight, &folded);
        assert_eq!(folded, listed("pruned_filters"));
        let plain = dropped(golden_resnet(&device), weight, &keys);
        assert_eq!(plain, listed("pruned_filters_without_folding"));
    });
}
