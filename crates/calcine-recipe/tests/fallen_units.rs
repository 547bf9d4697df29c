//! Which units fall, score by score, against the formulas in plain loops.

use burn::module::{Module, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Tensor, TensorData};
use calcine_observe::{AtAddition, NetworkActivations};
use calcine_recipe::Recipe;
use calcine_testkit::{ConvNet, device, each, values};
use calcine_trace::trace;

use crate::graph;

/// The steps over which gradients are collected, each with a batch of its own; and the batches of activations.
const BATCHES: usize = 2;

/// Other numbers of [`values`], from a place on.
fn drawn(count: usize, from: usize) -> Vec<f32> {
    values(from + count).split_off(from)
}

/// A network with the same weights every time, and a scale of its own for each filter.
fn net() -> ConvNet {
    let device = device().autodiff();
    let mut net = ConvNet::new(&device);
    let weight = TensorData::new(values(144), [8, 2, 3, 3]);
    net.conv.weight = Param::from_tensor(Tensor::from_data(weight, &device));
    let scales = TensorData::new(drawn(8, 30), [8]);
    net.norm.gamma = Param::from_tensor(Tensor::from_data(scales, &device));
    let head = TensorData::new(drawn(32, 50), [8, 4]);
    net.head.weight = Param::from_tensor(Tensor::from_data(head, &device));
    let bias = TensorData::new(drawn(4, 90), [4]);
    net.head.bias = Some(Param::from_tensor(Tensor::from_data(bias, &device)));
    net
}

fn images(step: usize) -> Tensor<4> {
    let data = TensorData::new(drawn(8 * 72, 100 + 1000 * step), [8, 2, 6, 6]);
    Tensor::from_data(data, &device().autodiff())
}

fn loss(net: &ConvNet, images: Tensor<4>) -> Tensor<1> {
    (net.forward(images) - 1.0).powi_scalar(2).mean()
}

/// The scores that are asked of the activations of batches of their own.
const OF_ACTIVATIONS: [&str; 3] = ["apoz", "mean_activation", "wanda"];

/// The activations of each filter, in evaluation, over all samples and places: convolution, norm, relu.
fn activations() -> Vec<Vec<f64>> {
    let (weight, scales) = (values(144), drawn(8, 30));
    let mut activations = vec![Vec::new(); 8];
    for step in 0..BATCHES {
        let images = drawn(8 * 72, 100 + 1000 * step);
        for (image, filter) in (0..8).flat_map(|image| (0..8).map(move |filter| (image, filter))) {
            for (row, column) in (0..6).flat_map(|row| (0..6).map(move |column| (row, column))) {
                let mut sum = 0.0;
                for (channel, at) in (0..2).flat_map(|channel| (0..9).map(move |at| (channel, at)))
                {
                    let (y, x) = (row + at / 3, column + at % 3);
                    // The border of one is zero.
                    if (1..7).contains(&y) && (1..7).contains(&x) {
                        let pixel = images[((image * 2 + channel) * 6 + y - 1) * 6 + x - 1];
                        let weight = weight[(filter * 2 + channel) * 9 + at];
                        sum += f64::from(pixel) * f64::from(weight);
                    }
                }
                // A fresh norm has a mean of 0 and a variance of 1.
                let normed = sum / (1.0_f64 + 1e-5).sqrt() * f64::from(scales[filter]);
                activations[filter].push(normed.max(0.0));
            }
        }
    }
    activations
}

/// ‖x‖₂ of each input channel, over all samples and places.
fn input_norms() -> [f64; 2] {
    let mut squares = [0.0; 2];
    for step in 0..BATCHES {
        for (at, pixel) in drawn(8 * 72, 100 + 1000 * step).into_iter().enumerate() {
            squares[at / 36 % 2] += f64::from(pixel).powi(2);
        }
    }
    squares.map(f64::sqrt)
}

