//! What a recipe may say, and what comes of it.

use burn::tensor::Tensor;
use calcine_recipe::{Optimizer, Recipe, UpdateRule};
use calcine_schedule::{Clock, Cosine, Cubic, Curve, Exponential, Linear, Steps};
use calcine_testkit::{ConvNet, device, each};
use calcine_train::Driver;

/// A recipe of `epochs` epochs with this rest.
pub(crate) fn recipe(epochs: u64, rest: &str) -> Recipe {
    let text = format!("format = 1\n[train]\nepochs = {epochs}\nlr = 0.5\n{rest}");
    Recipe::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The learning rate of every step; `seen` is what the validation of each epoch gives.
fn rates(recipe: &Recipe, steps_per_epoch: u64, seen: impl Fn(u64) -> f64) -> Vec<f64> {
    let model = ConvNet::new(&device().autodiff());
    let mut driver = recipe.bind(&model, steps_per_epoch).unwrap();
    let mut optimizer = recipe.train().optimizer.init();
    let mut model = model;
    let mut rates = Vec::new();
    for step in 0..recipe.train().epochs * steps_per_epoch {
        rates.push(driver.rate());
        model = idle(&mut driver, model, &mut optimizer);
        if (step + 1) % steps_per_epoch == 0 {
            driver.observe(seen(step / steps_per_epoch));
        }
    }
    rates
}

/// A step whose loss pulls at nothing.
fn idle(
    driver: &mut Driver<ConvNet>,
    model: ConvNet,
    optimizer: &mut burn::optim::ModuleOptimizer,
) -> ConvNet {
    let pass = driver.forward_backward(&model, (), |model, ()| {
        ((model.head.weight.val() * 0.0).sum(), ())
    });
    driver.step(model, optimizer, pass.gradients)
}

/// How many elements of the convolution's 144 are dropped in each step.
fn dropped(recipe: &Recipe, steps_per_epoch: u64) -> Vec<usize> {
    let mut model = ConvNet::new(&device().autodiff());
    let mut driver = recipe.bind(&model, steps_per_epoch).unwrap();
    let mut optimizer = recipe.train().optimizer.init();
    let count = |keep: Tensor<1, burn::tensor::Bool>| {
        keep.into_data().iter::<bool>().filter(|keep| !keep).count()
    };
    let steps = recipe.train().epochs * steps_per_epoch;
    (0..steps)
        .map(|_| {
            model = idle(&mut driver, model.clone(), &mut optimizer);
            driver.masks().keep("conv.weight").map_or(0, count)
        })
        .collect()
}

#[test]
fn train_has_defaults_and_every_key_is_read() {
    let plain = Recipe::parse("format = 1\n[train]\nepochs = 3\n").unwrap();
    let train = plain.train();
    assert_eq!(
        (train.epochs, train.batch_size, train.validation),
        (3, 128, 0.1)
    );
    assert_eq!((train.seed, train.images_per_epoch), (0, None));
    assert_eq!((&train.model, &train.weights), (&None, &None));
    let defaults = Optimizer {
        lr: None,
        weight_decay: 1e-4,
        rule: UpdateRule::Sgd {
            momentum: 0.9,
            nesterov: false,
        },
    };
    assert_eq!(train.optimizer, defaults);

    let full = Recipe::parse(
        r#"
        format = 1
        [train]
        model = "resnet20"
        weights = "none"
        epochs = 1_0
        batch_size = 0x20
        images_per_epoch = 512
        validation = 0
        seed = 7
        lr = 1
        momentum = 5e-1
        nesterov = true
        weight_decay = 0.000_5
        "#,
    )
    .unwrap();
    let train = full.train();
    assert_eq!(
        (train.model.as_deref(), train.weights.as_deref()),
        (Some("resnet20"), Some("none"))
    );
    assert_eq!(
        (train.epochs, train.batch_size, train.images_per_epoch),
        (10, 32, Some(512))
    );
    assert_eq!((train.validation, train.seed), (0.0, 7));
    let optimizer = Optimizer {
        lr: Some(1.0),
        weight_decay: 5e-4,
        rule: UpdateRule::Sgd {
            momentum: 0.5,
            nesterov: true,
        },
    };
    assert_eq!(train.optimizer, optimizer);
}

#[test]
fn every_curve_is_the_schedules_own() {
    let curves: [(&str, Box<dyn Curve>); 7] = [
        ("0.3", Box::new(|_: f64| 0.3)),
        (
            "{ curve = \"linear\", from = 0.1, to = 0.8 }",
            Box::new(Linear {
                initial: 0.1,
                last: 0.8,
            }),
        ),
        (
            "{ curve = \"cubic\", from = 0, to = 0.8 }",
            Box::new(Cubic {
                initial: 0.0,
                last: 0.8,
            }),
        ),
        (
            "{ curve = \"cosine\", from = 0.1, to = 1 }",
            Box::new(Cosine {
                initial: 0.1,
                last: 1.0,
            }),
        ),
        (
            "{ curve = \"exponential\", from = 0.1, to = 0.8 }",
            Box::new(Exponential {
                initial: 0.1,
                last: 0.8,
            }),
        ),
        (
            "{ curve = \"steps\", from = 0.1, steps = [[0.5, 0.3], [1, 0.6]] }",
            Box::new(Steps::new(0.1, [(0.5, 0.3), (1.0, 0.6)]).unwrap()),
        ),
        (
            "{ \"conv.weight\" = { curve = \"linear\", from = 0.1, to = 0.8 }, head = 0.5 }",
            Box::new(Linear {
                initial: 0.1,
                last: 0.8,
            }),
        ),
    ];
    let rows = curves.iter().map(|(text, _)| *text);
    each(rows, |text| {
        let curve = &curves.iter().find(|(row, _)| row == text).unwrap().1;
        let by_pattern = text.contains("conv.weight");
        let params = if by_pattern {
            ""
        } else {
            "params = [\"conv.weight\"]\n"
        };
        let text = text.replace("head", "\"head.weight\"");
        let recipe = recipe(
            6,
            &format!(
                "[pruner.p]\n{params}score = \"magnitude\"\nlevel = {text}\n\
                 [[policy]]\npruner = \"p\"\nstart = 1\nend = 6\n"
            ),
        );
        let expected: Vec<usize> = [
            None,
            Some(0.0),
            Some(0.25),
            Some(0.5),
            Some(0.75),
            Some(1.0),
        ]
        .map(|p| p.map_or(0, |p| (curve.value_at(p) * 144.0) as usize))
        .to_vec();
        assert_eq!(dropped(&recipe, 1), expected);
    });
}

#[test]
fn windows_come_in_epochs_steps_percent_and_lists() {
    let when = [
        ("start = 2\nend = 5\nevery = 2", vec![4, 8]),
        ("end = 2", vec![0, 2]),
        (
            "start = 3\nend = 9\nevery = 4\nunit = \"steps\"",
            vec![3, 7],
        ),
        (
            "start = 20\nend = 41\nevery = 20\nunit = \"percent\"",
            vec![2, 4],
        ),
        ("epochs = [1, 4]", vec![2, 8]),
        ("steps = [0, 5, 9]", vec![0, 5, 9]),
        // Some of the steps of a short run are the same.
        (
            "end = 100\nevery = 5\nunit = \"percent\"",
            (0..10).collect(),
        ),
    ];
    each(when, |(when, fires)| {
        let recipe = recipe(
            5,
            &format!(
                "[pruner.p]\nparams = [\"conv.weight\"]\nscore = \"magnitude\"\n\
                 level = {{ curve = \"linear\", from = 0.1, to = 0.9 }}\n\
                 [[policy]]\npruner = \"p\"\n{when}\n"
            ),
        );
        let last = fires.len().max(2) - 1;
        let level = |i: usize| ((0.1 + 0.8 * i as f64 / last as f64) * 144.0) as usize;
        let mut expected = vec![0; 10];
        for (i, step) in fires.iter().enumerate() {
            expected[*step..].fill(level(i));
        }
        assert_eq!(dropped(&recipe, 2), expected);
    });
}

#[test]
fn every_type_of_learning_rate_is_the_schedules_own() {
    use calcine_schedule::LearningRate;
    use calcine_schedule::rate::*;
    let types: Vec<(&str, Box<dyn LearningRate>)> = vec![
        ("type = \"constant\"\nfactor = 0.5", Box::new(Constant(0.5))),
        (
            "type = \"step\"\nstep_size = 2\ngamma = 0.1",
            Box::new(Step::new(2, 0.1).unwrap()),
        ),
        (
            "type = \"multi_step\"\nmilestones = [1, 3]\ngamma = 0.1",
            Box::new(MultiStep::new([1, 3], 0.1).unwrap()),
        ),
        (
            "type = \"multi_step_multi_gamma\"\nmilestones = [1, 3]\ngammas = [0.1, 5]",
            Box::new(MultiStepMultiGamma::new([1, 3], [0.1, 5.0]).unwrap()),
        ),
        (
            "type = \"exponential\"\ngamma = 0.9",
            Box::new(Exponential::new(0.9).unwrap()),
        ),
        ("type = \"cosine\"", Box::new(Cosine::new(6.0).unwrap())),
        (
            "type = \"cosine\"\nt_max = 5\nwarm_up = 1\nfloor = 0.1",
            Box::new(
                Cosine::new(5.0)
                    .unwrap()
                    .with_warm_up(1.0)
                    .unwrap()
                    .with_floor(0.1)
                    .unwrap(),
            ),
        ),
        (
            "type = \"cosine_warm_restarts\"\nperiod = 2\ngrowth = 2\nfloor = 0.1",
            Box::new(
                CosineRestarts::new(2.0)
                    .unwrap()
                    .with_growth(2.0)
                    .unwrap()
                    .with_floor(0.1)
                    .unwrap(),
            ),
        ),
        (
            "type = \"polynomial\"\npower = 2",
            Box::new(Polynomial::new(6.0, 2.0).unwrap()),
        ),
        (
            "type = \"one_cycle\"\nwarm_up = 0.5\ninitial_divisor = 10\nlast_divisor = 100",
            Box::new(
                OneCycle::new(6.0)
                    .unwrap()
                    .with_warm_up(0.5)
                    .unwrap()
                    .with_initial_divisor(10.0)
                    .unwrap()
                    .with_last_divisor(100.0)
                    .unwrap(),
            ),
        ),
    ];
    each(types.iter().map(|(text, _)| *text), |text| {
        let schedule = &types.iter().find(|(row, _)| row == text).unwrap().1;
        let by_step = recipe(6, &format!("[lr.a]\n{text}\n[[policy]]\nlr = \"a\"\n"));
        let expected: Vec<f64> = (0..12)
            .map(|step| 0.5 * schedule.factor(Clock::at_global_step(2, step).epochs()))
            .collect();
        assert_eq!(rates(&by_step, 2, |_| 1.0), expected);
        let by_epoch = recipe(
            6,
            &format!("[lr.a]\n{text}\n[[policy]]\nlr = \"a\"\nend = 6\n"),
        );
        let expected: Vec<f64> = (0..12)
            .map(|step| 0.5 * schedule.factor(f64::from(step / 2)))
            .collect();
        assert_eq!(rates(&by_epoch, 2, |_| 1.0), expected);
    });
}

#[test]
fn a_plateau_goes_by_the_validation_metric() {
    let recipe = recipe(
        6,
        "[lr.a]\ntype = \"plateau\"\nfactor = 0.5\npatience = 1\n[[policy]]\nlr = \"a\"\n",
    );
    let rates = rates(&recipe, 1, |epoch| {
        if epoch < 2 {
            1.0 / (epoch + 1) as f64
        } else {
            1.0
        }
    });
    assert_eq!(rates, [0.5, 0.5, 0.5, 0.5, 0.25, 0.25]);
}

#[test]
fn a_learning_rate_in_percent_moves_in_every_step_of_its_window() {
    let recipe = recipe(
        10,
        "[lr.a]\ntype = \"exponential\"\ngamma = 0.5\n\
         [[policy]]\nlr = \"a\"\nstart = 20\nend = 50\nunit = \"percent\"\n",
    );
    let rates = rates(&recipe, 2, |_| 1.0);
    let expected = |position: f64| 0.5 * 0.5_f64.powf(position);
    for (step, rate) in rates.into_iter().enumerate() {
        let position = step.min(9) as f64 / 2.0;
        let expected = if step < 4 { 0.5 } else { expected(position) };
        assert!(
            (rate - expected).abs() < 1e-15,
            "step {step}: {rate}, expected {expected}"
        );
    }
}

#[test]
fn file_order_is_execution_order_and_a_pruner_may_have_several_windows() {
    let recipe = recipe(
        4,
        r#"
        [pruner.b]
        params = ["conv.weight"]
        score = "l1"
        granularity = "filter"
        level = 0.5
        [pruner.a]
        params = ["conv.weight"]
        score = "magnitude"
        threshold = 1e9
        [[policy]]
        pruner = "b"
        epochs = [0]
        [[policy]]
        pruner = "b"
        epochs = [1]
        mask_gradients = true
        [[policy]]
        pruner = "a"
        epochs = [2]
        "#,
    );
    assert_eq!(dropped(&recipe, 1), [72, 72, 144, 144]);
}

#[test]
fn what_a_shorter_run_does_not_come_to_is_a_warning() {
    let mut recipe = recipe(
        10,
        "[pruner.p]\nparams = [\"conv.weight\"]\nscore = \"magnitude\"\nlevel = 0.5\n\
         [[policy]]\npruner = \"p\"\nstart = 2\nend = 8\n",
    );
    assert!(recipe.warnings(3).is_empty());
    recipe.train_mut().epochs = 6;
    let warnings = recipe.warnings(3);
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0].starts_with("the run ends after 6 epochs, before the last 2 firings of `p`"),
        "{warnings:?}"
    );
}

