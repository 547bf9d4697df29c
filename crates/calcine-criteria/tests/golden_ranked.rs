//! Agreement with Distiller's ranked structures: norm × granularity × level.

use burn::tensor::{Tensor, TensorData};
use calcine_criteria::{Candidate, Count, Evidence, Level, Norm, Rounding, Score, Select};
use calcine_fold::{Fold, Granularity, Layout};
use calcine_testkit::golden::{self, Golden};
use calcine_testkit::{device, each};
use serde_json::Value;

use crate::common::{bools, dropped, floats};

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

fn whole(value: &Value) -> usize {
    value.as_u64().expect("a whole number") as usize
}

fn norm(args: &Value) -> Norm {
    match args["norm"].as_str().expect("a norm") {
        "L1" => Norm::L1,
        _ => Norm::L2,
    }
}

/// `None` for blocks that Distiller cuts otherwise: with rep and depth above 1, or a depth that does not
/// divide the inputs, its blocks are runs in memory (surprise 3).
fn fold(args: &Value, shape: &[usize]) -> Option<Fold> {
    let granularity = match (args["group_type"].as_str()?, shape.len()) {
        ("Filters" | "3D", _) => Granularity::Filter,
        ("Channels", 4) => Granularity::Channel,
        ("Channels" | "Rows", 2) => Granularity::FcInput,
        ("Blocks", _) => {
            let block = args.get("block_shape");
            let block = block.or_else(|| args["kwargs"].get("block_shape"))?;
            let side = |axis: usize| whole(&block[axis]);
            if side(0) > 1 && side(1) > 1 {
                return None;
            }
            Granularity::Block {
                rep: side(0),
                depth: side(1),
                height: side(2),
                width: side(3),
            }
        }
        (other, _) => panic!("{other} is no structure"),
    };
    Fold::new(granularity, shape, Layout::OutputFirst).ok()
}

fn units(fold: &Fold, numbers: Vec<f32>) -> Tensor<2> {
    let count = numbers.len();
    let data = TensorData::new(numbers, [count]);
    fold.rows(Tensor::<1>::from_data(data, &device()))
}

/// Distiller's mask, a decision a unit.
fn decisions(file: &Golden, fold: &Fold, mask: &Value) -> Vec<bool> {
    let members = fold.members();
    let rows: Vec<f32> = units(fold, file.values(mask).1)
        .into_data()
        .iter::<f32>()
        .collect();
    rows.chunks(members)
        .map(|row| {
            assert!(row.iter().all(|keep| *keep == row[0]), "whole units");
            row[0] != 0.0
        })
        .collect()
}

fn keep(rows: Tensor<2>, norm: Norm, level: f64, count: Count) -> Vec<bool> {
    let scores = norm.length_normalised().score(&Evidence::new(rows));
    bools(
        Level { count }
            .keep(&[Candidate::new(scores)], level)
            .remove(0),
    )
}

fn rounding(args: &Value) -> Rounding {
    match args["rounding"].as_str().expect("a rounding") {
        "floor" => Rounding::Floor,
        "ceil" => Rounding::Ceil,
        _ => Rounding::Round,
    }
}

fn check_mask(file: &Golden, case: &Value) {
    let (args, expect) = (&case["args"], &case["expect"]);
    let (shape, weight) = file.values(&case["input"]["w"]);
    let Some(fold) = fold(args, &shape) else {
        return;
    };
    let rows = units(&fold, weight);
    let keys = ["structure_magnitudes", "block_magnitudes"];
    if let Some(magnitudes) = keys.iter().find_map(|key| expect.get(key)) {
        // Distiller sums over blocks and averages over all other structures; the order is the same.
        let norm = match expect.get("block_magnitudes") {
            Some(_) => norm(args),
            None => norm(args).length_normalised(),
        };
        let mut ours = floats(norm.score(&Evidence::new(rows.clone())));
        let mut theirs = file.values(magnitudes).1;
        // It numbers blocks in another order.
        ours.sort_by(f32::total_cmp);
        theirs.sort_by(f32::total_cmp);
        for (ours, theirs) in ours.iter().zip(theirs) {
            approx::assert_relative_eq!(*ours, theirs, epsilon = 1e-7, max_relative = 1e-5);
        }
    }
    let level = number(&args["desired_sparsity"]);
    let kept = keep(rows, norm(args), level, Count::default());
    if expect["mask"].is_null() {
        assert_eq!(dropped(&kept), 0);
        return;
    }
    let theirs = decisions(file, &fold, &expect["mask"]);
    match expect.get("n_requested").map(whole) {
        // Distiller drops everything tied with the last one.
        Some(requested) if dropped(&theirs) != requested => {
            assert_eq!(dropped(&kept), requested);
            assert!(
                theirs
                    .iter()
                    .zip(&kept)
                    .all(|(theirs, ours)| !theirs || *ours)
            );
        }
        _ => assert_eq!(kept, theirs),
    }
}

