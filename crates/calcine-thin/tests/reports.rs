//! What the report says of what stays, and of what was not exact.

use burn::tensor::Tensor;
use burn::tensor::activation::{relu, sigmoid};
use calcine_criteria::Norm;
use calcine_graph::{NormFeatures, ThinningPlan, UnitId};
use calcine_testkit::device;
use calcine_thin::{
    ChannelSelection, KeptZeros, PaddingEffect, ThinOptions, apply, thin, thin_with,
    zero_out_channels,
};
use calcine_trace::{AnyTensor, Network, NetworkTensor};

use crate::numbers;
use crate::parts::{Case, Parts, case};

/// Zeroes outputs of a weight, and nothing else: what a mask of filters does.
fn masked(network: &Network, path: &str, axis: usize, outputs: &[usize]) -> Network {
    let graph = network.graph().clone();
    let mut change = |which: NetworkTensor<'_>, tensor: AnyTensor| {
        if which != NetworkTensor::Parameter(path) {
            return tensor;
        }
        let mut keep = vec![1.0_f32; tensor.shape()[axis]];
        outputs.iter().for_each(|&output| keep[output] = 0.0);
        tensor.scaled(axis, Tensor::from_floats(keep.as_slice(), &device()))
    };
    network
        .clone()
        .rewritten(graph, &mut change, vec![])
        .unwrap()
}

fn listed(
    case: &Case,
    path: &str,
    axis: usize,
    outputs: &[usize],
    padding_effect: PaddingEffect,
) -> Vec<KeptZeros> {
    let masked = masked(&case.network, path, axis, outputs);
    let report = thin(masked, padding_effect).unwrap().report;
    let text = report.to_string();
    for kept in &report.kept {
        let line = format!("{} of {} are zero and stay", kept.zeros, kept.length);
        assert!(text.contains(&line), "{text}");
    }
    report.kept
}

#[test]
fn outputs_that_are_zero_and_stay_are_listed_with_the_node_that_needs_them() {
    let softmax = case(&Parts::none().linears(&[[5, 8], [8, 3]]), [1, 5], |m, x| {
        let e = m.linears[0].forward(x).exp();
        m.linears[1].forward(e.clone() / e.sum_dim(1))
    });
    let padded = case(
        &Parts::none().convs(&[[2, 8, 3, 1], [8, 3, 3, 1]]),
        [1, 2, 5, 5],
        |m, x| m.convs[1].forward(sigmoid(m.convs[0].forward(x))),
    );
    let residual = case(
        &Parts::none().convs(&[[2, 8, 1, 1], [8, 8, 1, 1], [8, 3, 1, 1]]),
        [1, 2, 5, 5],
        |m, x| {
            let x = m.convs[0].forward(x);
            m.convs[2].forward(relu(x.clone() + m.convs[1].forward(x)))
        },
    );
    let grouped = case(
        &Parts::none().convs(&[[2, 8, 1, 1], [8, 8, 1, 2], [8, 3, 1, 1]]),
        [1, 2, 5, 5],
        |m, x| m.convs[2].forward(relu(m.convs[1].forward(relu(m.convs[0].forward(x))))),
    );
    let (a, b) = ("linears.0.weight", "convs.0.weight");
    let rows: Vec<(&str, Vec<KeptZeros>, usize, Option<&str>, &str)> = vec![
        (
            "pinned",
            listed(&softmax, a, 1, &[0, 3], PaddingEffect::DropBorder),
            2,
            Some("sum"),
            "`sum` at ",
        ),
        (
            "the network's output",
            listed(
                &softmax,
                "linears.1.weight",
                1,
                &[2],
                PaddingEffect::DropBorder,
            ),
            1,
            None,
            "the network's output",
        ),
        (
            "a constant at a padded border",
            listed(&padded, b, 0, &[1, 2, 5], PaddingEffect::KeepBorder),
            3,
            Some("convs.1"),
            "zero padding",
        ),
        (
            "made twice",
            listed(&residual, b, 0, &[7], PaddingEffect::DropBorder),
            1,
            Some("convs.2"),
            "`convs.1.weight` makes the same channel",
        ),
        (
            "part of a unit",
            listed(&grouped, b, 0, &[2], PaddingEffect::DropBorder),
            1,
            Some("convs.1"),
            "it goes only with others",
        ),
        (
            "all",
            listed(
                &padded,
                b,
                0,
                &[0, 1, 2, 3, 4, 5, 6, 7],
                PaddingEffect::DropBorder,
            ),
            1,
            None,
            "something has to stay",
        ),
    ];
    for (name, kept, zeros, node, reason) in rows {
        let [kept] =
            <[KeptZeros; 1]>::try_from(kept).unwrap_or_else(|all| panic!("{name}: {all:?}"));
        assert_eq!(kept.zeros, zeros, "{name}");
        let needed_by = kept.needed_by.as_deref();
        assert_eq!(needed_by.is_some(), node.is_some(), "{name}: {kept:?}");
        let ends = needed_by
            .zip(node)
            .is_none_or(|(found, node)| found.ends_with(node));
        assert!(ends, "{name}: {kept:?}");
        assert!(kept.reason.contains(reason), "{name}: {}", kept.reason);
    }
    // What goes is not listed.
    assert_eq!(
        listed(&padded, b, 0, &[1, 2], PaddingEffect::DropBorder),
        []
    );
}

