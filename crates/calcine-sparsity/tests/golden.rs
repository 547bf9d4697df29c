//! Agreement with Distiller's recorded metrics. Its weights are PyTorch's, with the output first.

use std::collections::BTreeSet;

use burn::tensor::{Tensor, TensorData};
use calcine_fold::{Fold, Granularity, Layout};
use calcine_sparsity::{Share, alive_units, moments, nonzero, nonzero_units};
use calcine_testkit::{device, each, golden};
use serde_json::Value;

/// A weight of any rank, flat beside its shape.
struct Weight {
    shape: Vec<usize>,
    numbers: Vec<f32>,
}

impl Weight {
    fn tensor(&self) -> Tensor<1> {
        let data = TensorData::new(self.numbers.clone(), [self.numbers.len()]);
        Tensor::from_data(data, &device())
    }

    fn share(&self, granularity: Granularity) -> Option<Share> {
        let fold = Fold::new(granularity, &self.shape, Layout::OutputFirst).ok()?;
        let nonzero = nonzero_units(fold.rows(self.tensor()));
        Some(Share::read(nonzero, fold.units() as u64))
    }

    /// The share of zero units, each a set of elements with the same key.
    fn naive(&self, unit_of: impl Fn(usize) -> usize) -> f64 {
        let all: BTreeSet<_> = (0..self.numbers.len()).map(&unit_of).collect();
        let nonzero = self.numbers.iter().enumerate().filter(|(_, x)| **x != 0.0);
        let alive: BTreeSet<_> = nonzero.map(|(i, _)| unit_of(i)).collect();
        1.0 - alive.len() as f64 / all.len() as f64
    }
}

fn assert_ratio(ours: f64, expected: &Value, key: &str) {
    let expected = expected.as_f64().unwrap();
    let close = approx::relative_eq!(ours, expected, epsilon = 1e-12, max_relative = 1e-12);
    assert!(close, "{key}: ours {ours}, expected {expected}");
}

/// Distiller's names of the metrics, and the granularity that each is of, by rank.
fn granularity_of(metric: &str, rank: usize) -> Option<Granularity> {
    Some(match metric {
        "" => Granularity::Element,
        "2D" if rank == 2 => Granularity::FcOutput,
        "2D" => Granularity::Kernel,
        "3D" => Granularity::Filter,
        "ch" => Granularity::Channel,
        "rows" | "cols_untransposed" | "matrix_dim1" => Granularity::FcInput,
        "cols" | "rows_untransposed" | "matrix_dim0" => Granularity::FcOutput,
        _ => return None,
    })
}

fn check_metrics(weight: &Weight, expect: &serde_json::Map<String, Value>) {
    for (key, expected) in expect {
        let metric = |prefix| {
            key.strip_prefix(prefix)
                .map(|m: &str| m.trim_start_matches('_'))
        };
        match (metric("sparsity"), metric("density"), key.as_str()) {
            (Some(name), _, _) | (_, Some(name), _) => {
                let granularity = granularity_of(name, weight.shape.len())
                    .unwrap_or_else(|| panic!("{key}: no such metric"));
                // A metric that does not apply to the rank is 0 there; here it has no fold.
                let share = weight.share(granularity).unwrap_or(Share {
                    nonzero: 1,
                    total: 1,
                });
                let is_density = key.starts_with("density");
                let ours = if is_density {
                    share.density()
                } else {
                    share.sparsity()
                };
                assert_ratio(ours, expected, key);
            }
            (_, _, "std" | "mean" | "abs_mean") => {
                let at = ["std", "mean", "abs_mean"]
                    .iter()
                    .position(|name| name == key)
                    .unwrap();
                let ours = moments(weight.tensor())
                    .into_data()
                    .iter::<f64>()
                    .nth(at)
                    .unwrap();
                let expected = expected.as_f64().unwrap();
                approx::assert_relative_eq!(ours, expected, epsilon = 1e-7, max_relative = 1e-5);
            }
            (_, _, "non_zero_channels") => {
                let fold =
                    Fold::new(Granularity::Channel, &weight.shape, Layout::OutputFirst).unwrap();
                let alive = alive_units(fold.rows(weight.tensor())).into_data();
                let alive = alive.iter::<bool>().enumerate().filter(|(_, alive)| *alive);
                let alive: Vec<u64> = alive.map(|(channel, _)| channel as u64).collect();
                let expected = expected.as_array().unwrap().iter();
                assert_eq!(
                    alive,
                    expected.map(|c| c.as_u64().unwrap()).collect::<Vec<_>>()
                );
            }
            (_, _, "blocks") => {
                expected
                    .as_array()
                    .unwrap()
                    .iter()
                    .for_each(|block| check_block(weight, block));
            }
            _ => panic!("{key}: no such metric"),
        }
    }
}