/// The elements of the convolution's weight that a recipe's one pruner keeps: nothing moves at a rate of zero.
fn kept(score: &str, granularity: &str, keys: &str, seed: u64) -> Vec<bool> {
    let text = format!(
        "format = 1\n[train]\nepochs = 1\nlr = 0.0\nseed = {seed}\n[pruner.p]\nparams = [\"conv.weight\"]\n\
         score = \"{score}\"\ngranularity = \"{granularity}\"\nlevel = 0.5\n{keys}\n\
         [[policy]]\npruner = \"p\"\nepochs = [0]\n"
    );
    let recipe = Recipe::parse(&text).unwrap_or_else(|error| panic!("{error}"));
    let mut model = net();
    let steps = BATCHES + 2;
    let mut driver = recipe
        .bind_traced(&model, &graph(&model), steps as u64)
        .unwrap_or_else(|error| panic!("{error}"));
    if OF_ACTIVATIONS.contains(&score) {
        let plain = |step| images(step).without_autodiff();
        let network = trace(&model.valid(), plain(0), |net, images| net.forward(images)).unwrap();
        let source = NetworkActivations::new(
            &network,
            (0..BATCHES).map(plain).collect(),
            AtAddition::Stop,
        );
        let source = Box::new(source.unwrap());
        driver = driver.with_activation_source(source).unwrap();
    }
    let mut optimizer = recipe.train().optimizer.init();
    for step in 0..steps {
        let pass =
            driver.forward_backward(&model, images(step), |net, images| (loss(net, images), ()));
        model = driver.step(model, &mut optimizer, pass.gradients);
    }
    let keep = driver.masks().keep("conv.weight").expect("it was pruned");
    keep.into_data().iter::<bool>().collect()
}

/// The gradients of the weight, batch by batch, without a driver.
fn gradients() -> Vec<Vec<f64>> {
    let gradient = |step: usize| {
        let net = net();
        let gradients = GradientsParams::from_grads(loss(&net, images(step)).backward(), &net);
        let gradient = gradients.get::<4>(net.conv.weight.id).expect("it trains");
        gradient.into_data().iter::<f64>().collect()
    };
    (0..BATCHES).map(gradient).collect()
}

/// The unit of each element of a weight of `[8, 2, 3, 3]`.
fn unit(granularity: &str, element: usize) -> usize {
    match granularity {
        "element" => element,
        "kernel" => element / 9,
        "filter" => element / 18,
        other => panic!("{other}"),
    }
}

/// The members of each unit: weight, and gradient in each batch.
type Members = Vec<(f64, Vec<f64>)>;

fn units(granularity: &str) -> Vec<Members> {
    let (weights, gradients) = (values(144), gradients());
    let mut units: Vec<Members> = Vec::new();
    for (element, weight) in weights.into_iter().enumerate() {
        let unit = unit(granularity, element);
        units.resize(units.len().max(unit + 1), Vec::new());
        let own = gradients.iter().map(|batch| batch[element]).collect();
        units[unit].push((f64::from(weight), own));
    }
    units
}

