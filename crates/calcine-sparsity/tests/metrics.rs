//! Every metric against loops over the numbers.

use burn::tensor::{Tensor, TensorData};
use calcine_fold::{Fold, Granularity, Layout};
use calcine_sparsity::{Share, alive_units, moments, nonzero, nonzero_units};
use calcine_testkit::{device, each, values};

fn matrix<const R: usize, const C: usize>(numbers: [[f32; C]; R]) -> Tensor<2> {
    Tensor::from_data(TensorData::from(numbers), &device())
}

fn sparsity<const D: usize>(weight: &Tensor<D>, granularity: Granularity, layout: Layout) -> f64 {
    let fold = Fold::new(granularity, &weight.dims(), layout).unwrap();
    Share::read(
        nonzero_units(fold.rows(weight.clone())),
        fold.units() as u64,
    )
    .sparsity()
}

fn density<const D: usize>(tensor: Tensor<D>) -> f64 {
    let total = tensor.shape().num_elements() as u64;
    Share::read(nonzero(tensor), total).density()
}

#[test]
fn zeros_are_all_sparse_and_ones_are_not() {
    let shape = [4, 3, 2, 2];
    let zeros = Tensor::<4>::zeros(shape, &device());
    let ones = Tensor::<4>::ones(shape, &device());
    for granularity in [
        Granularity::Element,
        Granularity::Kernel,
        Granularity::Filter,
        Granularity::Channel,
        Granularity::Layer,
    ] {
        assert_eq!(
            sparsity(&zeros, granularity, Layout::CONVOLUTION),
            1.0,
            "{granularity}"
        );
        assert_eq!(
            sparsity(&ones, granularity, Layout::CONVOLUTION),
            0.0,
            "{granularity}"
        );
    }
}

/// `reference/distiller.md` §11, test 1; its matrices are PyTorch's, with the output first.
#[test]
fn published_matrices_have_their_published_metrics() {
    let columns = matrix([[1., 2., 0., 4., 0.], [1., 2., 0., 4., 0.]]);
    assert_eq!(density(columns.clone()), 6.0 / 10.0);
    assert_eq!(
        sparsity(&columns, Granularity::FcInput, Layout::OutputFirst),
        1.0 - 3.0 / 5.0
    );
    assert_eq!(
        sparsity(&columns, Granularity::FcOutput, Layout::OutputFirst),
        0.0
    );

    let rows = matrix([[0., 0., 0.], [1., 4., 0.], [1., 2., 0.], [0., 0., 0.]]);
    assert_eq!(density(rows.clone()), 4.0 / 12.0);
    assert_eq!(
        sparsity(&rows, Granularity::FcOutput, Layout::OutputFirst),
        0.5
    );
    assert_eq!(
        sparsity(&rows, Granularity::FcInput, Layout::OutputFirst),
        1.0 - 2.0 / 3.0
    );
}

#[test]
fn the_layout_turns_outputs_into_inputs() {
    let stored = matrix([[0., 0., 0.], [1., 4., 0.], [1., 2., 0.], [0., 0., 0.]]);
    let swapped = [
        (Granularity::FcOutput, Granularity::FcInput),
        (Granularity::FcInput, Granularity::FcOutput),
    ];
    for (granularity, other) in swapped {
        let burn = sparsity(&stored, granularity, Layout::LINEAR);
        assert_eq!(burn, sparsity(&stored, other, Layout::OutputFirst));
    }
}

#[test]
fn nan_and_negative_zero_count_as_zero_and_the_smallest_normal_does_not() {
    let rows: [(f32, i64); 9] = [
        (0.0, 0),
        (-0.0, 0),
        (f32::NAN, 0),
        (-f32::NAN, 0),
        (f32::MIN_POSITIVE, 1),
        (-f32::MIN_POSITIVE, 1),
        (f32::INFINITY, 1),
        (f32::NEG_INFINITY, 1),
        (-1.5, 1),
    ];
    each(rows, |(number, expected)| {
        let tensor = Tensor::<1>::from_data([*number], &device());
        assert_eq!(nonzero(tensor.clone()).into_scalar::<i64>(), *expected);
        let units = nonzero_units(tensor.reshape([1, 1]));
        assert_eq!(units.into_scalar::<i64>(), *expected);
    });
}

