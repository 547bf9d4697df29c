//! Refitted weights against the normal equations, and against Distiller.

use calcine_observe::{LayerSamples, RefitError};
use calcine_testkit::golden;
use proptest::prelude::*;

/// Numbers from a seed, between -1 and 1.
fn drawn(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005);
        state = state.wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / 8_388_608.0 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// A layer of `groups` groups with `seen` inputs and two filters each.
#[derive(Debug, Clone, Copy)]
struct Shape {
    rows: usize,
    groups: usize,
    seen: usize,
    bias: bool,
    seed: u64,
}

impl Shape {
    fn samples(self) -> LayerSamples {
        let (columns, filters) = (self.groups * self.seen, self.groups * 2);
        let inputs = drawn(self.seed, self.rows * columns);
        let outputs = drawn(!self.seed, self.rows * filters);
        let (x, y) = ((inputs, columns), (outputs, filters));
        let samples = if self.groups == 1 && self.seed.is_multiple_of(2) {
            LayerSamples::from_linear(x, y)
        } else {
            LayerSamples::from_convolution(x, y, self.groups)
        };
        let samples = samples.unwrap();
        if self.bias {
            samples.with_bias("bias")
        } else {
            samples
        }
    }

    fn is_linear(self) -> bool {
        self.groups == 1 && self.seed.is_multiple_of(2)
    }

    fn element(self, filter: usize, place: usize) -> usize {
        if self.is_linear() {
            place * 2 + filter
        } else {
            filter * self.seen + place
        }
    }
}

fn shapes() -> impl Strategy<Value = Shape> {
    (1..40_usize, 1..4_usize, 1..7_usize, any::<(bool, u64)>()).prop_map(
        |(rows, groups, seen, (bias, seed))| Shape {
            rows,
            groups,
            seen,
            bias,
            seed,
        },
    )
}

proptest! {
    /// At the minimum what is left over is orthogonal to every input that was kept: `Xᵀ(X·Wᵀ + b - Y) = 0`.
    #[test]
    fn a_refitted_weight_solves_the_normal_equations(shape in shapes(), choice in any::<u64>()) {
        let samples = shape.samples();
        let keep: Vec<bool> = (0..samples.numel()).map(|at| (choice >> (at % 61)) & 1 == 1).collect();
        let refit = samples.refit(&keep).unwrap();
        let (columns, filters) = (samples.columns(), samples.filters());
        let inputs = drawn(shape.seed, shape.rows * columns);
        let outputs = drawn(!shape.seed, shape.rows * filters);
        prop_assert_eq!(refit.bias.is_some(), shape.bias);
        for filter in 0..filters {
            let first = filter / 2 * shape.seen;
            let left = |row: usize| {
                let found: f64 = (0..shape.seen)
                    .map(|place| {
                        let input = f64::from(inputs[row * columns + first + place]);
                        input * refit.weight[shape.element(filter, place)]
                    })
                    .sum();
                let bias = refit.bias.as_ref().map_or(0.0, |bias| bias[filter]);
                found + bias - f64::from(outputs[row * filters + filter])
            };
            for place in 0..shape.seen {
                let element = shape.element(filter, place);
                if !keep[element] {
                    prop_assert_eq!(refit.weight[element], 0.0);
                    continue;
                }
                let input = |row: usize| f64::from(inputs[row * columns + first + place]);
                let product: f64 = (0..shape.rows).map(|row| input(row) * left(row)).sum();
                prop_assert!(product.abs() < 1e-4, "{}", product);
            }
            if shape.bias {
                let sum: f64 = (0..shape.rows).map(left).sum();
                prop_assert!(sum.abs() < 1e-4, "{}", sum);
            }
        }
        for system in &refit.systems {
            prop_assert!(system.rank <= system.unknowns.min(shape.rows));
        }
    }

    /// Where outputs come from a weight, and there are enough rows, all inputs give that weight back.
    #[test]
    fn with_all_inputs_kept_the_weight_comes_back(shape in shapes()) {
        let shape = Shape { rows: 60, ..shape };
        let (columns, filters) = (shape.groups * shape.seen, shape.groups * 2);
        let inputs = drawn(shape.seed, shape.rows * columns);
        let weight = drawn(shape.seed ^ 7, filters * shape.seen);
        let mut outputs = Vec::new();
        for row in inputs.chunks_exact(columns) {
            for filter in 0..filters {
                let first = filter / 2 * shape.seen;
                let products = (0..shape.seen).map(|place| {
                    f64::from(row[first + place]) * f64::from(weight[filter * shape.seen + place])
                });
                outputs.push((products.sum::<f64>() + f64::from(u8::from(shape.bias))) as f32);
            }
        }
        let (x, y) = ((inputs, columns), (outputs, filters));
        let samples = LayerSamples::from_convolution(x, y, shape.groups).unwrap();
        let samples = if shape.bias { samples.with_bias("bias") } else { samples };
        let refit = samples.refit(&vec![true; weight.len()]).unwrap();
        prop_assert!(refit.error < 1e-6);
        for (found, expected) in refit.weight.iter().zip(&weight) {
            prop_assert!((found - f64::from(*expected)).abs() < 1e-5);
        }
        for bias in refit.bias.into_iter().flatten() {
            prop_assert!((bias - 1.0).abs() < 1e-5);
        }
        prop_assert!(refit.systems.iter().all(|system| system.is_determined()));
    }

    /// An input that is there twice gets the same weight twice: of all solutions that is the smallest. One that is
    /// always zero gets none.
    #[test]
    fn of_many_solutions_the_smallest_is_taken(seed in any::<u64>(), rows in 1..30_usize) {
        let mut inputs = Vec::new();
        for row in drawn(seed, rows * 3).chunks_exact(3) {
            inputs.extend([row[0], row[1], row[2], row[1], 0.0]);
        }
        let samples = LayerSamples::from_linear((inputs, 5), (drawn(!seed, rows * 2), 2)).unwrap();
        let refit = samples.refit(&[true; 10]).unwrap();
        prop_assert_eq!(refit.systems[0].rank, rows.min(3));
        prop_assert_eq!(refit.systems[0].unknowns, 5);
        prop_assert!(!refit.systems[0].is_determined());
        for filter in 0..2 {
            let (once, again) = (refit.weight[2 + filter], refit.weight[6 + filter]);
            prop_assert!((once - again).abs() < 1e-6 * (1.0 + once.abs()));
            prop_assert_eq!(refit.weight[8 + filter], 0.0);
        }
    }
}

