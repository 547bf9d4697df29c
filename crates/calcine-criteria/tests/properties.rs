//! What holds for any weight and any amount: a hundred rounds each, fewer on a GPU.

use calcine_criteria::{AtLeast, GlobalLevel, Level, Select, Sensitivity, Threshold};
use calcine_testkit::{is_host, rounds};

use crate::common::{Dice, bools, candidate, dropped, kept, kept_elements};

const ROUNDS: u64 = 100;

/// Sorts by magnitude, then position, and drops the first `count`.
fn oracle(weight: &[f32], count: usize) -> Vec<bool> {
    let mut order: Vec<usize> = (0..weight.len()).collect();
    order.sort_by(|&a, &b| weight[a].abs().total_cmp(&weight[b].abs()));
    let mut keep = vec![true; weight.len()];
    order[..count].iter().for_each(|&i| keep[i] = false);
    keep
}

#[test]
fn a_level_drops_exactly_the_share_rounded_down_ties_by_index() {
    for round in 0..rounds(ROUNDS) {
        let mut dice = Dice::new(round);
        let count = dice.count(700);
        let weight = dice.weight(count);
        let level = dice.unit();
        let drop = (level * count as f64) as usize;
        let keep = kept_elements(&Level::default(), &weight, level);
        assert_eq!(dropped(&keep), drop, "{level} of {count}");
        assert_eq!(keep, oracle(&weight, drop), "{level} of {count}");
        assert_eq!(
            keep,
            kept_elements(&GlobalLevel::default(), &weight, level),
            "{level} of {count}"
        );
    }
}

#[test]
fn a_global_level_drops_exactly_the_share_of_all_layers_together() {
    for round in 0..rounds(ROUNDS) {
        let mut dice = Dice::new(round);
        let layers: Vec<Vec<f32>> = (0..dice.count(6))
            .map(|_| {
                let count = dice.count(150);
                dice.weight(count).into_iter().map(f32::abs).collect()
            })
            .collect();
        let all = layers.concat();
        let level = dice.unit();
        let drop = (level * all.len() as f64) as usize;
        let candidates: Vec<_> = layers.iter().map(|scores| candidate(scores)).collect();
        let emptying = GlobalLevel {
            at_least: AtLeast::Units(0),
        };
        let keep = emptying.keep(&candidates, level);
        let lengths: Vec<usize> = keep.iter().map(|keep| keep.dims()[0]).collect();
        assert_eq!(lengths, layers.iter().map(Vec::len).collect::<Vec<_>>());
        let keep: Vec<bool> = keep.into_iter().flat_map(bools).collect();
        assert_eq!(dropped(&keep), drop);
        assert_eq!(keep, oracle(&all, drop), "round {round}");
    }
}

#[test]
fn a_growing_amount_never_brings_a_unit_back() {
    let selections: [Box<dyn Select + Send>; 4] = [
        Box::new(Level::default()),
        Box::new(GlobalLevel::default()),
        Box::new(Threshold),
        Box::new(Sensitivity::FROZEN),
    ];
    for (round, select) in (0..rounds(ROUNDS)).zip(selections.iter().cycle()) {
        let mut dice = Dice::new(round);
        let count = dice.count(300);
        let weight = dice.weight(count);
        let mut before = vec![true; count];
        for step in 0..=8 {
            let keep = kept_elements(select, &weight, f64::from(step) / 8.0);
            let revived = before
                .iter()
                .zip(&keep)
                .any(|(before, keep)| !before && *keep);
            assert!(!revived, "round {round}, step {step}");
            before = keep;
        }
    }
}

#[test]
fn masked_weights_stay_dropped_when_the_same_amount_is_selected_again() {
    // Six selections each.
    for round in 0..rounds(ROUNDS / 3) {
        let mut dice = Dice::new(round);
        let count = dice.count(300);
        let scores: Vec<f32> = dice.weight(count).into_iter().map(f32::abs).collect();
        let amount = dice.unit();
        let selections: [&dyn Select; 3] = [&Level::default(), &GlobalLevel::default(), &Threshold];
        for select in selections {
            let keep = kept(select, &scores, amount);
            let masked: Vec<f32> = scores
                .iter()
                .zip(&keep)
                .map(|(x, keep)| if *keep { *x } else { 0.0 })
                .collect();
            let again = kept(select, &masked, amount);
            // Zeros that were there before tie with the masked ones; the values do not change.
            let twice: Vec<f32> = masked
                .iter()
                .zip(&again)
                .map(|(x, keep)| if *keep { *x } else { 0.0 })
                .collect();
            assert_eq!(masked, twice, "round {round}");
            let distinct = scores.iter().all(|x| *x != 0.0);
            assert!(!distinct || keep == again, "round {round}");
        }
    }
}

/// `reference/distiller.md` §11, test 3.
#[test]
fn a_normal_weight_loses_its_published_share_to_one_sigma() {
    let mut dice = Dice::new(7);
    // Box and Muller's transform.
    let normal = |dice: &mut Dice| {
        let (u, v) = (1.0 - dice.unit(), dice.unit());
        ((-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()) as f32
    };
    // The tolerance is three deviations of the share.
    let (count, tolerance) = if is_host() {
        (100_000, 0.005)
    } else {
        (10_000, 0.014)
    };
    let weight: Vec<f32> = (0..count).map(|_| normal(&mut dice)).collect();
    let share =
        dropped(&kept_elements(&Sensitivity::FROZEN, &weight, 1.0)) as f64 / f64::from(count);
    approx::assert_abs_diff_eq!(share, 0.6827, epsilon = tolerance);
    let ones: Vec<f32> = (0..4096).map(|i| if i == 77 { 0.2 } else { 1.0 }).collect();
    assert_eq!(dropped(&kept_elements(&Threshold, &ones, 0.3)), 1);
    assert_eq!(
        dropped(&kept_elements(&Level::default(), &weight, 0.3)),
        count as usize * 3 / 10
    );
}
