//! Thinning changes nothing: a masked network and its thinned form compute the same.

use burn::tensor::Tensor;
use calcine_graph::{Role, ThinningPlan, UnitId};
use calcine_testkit::device;
use calcine_thin::{PaddingEffect, apply, thin, zero_out_channels};
use calcine_trace::{AnyTensor, Network, NetworkTensor, trace};
use proptest::prelude::*;

use crate::random::{End, Kind, Net, architecture};
use crate::{difference, numbers};

fn traced(kinds: &[Kind], end: End, seed: u64) -> (Network, Tensor<4>) {
    let (net, [channels, height, width]) = Net::new(kinds, end, seed, &device());
    let network = trace(&net, numbers([1, channels, height, width]), |m, x| {
        m.forward(x)
    })
    .unwrap();
    (network, numbers([2, channels, height, width]))
}

/// About half of the units, never all of a group.
fn chosen(network: &Network, seed: u64) -> Vec<UnitId> {
    let axes = network.graph().axes().unwrap();
    let mut state = seed | 1;
    let mut units = Vec::new();
    for (group, members) in axes.groups().iter().enumerate() {
        for unit in 1..members.units.len() {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            if state >> 63 == 1 {
                units.push(UnitId { group, unit });
            }
        }
    }
    units
}

/// Zeroes what makes the units, and leaves biases and norms: what masks of filters do.
fn masked(network: Network, units: &[UnitId]) -> Network {
    let axes = network.graph().axes().unwrap();
    let graph = network.graph().clone();
    let mut change = |which: NetworkTensor<'_>, tensor: AnyTensor| {
        let NetworkTensor::Parameter(path) = which else {
            return tensor;
        };
        let mut tensor = tensor;
        for id in units {
            let group = &axes.groups()[id.group];
            for (member, indices) in group.members.iter().zip(&group.units[id.unit].indices) {
                if member.path == path && matches!(member.role, Role::Output | Role::Channelwise) {
                    let mut keep = vec![1.0; tensor.shape()[member.axis]];
                    indices.iter().for_each(|&index| keep[index] = 0.0);
                    let keep = Tensor::<1>::from_floats(keep.as_slice(), &device());
                    tensor = tensor.scaled(member.axis, keep);
                }
            }
        }
        tensor
    };
    network.rewritten(graph, &mut change, Vec::new()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    /// What is zeroed out goes, all of it, and the rest computes the same; multiply-accumulates fall as the
    /// plan says.
    #[test]
    fn zeroed_units_go_and_nothing_changes((kinds, end, seed) in architecture()) {
        let (network, x) = traced(&kinds, end, seed);
        let axes = network.graph().axes().unwrap();
        let units = chosen(&network, seed);
        let predicted = ThinningPlan::removing(&axes, units.iter().copied()).unwrap();
        let predicted = predicted.apply(network.graph()).unwrap().compute().unwrap().macs;

        let silent = zero_out_channels(network, &axes, units).unwrap();
        let before: Tensor<2> = silent.forward(x.clone());
        let thinned = thin(silent.clone(), PaddingEffect::KeepBorder).unwrap();
        let after: Tensor<2> = thinned.network.forward(x.clone());
        prop_assert!(difference(&before, &after) <= 1e-5, "{}", difference(&before, &after));
        prop_assert!(thinned.report.after.macs <= predicted);
        prop_assert!(thinned.report.border_error() == 0.0);

        // A plan replayed does the same, and done twice it does nothing.
        let replayed = apply(silent, &thinned.plan).unwrap();
        let twice = apply(replayed.clone(), &thinned.plan).unwrap();
        prop_assert_eq!(replayed.graph(), twice.graph());
        let again = thin(thinned.network.clone(), PaddingEffect::DropBorder).unwrap();
        prop_assert_eq!(again.report.after, thinned.report.after);
    }

    /// Masks of filters leave constants behind: they are made up for, or the channel stays.
    #[test]
    fn constants_of_masked_filters_are_kept((kinds, end, seed) in architecture()) {
        let (network, x) = traced(&kinds, end, seed);
        let units = chosen(&network, seed);
        let masked = masked(network, &units);
        let before: Tensor<2> = masked.forward(x.clone());
        let exact = thin(masked.clone(), PaddingEffect::KeepBorder).unwrap();
        let after: Tensor<2> = exact.network.forward(x.clone());
        prop_assert!(difference(&before, &after) <= 1e-5, "{}\n{}", difference(&before, &after), exact.report);

        let inexact = thin(masked.clone(), PaddingEffect::DropBorder).unwrap();
        // The plan is one for the network that was thinned, whatever biases were added on the way.
        let replayed = apply(masked, &inexact.plan).unwrap();
        prop_assert_eq!(replayed.graph().compute().unwrap().macs, inexact.report.after.macs);
        prop_assert!(inexact.report.after.macs <= exact.report.after.macs);
        let after: Tensor<2> = inexact.network.forward(x);
        if inexact.report.border_error() == 0.0 {
            prop_assert!(difference(&before, &after) <= 1e-5);
        }
    }
}
