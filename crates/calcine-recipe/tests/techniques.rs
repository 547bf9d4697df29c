//! Every way to select, to hold and to penalize, from the file to the masks.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::{Tensor, TensorData};
use calcine_params::{Inventory, flat};
use calcine_recipe::Recipe;
use calcine_testkit::{ConvNet, device, each, values};

use crate::graph;

/// The share of zeros that the last forward pass sees in a weight, after six epochs of two steps.
fn zeros(keys: &str, policy: &str, path: &str) -> f64 {
    let text =
        format!("format = 1\n[train]\nepochs = 6\nlr = 0.05\n{keys}\n[[policy]]\n{policy}\n");
    let recipe = Recipe::parse(&text).unwrap_or_else(|error| panic!("{error}"));
    let model = ConvNet::new(&device().autodiff());
    let mut driver = recipe
        .bind_traced(&model, &graph(&model), 2)
        .unwrap_or_else(|error| panic!("{error}"));
    let mut optimizer = recipe.train().optimizer.init();
    let mut model = model.valid().train();
    let input = TensorData::new(values(8 * 72), [8, 2, 6, 6]);
    for _ in 0..12 {
        let images = Tensor::<4>::from_data(input.clone(), &device().autodiff());
        let pass = driver.forward_backward(&model, images, |model, images| {
            ((model.forward(images) - 1.0).powi_scalar(2).mean(), ())
        });
        model = driver.step(model, &mut optimizer, pass.gradients);
    }
    let seen = driver.masked_model(&model);
    let inventory = Inventory::from_module(&seen);
    let weight = flat(&seen, [inventory.get(path).unwrap()]).remove(0);
    let values: Vec<f32> = weight.into_data().iter::<f32>().collect();
    values.iter().filter(|x| **x == 0.0).count() as f64 / values.len() as f64
}

#[test]
fn each_way_to_select_comes_to_its_level() {
    let conv = "params = [\"conv.weight\"]\n";
    let window = "start = 1\nend = 5";
    // Of 144 weights in 8 filters of 2 × 3 × 3.
    let rows: [(&str, String, f64); 20] = [
        (
            "taylor",
            "granularity = \"filter\"\nlevel = 0.5\nbatches = 2".to_owned(),
            0.5,
        ),
        (
            "taylor_signed",
            "granularity = \"filter\"\nlevel = 0.25".to_owned(),
            0.25,
        ),
        (
            "taylor_square",
            "granularity = \"kernel\"\nlevel = 0.5".to_owned(),
            0.5,
        ),
        ("gradient", "level = 0.75".to_owned(), 0.75),
        ("snip", "level = 0.5\nbatches = 3".to_owned(), 0.5),
        ("movement", "level = 0.5".to_owned(), 0.5),
        ("second_order", "level = 0.25\nbatches = 2".to_owned(), 0.25),
        (
            "norm_scale",
            "granularity = \"filter\"\nlevel = 0.5".to_owned(),
            0.5,
        ),
        (
            "geometric_median",
            "granularity = \"filter\"\nlevel = 0.5".to_owned(),
            0.5,
        ),
        ("lamp", "level = 0.5\nscope = \"global\"".to_owned(), 0.5),
        (
            "random",
            "granularity = \"channel\"\nlevel = 0.5".to_owned(),
            0.5,
        ),
        (
            "mean_l2",
            "granularity = \"filter\"\nlevel = 0.5\nnoise = 0.5".to_owned(),
            0.5,
        ),
        (
            "l1",
            "granularity = \"filter\"\nlevel = 0.5\nfold_norm = true".to_owned(),
            0.5,
        ),
        ("magnitude", "n_of_m = \"1:2\"".to_owned(), 0.5),
        (
            "magnitude",
            "granularity = \"group(2)\"\nlevel = { curve = \"linear\", from = 0, to = 0.5 }"
                .to_owned(),
            0.5,
        ),
        (
            "l1",
            "granularity = \"filter\"\nlevel = 0.99".to_owned(),
            0.875,
        ),
        (
            "l1",
            "granularity = \"filter\"\nlevel = 0.99\nat_least = 0.5".to_owned(),
            0.5,
        ),
        (
            "l1",
            "granularity = \"filter\"\nlevel = 0.7\nmultiple = 4".to_owned(),
            0.5,
        ),
        (
            "l1",
            "granularity = \"filter\"\nlevel = { range = [0.5, 0.6] }".to_owned(),
            0.5,
        ),
        (
            "magnitude",
            "level = 0.75\nregrow = \"gradient\"\ndrop = 0.3".to_owned(),
            0.75,
        ),
    ];
    each(rows, |(score, keys, expected)| {
        let keys = format!("[pruner.p]\n{conv}score = \"{score}\"\n{keys}");
        let found = zeros(&keys, &format!("pruner = \"p\"\n{window}"), "conv.weight");
        assert!(
            (found - expected).abs() < 1e-9,
            "{found}, expected {expected}"
        );
    });
}