#[test]
fn nothing_kept_leaves_the_mean_to_the_bias() {
    let samples = LayerSamples::from_linear((vec![1.0, 2.0], 1), (vec![3.0, 5.0], 1)).unwrap();
    let refit = samples.clone().refit(&[false]).unwrap();
    assert_eq!((refit.weight, refit.error), (vec![0.0], 1.0));
    let refit = samples.with_bias("b").refit(&[false]).unwrap();
    assert_eq!(refit.weight, [0.0]);
    assert!((refit.bias.unwrap()[0] - 4.0).abs() < 1e-12);
}

#[test]
fn what_cannot_be_fitted_is_said() {
    let samples =
        |x: f32| LayerSamples::from_linear((vec![1.0, x], 1), (vec![3.0, 5.0], 1)).unwrap();
    let error = samples(1.0).refit(&[true; 3]).unwrap_err();
    assert_eq!(error.to_string(), "the weight has 1 elements, `keep` has 3");
    let error = samples(f32::NAN).refit(&[true]).unwrap_err();
    assert_eq!(error, RefitError::NotFinite { row: 1 });
    let none = LayerSamples::from_linear((vec![], 1), (vec![], 1)).unwrap();
    assert_eq!(none.refit(&[true]).unwrap_err(), RefitError::Empty);
    assert!(LayerSamples::from_linear((vec![1.0; 3], 2), (vec![1.0; 2], 1)).is_none());
    assert!(LayerSamples::from_linear((vec![], 0), (vec![], 1)).is_none());
    assert!(LayerSamples::from_convolution((vec![1.0; 3], 3), (vec![1.0; 2], 2), 2).is_none());
}

#[test]
fn golden_fm_reconstruction() {
    let file = golden::open("fm_reconstruction");
    for case in file.cases("") {
        let (shape, x) = file.values(&case["input"]["X"]);
        let (outputs_shape, outputs) = file.values(&case["input"]["Y"]);
        let (columns, filters) = (shape[1], outputs_shape[1]);
        // `[batch, columns, points]`; a linear layer's are rows already.
        let points = shape.get(2).copied().unwrap_or(1);
        let mut inputs = Vec::with_capacity(x.len());
        for image in x.chunks_exact(columns * points) {
            for point in 0..points {
                inputs.extend((0..columns).map(|column| image[column * points + point]));
            }
        }
        let linear = shape.len() == 2;
        let (x, y) = ((inputs, columns), (outputs, filters));
        let samples = if linear {
            LayerSamples::from_linear(x, y)
        } else {
            LayerSamples::from_convolution(x, y, 1)
        };
        let samples = samples.unwrap();
        let (weight_shape, _) = file.values(&case["input"]["w"]);
        let mut channels = vec![false; weight_shape[1]];
        for kept in case["expect"]["kept_channels"].as_array().unwrap() {
            channels[kept.as_u64().unwrap() as usize] = true;
        }
        let refit = samples
            .refit(&samples.of_channels(&channels).unwrap())
            .unwrap();
        let expected = file.values(&case["expect"]["w_new_masked"]).1;
        assert_eq!(refit.weight.len(), expected.len());
        let tolerance = |name: &str| case["tolerance"][name].as_f64().unwrap();
        for (index, &expected) in expected.iter().enumerate() {
            let at = if linear {
                index % columns * filters + index / columns
            } else {
                index
            };
            let (found, expected) = (refit.weight[at], f64::from(expected));
            let near = tolerance("rel") * expected.abs() + tolerance("abs");
            assert!((found - expected).abs() <= near, "{found}, {expected}");
            assert_eq!(found == 0.0, expected == 0.0);
        }
    }
}
