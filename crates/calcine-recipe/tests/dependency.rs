//! `dependency = "auto"`: what falls together can be removed, and goes by the aggregated scores.

use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{
    BatchNorm, BatchNormConfig, GroupNorm, GroupNormConfig, LayerNorm, LayerNormConfig, Linear,
    LinearConfig, PaddingConfig2d,
};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use calcine_params::{Inventory, flat};
use calcine_recipe::Recipe;
use calcine_testkit::{device, each, numbers};
use calcine_thin::{PaddingEffect, ThinOptions, thin, thin_with};
use calcine_trace::{Network, trace};

/// A stem, a residual sum, a depthwise and a grouped convolution, a hidden layer.
#[derive(Module, Debug)]
struct Net {
    stem: Conv2d,
    norm: BatchNorm,
    inner: Conv2d,
    depthwise: Conv2d,
    grouped: Conv2d,
    hidden: Linear,
    head: Linear,
}

impl Net {
    fn new(device: &Device) -> Self {
        let conv = |from, to, groups| {
            Conv2dConfig::new([from, to], [3, 3])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .with_groups(groups)
                .init(device)
        };
        Self {
            stem: conv(2, 8, 1),
            norm: BatchNormConfig::new(8).init(device),
            inner: conv(8, 8, 1),
            depthwise: conv(8, 8, 8),
            grouped: conv(8, 12, 2),
            hidden: LinearConfig::new(12, 6).init(device),
            head: LinearConfig::new(6, 3).init(device),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let x = relu(self.norm.forward(self.stem.forward(x)));
        let x = relu(self.inner.forward(x.clone())) + x;
        let x = relu(self.depthwise.forward(x));
        let x = relu(self.grouped.forward(x));
        let x: Tensor<2> = x.mean_dim(3).mean_dim(2).flatten(1, 3);
        self.head.forward(relu(self.hidden.forward(x)))
    }
}

fn network() -> Network {
    let on_tape = device().autodiff();
    let network = trace(
        &Net::new(&on_tape).valid(),
        numbers([1, 2, 5, 5]),
        |m, x| m.forward(x),
    );
    network.unwrap().train()
}

fn recipe(pruner: &str) -> Recipe {
    let text = format!(
        "format = 1\n[train]\nepochs = 2\nlr = 0.05\nmomentum = 0.9\n[pruner.p]\n\
         dependency = \"auto\"\ngranularity = \"filter\"\n{pruner}\n[[policy]]\npruner = \"p\"\nepochs = [0]\n"
    );
    Recipe::parse(&text).unwrap_or_else(|error| panic!("{error}"))
}

/// The network after an epoch of two steps, and its thinned form.
fn pruned(recipe: &Recipe, network: &Network) -> (Network, Network, Vec<(String, usize)>) {
    // `[thin]` is carried out by the test.
    let graph = Some(network.graph());
    let mut driver = recipe
        .bind_for_runner(&recipe.runner_tables(), network, graph, 2)
        .unwrap();
    let mut optimizer = recipe.train().optimizer.init();
    let mut network = network.clone();
    // The second step is for scores that wait for gradients.
    for _ in 0..2 {
        let images = numbers([4, 2, 5, 5]).to_device(&device().autodiff());
        let pass = driver.forward_backward(&network, images, |m, x| {
            let y: Tensor<2> = m.forward(x);
            ((y - 1.0).powi_scalar(2).mean(), ())
        });
        network = driver.step(network, &mut optimizer, pass.gradients);
    }
    let network = network.valid();
    let thinned = thin(network.clone(), PaddingEffect::KeepBorder).unwrap();
    let removed = thinned.report.removed;
    let removed = removed.into_iter().map(|r| (r.parameter, r.removed));
    (network, thinned.network, removed.collect())
}

#[test]
fn what_falls_together_is_removed_and_nothing_changes() {
    let all = "params = [\"**.weight\", \"!head.weight\"]";
    let removed = |counts: [usize; 3]| -> Vec<(String, usize)> {
        let names = ["stem.weight", "grouped.weight", "hidden.weight"];
        let all = names.into_iter().map(str::to_owned).zip(counts);
        all.filter(|(_, count)| *count > 0).collect()
    };
    // 4 units of the stem and 6 of the grouped convolution, two channels each, one of either group; 6 neurons.
    let rows = [
        (
            format!("{all}\nscore = \"l1\"\nlevel = 0.5"),
            removed([2, 3, 3]),
        ),
        (
            format!("{all}\nscore = \"l2\"\naggregate = \"max\"\nlevel = 0.25"),
            removed([1, 1, 1]),
        ),
        (
            "params = [\"inner.weight\"]\nscore = \"l1\"\nlevel = 0.5".to_owned(),
            removed([2, 0, 0]),
        ),
        (
            "score = \"taylor\"\nlevel = { \"stem.weight\" = 0.25, \"hidden.weight\" = 0.5 }"
                .to_owned(),
            removed([1, 0, 3]),
        ),
    ];
    each(rows, |(pruner, expected)| {
        let (network, thinned, removed) = pruned(&recipe(pruner), &network());
        assert_eq!(removed, *expected);
        let x = numbers([3, 2, 5, 5]);
        let (before, after): (Tensor<2>, Tensor<2>) =
            (network.forward(x.clone()), thinned.forward(x));
        let difference = (before - after).abs().max().into_scalar::<f32>();
        assert!(difference <= 1e-5, "{difference}");
    });
}

/// The weakest by hand: sums of the L1 norms of the filters of all that makes a channel.
#[test]
fn the_weakest_by_aggregated_scores_fall() {
    let network = network();
    let recipe = recipe("params = [\"stem.weight\"]\nscore = \"l1\"\nlevel = 0.5");
    let inventory = Inventory::from_module(&network);
    let filters = |path: &str| -> Vec<f32> {
        let parameter = inventory.get(path).unwrap();
        let values = flat(&network, [parameter]).remove(0).into_data();
        let values: Vec<f32> = values.iter().collect();
        let each = values.len() / 8;
        values
            .chunks(each)
            .map(|filter| filter.iter().map(|w| w.abs()).sum::<f32>())
            .collect()
    };
    let (stem, inner) = (filters("stem.weight"), filters("inner.weight"));
    let axes = network.graph().axes().unwrap();
    let group = &axes.groups()[0];
    let mut scores: Vec<(f32, usize)> = group
        .units
        .iter()
        .enumerate()
        .map(|(unit, indices)| {
            let indices = &indices.indices[0];
            let sum: f32 = indices.iter().map(|&i| stem[i] + inner[i]).sum();
            (sum, unit)
        })
        .collect();
    scores.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut gone: Vec<usize> = scores[..scores.len() / 2]
        .iter()
        .flat_map(|(_, unit)| group.units[*unit].indices[0].clone())
        .collect();
    gone.sort_unstable();

    let (network, ..) = pruned(&recipe, &network);
    for path in [
        "stem.weight",
        "inner.weight",
        "norm.gamma",
        "norm.beta",
        "stem.bias",
        "depthwise.weight",
    ] {
        let inventory = Inventory::from_module(&network);
        let values = flat(&network, [inventory.get(path).unwrap()])
            .remove(0)
            .into_data();
        let values: Vec<f32> = values.iter().collect();
        let zero = |filter: &[f32]| filter.iter().all(|w| *w == 0.0);
        let each = values.len() / 8;
        let dead: Vec<usize> = (0..8)
            .filter(|&i| zero(&values[i * each..(i + 1) * each]))
            .collect();
        assert_eq!(dead, gone, "{path}");
    }
}

#[test]
fn what_cannot_be_cut_says_why() {
    let network = network();
    let rows = [
        (
            "params = [\"head.weight\"]",
            "no channels of `head.weight` can be removed",
        ),
        (
            "params = [\"stem.bias\"]",
            "`stem.bias` produces no channels",
        ),
    ];
    each(rows, |(params, expected)| {
        let recipe = recipe(&format!("{params}\nscore = \"l1\"\nlevel = 0.5"));
        let error = recipe
            .bind_traced(&network, network.graph(), 2)
            .unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    });
}

/// A group norm, a scale of each channel, learned positions, a layer norm.
#[derive(Module, Debug)]
struct Scaled {
    stem: Conv2d,
    groups: GroupNorm,
    scale: Param<Tensor<3>>,
    embed: Linear,
    positions: Param<Tensor<2>>,
    norm: LayerNorm,
    head: Linear,
}

impl Scaled {
    fn new(device: &Device) -> Self {
        let here = |tensor: Tensor<2>| tensor.to_device(device);
        Self {
            stem: Conv2dConfig::new([2, 8], [3, 3]).init(device),
            groups: GroupNormConfig::new(4, 8).init(device),
            scale: Param::from_tensor(here(numbers([8, 1])).reshape([8, 1, 1]) + 1.5),
            embed: LinearConfig::new(8, 6).init(device),
            positions: Param::from_tensor(here(numbers([9, 6]))),
            norm: LayerNormConfig::new(6).init(device),
            head: LinearConfig::new(6, 3).init(device),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let x = relu(self.groups.forward(self.stem.forward(x))) * self.scale.val().unsqueeze();
        let x: Tensor<3> = x.flatten::<3>(2, 3).swap_dims(1, 2);
        let x = self.embed.forward(x) + self.positions.val().unsqueeze();
        let x: Tensor<2> = self.norm.forward(x).mean_dim(1).flatten(1, 2);
        self.head.forward(x)
    }
}

#[test]
fn all_that_meets_a_channel_falls_with_it_and_features_of_norms_on_request() {
    let on_tape = device().autodiff();
    let network = trace(
        &Scaled::new(&on_tape).valid(),
        numbers([1, 2, 5, 5]),
        |m, x| m.forward(x),
    );
    let network = network.unwrap().train();
    let text = |params: &str, thin: &str| {
        format!("params = [\"{params}\"]\nscore = \"l1\"\nlevel = 0.5\n{thin}")
    };

    // Two of four groups of channels, with scales and shifts of the norm and of the layer.
    let (whole, thinned, removed) = pruned(&recipe(&text("stem.weight", "")), &network);
    assert_eq!(removed, [("stem.weight".to_owned(), 2)]);
    let x = numbers([3, 2, 5, 5]);
    let (before, after): (Tensor<2>, Tensor<2>) = (whole.forward(x.clone()), thinned.forward(x));
    let difference = (before - after).abs().max().into_scalar::<f32>();
    assert!(difference <= 1e-5, "{difference}");

    let pinned = recipe(&text("embed.weight", ""));
    let error = pinned
        .bind_traced(&network, network.graph(), 2)
        .unwrap_err();
    assert!(
        error.to_string().contains("takes the mean of it"),
        "{error}"
    );
    let inexact = recipe(&text("embed.weight", "[thin]\ninexact = true"));
    let (whole, ..) = pruned(&inexact, &network);
    let options = ThinOptions {
        norm_features: inexact.thinning().unwrap().norm_features(),
        ..ThinOptions::default()
    };
    let thinned = thin_with(whole, options, &[vec![numbers([3, 2, 5, 5]).into()]]).unwrap();
    assert_eq!(thinned.report.removed[0].removed, 3);
    assert_eq!(thinned.report.norms[0].after, 3);
    assert!(thinned.report.difference.unwrap().relative > 0.0);
}