#[test]
fn masks_live_and_hold_as_the_policy_says() {
    let pruner = "[pruner.p]\nparams = [\"conv.weight\"]\nscore = \"magnitude\"\nlevel = 0.5";
    let bernoulli = "[pruner.p]\nparams = [\"conv.weight\"]\nscore = \"random\"\ngranularity = \"filter\"\n\
                bernoulli = 0.5";
    let surgery = "[pruner.p]\nscore = \"magnitude\"\nlow = 1\nhigh = 1\ngrowth = 0.1\n\
                   hysteresis = { \"conv.weight\" = 0.0 }";
    let rows = [
        (pruner, "end = 5", 0.5..=0.5),
        (pruner, "end = 5\nafter = \"release\"", 0.0..=0.0),
        (
            pruner,
            "end = 6\nhold = \"shadow\"\nafter = \"hold\"",
            0.5..=0.5,
        ),
        (pruner, "end = 5\nhold = \"forward\"", 0.0..=0.0),
        (
            pruner,
            "end = 6\nagain_every = 1\nmask_gradients = true",
            0.5..=0.5,
        ),
        (pruner, "end = 6\nfirst = \"next_step\"", 0.5..=0.5),
        (
            bernoulli,
            "end = 6\nlifetime = \"step\"\nhold = \"shadow\"",
            0.0..=0.0,
        ),
        (
            surgery,
            "end = 6\nagain_every = 1\nhold = \"shadow\"\nafter = \"hold\"",
            0.3..=0.8,
        ),
    ];
    each(rows, |(keys, policy, expected)| {
        let found = zeros(
            keys,
            &format!("pruner = \"p\"\nstart = 0\n{policy}"),
            "conv.weight",
        );
        assert!(expected.contains(&found), "{found}, expected {expected:?}");
    });
}

#[test]
fn groups_fall_together() {
    // The convolution's filters and the classifier's inputs: 8 and 8.
    let keys = "[pruner.p]\nscore = \"magnitude\"\nlevel = 0.5\ngranularity = \"layer\"\n\
                aggregate = \"max\"\nparams = [\"conv.weight\", \"head.weight\"]\n";
    let at = |level: &str| keys.replace("0.5", level);
    let found = zeros(&at("1.0"), "pruner = \"p\"\nend = 3", "head.weight");
    assert_eq!(found, 1.0, "both are one unit each");
}

#[derive(Module, Debug)]
struct Branches {
    early: Linear,
    late: Linear,
}

/// Which of four outputs each layer keeps at half, where one layer's outputs grow and the other's shrink.
fn kept(keys: &str) -> [Vec<bool>; 2] {
    let device = device().autodiff();
    let layer = |outputs: [f32; 4]| {
        let weight = Tensor::from_data([outputs, outputs, outputs, outputs], &device);
        Linear {
            weight: Param::from_tensor(weight),
            bias: None,
        }
    };
    let model = Branches {
        early: layer([1.0, 2.0, 3.0, 4.0]),
        late: layer([4.0, 3.0, 2.0, 1.0]),
    };
    let text = format!(
        "format = 1\n[train]\nepochs = 1\nlr = 0.1\n[pruner.p]\nscore = \"l1\"\n\
         granularity = \"fc_output\"\nlevel = 0.5\n{keys}\n[[policy]]\npruner = \"p\"\nepochs = [0]\n"
    );
    let recipe = Recipe::parse(&text).unwrap_or_else(|error| panic!("{error}"));
    let mut driver = recipe
        .bind(&model, 1)
        .unwrap_or_else(|error| panic!("{error}"));
    let input = Tensor::<2>::from_data([[1.0; 4]], &device);
    driver.forward_backward(&model, input, |model, input| {
        let sum = model.early.forward(input.clone()) + model.late.forward(input);
        (sum.mean(), ())
    });
    ["early.weight", "late.weight"].map(|path| match driver.masks().keep(path) {
        Some(keep) => keep.into_data().iter::<bool>().take(4).collect(),
        None => vec![true; 4],
    })
}