#[test]
fn a_unit_is_alive_if_some_member_is_even_where_members_cancel() {
    let rows = matrix([
        [1., -1., 0.],
        [0., -0., 0.],
        [0., 0., 1e-20],
        [f32::NAN, 0., 0.],
    ]);
    let alive: Vec<bool> = alive_units(rows.clone())
        .into_data()
        .iter::<bool>()
        .collect();
    assert_eq!(alive, [true, false, true, false]);
    assert_eq!(nonzero_units(rows).into_scalar::<i64>(), 2);
}

#[test]
fn counts_of_every_granularity_agree_with_a_loop() {
    let shape = [6, 4, 3, 3];
    // Whole kernels, and elements beside them, are zero.
    let numbers: Vec<f32> = values(shape.iter().product())
        .into_iter()
        .enumerate()
        .map(|(i, x)| {
            if (i / 9) % 3 == 1 || i % 4 == 0 || i < 72 {
                0.0
            } else {
                x
            }
        })
        .collect();
    let weight = Tensor::<4>::from_data(TensorData::new(numbers.clone(), shape), &device());
    let block = Granularity::Block {
        rep: 2,
        depth: 2,
        height: 1,
        width: 1,
    };
    type Key = fn(usize) -> usize;
    let rows: [(Granularity, u64, Key); 6] = [
        (Granularity::Element, 216, |i| i),
        (Granularity::Kernel, 24, |i| i / 9),
        (Granularity::Filter, 6, |i| i / 36),
        (Granularity::Channel, 4, |i| i / 9 % 4),
        (Granularity::Layer, 1, |_| 0),
        (block, 54, |i| ((i / 72) * 2 + i / 18 % 2) * 9 + i % 9),
    ];
    each(rows, |(granularity, total, unit_of)| {
        let mut alive = std::collections::BTreeSet::new();
        for (i, _) in numbers.iter().enumerate().filter(|(_, x)| **x != 0.0) {
            alive.insert(unit_of(i));
        }
        let expected = Share {
            nonzero: alive.len() as u64,
            total: *total,
        };
        assert_eq!(
            sparsity(&weight, *granularity, Layout::CONVOLUTION),
            expected.sparsity()
        );
    });
}

#[test]
fn moments_agree_with_a_loop_in_double_precision() {
    let cases: [Vec<f32>; 5] = [
        values(1000),
        values(257)
            .iter()
            .map(|x| if x.abs() < 0.6 { 0.0 } else { *x })
            .collect(),
        vec![0.0; 12],
        vec![-2.0, 2.0],
        vec![3.5; 9],
    ];
    each(cases, |numbers| {
        let n = numbers.len() as f64;
        let mean = numbers.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
        let squares: f64 = numbers.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum();
        let magnitude = numbers.iter().map(|&x| f64::from(x).abs()).sum::<f64>() / n;
        let expected = [(squares / (n - 1.0)).sqrt(), mean, magnitude];
        let tensor = TensorData::new(numbers.clone(), [numbers.len(), 1]);
        let ours = moments(Tensor::<2>::from_data(tensor, &device())).into_data();
        for (ours, expected) in ours.iter::<f64>().zip(expected) {
            approx::assert_relative_eq!(ours, expected, epsilon = 1e-6, max_relative = 1e-5);
        }
    });
}

#[test]
fn the_deviation_of_a_single_element_is_zero() {
    let moments = moments(Tensor::<1>::from_data([-2.5], &device())).into_data();
    assert_eq!(moments.iter::<f64>().collect::<Vec<_>>(), [0.0, -2.5, 2.5]);
}