/// Two blocks of a transformer's feed-forward half, with a norm before each and behind the last.
fn blocks(root: bool) -> Case {
    let parts = Parts::none()
        .linears(&[[6, 8], [8, 16], [16, 8], [8, 16], [16, 8], [8, 3]])
        .matrices(&[[5, 8]])
        .norms(3, 8);
    let norm = move |m: &Parts, at: usize, x: Tensor<3>| {
        if root {
            m.roots[at].forward(x)
        } else {
            m.norms[at].forward(x)
        }
    };
    case(&parts, [1, 5, 6], move |m, x| {
        let mut x = m.linears[0].forward(x) + m.matrices[0].val().unsqueeze();
        for block in [1, 3] {
            let hidden = relu(m.linears[block].forward(norm(m, block / 2, x.clone())));
            x = x + m.linears[block + 1].forward(hidden);
        }
        m.linears[5].forward(norm(m, 2, x))
    })
}

#[test]
fn features_of_norms_go_if_asked_for_and_the_difference_is_measured() {
    for root in [false, true] {
        let case = blocks(root);
        let pinned = case.units_of("linears.0.weight", 1, NormFeatures::Pinned);
        assert!(pinned.is_empty(), "root: {root}");
        let removable = case.units_of("linears.0.weight", 1, NormFeatures::Removable);
        assert_eq!(removable, [8], "root: {root}");

        let axes = case
            .network
            .graph()
            .axes_with(NormFeatures::Removable)
            .unwrap();
        let units = ChannelSelection::new(0.25).units(&case.network, &axes, &Norm::L1, |paths| {
            paths.contains(&"linears.0.weight")
        });
        assert_eq!(units.len(), 2);
        let silent = zero_out_channels(case.network.clone(), &axes, units.clone()).unwrap();
        let inputs = [vec![case.x.clone()], vec![numbers([2, 5, 6]).into()]];

        // By default they stay, and the report says what needs them.
        let exact = thin_with(silent.clone(), ThinOptions::default(), &inputs).unwrap();
        assert_eq!(exact.report.removed, []);
        assert_eq!(exact.report.difference.unwrap().largest, 0.0);
        let kept = exact.report.kept.iter();
        let kept = kept.filter(|kept| kept.parameter == "linears.0.weight");
        assert_eq!(kept.map(|kept| kept.zeros).sum::<usize>(), 2);

        let options = ThinOptions {
            norm_features: NormFeatures::Removable,
            ..ThinOptions::default()
        };
        let thinned = thin_with(silent.clone(), options, &inputs).unwrap();
        assert_eq!(thinned.report.removed[0].removed, 2);
        assert_eq!(thinned.report.norms.len(), 3);
        let norms = thinned.report.norms.iter();
        assert!(
            norms
                .clone()
                .all(|norm| (norm.before, norm.after) == (8, 6))
        );

        // As measured by hand: the norm is that of six features.
        let (mut squares, mut size, mut largest) = (0.0, 0.0, 0.0_f64);
        for x in &inputs {
            let run = |network: &Network| -> Vec<f64> {
                let outputs = network.run(x.clone(), &mut |_, x| x).unwrap();
                let output = outputs[0].clone().flat().unwrap().into_data();
                output.iter::<f64>().collect()
            };
            for (a, b) in run(&silent).into_iter().zip(run(&thinned.network)) {
                squares += (a - b) * (a - b);
                size += a * a;
                largest = largest.max((a - b).abs());
            }
        }
        let difference = thinned.report.difference.unwrap();
        assert!(largest > 0.0, "a norm of fewer features is another");
        assert_eq!(difference.largest, largest);
        assert!((difference.relative - (squares / size).sqrt()).abs() < 1e-12);

        // The plan can be replayed, and written down.
        let text = serde_json::to_string(&thinned.plan).unwrap();
        let plan: ThinningPlan = serde_json::from_str(&text).unwrap();
        let replayed = apply(silent, &plan).unwrap();
        assert_eq!(replayed.graph(), thinned.network.graph());
    }
}

