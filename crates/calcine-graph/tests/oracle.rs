//! A thinned network computes what the masked one does.
//!
//! Masking is the definition of removal: the entries of all members of a unit are zero, in whatever makes
//! the channels and whatever reads them. The thinned graph, run with cut tensors, must give the same
//! numbers; the interpreter knows nothing of labels, and refuses graphs whose shapes do not fit.

use std::collections::BTreeSet;

use calcine_graph::{Axes, Graph, PlanError, Role, ThinningPlan, UnitId};
use proptest::prelude::*;

use crate::interpret::{Tensors, random, run};
use crate::numbers::Dice;
use crate::{motifs, random_graph};

/// Which members of a removed unit are set to zero.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Mask {
    /// All but running statistics.
    Members,
    /// Those that read the channels: nothing else may notice that they are gone.
    Readers,
}

fn masked(
    graph: &Graph,
    axes: &Axes,
    units: &BTreeSet<UnitId>,
    mask: Mask,
    tensors: &Tensors,
) -> Tensors {
    let mut tensors = tensors.clone();
    for id in units {
        let group = &axes.groups()[id.group];
        for (member, indices) in group.members.iter().zip(&group.units[id.unit].indices) {
            let zero = match mask {
                Mask::Members => member.role != Role::Statistics,
                Mask::Readers => member.role == Role::Input,
            };
            if zero {
                let value = graph
                    .parameter(&member.path)
                    .expect("a graph and a plan that fit");
                tensors
                    .get_mut(&value)
                    .expect("a graph and a plan that fit")
                    .zero(member.axis, indices);
            }
        }
    }
    tensors
}

fn cut(graph: &Graph, plan: &ThinningPlan, tensors: &Tensors) -> Tensors {
    let mut tensors = tensors.clone();
    for cut in plan.cuts() {
        let value = graph
            .parameter(&cut.parameter)
            .expect("a graph and a plan that fit");
        let numbers = tensors[&value].keep(cut.axis, &cut.keep);
        tensors.insert(value, numbers);
    }
    for ((value, axis), keep) in plan
        .thin(graph)
        .expect("a graph and a plan that fit")
        .constants
    {
        let numbers = tensors[&value].keep(axis, &keep);
        tensors.insert(value, numbers);
    }
    tensors
}

/// A random part of the units that leaves something everywhere.
fn choose(axes: &Axes, dice: &mut Dice) -> BTreeSet<UnitId> {
    let mut units = BTreeSet::new();
    for (group, content) in axes.groups().iter().enumerate() {
        let share = dice.next();
        for unit in 0..content.units.len() {
            let id = UnitId { group, unit };
            units.insert(id);
            let possible =
                dice.next() < share && ThinningPlan::removing(axes, units.clone()).is_ok();
            if !possible {
                units.remove(&id);
            }
        }
    }
    units
}

/// Thins at random, twice, and compares; how many units went.
fn check(graph: &Graph, seed: u64, masks: &[Mask]) -> usize {
    let mut dice = Dice(seed | 1);
    let axes = graph.axes().expect("a graph and a plan that fit");
    let tensors = random(graph, seed);
    let units = choose(&axes, &mut dice);
    let plan = ThinningPlan::removing(&axes, units.clone()).expect("a graph and a plan that fit");
    let thinned = plan.apply(graph).expect("a graph and a plan that fit");
    thinned.check().expect("a graph and a plan that fit");
    let small = cut(graph, &plan, &tensors);
    let result = run(&thinned, &small);
    for &mask in masks {
        let expected = run(graph, &masked(graph, &axes, &units, mask, &tensors));
        let distance = result.distance(&expected);
        assert!(
            distance < 1e-9,
            "{mask:?} differs by {distance}, without {units:?}"
        );
    }
    assert_eq!(
        plan.apply(&thinned).expect("a graph and a plan that fit"),
        thinned,
        "a second time changes nothing"
    );

    // And once more on top.
    let axes = thinned.axes().expect("a graph and a plan that fit");
    let more = choose(&axes, &mut dice);
    let next = ThinningPlan::removing(&axes, more.clone()).expect("a graph and a plan that fit");
    let smaller = next.apply(&thinned).expect("a graph and a plan that fit");
    let expected = run(&thinned, &masked(&thinned, &axes, &more, masks[0], &small));
    let both = plan.then(next).expect("a graph and a plan that fit");
    assert_eq!(
        both.apply(graph).expect("a graph and a plan that fit"),
        smaller
    );
    assert_eq!(
        both.apply(&thinned).expect("a graph and a plan that fit"),
        smaller
    );
    assert_eq!(
        both.apply(&smaller).expect("a graph and a plan that fit"),
        smaller
    );
    let distance = run(&smaller, &cut(graph, &both, &tensors)).distance(&expected);
    assert!(
        distance < 1e-9,
        "differs by {distance} after the second plan"
    );
    let text = serde_json::to_string(&both).expect("a graph and a plan that fit");
    assert_eq!(
        serde_json::from_str::<ThinningPlan>(&text).expect("a graph and a plan that fit"),
        both
    );
    units.len() + more.len()
}

#[test]
fn thinned_networks_compute_what_masked_ones_do() {
    let all = [Mask::Members, Mask::Readers];
    let cases = [
        ("squeeze and excitation", motifs::squeeze_excite()),
        ("branches", motifs::branches()),
        ("grouped", motifs::grouped()),
        ("encoder", motifs::encoder(5, 12, 3, false)),
        (
            "encoder with fused projections",
            motifs::encoder(5, 12, 3, true),
        ),
        ("shuffle", motifs::shuffle()),
        ("group norm", motifs::group_norm()),
        ("padded skip", motifs::padded_skip()),
        ("upsampling", motifs::upsampling()),
        ("attention in one op", motifs::attention()),
    ];
    for (name, graph) in cases {
        let gone: usize = (1..5).map(|seed| check(&graph, seed * 977, &all)).sum();
        assert!(gone > 0, "{name} has nothing to remove");
    }
    // One matrix both makes and reads its features, so no member is only a reader.
    let gone: usize = (1..5)
        .map(|seed| check(&motifs::bilinear(), seed, &all[..1]))
        .sum();
    assert!(gone > 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_networks_too(
        steps in prop::collection::vec(any::<[u8; 4]>(), 1..9),
        seed in any::<u64>(),
    ) {
        let graph = random_graph::build(&steps);
        check(&graph, seed, &[Mask::Members, Mask::Readers]);
    }
}

#[test]
fn a_plan_never_empties_an_axis() {
    let graph = motifs::branches();
    let axes = graph.axes().unwrap();
    let group = axes.groups_of("b.weight", 0)[0];
    let all = (0..4).map(|unit| UnitId { group, unit });
    let error = ThinningPlan::removing(&axes, all).unwrap_err();
    assert_eq!(
        error.to_string(),
        "removing all 4 indices of axis 0 of b.weight leaves nothing: keep at least one"
    );
    let unknown = ThinningPlan::removing(&axes, [UnitId { group, unit: 4 }]).unwrap_err();
    assert!(
        matches!(unknown, PlanError::Unit { count: 4, .. }),
        "{unknown}"
    );
}
