use burn::tensor::{Bool, Tensor, TensorData};
use calcine_fold::{Fold, Grain, Layout};
use calcine_testkit::{device, each};

use crate::oracle;

type Case = (Grain, Vec<usize>, Layout);

/// Every grain that each of these shapes has, in both layouts.
fn cases() -> Vec<Case> {
    let shapes: [&[usize]; 18] = [
        &[7],
        &[1],
        &[3, 5],
        &[6, 4],
        &[1, 4],
        &[4, 1],
        &[1, 1],
        &[4, 6, 3],
        &[4, 1, 3],
        &[1, 4, 1],
        &[4, 6, 3, 2],
        &[6, 4, 1, 1],
        &[1, 4, 3, 3],
        &[4, 1, 3, 3],
        &[2, 2, 1, 4],
        &[1, 1, 1, 1],
        &[4, 2, 2, 3, 2],
        &[2, 4, 1, 1, 3],
    ];
    let named = Grain::NAMES.iter().map(|name| name.parse().unwrap());
    let mut grains: Vec<Grain> = named.collect();
    for rep in [1, 2, 4] {
        for depth in [1, 2, 4, 6] {
            for (height, width) in [(1, 1), (3, 2), (1, 3), (3, 3)] {
                grains.push(Grain::Block {
                    rep,
                    depth,
                    height,
                    width,
                });
            }
        }
    }
    let mut cases = Vec::new();
    for shape in shapes {
        for layout in [Layout::OutputFirst, Layout::InputFirst] {
            let fits = grains
                .iter()
                .filter(|grain| Fold::new(**grain, shape, layout).is_ok());
            cases.extend(fits.map(|grain| (*grain, shape.to_vec(), layout)));
        }
    }
    cases
}

/// Calls `$check::<D>` with the rank of the case's shape.
macro_rules! of_rank {
    ($check:ident, $case:expr) => {
        match $case.1.len() {
            1 => $check::<1>($case),
            2 => $check::<2>($case),
            3 => $check::<3>($case),
            4 => $check::<4>($case),
            _ => $check::<5>($case),
        }
    };
}

/// A weight whose values are its stored positions.
fn positions<const D: usize>(shape: &[usize]) -> Tensor<D> {
    let count: usize = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|i| i as f32).collect();
    Tensor::from_data(TensorData::new(values, shape), &device())
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<usize> {
    tensor
        .into_data()
        .iter::<f32>()
        .map(|x| x as usize)
        .collect()
}

#[test]
fn every_row_has_the_members_of_its_unit() {
    fn check<const D: usize>((grain, shape, layout): &Case) {
        let fold = Fold::new(*grain, shape, *layout).unwrap();
        let expected = oracle::units(*grain, shape, *layout);
        assert_eq!(
            (fold.units(), fold.members()),
            (expected.len(), expected[0].len())
        );
        let rows = fold.rows(positions::<D>(shape));
        assert_eq!(rows.dims(), [fold.units(), fold.members()]);
        let mut units: Vec<Vec<usize>> = numbers(rows)
            .chunks(fold.members())
            .map(<[usize]>::to_vec)
            .collect();
        units.iter_mut().for_each(|unit| unit.sort_unstable());
        assert_eq!(units, expected);
    }
    let cases = cases();
    assert!(cases.len() > 200, "{} cases", cases.len());
    each(cases, |case| of_rank!(check, case));
}

#[test]
fn unrows_undoes_rows() {
    fn check<const D: usize>((grain, shape, layout): &Case) {
        let fold = Fold::new(*grain, shape, *layout).unwrap();
        let weight = positions::<D>(shape);
        let back: Tensor<D> = fold.unrows(fold.rows(weight.clone()));
        assert_eq!(back.dims().as_slice(), shape.as_slice());
        assert_eq!(numbers(back), numbers(weight));
    }
    each(cases(), |case| of_rank!(check, case));
}

#[test]
fn a_flat_weight_has_the_same_rows() {
    fn check<const D: usize>((grain, shape, layout): &Case) {
        let fold = Fold::new(*grain, shape, *layout).unwrap();
        let weight = positions::<D>(shape);
        let flat: Tensor<1> = weight.clone().reshape([weight.shape().num_elements()]);
        assert_eq!(numbers(fold.rows(flat)), numbers(fold.rows(weight)));
    }
    each(cases(), |case| of_rank!(check, case));
}

#[test]
fn spreading_reaches_all_members_of_a_unit_and_no_other() {
    fn check<const D: usize>((grain, shape, layout): &Case) {
        let fold = Fold::new(*grain, shape, *layout).unwrap();
        let decision: Vec<bool> = (0..fold.units()).map(|unit| unit % 3 == 0).collect();
        let units = Tensor::<1, Bool>::from_bool(decision.as_slice(), &device());
        let spread: Tensor<D, Bool> = fold.spread(units);
        assert_eq!(spread.dims().as_slice(), shape.as_slice());
        let mut expected = vec![false; shape.iter().product()];
        for (unit, members) in oracle::units(*grain, shape, *layout)
            .into_iter()
            .enumerate()
        {
            members
                .into_iter()
                .for_each(|member| expected[member] = decision[unit]);
        }
        assert_eq!(
            spread.into_data().iter::<bool>().collect::<Vec<_>>(),
            expected
        );
    }
    each(cases(), |case| of_rank!(check, case));
}

#[test]
fn members_lie_in_the_order_out_in_height_width() {
    let channels = Fold::new(Grain::Channel, &[2, 3, 1, 2], Layout::OutputFirst).unwrap();
    assert_eq!(
        numbers(channels.rows(positions::<4>(&[2, 3, 1, 2])))[..4],
        [0, 1, 6, 7]
    );
    let outputs = Fold::new(Grain::FcOutput, &[3, 2], Layout::LINEAR).unwrap();
    assert_eq!(
        numbers(outputs.rows(positions::<2>(&[3, 2]))),
        [0, 2, 4, 1, 3, 5]
    );
    let filters = Fold::new(Grain::Filter, &[2, 2, 2], Layout::TRANSPOSED_CONVOLUTION).unwrap();
    assert_eq!(
        numbers(filters.rows(positions::<3>(&[2, 2, 2]))),
        [0, 1, 4, 5, 2, 3, 6, 7]
    );
}

#[test]
fn a_fold_remembers_what_it_was_bound_to() {
    let fold = Fold::new(Grain::Kernel, &[4, 2, 3], Layout::CONVOLUTION).unwrap();
    assert_eq!(fold.grain(), Grain::Kernel);
    assert_eq!(fold.shape(), [4, 2, 3]);
}
