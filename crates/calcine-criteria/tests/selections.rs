//! Selections that remember, draw, group or regrow, against slow oracles.

use burn::tensor::{Bool, Tensor};
use calcine_criteria::{
    AtLeast, Bernoulli, Candidate, Count, DrawnLevel, Evidence, GlobalLevel, Hysteresis, Level,
    NOfM, Random, Reference, Regrow, Rescale, Score, Select,
};
use calcine_testkit::{device, each, rounds, values};

use crate::common::{Dice, bools, candidate, dropped, elements, kept, vector};

fn mask(keep: &[bool]) -> Tensor<1, Bool> {
    Tensor::from_bool(keep, &device())
}

fn digits(keep: &[bool]) -> String {
    keep.iter().map(|k| if *k { '1' } else { '0' }).collect()
}

#[test]
fn n_of_m_drops_the_same_number_of_every_group() {
    let rows: [(usize, &[f32], f64, &str); 8] = [
        (4, &[1., 4., 2., 3., 9., 0., 8., 7.], 0.5, "01011010"),
        (4, &[1., 4., 2., 3.], 0.75, "0100"),
        (4, &[1., 4., 2., 3.], 0.74, "0101"),
        (4, &[1., 1., 1., 1.], 0.5, "0011"),
        (2, &[0., -0., f32::NAN, f32::INFINITY], 0.5, "0101"),
        (8, &[1., 2., 3., 4., 5., 6., 7., 8.], 0.5, "00001111"),
        (1, &[1., 2.], 0.9, "11"),
        (2, &[1., 2., 3., 4.], 1.0, "0000"),
    ];
    each(rows, |(of, scores, level, expected)| {
        assert_eq!(digits(&kept(&NOfM { of: *of }, scores, *level)), *expected);
    });
}

#[test]
fn n_of_m_is_a_level_of_each_group_by_itself() {
    for round in 0..rounds(30) {
        let mut dice = Dice::new(round);
        let of = [2, 3, 4, 8][round as usize % 4];
        let scores: Vec<f32> = dice.weight(of * 20).into_iter().map(f32::abs).collect();
        let level = (dice.count(of - 1) as f64) / of as f64;
        let oracle: Vec<bool> = scores
            .chunks(of)
            .flat_map(|group| kept(&Level::default(), group, level))
            .collect();
        assert_eq!(kept(&NOfM { of }, &scores, level), oracle, "round {round}");
    }
}

#[test]
fn a_drawn_level_lies_in_its_range_and_follows_the_seed() {
    let scores: Vec<f32> = (0..1000).map(|i| i as f32).collect();
    let select = DrawnLevel {
        width: 0.1,
        count: Count::default(),
    };
    let lost = |seed| {
        let candidate = candidate(&scores).with_seed(seed);
        dropped(&bools(select.keep(&[candidate], 0.2).remove(0)))
    };
    let all: Vec<usize> = (0..20).map(lost).collect();
    assert!(all.iter().all(|lost| (200..300).contains(lost)), "{all:?}");
    assert_eq!(lost(7), lost(7));
    assert!(all.iter().any(|lost| *lost != all[0]));
}

#[test]
fn bernoulli_selection_does_not_look_at_scores_and_asks_to_rescale() {
    assert_eq!(Bernoulli.rescale(), Rescale::Kept);
    assert_eq!(Level::default().rescale(), Rescale::Nothing);
    let toss = |scores: &[f32]| {
        let candidate = candidate(scores).with_seed(11);
        bools(Bernoulli.keep(&[candidate], 0.5).remove(0))
    };
    assert_eq!(toss(&[0.0; 64]), toss(&[1.0; 64]));
    let none = Bernoulli
        .keep(&[candidate(&[1.0; 9]).with_seed(1)], 0.0)
        .remove(0);
    assert_eq!(bools(none), [true; 9]);
}