fn check_rounding(file: &Golden, case: &Value) {
    let (shape, weight) = file.values(&case["input"]["w"]);
    let fold = fold(&case["args"], &shape).expect("filters");
    let count = Count {
        rounding: rounding(&case["args"]),
        ..Count::default()
    };
    let level = number(&case["args"]["desired_sparsity"]);
    let kept = keep(units(&fold, weight), Norm::L1, level, count);
    let map = file.values(&case["expect"]["binary_map"]).1;
    let map: Vec<bool> = map.iter().map(|keep| *keep != 0.0).collect();
    assert_eq!(kept, map);
}

fn check_ramp(file: &Golden, case: &Value) {
    let (args, expect) = (&case["args"], &case["expect"]);
    let levels = expect["target_sparsity"].as_array().unwrap().iter();
    let masks = expect["mask"].as_array().unwrap();
    let weights = case["input"]["w_at_epoch"].as_array().unwrap();
    for ((weight, mask), level) in weights.iter().zip(masks).zip(levels) {
        let (shape, numbers) = file.values(weight);
        let fold = fold(args, &shape).expect("a structure of ours");
        let kept = keep(
            units(&fold, numbers),
            norm(args),
            number(level),
            Count::default(),
        );
        if mask.is_null() {
            assert_eq!(dropped(&kept), 0);
        } else {
            assert_eq!(kept, decisions(file, &fold, mask));
        }
    }
}

fn check_leader(file: &Golden, case: &Value) {
    let args = &case["args"];
    let leader = case["expect"]["leader"].as_str().unwrap();
    let (shape, numbers) = file.values(&case["input"][leader]);
    let fold = fold(args, &shape).expect("filters");
    let level = number(&args["desired_sparsity"]);
    let kept = keep(units(&fold, numbers), norm(args), level, Count::default());
    for (follower, mask) in case["expect"]["mask"].as_object().unwrap() {
        let (shape, _) = file.values(&case["input"][follower.as_str()]);
        let fold = self::fold(args, &shape).expect("filters");
        assert_eq!(kept, decisions(file, &fold, mask), "{follower}");
    }
}

#[test]
fn golden_ranked_structures() {
    let file = golden::open("ranked_structures");
    each(file.cases(""), |case| {
        let (name, args, expect) = (
            case["name"].as_str().unwrap(),
            &case["args"],
            &case["expect"],
        );
        if name.starts_with("num_to_prune_") {
            let count = Count {
                rounding: rounding(args),
                multiple: whole(&args["group_len"]),
                ..Count::default()
            };
            let found = count.to_drop(whole(&args["n_structs"]), number(&args["fraction"]));
            assert_eq!(found, whole(&expect["n_to_prune"]));
        } else if name.starts_with("rounding_") {
            check_rounding(&file, case);
        } else if name.starts_with("agp_") {
            check_ramp(&file, case);
        } else if case["input"].get("w").is_some() {
            check_mask(&file, case);
        } else if expect.get("leader").is_some() && case["input"].get("a.weight").is_some() {
            check_leader(&file, case);
        }
        // The rest are errors, and facts about random pruners that `selections` checks.
    });
}
