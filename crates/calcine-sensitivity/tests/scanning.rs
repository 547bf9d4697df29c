use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Tensor, TensorData};
use calcine_criteria::{
    Bernoulli, Count, Evidence, Noisy, Norm, Random, Regrow, Taylor, Threshold,
};
use calcine_fold::Granularity;
use calcine_sensitivity::{Scan, ScanError, Sensitivity, scan};
use calcine_testkit::{ConvNet, numbers, values};
use calcine_trace::trace;

use crate::{counted, net, nonzero, whole};

/// Parameter, level and what is left of it.
fn left(found: &Sensitivity, total: usize) -> Vec<(&str, f64, f64)> {
    let row =
        |point: &calcine_sensitivity::Point| (point.value("top1") * 10.0 - total as f64).round();
    found
        .points
        .iter()
        .map(|p| (p.parameter.as_str(), p.requested, row(p)))
        .collect()
}

#[test]
fn one_parameter_is_pruned_at_a_time_and_to_exactly_the_level() {
    let model = net();
    let plan = Scan::new(Granularity::Element).with_levels([0.0, 0.25, 0.5]);
    let found = whole(&model, &plan, |pruned: &ConvNet| {
        let counts = nonzero(pruned);
        assert!(
            counts[0].1 == 144 || counts[1].1 == 32,
            "both are pruned: {counts:?}"
        );
        counted(pruned)
    });
    let found = found.unwrap();
    assert_eq!(
        left(&found, 144 + 32),
        [
            ("conv.weight", 0.0, 0.0),
            ("conv.weight", 0.25, -36.0),
            ("conv.weight", 0.5, -72.0),
            ("head.weight", 0.0, 0.0),
            ("head.weight", 0.25, -8.0),
            ("head.weight", 0.5, -16.0),
        ]
    );
    assert!(
        found
            .points
            .iter()
            .all(|point| point.achieved == point.requested)
    );
    assert_eq!(
        found.points[0].value("top1"),
        found.baseline.evaluation.value("top1")
    );
}

#[test]
fn every_level_prunes_the_models_own_weights() {
    let levels = |levels: &[f64]| {
        let plan = Scan::new(Granularity::Element).with_levels(levels.iter().copied());
        whole(&net(), &plan, counted).unwrap()
    };
    let (up, down) = (levels(&[0.2, 0.6]), levels(&[0.6, 0.2]));
    let sorted = |found: &Sensitivity| {
        let mut rows: Vec<String> = found.to_csv().lines().map(str::to_owned).collect();
        rows.sort();
        rows
    };
    assert_eq!(sorted(&up), sorted(&down));
}

#[test]
fn the_model_is_as_it_was_and_trains_on() {
    let device = calcine_testkit::device().autodiff();
    let model = net().to_device(&device).train();
    let before = model.conv.weight.val().into_data();
    let plan = Scan::new(Granularity::Filter).with_levels([0.5]);
    let seen = whole(&model, &plan, |pruned: &ConvNet| {
        assert!(pruned.conv.weight.val().is_require_grad());
        counted(pruned)
    });
    assert!(seen.is_ok());
    assert_eq!(model.conv.weight.val().into_data(), before);
    assert!(model.conv.weight.val().is_require_grad());
}

#[test]
fn levels_that_come_to_the_same_are_evaluated_once() {
    let mut evaluations = 0;
    // ⌊f·8⌋ filters: 0, 0, 1, 1, 4; and the unpruned model.
    let plan = Scan::new(Granularity::Filter).with_levels([0.0, 0.1, 0.13, 0.2, 0.5]);
    let found = whole(&net(), &plan, |model: &ConvNet| {
        evaluations += 1;
        counted(model)
    });
    let found = found.unwrap();
    assert_eq!(evaluations, 3);
    let rows: Vec<_> = found
        .points
        .iter()
        .map(|p| (p.requested, p.achieved, p.value("top1")))
        .collect();
    assert_eq!(
        rows,
        [
            (0.0, 0.0, 17.6),
            (0.1, 0.0, 17.6),
            (0.13, 0.125, 15.8),
            (0.2, 0.125, 15.8),
            (0.5, 0.5, 10.4),
        ]
    );
}

#[test]
fn a_weight_that_is_sparse_already_keeps_its_zeros() {
    let mut model = net();
    let weight = model.head.weight.val();
    model.head.weight = burn::module::Param::from_tensor(weight.slice_fill(0..4, 0.0));
    let plan = Scan::new(Granularity::Element)
        .with_params(["head.weight"])
        .with_levels([0.25, 0.75]);
    let found = whole(&model, &plan, counted).unwrap();
    let achieved: Vec<f64> = found.points.iter().map(|point| point.achieved).collect();
    assert_eq!(achieved, [0.5, 0.75]);
    assert_eq!(
        found.points[0].value("top1"),
        found.baseline.evaluation.value("top1")
    );
}