/// Distiller's blocks of several filters *and* several channels are runs of kernels in memory
/// (surprise 3 of the vectors' README); ours are what they say.
fn check_block(weight: &Weight, case: &Value) {
    let side = |i: usize| case["block_shape"][i].as_u64().unwrap() as usize;
    let (rep, depth) = (side(0), side(1));
    let [_, inputs, height, width] = weight.shape[..] else {
        panic!("blocks are of rank 4")
    };
    let kernel = height * width;
    let sparsity = |rep, depth| {
        let share = weight.share(Granularity::Block {
            rep,
            depth,
            height: 1,
            width: 1,
        });
        share.map(Share::sparsity)
    };
    let key = format!("block {rep}x{depth}");
    if depth == 1 {
        assert_ratio(sparsity(rep, 1).unwrap(), &case["sparsity"], &key);
    } else {
        let run = rep * depth;
        let runs = weight.naive(|i| (i / kernel / run) * kernel + i % kernel);
        assert_ratio(runs, &case["sparsity"], &key);
        if inputs % run == 0 {
            assert_ratio(sparsity(1, run).unwrap(), &case["sparsity"], &key);
        }
    }
    let naive = weight.naive(|i| {
        let (output, input) = (i / kernel / inputs, i / kernel % inputs);
        (output / rep * inputs + input / depth) * kernel + i % kernel
    });
    if let Some(ours) = sparsity(rep, depth) {
        assert_eq!(ours, naive, "{key}");
    }
}

#[test]
fn golden_sparsity_metrics() {
    let file = golden::open("sparsity_metrics");
    let is_metrics = |case: &&Value| case["expect"].get("sparsity").is_some();
    let cases: Vec<_> = file.cases("").into_iter().filter(is_metrics).collect();
    each(cases, |case| {
        let (shape, numbers) = file.values(&case["input"]["w"]);
        let weight = Weight { shape, numbers };
        check_metrics(&weight, case["expect"].as_object().unwrap());
        let count = weight.numbers.iter().filter(|x| **x != 0.0).count();
        let ours = nonzero(weight.tensor()).into_scalar::<i64>();
        assert_eq!(ours, count as i64);
    });
}

/// Distiller's table truncates `density * numel` (surprise 1); a count is a count.
#[test]
fn golden_nnz_truncation() {
    let file = golden::open("sparsity_table_resnet20");
    each(file.cases("nnz_truncation"), |case| {
        let number = |part: &str, key: &str| case[part][key].as_u64().unwrap();
        let (total, exact) = (number("args", "numel"), number("expect", "nnz_exact"));
        let numbers: Vec<f32> = (0..total)
            .map(|i| f32::from(i < number("args", "nnz")))
            .collect();
        let share = Share::read(
            nonzero(Tensor::<1>::from_data(numbers.as_slice(), &device())),
            total,
        );
        assert_eq!(share.nonzero, exact);
        let truncated = (share.density() * total as f64) as u64;
        assert_eq!(truncated, number("expect", "nnz_sparse_as_distiller"));
    });
}