#[test]
fn between_the_thresholds_things_stay_as_they_were() {
    // μ = 3 and σ = √10 of these; with s = 0 the threshold is 3, low 1.5, high 4.5.
    let scores = [0.0, 1.0, 2.0, 4.0, 8.0];
    let select = Hysteresis {
        low: 0.5,
        high: 1.5,
    };
    assert_eq!(select.reference(), Reference::Frozen);
    let reference = select.measure(&elements(&scores), &vector(&scores));
    let keep = |kept: Option<&[bool]>, scores: &[f32]| {
        let candidate = candidate(scores)
            .with_reference(reference.clone())
            .with_kept(kept.map(mask));
        digits(&bools(select.keep(&[candidate], 0.0).remove(0)))
    };
    assert_eq!(keep(None, &scores), "00111");
    assert_eq!(keep(Some(&[false; 5]), &scores), "00001");
    assert_eq!(keep(Some(&[true; 5]), &[1.4, 1.6, 4.4, 4.6, 0.0]), "01110");
}

/// Where t is negative, the factor above 1 gives the lower threshold.
#[test]
fn between_thresholds_of_either_sign_things_stay_as_they_were() {
    let rows: [(f32, f32, &[f32], &str, &str); 5] = [
        // t = 2: 1.8 and 2.2.
        (2.0, 0.0, &[1.7, 1.9, 2.1, 2.3], "0111", "0001"),
        // t = −2: −2.2 and −1.8.
        (-2.0, 0.0, &[-2.3, -2.1, -1.9, -1.7], "0111", "0001"),
        (-1.0, 0.0, &[-1.0, -1.0, -1.0, -1.0], "1111", "0000"),
        // t = 0: there is nothing between.
        (0.0, 0.0, &[-0.1, 0.0, 0.1, 1.0], "0111", "0111"),
        // μ = 1 and σ = 3 with s = −1: t = −2.
        (1.0, 3.0, &[-2.3, -2.1, -1.9, -1.7], "0111", "0001"),
    ];
    each(rows, |&(mean, sigma, scores, all, none)| {
        let keep = |kept: bool| {
            let candidate = candidate(scores)
                .with_reference(Some(vector(&[mean, sigma])))
                .with_kept(Some(mask(&[kept; 4])));
            let amount = if sigma > 0.0 { -1.0 } else { 0.0 };
            digits(&bools(
                Hysteresis::default().keep(&[candidate], amount).remove(0),
            ))
        };
        assert_eq!((keep(true).as_str(), keep(false).as_str()), (all, none));
    });
}

/// SET: of k that fall and N − n that were dead, each has the same chance.
#[test]
fn random_regrowth_exchanges_units() {
    let (units, amount) = (400, 0.5);
    let select = Regrow {
        level: 0.5,
        count: Count::default(),
    };
    for seed in 0..rounds(10) {
        let mut weight: Vec<f32> = values(units).iter().map(|x| x.abs() + 0.1).collect();
        let alive = kept(&select, &weight, amount);
        for (weight, alive) in weight.iter_mut().zip(&alive) {
            *weight *= f32::from(*alive);
        }
        let seen = Evidence::new(elements(&weight)).with_seed(seed);
        let exchanged = |growth: Tensor<1>| {
            let candidate = candidate(&weight)
                .with_kept(Some(mask(&alive)))
                .with_growth(Some(growth));
            let later = bools(select.keep(&[candidate], amount).remove(0));
            assert_eq!(dropped(&later), units / 2);
            alive
                .iter()
                .zip(&later)
                .filter(|(a, b)| **a && !**b)
                .count()
        };
        let moved = exchanged(Random.score(&seen.clone().growing()));
        // 100 fall beside 200 dead: of 100 that grow, a third came back, give or take five deviations.
        assert!((40..95).contains(&moved), "{moved} of 100");
        assert_eq!(
            exchanged(Random.score(&seen)),
            0,
            "scores for keeping only take back"
        );
    }
}

