//! What a recipe asks for and a run cannot do, or does only in part: said before the first step.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use calcine_recipe::{Optimizer, Recipe, RecipeError, RunnerTable, UpdateRule};
use calcine_testkit::{ConvNet, Mlp, device, each, numbers};
use calcine_trace::trace;
use calcine_train::Driver;

fn recipe(text: &str) -> Recipe {
    Recipe::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// A recipe of so many epochs with a pruner `p`, whose keys and policy these are.
fn of_pruner(epochs: u64, keys: &str, policy: &str) -> String {
    format!(
        "format = 1\n[train]\nepochs = {epochs}\nlr = 0.1\n[pruner.p]\n{keys}\n[[policy]]\n\
         pruner = \"p\"\n{policy}\n"
    )
}

#[test]
fn tables_that_a_driver_does_not_execute_are_refused_unless_the_caller_executes_them() {
    let rows = [
        ("[quantize]\nweights = { bits = 4 }", RunnerTable::Quantize),
        (
            "[thin]\npadding_effect = \"keep_border\"",
            RunnerTable::Thin,
        ),
        ("[thin]\nat = [1]", RunnerTable::Thin),
        ("[distill]\ntemperature = 4.0", RunnerTable::Distill),
        ("[distill]", RunnerTable::Distill),
    ];
    each(rows, |(text, table)| {
        let table = *table;
        let recipe = recipe(&format!(
            "format = 1\n[train]\nepochs = 2\nlr = 0.1\n{text}\n"
        ));
        assert_eq!(recipe.runner_tables(), [table]);
        let model = Mlp::new(&device().autodiff());
        let error = recipe.bind(&model, 10).unwrap_err();
        let problem = &error.problems()[0];
        assert_eq!((problem.line, problem.column), (5, 1), "{error}");
        assert!(
            problem
                .message
                .contains(&format!("does not execute `{table}`")),
            "{error}"
        );
        let all = [
            RunnerTable::Thin,
            RunnerTable::Quantize,
            RunnerTable::Distill,
        ];
        let others: Vec<RunnerTable> = all.into_iter().filter(|other| *other != table).collect();
        assert!(recipe.bind_for_runner(&others, &model, None, 10).is_err());
        recipe.bind_for_runner(&[table], &model, None, 10).unwrap();
    });
}

#[derive(Module, Debug)]
struct One {
    conv: Conv2d,
}

fn one([outputs, inputs]: [usize; 2]) -> One {
    let conv = Conv2dConfig::new([inputs, outputs], [3, 3]);
    One {
        conv: conv.init(&device().autodiff()),
    }
}

const FILTERS: &str = "params = [\"conv.weight\"]\nscore = \"l1\"\ngranularity = \"filter\"\n";

#[test]
fn a_pruner_that_can_drop_nothing_is_refused() {
    let level = |rest: &str| format!("{FILTERS}level = {rest}");
    let rows = [
        (level("0.2"), 4),
        (level("0.5\nat_least = 4"), 4),
        (level("0.5\nat_least = 1.0"), 4),
        (level("0.5\nmultiple = 8"), 4),
        (level("0.3\nmultiple = 4\nrounding = \"floor\""), 8),
        (level("0.5"), 1),
        (level("{ curve = \"cubic\", from = 0.0, to = 0.2 }"), 4),
        (level("{ range = [0.05, 0.2] }"), 4),
        (level("0.2\nscope = \"global\""), 4),
        (level("0.2\nregrow = \"random\"\ndrop = 0.5"), 4),
        (
            "score = \"l1\"\ngranularity = \"filter\"\nlevel = { \"conv.weight\" = 0.24 }".to_owned(),
            4,
        ),
        (
            "params = [\"conv.weight\"]\nscore = \"magnitude\"\ngranularity = \"group(4)\"\nlevel = 0.2"
                .to_owned(),
            4,
        ),
    ];
    each(rows, |(keys, filters)| {
        let recipe = recipe(&of_pruner(4, keys, "start = 0\nend = 4"));
        let model = one([*filters, 4]);
        let network = trace(&model.valid(), numbers([1, 4, 3, 3]), |m, x| {
            m.conv.forward(x)
        });
        let bound = recipe.bind_traced(&model, network.unwrap().graph(), 2);
        let error = bound.unwrap_err();
        assert!(
            error.to_string().contains("`p` never drops anything"),
            "{error}"
        );
    });
    // What can drop something is bound.
    for keys in [
        level("0.25"),
        level("0.2\nrounding = \"ceil\""),
        level("0.0"),
    ] {
        let recipe = recipe(&of_pruner(4, &keys, "start = 0\nend = 4"));
        recipe.bind(&one([4, 4]), 2).unwrap();
    }
}

#[test]
fn layers_of_which_nothing_or_all_falls_are_warned_of_by_name() {
    let both = |level: &str| {
        let keys = format!(
            "params = [\"first.weight\", \"second.weight\"]\nscore = \"l1\"\ngranularity = \"fc_output\"\n{level}"
        );
        let recipe = recipe(&of_pruner(4, &keys, "start = 0\nend = 4"));
        let driver: Driver<Mlp> = recipe.bind(&Mlp::new(&device().autodiff()), 2).unwrap();
        driver.warnings()
    };
    // 16 and 3 outputs.
    let [warning] = &both("level = 0.3")[..] else {
        panic!("one line a pruner: {:?}", both("level = 0.3"))
    };
    assert!(
        warning.contains("`p` drops no unit of `second.weight` (3)"),
        "{warning}"
    );
    assert!(!warning.contains("first"), "{warning}");
    let all = both("level = 1.0").join("\n");
    assert!(
        all.contains("drops all units of `first.weight`, `second.weight`"),
        "{all}"
    );
    assert_eq!(both("level = 0.5"), Vec::<String>::new());
    // A global level is of all together.
    assert_eq!(
        both("level = 0.3\nscope = \"global\""),
        Vec::<String>::new()
    );
}

#[test]
fn what_a_run_does_not_come_to_is_a_warning() {
    let ramp = "params = [\"first.weight\"]\nscore = \"magnitude\"\n\
                level = { curve = \"linear\", from = 0.25, to = 0.75 }";
    let taylor = format!("{}\nbatches = 8", ramp.replace("magnitude", "taylor"));
    let lr = |keys: &str| {
        format!(
            "format = 1\n[train]\nepochs = 4\nlr = 0.1\n[lr.l]\n{keys}\n[[policy]]\nlr = \"l\"\n"
        )
    };
    let with = |table: &str| format!("format = 1\n[train]\nepochs = 4\nlr = 0.1\n{table}\n");
    let quantize = |keys: &str| with(&format!("[quantize.training]\n{keys}"));
    // Four epochs of four steps.
    let rows: Vec<(String, &[&str])> = vec![
        (of_pruner(4, ramp, "start = 0\nend = 4"), &[]),
        (
            of_pruner(4, ramp, "start = 0\nend = 6"),
            &["the run ends after 4 epochs, before the last 2 firings of `p`"],
        ),
        (
            of_pruner(4, ramp, "steps = [2, 40]"),
            &["the run ends after 16 steps, before the last 1 firings of `p`"],
        ),
        (
            of_pruner(4, ramp, "epochs = [2]"),
            &["`p` fires once, at epoch 2"],
        ),
        (
            of_pruner(4, ramp, "start = 0\nend = 4\nevery = 4"),
            &["`p` fires once, at epoch 0"],
        ),
        (
            of_pruner(4, &taylor, "epochs = [0, 3]"),
            &["`p` does not select at epoch 3: it waits for 8 batches"],
        ),
        (of_pruner(4, &taylor, "steps = [0, 7]"), &[]),
        (
            of_pruner(4, &taylor, "steps = [0, 8]"),
            &["`p` does not select at step 8"],
        ),
        // The firing at step 9 joins the wait that began at step 2.
        (of_pruner(4, &taylor, "steps = [2, 9]"), &[]),
        (
            of_pruner(4, ramp, "steps = [0, 15]\nfirst = \"next_step\""),
            &[],
        ),
        (
            of_pruner(4, ramp, "start = 0\nend = 4\nagain_every = 16"),
            &["`p` does not fire again within an epoch"],
        ),
        (
            lr("type = \"multi_step\"\nmilestones = [2, 4, 9]\ngamma = 0.1"),
            &["`lr.l`: the milestones [4, 9] are not reached"],
        ),
        (
            lr("type = \"multi_step\"\nmilestones = [2, 3]\ngamma = 0.1"),
            &[],
        ),
        (
            lr("type = \"step\"\nstep_size = 4\ngamma = 0.1"),
            &["`lr.l`: the rate never changes"],
        ),
        (
            lr("type = \"cosine\"\nt_max = 5"),
            &["`lr.l`: its end (`t_max`) is epoch 5"],
        ),
        (lr("type = \"cosine\""), &[]),
        (lr("type = \"polynomial\"\nt_max = 40"), &["is epoch 40"]),
        (
            lr("type = \"plateau\"\npatience = 4"),
            &["`lr.l`: the rate never falls"],
        ),
        (with("[thin]\nat = [2, 5]"), &["not thinned before epoch 5"]),
        (
            with("[rewind]\nat = [2, 4]"),
            &["is not rewound before epoch 4"],
        ),
        (quantize("freeze_ranges = 3"), &[]),
    ];
    each(rows, |(text, fragments)| {
        let warnings = recipe(text).warnings(4);
        assert_eq!(warnings.len(), fragments.len(), "{text}\n{warnings:?}");
        for (warning, fragment) in warnings.iter().zip(*fragments) {
            assert!(warning.contains(fragment), "{warning}");
        }
    });
    // A run that was cut short.
    let mut short = recipe(&quantize("freeze_ranges = 3\nfreeze_norms = 2"));
    short.train_mut().epochs = 2;
    assert_eq!(short.warnings(4).len(), 2, "{:?}", short.warnings(4));
}

#[test]
fn what_never_happens_in_a_run_is_refused_however_long_the_recipe_thought_it_was() {
    let with = |table: &str| format!("format = 1\n[train]\nepochs = 8\nlr = 0.1\n{table}\n");
    let taylor = "params = [\"first.weight\"]\nscore = \"taylor\"\nbatches = 9\nlevel = 0.5";
    // Sound for eight epochs of four steps, and of no effect in two.
    let rows = [
        (
            with("[rewind]\nat = [3, 5]"),
            "`rewind.at` is never reached: training has 2 epochs, 0 to 1",
        ),
        (with("[thin]\nat = [4]"), "`thin.at` is never reached"),
        (
            with("[quantize.training]\nstart = 2"),
            "`quantize.training.start` is never reached",
        ),
        (
            with("[distill]\nstart = 2"),
            "`distill.start` is never reached",
        ),
        (
            of_pruner(8, taylor, "epochs = [0]"),
            "`p` never selects: it waits for 9 batches first, but the run has 8 steps",
        ),
        (of_pruner(8, taylor, "epochs = [2]"), "`p` never fires"),
        (of_pruner(8, taylor, "steps = [8]"), "`p` never fires"),
    ];
    each(rows, |(text, message)| {
        let mut recipe = recipe(text);
        let model = Mlp::new(&device().autodiff());
        let bind = |recipe: &Recipe| {
            recipe
                .bind_for_runner(&recipe.runner_tables(), &model, None, 4)
                .map(drop)
        };
        bind(&recipe).unwrap();
        recipe.train_mut().epochs = 2;
        let error = bind(&recipe).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    });
    // What the recipe itself rules out is refused when it is read.
    let rows = [
        (
            "[quantize.training]\nstart = 8",
            "`quantize.training.start` is never reached",
        ),
        (
            "[quantize.training]\nfreeze_ranges = 8",
            "`quantize.training.freeze_ranges` is never reached",
        ),
        (
            "[quantize.training]\nfreeze_norms = 20",
            "`quantize.training.freeze_norms` is never reached",
        ),
        ("[thin]\nat = [9]", "`thin.at` is never reached"),
        ("[rewind]\nat = [8]", "`rewind.at` is never reached"),
        ("[distill]\nstart = 8", "`distill.start` is never reached"),
    ];
    each(rows, |(table, message)| {
        let error = Recipe::parse(&with(table)).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    });
}

#[test]
fn numbers_that_no_run_can_have_are_errors_and_no_panics() {
    let sound = || recipe(&of_pruner(2, &format!("{FILTERS}level = 0.5"), "end = 2"));
    let bound = |recipe: &Recipe, steps| -> Result<(), RecipeError> {
        recipe.bind(&one([4, 4]), steps).map(drop)
    };
    bound(&sound(), 1).unwrap();
    bound(&sound(), u64::MAX).unwrap();
    let error = bound(&sound(), 0).unwrap_err().to_string();
    assert!(error.contains("`steps_per_epoch` is 0"), "{error}");
    assert_eq!(sound().warnings(0), Vec::<String>::new());
    type Change = fn(&mut Recipe);
    let rows: [(Change, &str); 5] = [
        (|recipe| recipe.train_mut().epochs = 0, "`epochs` is 0"),
        (
            |recipe| recipe.train_mut().optimizer.lr = None,
            "`lr` is missing",
        ),
        (
            |recipe| recipe.train_mut().optimizer.lr = Some(f64::NAN),
            "`lr` is NaN",
        ),
        (
            |recipe| recipe.train_mut().optimizer.lr = Some(-0.1),
            "`lr` is -0.1",
        ),
        (
            |recipe| recipe.train_mut().optimizer.weight_decay = f64::INFINITY,
            "`weight_decay` is inf",
        ),
    ];
    each(rows, |(change, message)| {
        let mut recipe = sound();
        change(&mut recipe);
        let error = bound(&recipe, 4).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    });
}

#[test]
fn a_learning_rate_is_asked_for_where_none_is_written() {
    for optimizer in ["", "optimizer = \"adam\"", "optimizer = \"adamw\""] {
        let recipe = recipe(&format!("format = 1\n[train]\nepochs = 2\n{optimizer}\n"));
        let error = recipe.bind(&Mlp::new(&device().autodiff()), 4).unwrap_err();
        let problem = &error.problems()[0];
        assert_eq!(problem.line, 2, "{error}");
        assert!(
            problem.message.contains("`lr` is missing in `[train]`"),
            "{error}"
        );
    }
}

/// Four steps over constant gradients 1, 2, …, from weights of 0.5.
fn trained(optimizer: &Optimizer) -> Vec<f64> {
    let device = device().autodiff();
    let mut model = Mlp::new(&device);
    let half = model.second.weight.val().zeros_like() + 0.5;
    model.second.weight = burn::module::Param::from_tensor(half.detach());
    let mut rule = optimizer.init();
    for step in 1..5 {
        let weight = model.second.weight.val();
        let numbers = Tensor::<1, burn::tensor::Int>::arange(1..49, &device);
        let slope = numbers.float().reshape([16, 3]) / 48.0;
        let loss = (weight * slope).sum() * f64::from(step);
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        model = rule.step(optimizer.lr.unwrap(), model, gradients);
    }
    model
        .second
        .weight
        .val()
        .into_data()
        .iter::<f64>()
        .collect()
}

#[test]
fn a_recipe_names_its_optimizer_and_gets_it() {
    let rows = [
        ("momentum = 0.5\nweight_decay = 0.01", 0.01),
        ("momentum = 0.5\nnesterov = true\nweight_decay = 0.0", 0.0),
        ("optimizer = \"sgd\"\nmomentum = 0.0", 1e-4),
        ("optimizer = \"adam\"", 0.0),
        (
            "optimizer = \"adam\"\nbeta_1 = 0.5\nbeta_2 = 0.9\nepsilon = 0.1\nweight_decay = 0.1",
            0.1,
        ),
        ("optimizer = \"adamw\"", 0.01),
        (
            "optimizer = \"adamw\"\nbeta_2 = 0.9\nweight_decay = 0.3",
            0.3,
        ),
    ];
    each(rows, |(keys, decay)| {
        let recipe = recipe(&format!(
            "format = 1\n[train]\nepochs = 1\nlr = 0.125\n{keys}\n"
        ));
        let optimizer = recipe.train().optimizer;
        assert_eq!(
            (optimizer.lr, optimizer.weight_decay),
            (Some(0.125), *decay)
        );
        let found = trained(&optimizer);
        for (index, found) in found.into_iter().enumerate() {
            let slope = (index + 1) as f64 / 48.0;
            let expected = by_hand(&optimizer, slope);
            assert!(
                (found - expected).abs() < 1e-5,
                "{index}: {found}, by hand {expected}"
            );
        }
    });
}

/// PyTorch's formulas, for one weight.
fn by_hand(optimizer: &Optimizer, slope: f64) -> f64 {
    let (lr, decay) = (optimizer.lr.unwrap(), optimizer.weight_decay);
    let (mut weight, mut m, mut v) = (0.5, 0.0, 0.0);
    for step in 1..5 {
        let gradient = slope * f64::from(step);
        match optimizer.rule {
            UpdateRule::Sgd { momentum, nesterov } => {
                let gradient = gradient + decay * weight;
                m = if step == 1 {
                    gradient
                } else {
                    momentum * m + gradient
                };
                weight -= lr * if nesterov { gradient + momentum * m } else { m };
            }
            UpdateRule::Adam(betas) | UpdateRule::AdamW(betas) => {
                let decoupled = matches!(optimizer.rule, UpdateRule::AdamW(_));
                let gradient = if decoupled {
                    gradient
                } else {
                    gradient + decay * weight
                };
                if decoupled {
                    weight -= lr * decay * weight;
                }
                m = betas.beta_1 * m + (1.0 - betas.beta_1) * gradient;
                v = betas.beta_2 * v + (1.0 - betas.beta_2) * gradient * gradient;
                let (m, v) = (
                    m / (1.0 - betas.beta_1.powi(step)),
                    v / (1.0 - betas.beta_2.powi(step)),
                );
                weight -= lr * m / (v.sqrt() + betas.epsilon);
            }
            _ => unreachable!("no other rule has a name"),
        }
    }
    weight
}

#[test]
fn keys_that_have_no_effect_beside_the_others_are_refused() {
    let pruner =
        |keys: &str| of_pruner(8, &format!("params = [\"conv.weight\"]\n{keys}"), "end = 8");
    let policy = |keys: &str| {
        of_pruner(
            8,
            "params = [\"conv.weight\"]\nscore = \"l1\"\nlevel = 0.5",
            keys,
        )
    };
    let with = |table: &str| format!("format = 1\n[train]\nepochs = 8\nlr = 0.1\n{table}\n");
    let penalty = |keys: &str| {
        with(&format!(
            "[regularizer.r]\nparams = [\"conv.weight\"]\nstrength = 0.1\n{keys}\n[[policy]]\nregularizer = \"r\"\nend = 8"
        ))
    };
    let rows = [
        (
            pruner("score = \"l1\"\nthreshold = 0.1\nmultiple = 8"),
            "`multiple` needs a `level`",
        ),
        (
            pruner("score = \"l1\"\nsensitivity = 0.1\nat_least = 2"),
            "`at_least` needs a `level`",
        ),
        (
            pruner("score = \"l1\"\nn_of_m = \"2:4\"\nrounding = \"ceil\""),
            "`rounding` needs a `level`",
        ),
        (
            pruner("score = \"l1\"\nlevel = 0.5\nscope = \"global\"\nmultiple = 8"),
            "`multiple` is for a `level` of each layer",
        ),
        (
            pruner(
                "score = \"l1\"\nlevel = 0.5\nscope = \"global\"\nregrow = \"random\"\ndrop = 0.3",
            ),
            "`regrow` keeps the level of each layer constant",
        ),
        (
            pruner("score = \"l1\"\nlevel = 0.5\nscope = \"global\"\ngranularity = \"group(4)\""),
            "`group(M)` needs a `level` without a scope",
        ),
        (
            pruner("score = \"l1\"\nthreshold = 0.5\ngranularity = \"group(4)\""),
            "`group(M)` needs a `level` without a scope",
        ),
        (
            pruner("score = \"l1\"\nlevel = 0.5\nbatches = 4"),
            "`batches` is only for scores of gradients or activations",
        ),
        (
            policy("end = 8\nhold = \"shadow\"\nlifetime = \"step\"\nafter = \"hold\""),
            "nothing is left to `hold`",
        ),
        (
            penalty("type = \"l1\"\nshare = 0.5"),
            "`share` is for the types `elastic_net`, `sparse_group_lasso`",
        ),
        (
            penalty("type = \"l2\"\nsmoothing = 0.5"),
            "`smoothing` is for the types",
        ),
        (
            penalty("type = \"group_variance\"\ngranularity = \"filter\"\nscale = \"sqrt_size\""),
            "`scale` is for the types",
        ),
        (
            with("[rewind]\nat = [3]\nrestore = \"rate\""),
            "needs an `[lr.NAME]`",
        ),
        (
            with("[distill]\nteacher = 0"),
            "the teacher would have no effect",
        ),
        (
            with("[quantize.activations]\nbits = 0\n[quantize.training]\nstart = 2"),
            "leaves them in float",
        ),
        (
            with("[[quantize.layer]]\nname = \"fc\""),
            "needs at least one setting",
        ),
        (
            with("[[quantize.layer]]\nname = \"fc\"\nfloat = \"f32\"\nweight_bits = 8"),
            "a layer with `float` has no bits",
        ),
        (
            "format = 1\n[train]\nepochs = 8\nmomentum = 0\nnesterov = true\n".to_owned(),
            "`nesterov` needs a `momentum`",
        ),
        (
            "format = 1\n[train]\nepochs = 8\noptimizer = \"adam\"\nmomentum = 0.9\n".to_owned(),
            "`momentum` is for `optimizer = \"sgd\"`",
        ),
        (
            "format = 1\n[train]\nepochs = 8\nbeta_1 = 0.9\n".to_owned(),
            "`beta_1` is for `optimizer = \"adam\"`",
        ),
        (
            "format = 1\n[train]\nepochs = 8\noptimizer = \"adem\"\n".to_owned(),
            "did you mean `adam`?",
        ),
    ];
    each(rows, |(text, message)| {
        let error = Recipe::parse(text).unwrap_err().to_string();
        assert!(error.contains(message), "{error}\n{text}");
        assert_eq!(error.lines().count(), 1, "{error}\n{text}");
    });
}

#[test]
fn whole_layers_cannot_be_thinned_away() {
    let keys = "params = [\"conv.weight\"]\nscore = \"l1\"\ngranularity = \"filter\"\nlevel = 1.0";
    let text = of_pruner(4, keys, "end = 4") + "[thin]\n";
    let model = ConvNet::new(&device().autodiff());
    let bound = recipe(&text).bind_for_runner(&[RunnerTable::Thin], &model, None, 4);
    let error = bound.map(drop).unwrap_err().to_string();
    assert!(
        error.contains("`[thin]` cannot remove a whole layer"),
        "{error}"
    );
}
