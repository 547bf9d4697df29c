//! The driver of a recipe is the one that code would build.

use std::path::Path;

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use calcine_criteria::{GlobalLevel, Level, Norm, Score, Select, Sensitivity, Threshold};
use calcine_fold::{Fold, Granularity};
use calcine_params::{Inventory, flat};
use calcine_recipe::{Pruner, Recipe};
use calcine_schedule::{Cosine, Cubic, Linear, Window};
use calcine_testkit::{ConvNet, Mlp, device, each, values};
use calcine_train::{Driver, Policy, Prune, RatePlan, Target, Unit, When};

use crate::grammar::recipe;
use crate::graph;

fn in_code(
    model: &ConvNet,
    paths: &[&str],
    granularity: Granularity,
    (score, select): (Box<dyn Score + Send>, Box<dyn Select + Send>),
    (from, to): (f64, f64),
) -> Driver<ConvNet> {
    let inventory = Inventory::from_module(model);
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
            for (parameter, value) in Inventory::from_module(&model)
                .iter()
                .zip(flat(&model, &Inventory::from_module(&model)))
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
        let driver = recipe.bind_traced(&model, &graph(&model), 3).unwrap();
        let bound = masks(&model, driver, &recipe);
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

/// The driver that a pruner in code gives, the one of its recipe after a round trip through text, and one that is assembled
/// from parts make equal masks, step by step.
#[test]
fn a_pruner_in_code_is_its_recipe() {
    let model = ConvNet::new(&device().autodiff());
    let pruner = || Pruner::new(&model).learning_rate(0.05);
    let rows = [
        pruner()
            .weights("conv.weight")
            .level(Cubic::new(0.1, 0.8))
            .epochs(1..4),
        pruner()
            .weights("conv.*")
            .level(0.5)
            .granularity(Granularity::Filter)
            .score("l2")
            .epochs(0..4),
        pruner()
            .level(Linear::new(0.0, 0.7))
            .weights("**.weight")
            .weights("!norm.*")
            .global()
            .steps(2..9)
            .run_of(4),
        pruner()
            .weights("head.weight")
            .level(Cosine::new(0.1, 0.6))
            .epochs(0..4)
            .every(2)
            .score("random")
            .seed(7),
    ];
    each(rows, |pruner| {
        let text = pruner.to_toml();
        let recipe = Recipe::parse(&text).unwrap();
        let again = Recipe::parse(recipe.text()).unwrap();
        let built = masks(&model, pruner.driver(3).unwrap(), &recipe);
        let parsed = masks(&model, again.bind(&model, 3).unwrap(), &recipe);
        assert!(built.last().unwrap().contains(&false), "{text}");
        assert_eq!(built, parsed, "{text}");
    });
    let cubic = pruner()
        .weights("conv.weight")
        .level(Cubic::new(0.1, 0.8))
        .epochs(1..4)
        .run_of(4);
    let parts: (Box<dyn Score + Send>, Box<dyn Select + Send>) = (
        Box::new(calcine_criteria::Magnitude),
        Box::new(Level::default()),
    );
    let assembled = in_code(
        &model,
        &["conv.weight"],
        Granularity::Element,
        parts,
        (0.1, 0.8),
    );
    let recipe = cubic.recipe().unwrap();
    let built = masks(&model, cubic.driver(3).unwrap(), &recipe);
    if calcine_testkit::is_reference() {
        assert_eq!(built, masks(&model, assembled, &recipe));
    }
}

#[test]
fn a_pruner_in_code_reports_what_a_recipe_reports() {
    let model = ConvNet::new(&device().autodiff());
    let error = Pruner::new(&model)
        .weights("no\"where")
        .level(0.5)
        .driver(3)
        .unwrap_err();
    let messages: Vec<&str> = error
        .problems()
        .iter()
        .map(|p| p.message.as_str())
        .collect();
    assert_eq!(messages.len(), 2, "{error}");
    assert!(messages[0].contains("`lr` is missing"), "{error}");
    assert!(messages[1].contains("no\"where"), "{error}");
    assert!(
        Pruner::new(&model)
            .level(1.5)
            .learning_rate(0.1)
            .driver(3)
            .is_err()
    );
}

/// All files below a directory.
fn files(directory: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => files(&path),
            false => vec![path],
        })
        .collect()
}