#[test]
fn without_names_every_weight_that_has_such_units_is_scanned() {
    let names = |granularity| {
        let found = whole(&net(), &Scan::new(granularity).with_levels([0.5]), counted).unwrap();
        found
            .by_parameter()
            .map(|(name, _)| name.to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(Granularity::Element), ["conv.weight", "head.weight"]);
    assert_eq!(names(Granularity::FcInput), ["head.weight"]);
    // Channels depend on groups, which only the traced model knows.
    let network = trace(&net(), numbers([1, 2, 6, 6]), |m, x| m.forward(x)).unwrap();
    let targets = Scan::new(Granularity::Channel).with_levels([0.5]);
    let found = whole(&network, &targets, counted).unwrap();
    let scanned: Vec<&str> = found.by_parameter().map(|(name, _)| name).collect();
    assert_eq!(scanned, ["conv.weight"]);
}

#[test]
fn any_score_and_selection_will_do() {
    let base = || Scan::new(Granularity::Filter).with_levels([0.5]);
    let largest_first = |evidence: &Evidence| evidence.rows().abs().sum_dim(1).neg().flatten(0, 1);
    for plan in [
        base().with_score(Norm::L2),
        base().with_score(largest_first),
    ] {
        assert_eq!(
            whole(&net(), &plan, counted).unwrap().points[0].achieved,
            0.5
        );
    }
    let everything = base().with_select(Threshold).with_levels([1.0]);
    assert_eq!(
        whole(&net(), &everything, counted).unwrap().points[0].achieved,
        1.0
    );
}

#[test]
fn what_cannot_be_scanned_is_named() {
    let fails = |plan: Scan| whole(&net(), &plan, counted).unwrap_err();
    let error = fails(Scan::new(Granularity::Filter).with_params(["**.weight"]));
    assert!(matches!(error, ScanError::Unfit { .. }));
    assert!(
        error
            .to_string()
            .starts_with("`head.weight`: granularity `filter`"),
        "{error}"
    );
    let error = fails(Scan::new(Granularity::Element).with_params(["conv1.weight"])).to_string();
    assert!(
        error.contains("`conv1.weight` matches no parameter; nearest: conv.weight"),
        "{error}"
    );
    let block = Granularity::Block {
        rep: 3,
        depth: 1,
        height: 1,
        width: 1,
    };
    // Whether a block fits depends on the groups.
    let network = trace(&net(), numbers([1, 2, 6, 6]), |m, x| m.forward(x)).unwrap();
    let error = whole(&network, &Scan::new(block), counted).unwrap_err();
    assert!(matches!(error, ScanError::Nothing { .. }), "{error}");
    for levels in [vec![], vec![0.5, 1.5], vec![f64::NAN]] {
        assert!(matches!(
            fails(Scan::new(Granularity::Element).with_levels(levels)),
            ScanError::Level { .. }
        ));
    }
}

#[test]
fn progress_counts_the_evaluations_that_are_to_come() {
    let plan = Scan::new(Granularity::Filter).with_levels([0.0, 0.5, 0.55, 0.9]);
    let mut seen = Vec::new();
    let outcome = scan(&net(), &plan, counted, None, |progress| {
        let level = progress.point.map(|point| point.requested);
        seen.push((progress.done, progress.total, level));
        std::ops::ControlFlow::Continue(())
    });
    assert!(outcome.is_ok());
    assert_eq!(seen, [(1, 3, None), (2, 3, Some(0.5)), (3, 3, Some(0.9))]);
}

/// Two layers of the same weights.
#[derive(Module, Debug)]
struct Twins {
    a: Linear,
    b: Linear,
}

fn twins() -> Twins {
    let linear = || {
        let device = calcine_testkit::device();
        let mut layer = LinearConfig::new(8, 8).with_bias(false).init(&device);
        let weight = TensorData::new(values(64), [8, 8]);
        layer.weight = Param::from_tensor(Tensor::from_data(weight, &device));
        layer
    };
    Twins {
        a: linear(),
        b: linear(),
    }
}

#[test]
fn what_is_drawn_at_random_differs_by_seed_and_parameter() {
    let base = || Scan::new(Granularity::Element).with_levels([0.5]);
    // Which elements each of the two points drops.
    let dropped = |plan: &Scan| {
        let mut seen: Vec<[Vec<bool>; 2]> = Vec::new();
        let read = |weight: &Param<Tensor<2>>| {
            let weight = weight.val().into_data();
            weight.iter::<f32>().map(|w| w == 0.0).collect()
        };
        whole(&twins(), plan, |model: &Twins| {
            seen.push([read(&model.a.weight), read(&model.b.weight)]);
            counted(model)
        })
        .unwrap();
        (seen[1][0].clone(), seen[2][1].clone())
    };
    type Make = fn(Scan) -> Scan;
    let rows: [Make; 3] = [
        |scan| scan.with_score(Random),
        |scan| {
            scan.with_score(Noisy {
                score: Norm::L1,
                probability: 1.0,
            })
        },
        |scan| scan.with_select(Bernoulli),
    ];
    for make in rows {
        let unseeded = whole(&twins(), &make(base()), counted);
        assert!(matches!(unseeded, Err(ScanError::Seed)));
        let of = |seed| dropped(&make(base()).with_seed(seed));
        let (first, second) = (of(1), of(2));
        assert_ne!(first.0, first.1, "parameters");
        assert_ne!(first, second, "seeds");
        assert_eq!(first, of(1));
    }
}

#[test]
fn scores_that_look_at_more_than_weights_are_refused() {
    let plan = || Scan::new(Granularity::Element).with_levels([0.5]);
    let regrow = Regrow {
        level: 0.5,
        count: Count::default(),
    };
    for plan in [
        plan().with_score(Taylor::ABSOLUTE),
        plan().with_select(regrow),
    ] {
        let error = plan.check(&twins()).unwrap_err();
        assert!(matches!(error, ScanError::Evidence { .. }), "{error}");
    }
}

#[derive(Module, Debug)]
struct Grouped {
    conv: Conv2d,
    fc: Linear,
}

#[test]
fn a_weight_whose_units_are_not_known_is_not_left_out() {
    let device = calcine_testkit::device();
    let model = Grouped {
        conv: Conv2dConfig::new([4, 4], [3, 3])
            .with_groups(2)
            .init(&device),
        fc: LinearConfig::new(4, 2).init(&device),
    };
    let error = Scan::new(Granularity::Channel)
        .check(&model)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("the groups of `conv.weight` are unknown"),
        "{error}"
    );
    Scan::new(Granularity::Filter).check(&model).unwrap();
}
