//! Plans that were changed since they were made are errors, or plans; never panics.

use calcine_graph::{Graph, NormFeatures, ThinningPlan, UnitId};
use proptest::prelude::*;
use serde_json::Value;

use crate::numbers::Dice;
use crate::{motifs, zoo};

fn below(dice: &mut Dice, bound: usize) -> usize {
    (((dice.next() + 1.0) * bound as f64 / 2.0) as usize).min(bound - 1)
}

/// Something of the plan's text becomes something else.
fn mutate(plan: &mut Value, dice: &mut Dice) {
    let steps = plan.as_array_mut().expect("a list of steps");
    if steps.is_empty() {
        return;
    }
    let step = below(dice, steps.len());
    match below(dice, 12) {
        0 => steps.reverse(),
        1 => steps.push(steps[step].clone()),
        2 => drop(steps.remove(step)),
        _ => mutate_step(&mut steps[step], dice),
    }
}

fn mutate_step(step: &mut Value, dice: &mut Dice) {
    let cuts = step.as_array_mut().expect("a list of cuts");
    if cuts.is_empty() {
        return;
    }
    let (one, other) = (below(dice, cuts.len()), below(dice, cuts.len()));
    let numbers = [0_u64, 1, 2, 3, 7, 64, 1 << 40, u64::MAX];
    let number = numbers[below(dice, numbers.len())];
    match below(dice, 9) {
        0 => drop(cuts.remove(one)),
        1 => cuts.push(cuts[one].clone()),
        2 => cuts[one]["parameter"] = cuts[other]["parameter"].clone(),
        3 => cuts[one]["parameter"] = "nothing".into(),
        4 => cuts[one]["axis"] = number.into(),
        5 => cuts[one]["length"] = number.into(),
        6 => cuts[one]["keep"] = cuts[other]["keep"].clone(),
        7 => cuts[one]["length"] = (-1).into(),
        _ => {
            let keep = cuts[one]["keep"].as_array_mut().expect("a list of indices");
            let place = below(dice, keep.len().max(1));
            match below(dice, 4) {
                0 if !keep.is_empty() => drop(keep.remove(place)),
                1 => keep.push(number.into()),
                2 => keep.insert(place, number.into()),
                _ => keep.reverse(),
            }
        }
    }
}

fn graphs() -> Vec<Graph> {
    vec![
        motifs::branches(),
        motifs::encoder(5, 12, 3, true),
        motifs::group_norm(),
        motifs::grouped(),
        motifs::upsampling(),
        zoo::simplenet(),
    ]
}

/// Two steps, each the removal of some units.
fn plan(graph: &Graph, dice: &mut Dice) -> ThinningPlan {
    let norms = [NormFeatures::Pinned, NormFeatures::Removable][below(dice, 2)];
    let mut graph = graph.clone();
    let mut all = ThinningPlan::default();
    for _ in 0..2 {
        let axes = graph.axes_with(norms).expect("a graph");
        let groups = axes.groups().iter().enumerate();
        let units = groups.filter(|(_, group)| group.units.len() > 1);
        let units = units.map(|(group, _)| UnitId { group, unit: 0 });
        let step = ThinningPlan::removing(&axes, units).expect("units");
        graph = step.apply(&graph).expect("a plan that fits");
        all = all.then(step).expect("a plan that follows");
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_plans_do_not_panic(which in 0usize..6, seed in any::<u64>(), times in 0usize..4) {
        let graph = &graphs()[which];
        let mut dice = Dice(seed | 1);
        let made = plan(graph, &mut dice);
        let thinned = made.apply(graph).expect("its own graph");
        prop_assert_eq!(&made.apply(&thinned).expect("a thinned graph"), &thinned);
        let mut text = serde_json::to_value(&made).expect("a plan as text");
        (0..times).for_each(|_| mutate(&mut text, &mut dice));
        let Ok(plan) = serde_json::from_value::<ThinningPlan>(text) else {
            return Ok(());
        };
        let _ = plan.cuts();
        // Of its own graph, of another, and of the graph that it leaves.
        for graph in [graph, &graphs()[(which + 1) % 6], &thinned] {
            if let Ok(thinned) = plan.apply(graph) {
                prop_assert!(thinned.axes().is_ok(), "{:?}", thinned.axes().unwrap_err());
            }
        }
        let _ = made.then(plan);
    }

    #[test]
    fn units_that_are_not_there_are_an_error(group in any::<usize>(), unit in any::<usize>()) {
        for graph in graphs() {
            let axes = graph.axes().expect("a graph");
            let known = axes.unit(UnitId { group, unit }).is_some();
            let plan = ThinningPlan::removing(&axes, [UnitId { group, unit }]);
            prop_assert!(known || plan.is_err());
        }
    }
}
