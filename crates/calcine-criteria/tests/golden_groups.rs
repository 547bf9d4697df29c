//! Agreement with Distiller's group norms and thresholds: norm × granularity × threshold.

use burn::tensor::{Bool, Tensor, TensorData};
use calcine_criteria::{Evidence, Norm, Score, Select, Threshold};
use calcine_fold::{Fold, Granularity, Layout};
use calcine_testkit::golden::{self, Golden};
use calcine_testkit::{device, each};
use serde_json::Value;

use crate::common::{bools, candidate, floats};

/// Distiller's word, by the rank of the weight: it stores linear weights with the output first.
fn granularity(word: &str, rank: usize) -> Granularity {
    match (word, rank) {
        ("2D" | "kernels", 4) => Granularity::Kernel,
        ("3D" | "Filters" | "filters", 3 | 4) => Granularity::Filter,
        ("Channels" | "channels", 4) => Granularity::Channel,
        ("Rows" | "rows", 2) => Granularity::FcOutput,
        ("Cols" | "cols" | "Channels" | "channels", 2) => Granularity::FcInput,
        _ => panic!("{word} of rank {rank}: no such structure"),
    }
}

fn norm(word: &str) -> Option<Norm> {
    Some(match word {
        "L1" => Norm::L1,
        "L2" => Norm::L2,
        "Max" => Norm::MAX,
        "Mean_Abs" | "Mean_L1" => Norm::L1.length_normalised(),
        "Mean_L2" => Norm::L2.length_normalised(),
        _ => return None,
    })
}

/// The weight of a case, flat, and its fold by this structure.
fn folded(file: &Golden, case: &Value, structure: &str) -> (Fold, Tensor<1>) {
    let (shape, numbers) = file.values(&case["input"]["w"]);
    let fold = Fold::new(
        granularity(structure, shape.len()),
        &shape,
        Layout::OutputFirst,
    )
    .unwrap();
    let count = numbers.len();
    (
        fold,
        Tensor::from_data(TensorData::new(numbers, [count]), &device()),
    )
}

fn assert_close(ours: &[f32], theirs: &[f32]) {
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(theirs) {
        approx::assert_relative_eq!(ours, theirs, epsilon = 1e-7, max_relative = 1e-5);
    }
}

/// Checks the mask of a weight, spread over its elements.
fn assert_mask(fold: &Fold, keep: &[bool], expected: &[f32]) {
    let keep = Tensor::<1, Bool>::from_bool(keep, &device());
    let rows = keep
        .reshape([fold.units(), 1])
        .expand([fold.units(), fold.members()]);
    let mask = match fold.shape().len() {
        2 => fold.unrows::<2, Bool>(rows).into_data(),
        3 => fold.unrows::<3, Bool>(rows).into_data(),
        _ => fold.unrows::<4, Bool>(rows).into_data(),
    };
    let expected: Vec<bool> = expected.iter().map(|keep| *keep != 0.0).collect();
    assert_eq!(mask.iter::<bool>().collect::<Vec<_>>(), expected);
}

/// A key beside which a corrected one may stand: the means of rows and columns are swapped in
/// Distiller (surprise 4).
fn right<'a>(expect: &'a Value, key: &str) -> Option<&'a Value> {
    expect
        .get(format!("{key}_mathematically_right"))
        .or_else(|| expect.get(key))
}

fn check_threshold(file: &Golden, case: &Value) {
    let (args, expect) = (&case["args"], &case["expect"]);
    let (group, threshold) = match args.get("reg_regims") {
        Some(regimes) => (
            regimes["w"][1].as_str().unwrap(),
            regimes["w"][0].as_f64().unwrap(),
        ),
        None => (
            args["group_type"].as_str().unwrap(),
            args["threshold"].as_f64().unwrap(),
        ),
    };
    let (fold, weight) = folded(file, case, group);
    let norm = norm(args["criteria"].as_str().unwrap()).expect("a known criterion");
    let scores = floats(norm.score(&Evidence::new(fold.rows(weight))));
    if let Some(norms) = right(expect, "group_norms") {
        assert_close(&scores, &file.values(norms).1);
    }
    let keep = bools(Threshold.keep(&[candidate(&scores)], threshold).remove(0));
    if let Some(map) = right(expect, "binary_map") {
        let map: Vec<bool> = file.values(map).1.iter().map(|keep| *keep != 0.0).collect();
        assert_eq!(keep, map);
    }
    // The mask beside a corrected map is Distiller's wrong one.
    if expect.get("binary_map_mathematically_right").is_none() {
        assert_mask(&fold, &keep, &file.values(&expect["mask"]).1);
    }
}

#[test]
fn golden_group_threshold() {
    let file = golden::open("group_threshold");
    each(file.cases(""), |case| {
        let args = &case["args"];
        if case["expect"].get("error").is_some() {
            // `Threshold` takes any norm, and any granularity that the weight has: L2 for a structure
            // pruner and the whole layer work here. A median is no norm.
            let unknown = args
                .get("criteria")
                .is_some_and(|word| norm(word.as_str().unwrap()).is_none());
            let allowed = args["criteria"] == "L2" || args["group_type"] == "4D";
            assert!(unknown || allowed, "an error that we do not know");
        } else if case["input"].get("map").is_some() {
            let shape: Vec<usize> = args["shape"]
                .as_array()
                .unwrap()
                .iter()
                .map(|n| n.as_u64().unwrap() as usize)
                .collect();
            let granularity = granularity(args["group_type"].as_str().unwrap(), shape.len());
            let fold = Fold::new(granularity, &shape, Layout::OutputFirst).unwrap();
            let keep: Vec<bool> = file
                .values(&case["input"]["map"])
                .1
                .iter()
                .map(|keep| *keep != 0.0)
                .collect();
            assert_mask(&fold, &keep, &file.values(&case["expect"]["mask"]).1);
        } else {
            check_threshold(&file, case);
        }
    });
}

/// The norms recorded beside the sparsity metrics. A group of neighbouring structures is a block.
#[test]
fn golden_norms() {
    let file = golden::open("sparsity_metrics");
    each(file.cases("norms"), |case| {
        let args = &case["args"];
        let mut norm = norm(args["norm"].as_str().unwrap()).expect("a known norm");
        if args["length_normalized"] == true {
            norm = norm.length_normalised();
        }
        let (fold, weight) = folded(&file, case, args["structure"].as_str().unwrap());
        // Neighbouring structures are neighbouring rows.
        let together = args["group_len"].as_u64().unwrap() as usize;
        let shape = [fold.units() / together, fold.members() * together];
        let ours = norm.score(&Evidence::new(fold.rows(weight).reshape(shape)));
        let norms = right(&case["expect"], "norms").unwrap();
        assert_close(&floats(ours), &file.values(norms).1);
    });
}