#[test]
fn the_workspaces_recipes_parse() {
    let all = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes"));
    let recipes = all
        .iter()
        .filter(|path| path.extension().is_some_and(|end| end == "toml"));
    let mut settings = 0;
    for path in recipes {
        let recipe = Recipe::from_file(path).unwrap_or_else(|error| panic!("{error}"));
        let after_training = path
            .parent()
            .is_some_and(|folder| folder.ends_with("quantize"));
        assert_eq!(recipe.trains(), !after_training, "{}", path.display());
        // Settings that are written are read again as they were.
        if let Some(asked) = recipe.quantization() {
            let again = Recipe::parse(&asked.settings.to_toml()).unwrap();
            assert_eq!(again.quantization().unwrap().settings, asked.settings);
            settings += 1;
        }
    }
    assert!(settings > 20, "{settings}");
}

/// Quantization after training is a recipe without a run, and with nothing else.
#[test]
fn a_recipe_without_a_run_quantizes_after_training() {
    let text = "format = 1\n[quantize.weights]\nbits = 4\n[quantize.prepare]\nequalize = true\n";
    let recipe = Recipe::parse(text).unwrap();
    assert!(!recipe.trains() && recipe.needs_network());
    let asked = recipe.quantization().unwrap();
    assert_eq!(asked.settings.weights.bits, 4);
    assert!(asked.settings.prepare.equalize);
    let model = ConvNet::new(&device().autodiff());
    let error = recipe.bind(&model, 3).unwrap_err().to_string();
    assert!(error.contains("has no `[train]`"), "{error}");
    let rows = [
        ("[thin]", "4:2: `thin` is for a recipe with `[train]`"),
        (
            "[quantize.training]",
            "4:1: `[quantize.training]` is for a recipe with `[train]`",
        ),
        (
            "[pruner.p]\nscore = \"l1\"",
            "`pruner` is for a recipe with `[train]`",
        ),
    ];
    each(rows, |(table, expected)| {
        let text = format!("format = 1\n[quantize.weights]\nbits = 4\n{table}\n");
        let error = Recipe::parse(&text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    });
    let error = Recipe::parse("format = 1\n").unwrap_err().to_string();
    assert!(error.contains("`[train]` is missing"), "{error}");
    // Weights may be affine after training, and not while they train.
    let affine = "[quantize.weights]\nscheme = \"affine\"\nbits = 1\n";
    assert!(Recipe::parse(&format!("format = 1\n{affine}")).is_ok());
    assert!(Recipe::parse(&format!("format = 1\n[train]\nepochs = 2\n{affine}")).is_err());
}

/// What the run, its length and the model rule out is reported together, each at its place.
#[test]
fn problems_of_the_run_and_of_the_model_come_together() {
    let text = "format = 1\n[train]\nepochs = 2\n[thin]\n[pruner.a]\nparams = [\"nothing\"]\n\
                score = \"magnitude\"\nlevel = 0.5\n[pruner.b]\nparams = [\"first.weight\"]\n\
                score = \"magnitude\"\ngranularity = \"kernel\"\nlevel = 0.5\n[[policy]]\npruner = \"a\"\nend = 1\n\
                [[policy]]\npruner = \"b\"\nsteps = [40]\n";
    let model = Mlp::new(&device().autodiff());
    let error = Recipe::parse(text).unwrap().bind(&model, 10).unwrap_err();
    let expected = [
        (2, "`lr` is missing"),
        (4, "does not execute `[thin]`"),
        (6, "nothing"),
        (12, "kernel"),
        (19, "never fires"),
    ];
    assert_eq!(error.problems().len(), expected.len(), "{error}");
    for (problem, (line, message)) in error.problems().iter().zip(expected) {
        assert_eq!(problem.line, line, "{error}");
        assert!(problem.message.contains(message), "{error}");
    }
    // Without steps there is still a model to check.
    let error = Recipe::parse(text).unwrap().bind(&model, 0).unwrap_err();
    assert!(
        error.to_string().contains("`steps_per_epoch` is 0"),
        "{error}"
    );
    assert!(error.to_string().contains("nothing"), "{error}");
}
