use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::Tensor;
use calcine_criteria::Aggregation;
use calcine_criteria::Norm;
use calcine_graph::{Graph, Role, ThinningPlan};
use calcine_testkit::device;
use calcine_thin::{ChannelSelection, PaddingEffect, apply, in_place, thin, zero_out_channels};
use calcine_trace::{Network, trace};

use crate::random::{End, Kind, Net};
use crate::{difference, numbers};

fn residual() -> Network {
    let kinds = [Kind::Residual { hidden: 6 }, Kind::Projected { width: 5 }];
    let (net, _) = Net::new(&kinds, End::Mean, 3, &device());
    trace(&net, numbers([1, 3, 8, 8]), |m, x| m.forward(x)).unwrap()
}

/// The L1 norms of an output's weights, by hand.
fn norms(network: &Network, path: &str, outputs: usize) -> Vec<f64> {
    let bytes = network.to_bytes().unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let data = file.tensor(path).unwrap().data().as_chunks::<4>().0;
    let values: Vec<f64> = data
        .iter()
        .map(|b| f64::from(f32::from_le_bytes(*b)).abs())
        .collect();
    values
        .chunks(values.len() / outputs)
        .map(|row| row.iter().sum())
        .collect()
}

#[test]
fn a_group_s_channels_go_by_the_joined_scores_of_all_that_make_them() {
    let network = residual();
    let axes = network.graph().axes().unwrap();
    let stream = axes.groups_of("stem.weight", 0)[0];
    let producers: Vec<&str> = axes.groups()[stream]
        .of_role(Role::Output)
        .map(|(_, m)| m.path.as_str())
        .collect();
    assert_eq!(producers, ["stem.weight", "stages.0.layers.1.conv.weight"]);
    let [stem, branch] = [producers[0], producers[1]].map(|path| norms(&network, path, 4));
    for (aggregation, join) in [
        (Aggregation::Sum, (|a, b| a + b) as fn(f64, f64) -> f64),
        (Aggregation::Mean, |a, b| (a + b) / 2.0),
        (Aggregation::Max, f64::max),
        (Aggregation::First, |a, _| a),
    ] {
        let joined: Vec<f64> = stem
            .iter()
            .zip(&branch)
            .map(|(&a, &b)| join(a, b))
            .collect();
        let choice = ChannelSelection {
            aggregation,
            ..ChannelSelection::new(0.5)
        };
        let takes = |paths: &[&str]| paths.contains(&"stem.weight");
        let chosen = choice.units(&network, &axes, &Norm::L1, takes);
        let mut expected: Vec<usize> = (0..4).collect();
        expected.sort_by(|&a, &b| joined[a].total_cmp(&joined[b]));
        expected.truncate(2);
        expected.sort_unstable();
        assert_eq!(
            chosen.iter().map(|id| id.unit).collect::<Vec<_>>(),
            expected,
            "{aggregation:?}"
        );
        assert!(chosen.iter().all(|id| id.group == stream));
    }
}

#[test]
fn what_stays_is_a_multiple_on_request() {
    let network = residual();
    let axes = network.graph().axes().unwrap();
    let choice = ChannelSelection {
        multiple: 4,
        ..ChannelSelection::new(0.5)
    };
    let units = choice.units(&network, &axes, &Norm::L1, |_| true);
    for (position, group) in axes.groups().iter().enumerate() {
        let gone = units.iter().filter(|id| id.group == position).count();
        let left = group.units.len() - gone;
        assert!(
            left % 4 == 0 || gone == 0,
            "{left} of {}",
            group.units.len()
        );
    }
}

/// A checkpoint of the thinned network fits the plan's other half: the full network, thinned by the plan.
#[test]
fn a_plan_makes_room_for_the_thinned_network_s_record() {
    let network = residual();
    let axes = network.graph().axes().unwrap();
    let units = ChannelSelection::new(0.5).units(&network, &axes, &Norm::L2, |_| true);
    let silent = zero_out_channels(network, &axes, units).unwrap();
    let thinned = thin(silent, PaddingEffect::KeepBorder).unwrap();
    let json = serde_json::to_string(&thinned.plan).unwrap();
    let plan = serde_json::from_str(&json).unwrap();

    let fresh = apply(residual(), &plan).unwrap();
    let loaded = fresh.load_record(thinned.network.clone().into_record());
    let x = numbers([2, 3, 8, 8]);
    let (a, b): (Tensor<2>, Tensor<2>) = (thinned.network.forward(x.clone()), loaded.forward(x));
    assert_eq!(difference(&a, &b), 0.0);
}

