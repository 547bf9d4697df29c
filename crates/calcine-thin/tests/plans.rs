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

#[test]
fn a_plain_model_that_cannot_follow_says_which_layer() {
    let grouped = |groups| {
        Conv2dConfig::new([4, 4], [1, 1])
            .with_groups(groups)
            .init(&device())
    };
    let cut = |parameter: &str, length: usize| -> ThinningPlan {
        let cut = serde_json::json!([[{
            "parameter": parameter, "axis": 0, "length": length, "keep": [0, 2],
        }]]);
        serde_json::from_value(cut).unwrap()
    };
    let graph = |conv: &Conv2d| {
        let network = trace(conv, numbers([1, 4, 2, 2]), |m, x| m.forward(x));
        network.unwrap().graph().clone()
    };
    let conv: Conv2d = grouped(1);
    let thinned = in_place(conv.clone(), &cut("weight", 4), &graph(&conv)).unwrap();
    assert_eq!(thinned.weight.dims(), [2, 4, 1, 1]);
    let message = |conv: Conv2d, plan: &ThinningPlan| {
        let graph = graph(&conv);
        in_place(conv, plan, &graph).unwrap_err().to_string()
    };
    let untold = in_place(conv.clone(), &cut("weight", 4), &Graph::default()).unwrap_err();
    let rows = [
        (
            message(grouped(4), &cut("weight", 4)),
            "`Conv2d` (groups: 4)",
        ),
        (untold.to_string(), "`Conv2d` (groups: unknown)"),
        (
            message(conv.clone(), &cut("gamma", 4)),
            "the model has no `gamma`",
        ),
        (
            message(conv, &cut("weight", 6)),
            "`weight` is [4, 4, 1, 1]; the plan cuts its axis 0 of length 6",
        ),
    ];
    for (found, expected) in rows {
        assert!(found.contains(expected), "{found}");
    }
}
