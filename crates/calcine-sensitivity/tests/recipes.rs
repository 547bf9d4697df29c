use calcine_fold::Granularity;
use calcine_recipe::Recipe;
use calcine_sensitivity::{Evaluation, Measurement, Metric, Scan, recipe, suggest};
use calcine_testkit::ConvNet;

use crate::{counted, net, nonzero, whole};

/// Top-1 falls with the filters of `conv` and hardly with `head`.
fn fragile(model: &ConvNet) -> Measurement {
    let counts = nonzero(model);
    let gone = |index: usize, of: f64| 1.0 - counts[index].1 as f64 / of;
    let top1 = 90.0 - 40.0 * gone(0, 144.0) - gone(1, 32.0);
    let loss = counted(model).evaluation.loss;
    Measurement::from(Evaluation::new(loss, 1).with_metric("top1", top1))
}

#[test]
fn a_suggested_recipe_parses_and_fits_the_model() {
    let plan = Scan::new(Granularity::Element).with_levels([0.01, 0.25, 0.5, 0.75, 1.0]);
    let found = whole(&net(), &plan, fragile).unwrap();
    let suggestions = suggest(&found, &Metric::higher("top1", "%"), 1.0);
    let levels: Vec<f64> = suggestions
        .iter()
        .map(|suggestion| suggestion.level)
        .collect();
    assert_eq!(levels, [0.01, 1.0]);
    let text = recipe(
        &suggestions,
        Granularity::Element,
        "model = \"resnet20\"\nepochs = 10\nlr = 0.01\n",
    );
    let recipe = Recipe::parse(&text).unwrap();
    assert_eq!(
        (recipe.train().epochs, recipe.train().optimizer.lr),
        (10, Some(0.01))
    );
    recipe.bind(&net(), 100).unwrap();
}

#[test]
fn structures_keep_their_granularity_and_fragile_parameters_are_left_out() {
    let found = whole(
        &net(),
        &Scan::new(Granularity::Filter).with_levels([0.5]),
        fragile,
    )
    .unwrap();
    let robust = recipe(
        &suggest(&found, &Metric::higher("top1", "%"), 50.0),
        Granularity::Filter,
        "epochs = 10\nlr = 0.1",
    );
    assert!(
        robust.contains("granularity = \"filter\"") && robust.contains("\"conv.weight\" = {"),
        "{robust}"
    );
    Recipe::parse(&robust).unwrap().bind(&net(), 100).unwrap();
    let fragile = recipe(
        &suggest(&found, &Metric::higher("top1", "%"), 1.0),
        Granularity::Filter,
        "epochs = 10\nlr = 0.1",
    );
    assert!(!fragile.contains("pruner"), "{fragile}");
    Recipe::parse(&fragile).unwrap().bind(&net(), 100).unwrap();
}