/// The score of each unit as the documentation of the scores has it; of gradients the mean over the batches.
fn scores(score: &str, units: &[Members]) -> Vec<f64> {
    let sum = |members: &Members, of: &dyn Fn(f64) -> f64| -> f64 {
        members.iter().map(|(weight, _)| of(*weight)).sum()
    };
    let batches = |members: &Members, of: &dyn Fn(f64, f64) -> f64, all: &dyn Fn(f64) -> f64| {
        let mut total = 0.0;
        for batch in 0..BATCHES {
            let terms = members.iter().map(|(weight, own)| of(*weight, own[batch]));
            total += all(terms.sum());
        }
        total / BATCHES as f64
    };
    let same = |x: f64| x;
    let of = |members: &Members| -> f64 {
        let count = members.len() as f64;
        match score {
            "magnitude" => sum(members, &f64::abs) / count,
            "l1" => sum(members, &f64::abs),
            "l2" => sum(members, &|w| w * w).sqrt(),
            "mean_l2" => sum(members, &|w| w * w).sqrt() / count,
            "max" => members.iter().fold(0.0, |most, (w, _)| w.abs().max(most)),
            "taylor" => batches(members, &|w, g| w * g, &f64::abs),
            "taylor_signed" => batches(members, &|w, g| w * g, &same),
            "taylor_square" => batches(members, &|w, g| w * g, &|sum| sum * sum),
            "gradient" => batches(members, &|_, g| g.abs(), &same),
            "snip" => batches(members, &|w, g| (w * g).abs(), &same),
            "movement" => batches(members, &|w, g| -w * g, &same),
            "second_order" => batches(members, &|w, g| 0.5 * w * w * g * g, &same),
            other => panic!("{other}"),
        }
    };
    let mean = |of: &dyn Fn(f64) -> f64| -> Vec<f64> {
        let means = activations().into_iter().map(|own| {
            let count = own.len() as f64;
            own.into_iter().map(of).sum::<f64>() / count
        });
        means.collect()
    };
    match score {
        "apoz" => mean(&|x| f64::from(u8::from(x > 0.0))),
        "mean_activation" => mean(&|x| x),
        "wanda" => {
            let norms = input_norms();
            let length = 144 / units.len();
            let weighted = |unit: usize, at: usize, weight: f64| {
                weight.abs() * norms[(unit * length + at) / 9 % 2]
            };
            let units = units.iter().enumerate();
            let sums = units.map(|(unit, members)| {
                let members = members.iter().enumerate();
                members
                    .map(|(at, (weight, _))| weighted(unit, at, *weight))
                    .sum()
            });
            sums.collect()
        }
        "norm_scale" => drawn(8, 30)
            .iter()
            .map(|scale| f64::from(*scale).abs())
            .collect(),
        "geometric_median" => {
            let distance = |a: &Members, b: &Members| -> f64 {
                let squares = a.iter().zip(b).map(|((a, _), (b, _))| (a - b) * (a - b));
                squares.sum::<f64>().sqrt()
            };
            let to_all = |a| units.iter().map(|b| distance(a, b)).sum();
            units.iter().map(to_all).collect()
        }
        "lamp" => {
            let squares: Vec<f64> = units.iter().map(|unit| sum(unit, &|w| w * w)).collect();
            let no_smaller = |own: f64| squares.iter().filter(|other| **other >= own).sum::<f64>();
            squares.iter().map(|own| own / no_smaller(*own)).collect()
        }
        _ => units.iter().map(of).collect(),
    }
}

#[test]
fn the_units_with_the_lowest_scores_fall() {
    let rows = [
        ("magnitude", "element", ""),
        ("magnitude", "filter", ""),
        ("l1", "filter", ""),
        ("l1", "kernel", ""),
        ("l2", "kernel", ""),
        ("mean_l2", "filter", ""),
        ("max", "kernel", ""),
        ("lamp", "element", "scope = \"global\""),
        ("geometric_median", "filter", ""),
        ("norm_scale", "filter", ""),
        ("taylor", "filter", "batches = 2"),
        ("taylor", "kernel", "batches = 2"),
        ("taylor_signed", "filter", "batches = 2"),
        ("taylor_square", "kernel", "batches = 2"),
        ("gradient", "element", "batches = 2"),
        ("snip", "filter", "batches = 2"),
        ("movement", "element", "batches = 2"),
        ("second_order", "filter", "batches = 2"),
        ("apoz", "filter", "batches = 2"),
        ("mean_activation", "filter", "batches = 2"),
        ("wanda", "element", "batches = 2"),
        ("wanda", "kernel", "batches = 2"),
    ];
    each(rows, |&(score, granularity, keys)| {
        let units = units(granularity);
        let scores = scores(score, &units);
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
        let dropped = scores.len() / 2;
        let [last, first] = [scores[order[dropped - 1]], scores[order[dropped]]];
        assert!(
            first - last > 1e-5 * first.abs(),
            "{last} and {first} are too close to tell"
        );
        let expected: Vec<bool> = (0..144)
            .map(|element| !order[..dropped].contains(&unit(granularity, element)))
            .collect();
        assert_eq!(kept(score, granularity, keys, 0), expected);
    });
}

/// A score that is drawn comes from the run's seed, and takes whole units.
#[test]
fn random_units_fall_whole_and_by_the_seed() {
    let first = kept("random", "kernel", "", 3);
    assert_eq!(first, kept("random", "kernel", "", 3));
    for kernel in first.chunks(9) {
        assert!(kernel.iter().all(|keep| *keep == kernel[0]));
    }
    assert_eq!(first.iter().filter(|keep| !**keep).count(), 72);
    assert_ne!(first, kept("random", "kernel", "", 4));
}