#[test]
fn warnings_about_an_endless_window_come_at_once() {
    let windows = [
        ("end = 9000000000000000000", 8_999_999_999_999_999_990_u64),
        ("start = 4\nend = 24\nevery = 4", 3),
        ("start = 4\nend = 25\nevery = 4", 4),
        ("epochs = [3, 9, 10, 99]", 2),
    ];
    each(windows, |(window, missed)| {
        let recipe = recipe(
            10,
            &format!(
                "[pruner.p]\nparams = [\"conv.weight\"]\nscore = \"magnitude\"\nlevel = 0.5\n\
                 [[policy]]\npruner = \"p\"\n{window}\n"
            ),
        );
        let warnings = recipe.warnings(3);
        assert!(
            warnings[0].contains(&format!("before the last {missed} firings of")),
            "{warnings:?}"
        );
    });
}

#[test]
fn the_text_is_kept() {
    let text = "format = 1\n[train]\nepochs = 3\n";
    assert_eq!(Recipe::parse(text).unwrap().text(), text);
}

#[test]
fn images_are_normalised_by_halves_unless_something_else_is_said() {
    let plain = recipe(1, "");
    assert_eq!((plain.data().mean, plain.data().std), ([0.5; 3], [0.5; 3]));
    let set = recipe(
        1,
        "[data]\nmean = [0.4914, 0.4822, 0.4465]\nstd = [0.25, 1, 2]\n",
    );
    assert_eq!(set.data().mean, [0.4914, 0.4822, 0.4465]);
    assert_eq!(set.data().std, [0.25, 1.0, 2.0]);
}
