use burn::tensor::{Bool, Tensor, TensorData};
use calcine_fold::{Fold, FoldError, Granularity, Layout};
use calcine_testkit::{device, each, is_host};

use crate::oracle::Case;

impl Case {
    fn fold(&self) -> Result<Fold, FoldError> {
        Fold::grouped(self.granularity, &self.shape, self.layout, self.groups)
    }
}

/// Every granularity that each of these shapes has, in both layouts and with several groups.
fn cases() -> Vec<Case> {
    let shapes: [&[usize]; 20] = [
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
        &[4, 4, 4, 4],
        &[8, 4, 4, 4],
        &[1, 1, 1, 1],
        &[4, 2, 2, 3, 2],
        &[2, 4, 1, 1, 3],
    ];
    let named = Granularity::NAMES.iter().map(|name| name.parse().unwrap());
    let mut granularities: Vec<Granularity> = named.collect();
    granularities.extend([1, 2, 3, 4].map(|of| Granularity::Group { of }));
    for rep in [1, 2, 4] {
        for depth in [1, 2, 4, 6] {
            for (height, width) in [(1, 1), (2, 2), (3, 2), (1, 3), (3, 3)] {
                granularities.push(Granularity::Block {
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
            for groups in [1, 2, 4] {
                cases.extend(granularities.iter().map(|&granularity| Case {
                    granularity,
                    shape: shape.to_vec(),
                    layout,
                    groups,
                }));
            }
        }
    }
    cases.retain(|case| case.fold().is_ok());
    assert!(cases.len() > 600, "{} cases", cases.len());
    if is_host() {
        return cases;
    }
    // A GPU compiles a program for every shape: some of each kind.
    cases.into_iter().step_by(41).collect()
}

/// Calls `$check::<D>` with the rank of the case's shape.
macro_rules! of_rank {
    ($check:ident, $case:expr) => {
        match $case.shape.len() {
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
    fn check<const D: usize>(case: &Case) {
        let fold = case.fold().unwrap();
        let expected = case.units();
        assert_eq!(
            (fold.units(), fold.members()),
            (expected.len(), expected[0].len())
        );
        let rows = fold.rows(positions::<D>(&case.shape));
        assert_eq!(rows.dims(), [fold.units(), fold.members()]);
        let mut units: Vec<Vec<usize>> = numbers(rows)
            .chunks(fold.members())
            .map(<[usize]>::to_vec)
            .collect();
        units.iter_mut().for_each(|unit| unit.sort_unstable());
        assert_eq!(units, expected);
    }
    each(cases(), |case| of_rank!(check, case));
}

#[test]
fn unrows_undoes_rows() {
    fn check<const D: usize>(case: &Case) {
        let fold = case.fold().unwrap();
        let weight = positions::<D>(&case.shape);
        let back: Tensor<D> = fold.unrows(fold.rows(weight.clone()));
        assert_eq!(back.dims().as_slice(), case.shape.as_slice());
        assert_eq!(numbers(back), numbers(weight));
    }
    each(cases(), |case| of_rank!(check, case));
}

#[test]
fn a_flat_weight_has_the_same_rows() {
    fn check<const D: usize>(case: &Case) {
        let fold = case.fold().unwrap();
        let weight = positions::<D>(&case.shape);
        let flat: Tensor<1> = weight.clone().reshape([weight.shape().num_elements()]);
        assert_eq!(numbers(fold.rows(flat)), numbers(fold.rows(weight)));
    }
    each(cases(), |case| of_rank!(check, case));
}

#[test]
fn a_weight_in_place_has_the_same_units() {
    fn check<const D: usize>(case: &Case) {
        let fold = case.fold().unwrap();
        let weight = positions::<D>(&case.shape);
        let Some(in_place) = fold.in_place(weight.clone()) else {
            return;
        };
        let rows = in_place.swap_dims(0, 1);
        let rows = rows.reshape([fold.units(), fold.members()]);
        assert_eq!(numbers(rows), numbers(fold.rows(weight)));
    }
    let found = |case: &Case| {
        let numbers = Tensor::<1>::zeros([case.shape.iter().product::<usize>()], &device());
        case.fold().unwrap().in_place(numbers).is_some()
    };
    assert!(cases().iter().any(found), "some are in place");
    each(cases(), |case| of_rank!(check, case));
}

#[test]
fn spreading_reaches_all_members_of_a_unit_and_no_other() {
    fn check<const D: usize>(case: &Case) {
        let fold = case.fold().unwrap();
        let decision: Vec<bool> = (0..fold.units()).map(|unit| unit % 3 == 0).collect();
        let units = Tensor::<1, Bool>::from_bool(decision.as_slice(), &device());
        let spread: Tensor<D, Bool> = fold.spread(units);
        assert_eq!(spread.dims().as_slice(), case.shape.as_slice());
        let mut expected = vec![false; case.shape.iter().product()];
        for (unit, members) in case.units().into_iter().enumerate() {
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

/// The groups of a convolution are convolutions of their own, one after the other along the first axis.
#[test]
fn the_rows_of_groups_are_the_rows_of_each_group() {
    fn check<const D: usize>(case: &Case) {
        let mut shape = case.shape.clone();
        shape[0] /= case.groups;
        let alone = Fold::new(case.granularity, &shape, case.layout).unwrap();
        let weight = positions::<D>(&case.shape);
        let rows = weight
            .clone()
            .chunk(case.groups, 0)
            .into_iter()
            .map(|group| alone.rows(group))
            .collect();
        assert_eq!(
            numbers(case.fold().unwrap().rows(weight)),
            numbers(Tensor::cat(rows, 0))
        );
    }
    let mut grouped = cases();
    grouped.retain(|case| case.groups > 1 && case.granularity != Granularity::Layer);
    each(grouped, |case| of_rank!(check, case));
}

#[test]
fn members_lie_in_the_order_out_in_height_width() {
    let channels = Fold::new(Granularity::Channel, &[2, 3, 1, 2], Layout::OutputFirst).unwrap();
    assert_eq!(
        numbers(channels.rows(positions::<4>(&[2, 3, 1, 2])))[..4],
        [0, 1, 6, 7]
    );
    let outputs = Fold::new(Granularity::FcOutput, &[3, 2], Layout::LINEAR).unwrap();
    assert_eq!(
        numbers(outputs.rows(positions::<2>(&[3, 2]))),
        [0, 2, 4, 1, 3, 5]
    );
    let filters = Fold::new(
        Granularity::Filter,
        &[2, 2, 2],
        Layout::TRANSPOSED_CONVOLUTION,
    )
    .unwrap();
    assert_eq!(
        numbers(filters.rows(positions::<3>(&[2, 2, 2]))),
        [0, 1, 4, 5, 2, 3, 6, 7]
    );
}

#[test]
fn a_group_of_rows_is_consecutive_inputs_of_one_output_and_place() {
    let pairs = Granularity::Group { of: 2 };
    let convolution = Fold::new(pairs, &[1, 4, 1, 2], Layout::CONVOLUTION).unwrap();
    assert_eq!(
        numbers(convolution.rows(positions::<4>(&[1, 4, 1, 2]))),
        [0, 2, 4, 6, 1, 3, 5, 7]
    );
    let linear = Fold::new(pairs, &[4, 2], Layout::LINEAR).unwrap();
    assert_eq!(
        numbers(linear.rows(positions::<2>(&[4, 2]))),
        [0, 2, 4, 6, 1, 3, 5, 7]
    );
    // PyTorch's linear weights lie in that order already.
    let as_stored = Fold::new(pairs, &[2, 4], Layout::OutputFirst).unwrap();
    assert_eq!(
        numbers(as_stored.rows(positions::<2>(&[2, 4]))),
        [0, 1, 2, 3, 4, 5, 6, 7]
    );
}

#[test]
fn filters_and_channels_of_a_depthwise_convolution_are_the_same() {
    let shape = [4, 1, 3, 3];
    let rows = |granularity| {
        let fold = Fold::grouped(granularity, &shape, Layout::CONVOLUTION, 4).unwrap();
        numbers(fold.rows(positions::<4>(&shape)))
    };
    assert_eq!(rows(Granularity::Filter), rows(Granularity::Channel));
    // With two filters to an input, the channel is both.
    let twice = Fold::grouped(Granularity::Channel, &shape, Layout::CONVOLUTION, 2).unwrap();
    assert_eq!((twice.units(), twice.members()), (2, 18));
}

#[test]
fn an_embeddings_inputs_are_its_entries() {
    let entries = Fold::new(Granularity::FcInput, &[3, 2], Layout::InputFirst).unwrap();
    assert_eq!(
        numbers(entries.rows(positions::<2>(&[3, 2]))),
        [0, 1, 2, 3, 4, 5]
    );
    assert_eq!((entries.units(), entries.members()), (3, 2));
}

#[test]
fn a_fold_remembers_what_it_was_bound_to() {
    let fold = Fold::new(Granularity::Kernel, &[4, 2, 3], Layout::CONVOLUTION).unwrap();
    assert_eq!(
        (fold.granularity(), fold.groups()),
        (Granularity::Kernel, 1)
    );
    assert_eq!(fold.layout(), Layout::OutputFirst);
    assert_eq!(fold.shape(), [4, 2, 3]);
}