#[test]
fn the_group_root_is_the_first_of_the_recipes_list() {
    let [grows, shrinks] = [[false, false, true, true], [true, true, false, false]];
    let rows = [
        (r#"["early.weight", "late.weight"]"#, grows),
        (r#"["late.weight", "early.weight"]"#, shrinks),
        (r#"["late.*", "*.weight"]"#, shrinks),
        (r#"["*.weight"]"#, grows),
        (r#"["early.*", "late.*", "!early.*", "early.*"]"#, grows),
    ];
    each(rows, |(list, expected)| {
        let both = [expected.to_vec(), expected.to_vec()];
        assert_eq!(
            kept(&format!("aggregate = \"first\"\nparams = {list}")),
            both
        );
        let grouped = kept(&format!("aggregate = \"first\"\ngroups = [{list}]"));
        assert_eq!(grouped, both);
    });
    // The first may be gone again.
    let found = kept("aggregate = \"first\"\nparams = [\"early.*\", \"late.*\", \"!early.*\"]");
    assert_eq!(found, [vec![true; 4], shrinks.to_vec()]);
}

#[test]
fn each_regularizer_trains_and_thresholds_leave_zeros() {
    let conv = "params = [\"conv.weight\"]\ngranularity = \"filter\"\n";
    let rows = [
        "type = \"l1\"\nstrength = 0.01\napply = \"proximal\"",
        "type = \"l2\"\nstrength = { curve = \"linear\", from = 0, to = 0.1 }",
        "type = \"elastic_net\"\nstrength = 0.1\nshare = 0.3",
        "type = \"group_lasso\"\nstrength = 0.1\nscale = \"sqrt_size\"\napply = \"loss\"",
        "type = \"sparse_group_lasso\"\nstrength = 0.1\nshare = 0.5",
        "type = \"group_variance\"\nstrength = 1e-4\nsmoothing = 1e-8",
        "type = \"l2\"\nstrength = 0.5\nweakest = { score = \"l1\", level = 0.5 }",
    ];
    each(rows, |keys| {
        let threshold = "threshold = \"max\"\nthreshold_at = 0.2";
        let keys = format!("[regularizer.r]\n{conv}{keys}\n{threshold}");
        let policy = "regularizer = \"r\"\nend = 5\nafter = \"hold\"";
        let found = zeros(&keys, policy, "conv.weight");
        assert!((0.0..=1.0).contains(&found));
        let all = keys.replace("threshold_at = 0.2", "threshold_at = 9.0");
        assert_eq!(zeros(&all, policy, "conv.weight"), 1.0);
    });
}

#[test]
fn a_rewind_keeps_the_masks() {
    let keys = "[pruner.p]\nparams = [\"*.weight\"]\nscore = \"magnitude\"\nlevel = 0.5\n\
                [rewind]\nto = 1\nat = [3]\n";
    assert_eq!(
        zeros(keys, "pruner = \"p\"\nepochs = [3]", "conv.weight"),
        0.5
    );
}

#[test]
fn what_is_to_be_refitted_is_said_to_the_driver() {
    let rows = [
        ("reconstruct = true", Some((10, Some(8)))),
        (
            "reconstruct = { positions = 4, batches = \"all\" }",
            Some((4, None)),
        ),
        ("reconstruct = { batches = 3 }", Some((10, Some(3)))),
        ("reconstruct = false", None),
    ];
    each(rows, |(key, expected)| {
        let text = format!(
            "format = 1\n[train]\nepochs = 2\nlr = 0.1\n[pruner.p]\nparams = [\"conv.weight\"]\nscore = \"l1\"\n\
             granularity = \"channel\"\nlevel = 0.5\n{key}\n[[policy]]\npruner = \"p\"\nend = 1\n"
        );
        let recipe = Recipe::parse(&text).unwrap_or_else(|error| panic!("{error}"));
        let model = ConvNet::new(&device());
        let driver = recipe.bind_traced(&model, &graph(&model), 2);
        let driver = driver.unwrap_or_else(|error| panic!("{error}"));
        let wanted = driver.reconstructions();
        let found = wanted
            .first()
            .map(|wanted| (wanted.positions, wanted.batches));
        assert_eq!(found, *expected);
        assert!(
            wanted
                .iter()
                .all(|wanted| wanted.weights == ["conv.weight"])
        );
    });
}