#[test]
fn a_norm_of_what_is_left_is_that_of_a_network_that_never_had_the_rest() {
    // Features that are zero and a layer norm over six of eight: by hand.
    let case = case(
        &Parts::none().linears(&[[5, 8], [8, 3]]).norms(1, 8),
        [1, 5],
        |m, x| m.linears[1].forward(m.norms[0].forward(m.linears[0].forward(x))),
    );
    let axes = case
        .network
        .graph()
        .axes_with(NormFeatures::Removable)
        .unwrap();
    let group = axes.groups_of("linears.0.weight", 1)[0];
    let units = [1, 6].map(|unit| UnitId { group, unit });
    let silent = zero_out_channels(case.network.clone(), &axes, units).unwrap();
    let options = ThinOptions {
        norm_features: NormFeatures::Removable,
        ..ThinOptions::default()
    };
    let thinned = thin_with(silent.clone(), options, &[]).unwrap().network;
    let parameter = |network: &Network, path: &str| {
        let id = network.graph().parameter(path).unwrap();
        network.tensor(id).unwrap()
    };
    let [w, v] = [0, 1].map(|at| {
        let weight = parameter(&thinned, &format!("linears.{at}.weight"));
        weight.float::<2>().unwrap()
    });
    let vectors = [
        "linears.0.bias",
        "linears.1.bias",
        "norms.0.gamma",
        "norms.0.beta",
    ];
    let [b, c, gamma, beta] = vectors.map(|path| parameter(&thinned, path).float::<1>().unwrap());
    assert_eq!((w.dims(), v.dims()), ([5, 6], [6, 3]));
    let x = numbers([3, 5]);
    let h = x.matmul(w) + b.unsqueeze();
    let h = h.clone() - h.mean_dim(1);
    let h = h.clone() / ((h.clone() * h).mean_dim(1) + 1e-5).sqrt();
    let h = h * gamma.unsqueeze() + beta.unsqueeze();
    let expected = h.matmul(v) + c.unsqueeze();
    let found = thinned.forward::<Tensor<2>, Tensor<2>>(numbers([3, 5]));
    assert!(crate::difference(&expected, &found) < 1e-5);
}

/// Ten thousands of units are as many entries of one mask, not as many passes.
#[test]
fn many_units_of_one_tensor_are_zeroed_in_one_pass() {
    let case = case(
        &Parts::none().linears(&[[2, 20_000], [20_000, 2]]),
        [1, 2],
        |m, x| m.linears[1].forward(relu(m.linears[0].forward(x))),
    );
    let axes = case.network.graph().axes().unwrap();
    let units: Vec<UnitId> = (0..20_000)
        .filter(|unit| unit % 3 > 0)
        .map(|unit| UnitId { group: 0, unit })
        .collect();
    let count = units.len();
    let silent = zero_out_channels(case.network, &axes, units).unwrap();
    let thinned = thin(silent, PaddingEffect::KeepBorder).unwrap();
    assert_eq!(thinned.report.removed[0].removed, count);
}