#[test]
fn what_draws_says_so_and_asks_for_a_seed() {
    let level = DrawnLevel {
        width: 0.1,
        count: Count::default(),
    };
    let regrow = Regrow {
        level: 0.5,
        count: Count::default(),
    };
    let rows: [(Box<dyn Select + Send>, bool, bool); 6] = [
        (Box::new(Bernoulli), true, false),
        (Box::new(level), true, false),
        (Box::new(Level::default()), false, false),
        (Box::new(GlobalLevel::default()), false, false),
        (Box::new(NOfM { of: 4 }), false, false),
        (Box::new(regrow), false, true),
    ];
    for (select, draws, grows) in rows {
        assert_eq!((select.draws(), select.grows()), (draws, grows));
        assert_eq!(
            Candidate::new(vector(&[1.0])).seed,
            None,
            "there is no default"
        );
        let unseeded = || bools(select.keep(&[candidate(&[1.0; 8])], 0.5).remove(0));
        let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(unseeded)).is_err();
        assert_eq!(refused, draws);
    }
}

#[test]
fn groups_that_do_not_divide_are_refused_before_a_selection() {
    for (of, units, fits) in [
        (4, 8, true),
        (4, 6, false),
        (4, 3, false),
        (0, 8, false),
        (1, 3, true),
    ] {
        let checked = NOfM { of }.check(units);
        assert_eq!(checked.is_ok(), fits, "{checked:?}");
    }
    Level::default().check(3).unwrap();
}

#[test]
fn every_selection_counts_shares_of_the_decimals_that_were_written() {
    let scores: Vec<f32> = (0..100).map(|i| i as f32 + 1.0).collect();
    for percent in 0..100_usize {
        let level = percent as f64 / 100.0;
        let lost = |select: &dyn Select| dropped(&kept(select, &scores, level));
        assert_eq!(lost(&Level::default()), percent);
        assert_eq!(lost(&GlobalLevel::default()), percent);
        assert_eq!(lost(&NOfM { of: 100 }), percent);
        let costs = [
            candidate(&scores[..50]).with_cost(1),
            candidate(&scores[50..]).with_cost(2),
        ];
        let keep = GlobalLevel::default().keep(&costs, level);
        let spent = dropped(&bools(keep[0].clone())) + 2 * dropped(&bools(keep[1].clone()));
        let budget = percent * 150 / 100;
        assert!(
            spent == budget || spent + 1 == budget,
            "{spent} of {budget}"
        );
        let alive = vec![true; 100];
        let candidate = candidate(&scores)
            .with_kept(Some(mask(&alive)))
            .with_growth(Some(vector(&[0.0; 100])));
        let select = Regrow {
            level: 0.0,
            count: Count::default(),
        };
        assert_eq!(bools(select.keep(&[candidate], level).remove(0)), alive);
    }
}

#[test]
fn regrowth_keeps_the_level_and_moves_the_weakest_to_where_it_pays() {
    let select = Regrow {
        level: 0.5,
        count: Count::default(),
    };
    let scores = [5.0, 1.0, 4.0, 2.0, 3.0, 0.0];
    assert_eq!(
        digits(&kept(&select, &scores, 0.9)),
        "101010",
        "first: a level"
    );
    let alive = [true, false, true, false, true, false];
    let exchange = |growth: &[f32], amount| {
        let candidate = candidate(&[5.0, 0.0, 4.0, 0.0, 3.0, 0.0])
            .with_kept(Some(mask(&alive)))
            .with_growth(Some(vector(growth)));
        digits(&bools(select.keep(&[candidate], amount).remove(0)))
    };
    // One of three changes place: 3.0 falls, and the largest growth among the dead comes in.
    assert_eq!(exchange(&[9.0, 0.1, 9.0, 0.2, 0.0, 0.3], 0.34), "101001");
    // It may come straight back.
    assert_eq!(exchange(&[9.0, 0.1, 9.0, 0.2, 7.0, 0.3], 0.34), "101010");
    assert_eq!(exchange(&[0.0; 6], 0.0), "101010", "nothing changes place");
}

