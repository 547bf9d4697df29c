//! What a recipe needs to know of a model: norms, groups, gradients, amounts. It is known, or an error says what to do.

use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, TensorData};
use calcine_params::{Inventory, flat};
use calcine_recipe::Recipe;
use calcine_testkit::{device, each, numbers};
use calcine_trace::{Network, trace};

fn tape() -> Device {
    device().autodiff()
}

fn recipe(pruner: &str) -> Recipe {
    let text = format!(
        "format = 1\n[train]\nepochs = 1\nlr = 0.0\nmomentum = 0.0\nweight_decay = 0.0\n[pruner.p]\n{pruner}\n\
         [[policy]]\npruner = \"p\"\nepochs = [0]\n"
    );
    Recipe::parse(&text).unwrap_or_else(|error| panic!("{error}"))
}

fn conv(sides: [usize; 2]) -> Conv2d {
    Conv2dConfig::new(sides, [3, 3])
        .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
        .with_bias(false)
        .init(&tape())
}

/// A norm with these scales.
fn norm(scales: [f32; 4]) -> BatchNorm {
    let mut norm = BatchNormConfig::new(4).init(&tape());
    norm.gamma = Param::from_tensor(Tensor::from_data(TensorData::from(scales), &tape()));
    norm
}

/// Declared as in blocks of the other kind: each norm stands before the convolution that its name goes with.
#[derive(Module, Debug)]
struct PreActivation {
    conv1: Conv2d,
    bn1: BatchNorm,
    conv2: Conv2d,
    bn2: BatchNorm,
    last: Conv2d,
}