/// Two convolutions, one after the other.
#[derive(Module, Debug)]
struct Pair {
    first: Conv2d,
    second: Conv2d,
}

impl Pair {
    fn new(groups: usize) -> Self {
        let first = Conv2dConfig::new([4, 4], [1, 1]).with_groups(groups);
        let second = Conv2dConfig::new([4, 3], [1, 1]);
        let (first, second) = (first.init(&device()), second.init(&device()));
        Self { first, second }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.second.forward(self.first.forward(x))
    }
}

/// The graph of a model whose code has something between the two convolutions.
fn graph_of(pair: &Pair, between: impl Fn(Tensor<4>) -> Tensor<4> + Clone) -> Graph {
    let forward = |pair: &Pair, x| pair.second.forward(between(pair.first.forward(x)));
    let network = trace(pair, numbers([1, 4, 2, 2]), forward);
    network.unwrap().graph().clone()
}

/// The plan that keeps two of the outputs of a pair's first layer.
fn half(parameter: &str, length: usize) -> ThinningPlan {
    let plan = serde_json::json!([[
        { "parameter": parameter, "axis": 0, "length": length, "keep": [0, 2] },
        { "parameter": "first.bias", "axis": 0, "length": 4, "keep": [0, 2] },
        { "parameter": "second.weight", "axis": 1, "length": 4, "keep": [0, 2] },
    ]]);
    serde_json::from_value(plan).unwrap()
}

#[test]
fn a_plain_model_that_cannot_follow_says_which_layer() {
    let plan = half("first.weight", 4);
    let message = |pair: Pair, plan: &ThinningPlan| {
        let graph = graph_of(&pair, |x| x);
        in_place(pair, plan, &graph).unwrap_err().to_string()
    };
    let graph = graph_of(&Pair::new(1), |x| x);
    let thinned = in_place(Pair::new(1), &plan, &graph).unwrap();
    assert_eq!(thinned.first.weight.dims(), [2, 4, 1, 1]);
    assert_eq!(thinned.forward(numbers([2, 4, 3, 3])).dims(), [2, 3, 3, 3]);
    let untold = in_place(Pair::new(1), &plan, &Graph::default()).unwrap_err();
    let one_alone: ThinningPlan = serde_json::from_str(
        r#"[[{ "parameter": "first.weight", "axis": 0, "length": 4, "keep": [0, 2] }]]"#,
    )
    .unwrap();
    let rows = [
        (message(Pair::new(4), &plan), "`Conv2d` (groups: 4)"),
        (untold.to_string(), "`Conv2d` (groups: unknown)"),
        (
            message(Pair::new(1), &half("gamma", 4)),
            "the model has no `gamma`",
        ),
        (
            message(Pair::new(1), &half("first.weight", 6)),
            "`first.weight` is [4, 4, 1, 1]; the plan cuts its axis 0 of length 6",
        ),
        (
            message(Pair::new(1), &one_alone),
            "first.weight goes, but index 1 of axis 0 of first.bias stays",
        ),
    ];
    for (found, expected) in rows {
        assert!(found.contains(expected), "{found}");
    }
}

/// Numbers of channels in the code of a model are out of a plan's reach. Without the refusal, the channels that a padding adds would
/// stand at other places than in the thinned network.
#[test]
fn a_plain_model_whose_code_has_numbers_of_channels_is_refused() {
    let plan = half("first.weight", 4);
    let refused = |between: fn(Tensor<4>) -> Tensor<4>| {
        let pair = Pair::new(1);
        let graph = graph_of(&pair, between);
        in_place(pair, &plan, &graph).map_err(|error| error.to_string())
    };
    let scaled = |x: Tensor<4>| {
        let factors = Tensor::from_floats([1.0, 2.0, 3.0, 4.0], &x.device());
        x * Tensor::<1>::reshape(factors, [1, 4, 1, 1])
    };
    let rows: [(&str, fn(Tensor<4>) -> Tensor<4>, Option<&str>); 3] = [
        ("no number", |x| burn::tensor::activation::relu(x), None),
        ("a constant of each channel", scaled, Some("constant")),
        (
            "a part of the channels",
            |x| Tensor::cat(vec![x.clone().narrow(1, 2, 2), x.narrow(1, 0, 2)], 1),
            Some("slice"),
        ),
    ];
    for (name, between, expected) in rows {
        match (refused(between), expected) {
            (Ok(_), None) => {}
            (Err(found), Some(expected)) => assert!(
                found.starts_with(&format!("the plan changes the {expected} ")),
                "{name}: {found}"
            ),
            (found, _) => panic!("{name}: {:?}", found.map(|_| ())),
        }
    }
}