#[test]
fn regrowth_never_changes_how_many_are_alive() {
    for round in 0..rounds(30) {
        let mut dice = Dice::new(round);
        let count = 2 + dice.count(200);
        let (level, amount) = (dice.unit(), dice.unit());
        let select = Regrow {
            level,
            count: Count::default(),
        };
        let abs = |v: Vec<f32>| -> Vec<f32> { v.into_iter().map(f32::abs).collect() };
        let alive = kept(&select, &abs(dice.weight(count)), 0.0);
        let candidate = candidate(&abs(dice.weight(count)))
            .with_kept(Some(mask(&alive)))
            .with_growth(Some(vector(&abs(dice.weight(count)))));
        let later = bools(select.keep(&[candidate], amount).remove(0));
        assert_eq!(dropped(&later), (level * count as f64) as usize);
        let moved = alive
            .iter()
            .zip(&later)
            .filter(|(a, b)| **a && !**b)
            .count();
        assert!(moved <= (amount * (count - dropped(&alive)) as f64) as usize);
    }
}

/// One by one in the order of (score, layer, index), while the budget lasts.
fn cheapest_first(layers: &[(Vec<f32>, u64)], level: f64, stay: usize) -> Vec<bool> {
    let mut order: Vec<(f32, usize, usize)> = Vec::new();
    for (layer, (scores, _)) in layers.iter().enumerate() {
        order.extend(scores.iter().enumerate().map(|(i, s)| (*s, layer, i)));
    }
    order.sort_by(|a, b| a.partial_cmp(b).unwrap());
    let total: u64 = layers.iter().map(|(s, cost)| s.len() as u64 * cost).sum();
    let mut budget = (level * total as f64) as u64;
    let mut keep: Vec<Vec<bool>> = layers.iter().map(|(s, _)| vec![true; s.len()]).collect();
    for (_, layer, index) in order {
        let left = keep[layer].iter().filter(|keep| **keep).count();
        let cost = layers[layer].1;
        if left <= stay {
            continue;
        }
        if budget < cost {
            break;
        }
        budget -= cost;
        keep[layer][index] = false;
    }
    keep.concat()
}

#[test]
fn a_budget_is_spent_on_the_smallest_scores_first() {
    for round in 0..rounds(40) {
        let mut dice = Dice::new(round);
        let layers: Vec<(Vec<f32>, u64)> = (0..2 + dice.count(4))
            .map(|_| {
                let count = dice.count(40);
                let scores = dice.weight(count).into_iter().map(f32::abs).collect();
                (scores, dice.count(9) as u64)
            })
            .collect();
        let level = dice.unit();
        let stay = round as usize % 3;
        let candidates: Vec<Candidate> = layers
            .iter()
            .map(|(scores, cost)| candidate(scores).with_cost(*cost))
            .collect();
        let select = GlobalLevel {
            at_least: AtLeast::Units(stay),
        };
        let keep = select.keep(&candidates, level).into_iter();
        let keep: Vec<bool> = keep.flat_map(bools).collect();
        assert_eq!(keep, cheapest_first(&layers, level, stay), "round {round}");
    }
}

/// A 32-bit float counts no further than 2^24.
#[test]
fn counts_beyond_what_a_float_holds_are_exact() {
    let units = (1_usize << 24) + 4;
    let scores = Tensor::<1>::ones([units], &device());
    let candidate = || Candidate::new(scores.clone());
    let lost = |select: &dyn Select, amount| {
        let keep = select.keep(&[candidate()], amount).remove(0);
        dropped(&bools(keep))
    };
    assert_eq!(lost(&Level::default(), 0.5), units / 2);
    assert_eq!(lost(&GlobalLevel::default(), 0.999_999), 16_777_203);
    assert_eq!(lost(&NOfM { of: 4 }, 0.75), units / 4 * 3);
}
