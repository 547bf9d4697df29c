use calcine_fold::{Fold, FoldError, Granularity, Layout};
use calcine_testkit::each;

fn said(granularity: Granularity, shape: &[usize]) -> String {
    Fold::new(granularity, shape, Layout::OutputFirst)
        .unwrap_err()
        .to_string()
}

#[test]
fn a_granularity_of_another_kind_of_weight_says_what_it_needs() {
    let convolution = "needs the weight of a convolution (rank 3 to 5)";
    let linear = "needs the weight of a linear layer (rank 2)";
    let matrix = "needs a weight of rank 2 or more";
    let block = Granularity::Block {
        rep: 1,
        depth: 1,
        height: 1,
        width: 1,
    };
    let pairs = Granularity::Group { of: 2 };
    let rows: [(Granularity, &[usize], &str); 13] = [
        (Granularity::Kernel, &[4, 4], convolution),
        (Granularity::Kernel, &[4], convolution),
        (Granularity::Filter, &[4, 4], convolution),
        (Granularity::Filter, &[4, 4, 1, 1, 1, 1], convolution),
        (Granularity::Channel, &[4, 4], convolution),
        (Granularity::Channel, &[4], convolution),
        (Granularity::FcInput, &[4, 4, 1, 1], linear),
        (Granularity::FcInput, &[4], linear),
        (Granularity::FcOutput, &[4, 4, 3], linear),
        (Granularity::FcOutput, &[4], linear),
        (block, &[4], matrix),
        (block, &[1], matrix),
        (pairs, &[4], matrix),
    ];
    each(rows, |(granularity, shape, needs)| {
        let said = said(*granularity, shape);
        assert!(said.contains(needs), "{said}");
        assert!(
            said.contains(&format!("{granularity}")) && said.contains(&format!("{shape:?}")),
            "{said}"
        );
    });
}

#[test]
fn a_block_that_does_not_tile_names_the_axis() {
    let rows = [
        ("block(3x1x1x1)", "3 does not divide outputs 8"),
        ("block(1x4x1x1)", "4 does not divide inputs 6"),
        ("block(1x1x2x1)", "2 does not divide kernel height 3"),
        ("block(1x1x1x4)", "4 does not divide kernel width 5"),
        ("block(0x1x1x1)", "0 does not divide outputs 8"),
        ("block(16x1x1x1)", "16 does not divide outputs 8"),
    ];
    each(rows, |(block, reason)| {
        let said = said(block.parse().unwrap(), &[8, 6, 3, 5]);
        assert_eq!(
            said,
            format!("granularity `{block}` does not tile the weight: {reason}")
        );
    });
}

#[test]
fn inputs_that_do_not_come_in_groups_of_m_are_named() {
    for of in [0, 4, 12] {
        let group = Granularity::Group { of };
        assert_eq!(
            said(group, &[8, 6, 3, 5]),
            format!(
                "granularity `group({of})` does not tile the weight: {of} does not divide inputs 6"
            )
        );
    }
}

#[test]
fn a_tile_does_not_reach_over_the_groups_of_a_convolution() {
    let rows = [
        ("block(4x1x1x1)", "4 does not divide outputs per group 2"),
        ("block(1x4x1x1)", "4 does not divide inputs per group 6"),
        ("group(4)", "4 does not divide inputs per group 6"),
    ];
    each(rows, |(granularity, reason)| {
        let granularity: Granularity = granularity.parse().unwrap();
        let error = Fold::grouped(granularity, &[8, 6, 3, 3], Layout::CONVOLUTION, 4).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("granularity `{granularity}` does not tile the weight: {reason}")
        );
    });
}

#[test]
fn groups_that_do_not_divide_the_first_axis_are_an_error() {
    let rows = [
        (Layout::CONVOLUTION, 3, "3 groups do not divide outputs 8"),
        (Layout::CONVOLUTION, 0, "0 groups do not divide outputs 8"),
        (
            Layout::TRANSPOSED_CONVOLUTION,
            16,
            "16 groups do not divide inputs 8",
        ),
    ];
    each(rows, |(layout, groups, expected)| {
        let error =
            Fold::grouped(Granularity::Filter, &[8, 6, 3, 3], *layout, *groups).unwrap_err();
        assert_eq!(error.to_string(), *expected);
    });
}

#[test]
fn a_weight_without_elements_has_no_units() {
    for shape in [&[0][..], &[3, 0], &[]] {
        let error = Fold::new(Granularity::Element, shape, Layout::LINEAR).unwrap_err();
        assert_eq!(
            error,
            FoldError::Empty {
                shape: shape.to_vec()
            }
        );
    }
}