impl PreActivation {
    fn new() -> Self {
        Self {
            conv1: conv([4, 4]),
            bn1: norm([0.1, 0.2, 0.3, 0.4]),
            conv2: conv([4, 4]),
            bn2: norm([0.4, 0.3, 0.2, 0.1]),
            last: conv([4, 2]),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = self.conv1.forward(relu(self.bn1.forward(x)));
        let x = self.conv2.forward(relu(self.bn2.forward(x)));
        self.last.forward(x)
    }

    fn traced(&self) -> Network {
        trace(&self.valid(), numbers([1, 4, 5, 5]), |m, x| m.forward(x)).unwrap()
    }
}

/// Which filters of a weight of four are zero after a step.
fn fallen(recipe: &Recipe, model: PreActivation, path: &str) -> Vec<usize> {
    let network = model.traced();
    let mut driver = recipe.bind_traced(&model, network.graph(), 1).unwrap();
    let images = numbers([2, 4, 5, 5]).to_device(&tape());
    let pass = driver.forward_backward(&model, images, |m, x| (m.forward(x).mean(), ()));
    let model = driver.step(model, &mut recipe.train().optimizer.init(), pass.gradients);
    let inventory = Inventory::from_module(&model);
    let weight = flat(&model, [inventory.get(path).unwrap()]).remove(0);
    let weight: Vec<f32> = weight.into_data().iter::<f32>().collect();
    let filters = weight.chunks(weight.len() / 4).enumerate();
    let zero = filters.filter(|(_, filter)| filter.iter().all(|w| *w == 0.0));
    zero.map(|(at, _)| at).collect()
}

const SCALE: &str = "score = \"norm_scale\"\ngranularity = \"filter\"\nlevel = 0.5";
const FOLDED: &str = "score = \"l1\"\ngranularity = \"filter\"\nlevel = 0.5\nfold_norm = true";

#[test]
fn the_norm_that_follows_in_the_graph_is_the_norm_of_a_layer() {
    let scale = recipe(&format!("params = [\"conv1.weight\"]\n{SCALE}"));
    assert!(scale.needs_network());
    // Behind `conv1` is `bn2`.
    assert_eq!(fallen(&scale, PreActivation::new(), "conv1.weight"), [2, 3]);

    let mut model = PreActivation::new();
    // Equal filters, so that the folded norm decides.
    model.conv1.weight = Param::from_tensor(Tensor::ones([4, 4, 3, 3], &tape()));
    let folded = recipe(&format!("params = [\"conv1.weight\"]\n{FOLDED}"));
    assert!(folded.needs_network());
    assert_eq!(fallen(&folded, model, "conv1.weight"), [2, 3]);
}

#[test]
fn a_layer_that_no_norm_follows_has_no_scale_and_is_ranked_as_it_is() {
    let model = PreActivation::new();
    let network = model.traced();
    for path in ["conv2.weight", "last.weight"] {
        let asked = format!("params = [\"{path}\"]\n");
        let bound = recipe(&format!("{asked}{SCALE}")).bind_traced(&model, network.graph(), 1);
        let error = bound.unwrap_err().to_string();
        assert!(
            error.contains(&format!("no batch norm follows `{path}`")),
            "{error}"
        );
        recipe(&format!("{asked}{FOLDED}"))
            .bind_traced(&model, network.graph(), 1)
            .unwrap();
    }
}

#[test]
fn without_a_graph_a_norm_that_is_not_known_is_an_error_that_says_what_to_do() {
    let model = PreActivation::new();
    for keys in [SCALE, FOLDED] {
        let asked = recipe(&format!("params = [\"conv1.weight\"]\n{keys}"));
        let error = asked.bind(&model, 1).unwrap_err().to_string();
        assert!(error.contains("`conv1.weight`"), "{error}");
        assert!(error.contains("`Recipe::bind_traced`"), "{error}");
    }
    // No norm of the model has two elements.
    let folded = recipe(&format!("params = [\"last.weight\"]\n{FOLDED}"));
    folded.bind(&model, 1).unwrap();
}

/// Shapes that leave no choice: the norm has as many elements as outputs, the layer other inputs, whatever its groups.
#[derive(Module, Debug)]
struct Plain {
    conv: Conv2d,
    norm: BatchNorm,
}

#[test]
fn without_a_graph_the_epsilon_of_a_norm_that_names_and_shapes_tell_is_not_known() {
    let model = Plain {
        conv: conv([3, 4]),
        norm: norm([0.1, 0.4, 0.3, 0.2]),
    };
    let network = trace(&model.valid(), numbers([1, 3, 5, 5]), |m, x| {
        m.norm.forward(m.conv.forward(x))
    });
    let network = network.unwrap();
    for keys in [SCALE, FOLDED] {
        let asked = recipe(&format!("params = [\"conv.weight\"]\n{keys}"));
        let error = asked.bind(&model, 1).unwrap_err().to_string();
        let unknown = "the epsilon of the batch norm of `norm.gamma`, which follows `conv.weight` by its name, is not known";
        assert!(error.contains(unknown), "{error}");
        assert!(error.contains("`Recipe::bind_traced`"), "{error}");
        asked.bind_traced(&model, network.graph(), 1).unwrap();
    }
}

#[derive(Module, Debug)]
struct Grouped {
    conv: Conv2d,
    last: Conv2d,
}

#[test]
fn units_that_depend_on_groups_are_known_from_the_graph_or_refused() {
    let grouped = Conv2dConfig::new([8, 8], [3, 3]).with_groups(4);
    let model = Grouped {
        conv: grouped.init(&tape()),
        last: conv([8, 2]),
    };
    let network = trace(&model.valid(), numbers([1, 8, 5, 5]), |m, x| {
        m.last.forward(m.conv.forward(x))
    });
    let network = network.unwrap();
    let rows = [
        ("granularity = \"element\"\nlevel = 0.5", true),
        ("granularity = \"filter\"\nlevel = 0.5", true),
        ("granularity = \"kernel\"\nlevel = 0.5", true),
        ("granularity = \"channel\"\nlevel = 0.5", false),
        ("n_of_m = \"1:2\"", false),
    ];
    each(rows, |(keys, known)| {
        let asked = recipe(&format!(
            "params = [\"conv.weight\"]\nscore = \"magnitude\"\n{keys}"
        ));
        match asked.bind(&model, 1) {
            Ok(_) => assert!(known),
            Err(error) => {
                let error = error.to_string();
                assert!(
                    !known && error.contains("the groups of `conv.weight` are unknown"),
                    "{error}"
                );
            }
        }
        asked.bind_traced(&model, network.graph(), 1).unwrap();
    });
}

#[derive(Module, Debug)]
struct Transfer {
    backbone: Linear,
    head: Linear,
}

fn transfer() -> Transfer {
    let linear = || LinearConfig::new(8, 8).with_bias(false).init(&tape());
    Transfer {
        backbone: linear().no_grad(),
        head: linear(),
    }
}

#[test]
fn frozen_layers_are_refused_by_name_where_gradients_rank_and_ranked_by_their_weights() {
    let rows = [
        ("taylor", "level = 0.5", true),
        ("taylor_signed", "level = 0.5", true),
        ("taylor_square", "level = 0.5\nscope = \"global\"", true),
        ("snip", "level = 0.5\nscope = \"global\"", true),
        ("gradient", "level = 0.5", true),
        ("movement", "level = 0.5\nscope = \"global\"", true),
        ("second_order", "level = 0.5", true),
        (
            "magnitude",
            "level = 0.5\nregrow = \"gradient\"\ndrop = 0.3",
            true,
        ),
        ("magnitude", "level = 0.5\nscope = \"global\"", false),
        (
            "magnitude",
            "level = 0.5\nregrow = \"random\"\ndrop = 0.3",
            false,
        ),
        ("random", "level = 0.5", false),
    ];
    each(rows, |(score, keys, refused)| {
        for model in [transfer(), transfer().valid()] {
            let all = recipe(&format!(
                "params = [\"**.weight\"]\nscore = \"{score}\"\n{keys}"
            ));
            match all.bind(&model, 4) {
                Ok(_) => assert!(!refused),
                Err(error) => {
                    let error = error.to_string();
                    assert!(
                        *refused && error.contains("`backbone.weight` is frozen"),
                        "{error}"
                    );
                    assert!(!error.contains("`head.weight`"), "{error}");
                }
            }
            let trained = recipe(&format!(
                "params = [\"**.weight\", \"!backbone.*\"]\nscore = \"{score}\"\n{keys}"
            ));
            trained.bind(&model, 4).unwrap();
        }
    });
}

#[test]
fn penalties_of_frozen_layers_are_refused_by_name() {
    for apply in ["gradient", "loss", "proximal"] {
        let bound = |params: &str| {
            let text = format!(
                "format = 1\n[train]\nepochs = 1\nlr = 0.1\n[regularizer.r]\ntype = \"l1\"\nstrength = 0.1\n\
                 params = {params}\napply = \"{apply}\"\n[[policy]]\nregularizer = \"r\"\nstart = 0\nend = 1\n"
            );
            let recipe = Recipe::parse(&text).unwrap_or_else(|error| panic!("{error}"));
            recipe.bind(&transfer(), 4).map(drop)
        };
        let error = bound("[\"**.weight\"]").unwrap_err().to_string();
        assert!(error.contains("`backbone.weight` is frozen"), "{error}");
        assert!(!error.contains("`head.weight`"), "{error}");
        bound("[\"**.weight\", \"!backbone.weight\"]").unwrap();
    }
}

#[derive(Module, Debug)]
struct Branches {
    stem: Conv2d,
    inner: Conv2d,
    last: Conv2d,
}

#[test]
fn two_amounts_for_channels_that_are_cut_together_are_refused() {
    let model = Branches {
        stem: conv([2, 8]),
        inner: conv([8, 8]),
        last: conv([8, 2]),
    };
    let network = trace(&model.valid(), numbers([1, 2, 5, 5]), |m, x| {
        let x = relu(m.stem.forward(x));
        m.last.forward(relu(m.inner.forward(x.clone())) + x)
    });
    let network = network.unwrap();
    let keys = "dependency = \"auto\"\ngranularity = \"filter\"\nscore = \"l1\"\n";
    let curve = |to: f64| format!("{{ curve = \"cubic\", from = 0.0, to = {to} }}");
    let rows = [
        ("0.25".to_owned(), "0.75".to_owned(), false),
        ("0.75".to_owned(), "0.25".to_owned(), false),
        (curve(0.5), curve(0.6), false),
        (curve(0.5), "0.5".to_owned(), false),
        ("0.5".to_owned(), "0.5".to_owned(), true),
        (curve(0.5), curve(0.5), true),
    ];
    each(rows, |(stem, inner, fits)| {
        let level = format!("level = {{ \"stem.weight\" = {stem}, \"inner.weight\" = {inner} }}");
        let bound = recipe(&format!("{keys}{level}")).bind_traced(&model, network.graph(), 1);
        match bound {
            Ok(_) => assert!(fits),
            Err(error) => {
                let error = error.to_string();
                assert!(
                    !fits && error.contains("already have another amount"),
                    "{error}"
                );
                assert!(
                    error.contains("`stem.weight`") && error.contains("`inner.weight`"),
                    "{error}"
                );
            }
        }
    });
}

#[test]
fn a_parameter_in_two_groups_is_refused() {
    let model = transfer();
    let shared = recipe(
        "groups = [[\"backbone.weight\", \"head.weight\"], [\"head.weight\"]]\naggregate = \"sum\"\n\
         score = \"magnitude\"\nlevel = 0.5",
    );
    let error = shared.bind(&model, 1).unwrap_err().to_string();
    assert!(error.contains("`head.weight` is in two groups"), "{error}");
}

/// A weight under two names.
#[derive(Module, Debug)]
struct Tied {
    embedding: Param<Tensor<2>>,
    head: Param<Tensor<2>>,
}

#[test]
fn either_name_of_a_tied_weight_names_it_and_both_uses_are_masked() {
    for name in ["embedding", "head", "he*"] {
        let values = TensorData::new(calcine_testkit::values(24), [6, 4]);
        let embedding = Param::from_tensor(Tensor::from_data(values, &tape()));
        let mut model = Tied {
            head: embedding.clone(),
            embedding,
        };
        let asked = recipe(&format!(
            "params = [\"{name}\"]\nscore = \"magnitude\"\nlevel = 0.5"
        ));
        let mut driver = asked
            .bind(&model, 2)
            .unwrap_or_else(|error| panic!("{error}"));
        let mut optimizer = asked.train().optimizer.init();
        for _ in 0..3 {
            let pass = driver.forward_backward(&model, (), |m, ()| {
                let product = m.embedding.val().matmul(m.head.val().transpose());
                (product.mean(), ())
            });
            model = driver.step(model, &mut optimizer, pass.gradients);
        }
        let zeros = [&model.embedding, &model.head].map(|weight| {
            let weight = weight.val().into_data();
            weight.iter::<f32>().map(|w| w == 0.0).collect::<Vec<_>>()
        });
        assert_eq!(zeros[0], zeros[1]);
        assert_eq!(zeros[0].iter().filter(|zero| **zero).count(), 12);
        for name in ["embedding", "head"] {
            assert!(driver.masks().keep(name).is_some());
        }
    }
}
