//! The driver of a recipe is the one that code would build.

use std::path::Path;

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use calcine_criteria::{GlobalLevel, Level, Norm, Score, Select, Sensitivity, Threshold};
use calcine_fold::{Fold, Granularity};
use calcine_params::{Inventory, flat};
use calcine_recipe::Recipe;
use calcine_schedule::{Cubic, Window};
use calcine_testkit::{ConvNet, device, each, values};
use calcine_train::{Driver, Policy, Prune, RatePlan, Target, Unit, When};

use crate::grammar::recipe;

fn in_code(
    model: &ConvNet,
    paths: &[&str],
    granularity: Granularity,
    (score, select): (Box<dyn Score + Send>, Box<dyn Select + Send>),
    (from, to): (f64, f64),
) -> Driver<ConvNet> {
    let inventory = Inventory::of(model);
    let units = paths.iter().map(|path| {
        let parameter = inventory.get(path).unwrap().clone();
        let fold = Fold::new(granularity, &parameter.shape, parameter.layout().unwrap()).unwrap();
        Unit::new(parameter, fold)
    });
    let amount = Cubic {
        initial: from,
        last: to,
    };
    let target = Target::new(units.collect(), Box::new(amount));
    let when = When::epochs(Window::new(1, 4, 1).unwrap());
    let prune = Prune::new("p", vec![target], score, select, when);
    let policies: Vec<Box<dyn Policy<ConvNet>>> = vec![Box::new(prune)];
    Driver::new(3, policies, RatePlan::constant(0.05))
}

/// All masks after each step, trained from the model's weights.
fn masks(model: &ConvNet, mut driver: Driver<ConvNet>, recipe: &Recipe) -> Vec<Vec<bool>> {
    let mut optimizer = recipe.train().optimizer.init();
    // A true copy: clones share running statistics.
    let mut model = model.valid().train();
    let input = TensorData::new(values(8 * 72), [8, 2, 6, 6]);
    (0..12)
        .map(|_| {
            let images = Tensor::<4>::from_data(input.clone(), &device().autodiff());
            let pass = driver.forward_backward(&model, images, |model, images| {
                ((model.forward(images) - 1.0).powi_scalar(2).mean(), ())
            });
            model = driver.step(model.clone(), &mut optimizer, pass.gradients);
            let masks = driver.masks();
            let of = |path: &str| -> Vec<bool> {
                masks
                    .keep(path)
                    .expect("a path of its own")
                    .into_data()
                    .iter()
                    .collect()
            };
            let mut all: Vec<bool> = masks.paths().flat_map(of).collect();
            // Masks are what is stored, too.
            for (parameter, value) in Inventory::of(&model)
                .iter()
                .zip(flat(&model, &Inventory::of(&model)))
            {
                if masks.keep(&parameter.path).is_some() {
                    all.extend(value.into_data().iter::<f32>().map(|x| x != 0.0));
                }
            }
            all
        })
        .collect()
}

#[test]
fn the_driver_of_a_recipe_equals_the_pruner_built_in_code() {
    type Parts = fn() -> (Box<dyn Score + Send>, Box<dyn Select + Send>);
    type Row = (
        &'static str,
        &'static [&'static str],
        Granularity,
        Parts,
        (f64, f64),
    );
    let block = Granularity::Block {
        rep: 2,
        depth: 1,
        height: 1,
        width: 1,
    };
    let rows: [Row; 6] = [
        (
            "score = \"magnitude\"\nparams = [\"conv.weight\"]\nlevel = ",
            &["conv.weight"],
            Granularity::Element,
            || {
                (
                    Box::new(calcine_criteria::Magnitude),
                    Box::new(Level::default()),
                )
            },
            (0.1, 0.8),
        ),
        (
            "score = \"l2\"\ngranularity = \"filter\"\nparams = [\"conv.*\"]\nlevel = ",
            &["conv.weight"],
            Granularity::Filter,
            || (Box::new(Norm::L2), Box::new(Level::default())),
            (0.1, 0.8),
        ),
        (
            "score = \"l1\"\ngranularity = \"kernel\"\nparams = [\"conv.weight\"]\nlevel = ",
            &["conv.weight"],
            Granularity::Kernel,
            || (Box::new(Norm::L1), Box::new(Level::default())),
            (0.1, 0.8),
        ),
        (
            "score = \"max\"\ngranularity = \"block(2x1x1x1)\"\nparams = [\"conv.weight\"]\nthreshold = ",
            &["conv.weight"],
            block,
            || (Box::new(Norm::MAX), Box::new(Threshold)),
            (0.01, 0.1),
        ),
        (
            "score = \"magnitude\"\nparams = [\"head.weight\"]\nsensitivity = ",
            &["head.weight"],
            Granularity::Element,
            || {
                (
                    Box::new(calcine_criteria::Magnitude),
                    Box::new(Sensitivity::FROZEN),
                )
            },
            (0.2, 1.0),
        ),
        (
            "score = \"magnitude\"\nscope = \"global\"\nparams = [\"**.weight\", \"!norm.*\"]\nlevel = ",
            &["conv.weight", "head.weight"],
            Granularity::Element,
            || {
                (
                    Box::new(calcine_criteria::Magnitude),
                    Box::new(GlobalLevel::default()),
                )
            },
            (0.1, 0.8),
        ),
    ];
    each(rows, |(keys, paths, granularity, parts, (from, to))| {
        let recipe = recipe(
            4,
            &format!(
                "momentum = 0.5\n[pruner.p]\n{keys}{{ curve = \"cubic\", from = {from}, to = {to} }}\n\
                 [[policy]]\npruner = \"p\"\nstart = 1\nend = 4\n"
            ),
        );
        let mut recipe = recipe;
        recipe.train_mut().optimizer.lr = Some(0.05);
        let model = ConvNet::new(&device().autodiff());
        let bound = masks(&model, recipe.bind(&model, 3).unwrap(), &recipe);
        let built = masks(
            &model,
            in_code(&model, paths, *granularity, parts(), (*from, *to)),
            &recipe,
        );
        let dropped = |masks: &[bool]| masks.iter().filter(|keep| !**keep).count();
        assert!(
            dropped(&bound[11]) > dropped(&bound[3]),
            "the ramp does nothing"
        );
        if calcine_testkit::is_reference() {
            assert_eq!(bound, built);
        } else {
            // Weights differ in their last bits, so a unit near the threshold may fall either way.
            assert_eq!(dropped(&bound[3]), dropped(&built[3]));
        }
    });
}

#[test]
fn the_workspaces_recipes_parse() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes");
    let Ok(files) = std::fs::read_dir(directory) else {
        return;
    };
    let paths = files.map(|file| file.unwrap().path());
    for path in paths.filter(|path| path.extension().is_some_and(|end| end == "toml")) {
        if let Err(error) = Recipe::from_file(&path) {
            panic!("{error}");
        }
    }
}
