//! What a ranking goes by: gradients that are not there or no numbers, references of groups, folded norms.

use burn::module::{Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::optim::SgdConfig;
use burn::tensor::{Tensor, TensorData};
use calcine_criteria::Aggregation;
use calcine_criteria::{
    AtLeast, Candidate, Count, GlobalLevel, Gradient, Hysteresis, Level, Magnitude, Movement, Norm,
    Regrow, Score, SecondOrder, Select, Sensitivity, Snip, Taylor,
};
use calcine_fold::Granularity;
use calcine_mask::Masks;
use calcine_params::Inventory;
use calcine_testkit::values;
use calcine_train::{Batches, Driver, Group, Prune, RatePlan, Target, Unit, UnitNorm, When};

use crate::made_up::{boxed, epochs, read, steps, stored, training_device};

/// Two layers of 8 × 8.
#[derive(Module, Debug)]
struct Pair {
    a: Linear,
    b: Linear,
}

fn linear(weights: &[f32]) -> Linear {
    let device = training_device();
    let mut layer = LinearConfig::new(8, 8).with_bias(false).init(&device);
    let weight = Tensor::from_data(TensorData::new(weights.to_vec(), [8, 8]), &device);
    layer.weight = Param::from_tensor(weight);
    layer
}

fn pair() -> Pair {
    let drawn = values(128);
    Pair {
        a: linear(&drawn[..64]),
        b: linear(&drawn[64..]),
    }
}

fn units<M: Module>(model: &M) -> Vec<Unit> {
    let inventory = Inventory::from_module(model);
    let unit = |path: &str| {
        let parameter = inventory.get(path).unwrap().clone();
        let fold = parameter.fold(Granularity::Element).unwrap();
        Unit::new(parameter, fold)
    };
    ["a.weight", "b.weight"].map(unit).to_vec()
}

fn pruner(
    model: &Pair,
    score: Box<dyn Score + Send>,
    select: Box<dyn Select + Send>,
    when: When,
) -> Prune {
    let target = Target::new(units(model), Box::new(|_: f64| 0.5));
    Prune::new("p", vec![target], score, select, when)
}

/// The masks after each step of a loss. The weights stay what they are: a step of gradients that are no numbers makes
/// them none either, at whatever rate.
fn masks(
    policy: Prune,
    model: &Pair,
    count: u64,
    loss: impl Fn(u64, &Pair) -> Tensor<1>,
) -> Vec<Masks> {
    let mut driver = Driver::new(4, vec![boxed(policy)], RatePlan::constant(0.0));
    let mut optimizer = SgdConfig::new().init();
    let mut step = |step| {
        let pass = driver.forward_backward(model, (), |m, ()| (loss(step, m), ()));
        let _ = driver.step(model.clone(), &mut optimizer, pass.gradients);
        driver.masks().clone()
    };
    (0..count).map(&mut step).collect()
}

/// How many of the 64 elements of each layer are dropped; `None` without a mask.
fn dropped(masks: &Masks) -> [Option<usize>; 2] {
    ["a.weight", "b.weight"].map(|path| {
        let keep = masks.keep(path)?.into_data();
        Some(keep.iter::<bool>().filter(|keep| !keep).count())
    })
}

fn square(layer: &Linear) -> Tensor<1> {
    layer.weight.val().powi_scalar(2).sum()
}

fn of_gradients() -> Vec<Box<dyn Score + Send>> {
    vec![
        Box::new(Taylor::ABSOLUTE),
        Box::new(Taylor::SIGNED),
        Box::new(Snip),
        Box::new(Gradient),
        Box::new(Movement),
        Box::new(SecondOrder),
    ]
}

#[test]
fn layers_without_a_gradient_are_left_out_by_scores_of_gradients() {
    for score in of_gradients() {
        let model = pair();
        let select = Box::new(GlobalLevel::default());
        let policy = pruner(&model, score, select, epochs(0, 1));
        // The loss does not reach `a`.
        let seen = masks(policy, &model, 3, |_, m| square(&m.b));
        assert_eq!(dropped(&seen[2]), [None, Some(32)]);
    }
    for score in of_gradients() {
        let mut model = pair();
        model.a = model.a.no_grad();
        let policy = pruner(&model, score, Box::new(Level::default()), epochs(0, 1));
        let seen = masks(policy, &model, 3, |_, m| square(&m.a) + square(&m.b));
        assert_eq!(dropped(&seen[2]), [None, Some(32)]);
    }
}

#[test]
fn layers_without_a_gradient_are_ranked_by_their_weights() {
    let mut model = pair();
    model.a = model.a.no_grad();
    let policy = pruner(
        &model,
        Box::new(Magnitude),
        Box::new(Level::default()),
        epochs(0, 1),
    );
    let seen = masks(policy, &model, 1, |_, m| square(&m.b));
    assert_eq!(dropped(&seen[0]), [Some(32), Some(32)]);
}

#[test]
fn a_group_with_a_member_without_a_gradient_is_left_out_whole() {
    let model = pair();
    let target = Target {
        groups: vec![Group::shared(units(&model), Aggregation::Sum).unwrap()],
        amount: Box::new(|_: f64| 0.5),
    };
    let (score, select) = (Box::new(Taylor::ABSOLUTE), Box::new(Level::default()));
    let policy = Prune::new("p", vec![target], score, select, epochs(0, 1));
    let seen = masks(policy, &model, 3, |_, m| square(&m.b));
    assert_eq!(dropped(&seen[2]), [None, None]);
}

#[test]
fn what_grows_by_gradient_and_has_none_is_left_out() {
    let model = pair();
    let select = Regrow {
        level: 0.5,
        count: Count::default(),
    };
    let policy = pruner(
        &model,
        Box::new(Magnitude),
        Box::new(select),
        steps(&[0, 2]),
    );
    let policy = policy.with_growth(Box::new(Gradient));
    let seen = masks(policy, &model, 5, |_, m| square(&m.b));
    assert_eq!(dropped(&seen[4]), [None, Some(32)]);
}

/// What a loss is multiplied by in each step.
fn scaled(factors: &'static [f32]) -> impl Fn(u64, &Pair) -> Tensor<1> {
    move |step, m| square(&m.a) + square(&m.b) * factors[step as usize]
}

#[test]
fn batches_whose_gradients_are_no_numbers_do_not_count() {
    const NAN: f32 = f32::NAN;
    const INF: f32 = f32::INFINITY;
    for score in 0..of_gradients().len() {
        let seen = |factors: &'static [f32], batches| {
            let model = pair();
            let score = of_gradients().remove(score);
            let select = Box::new(GlobalLevel {
                at_least: AtLeast::Unset,
            });
            let policy =
                pruner(&model, score, select, epochs(0, 1)).with_batches(Batches::Count(batches));
            let seen = masks(policy, &model, factors.len() as u64, scaled(factors));
            seen.iter().map(dropped).collect::<Vec<_>>()
        };
        let fine = seen(&[1.0, 1.0, 1.0, 1.0], 1);
        assert_eq!(fine[0], [None, None]);
        assert!(fine[1].iter().all(|layer| layer.is_some_and(|n| n < 64)));
        for bad in [
            &[NAN, 1.0, 1.0, 1.0],
            &[INF, 1.0, 1.0, 1.0],
            &[-INF, 1.0, 1.0, 1.0],
        ] {
            let late = seen(bad, 1);
            assert_eq!(late[1], [None, None], "it waits for another batch");
            assert_eq!(late[2], fine[1]);
        }
        let all_bad = seen(&[NAN, NAN, INF, NAN], 1);
        assert_eq!(all_bad[3], [None, None], "it never had a batch to go by");
        // Of several batches, those that are numbers.
        assert_eq!(seen(&[1.0, NAN, 1.0, 1.0, 1.0], 3)[3], fine[1]);
        assert_eq!(seen(&[NAN, INF, 1.0, 1.0, 1.0], 3)[3], fine[1]);
    }
}

#[test]
fn a_later_firing_without_numbers_keeps_the_masks_of_the_one_before() {
    let model = pair();
    let (score, select) = (Box::new(Snip), Box::new(Level::default()));
    let policy = pruner(&model, score, select, steps(&[0, 3]));
    let seen = masks(
        policy,
        &model,
        7,
        scaled(&[1.0, 1.0, 1.0, f32::NAN, f32::NAN, 1.0, 1.0]),
    );
    let after = |step: usize| dropped(&seen[step]);
    assert_eq!(after(1), [Some(32); 2]);
    assert_eq!([after(4), after(5), after(6)], [[Some(32); 2]; 3]);
}

/// The references of both layers as the selection measures each alone, joined as scores are.
#[test]
fn a_group_is_compared_with_references_joined_as_its_scores() {
    type Join = fn(f32, f32) -> f32;
    let aggregations: [(Aggregation, Join); 4] = [
        (Aggregation::Sum, |a, b| a + b),
        (Aggregation::Mean, |a, b| (a + b) / 2.0),
        (Aggregation::Max, f32::max),
        (Aggregation::First, |a, _| a),
    ];
    let selects: [(fn() -> Box<dyn Select + Send>, f64); 3] = [
        (|| Box::new(Sensitivity::FROZEN), 0.8),
        (|| Box::new(Sensitivity::REFRESHED), 0.8),
        (|| Box::new(Hysteresis::default()), 0.3),
    ];
    for equal in [true, false] {
        for (select, amount) in selects {
            let found = aggregations.map(|(aggregation, join)| {
                let mut model = pair();
                if equal {
                    model.b = linear(&read(model.a.weight.val()));
                }
                let [a, b] = ["a.weight", "b.weight"].map(|path| stored(&model, path));
                let target = Target {
                    groups: vec![Group::shared(units(&model), aggregation).unwrap()],
                    amount: Box::new(move |_: f64| amount),
                };
                let policy = Prune::new(
                    "p",
                    vec![target],
                    Box::new(Magnitude),
                    select(),
                    epochs(0, 1),
                );
                let seen = masks(policy, &model, 1, |_, m| square(&m.a) + square(&m.b));

                let both = |a: &[f32], b: &[f32]| -> Vec<f32> {
                    a.iter().zip(b).map(|(a, b)| join(*a, *b)).collect()
                };
                let device = training_device();
                let tensor = |v: &[f32]| Tensor::<1>::from_floats(v, &device);
                let measured = |w: &[f32]| {
                    let rows = tensor(w).reshape([64, 1]);
                    read(select().measure(&rows, &tensor(w).abs()).unwrap())
                };
                let magnitudes = |w: &[f32]| -> Vec<f32> { w.iter().map(|w| w.abs()).collect() };
                let candidate = Candidate::new(tensor(&both(&magnitudes(&a), &magnitudes(&b))))
                    .with_reference(Some(tensor(&both(&measured(&a), &measured(&b)))));
                let expected = select().keep(&[candidate], amount).remove(0);
                let expected: Vec<bool> = expected.into_data().iter::<bool>().collect();
                let keep = seen[0].keep("a.weight").unwrap();
                let keep: Vec<bool> = keep.into_data().iter::<bool>().collect();
                assert_eq!(keep, expected, "{aggregation:?}");
                keep
            });
            if equal {
                assert!(found.iter().all(|keep| *keep == found[0]));
            }
        }
    }
}

/// A linear layer and the norm of its outputs, as vectors of its own.
#[derive(Module, Debug)]
struct Normed {
    a: Linear,
    scale: Param<Tensor<1>>,
    variance: Param<Tensor<1>>,
}

/// Folding multiplies a weight and divides its gradient. Stored `[in, out]`: the norm's element is of the column.
#[test]
fn a_folded_norm_multiplies_weights_divides_gradients_and_leaves_products() {
    let device = training_device();
    let drawn = values(64 + 64 + 8);
    let (weights, rest) = drawn.split_at(64);
    let (gradients, scales) = rest.split_at(64);
    let mut scales: Vec<f32> = scales.iter().map(|s| 5.0 * s).collect();
    scales[3] = 0.0;
    let variances: Vec<f32> = (0..8).map(|i| 0.25 + i as f32).collect();
    let vector = |v: &[f32]| Param::from_tensor(Tensor::from_floats(v, &device));
    let factor = |i: usize| f64::from(scales[i % 8]) / (f64::from(variances[i % 8]) + 0.5).sqrt();
    type Oracle = fn(f64, f64, f64) -> f64;
    let rows: [(fn() -> Box<dyn Score + Send>, Oracle); 7] = [
        (|| Box::new(Norm::L1), |w, _, f| (w * f).abs()),
        (|| Box::new(Taylor::ABSOLUTE), |w, g, _| (w * g).abs()),
        (|| Box::new(Taylor::SIGNED), |w, g, _| w * g),
        (|| Box::new(Snip), |w, g, _| (w * g).abs()),
        (|| Box::new(Movement), |w, g, _| -w * g),
        (|| Box::new(SecondOrder), |w, g, _| 0.5 * (w * g).powi(2)),
        (
            || Box::new(Gradient),
            |_, g, f| if f == 0.0 { 0.0 } else { (g / f).abs() },
        ),
    ];
    for (score, oracle) in rows {
        let model = Normed {
            a: linear(weights),
            scale: vector(&scales),
            variance: vector(&variances),
        };
        let inventory = Inventory::from_module(&model);
        let parameter = |path: &str| inventory.get(path).unwrap().clone();
        let weight = parameter("a.weight");
        let norm = UnitNorm {
            scale: parameter("scale"),
            variance: parameter("variance"),
            epsilon: 0.5,
        };
        let unit =
            Unit::new(weight.clone(), weight.fold(Granularity::Element).unwrap()).with_norm(norm);
        let target = Target::new(vec![unit], Box::new(|_: f64| 0.5));
        let policy = Prune::new(
            "p",
            vec![target],
            score(),
            Box::new(Level::default()),
            epochs(0, 1),
        )
        .with_folded_norms();
        let mut driver = Driver::new(4, vec![boxed(policy)], RatePlan::constant(0.0));
        let g = Tensor::<2>::from_data(TensorData::new(gradients.to_vec(), [8, 8]), &device);
        let mut optimizer = SgdConfig::new().init();
        let mut model = model;
        for _ in 0..2 {
            let pass = driver.forward_backward(&model, (), |m, ()| {
                ((m.a.weight.val() * g.clone()).sum(), ())
            });
            model = driver.step(model, &mut optimizer, pass.gradients);
        }
        let scores: Vec<f64> = (0..64)
            .map(|i| oracle(weights[i].into(), gradients[i].into(), factor(i)))
            .collect();
        let mut order: Vec<usize> = (0..64).collect();
        order.sort_by(|&i, &j| scores[i].total_cmp(&scores[j]).then(i.cmp(&j)));
        let mut expected = vec![true; 64];
        order[..32].iter().for_each(|&i| expected[i] = false);
        let keep = driver.masks().keep("a.weight").unwrap();
        let keep: Vec<bool> = keep.into_data().iter::<bool>().collect();
        assert_eq!(keep, expected);
    }
}

#[test]
fn norms_that_cannot_be_folded_are_refused() {
    let model = pair();
    let inventory = Inventory::from_module(&model);
    let weight = inventory.get("a.weight").unwrap().clone();
    let norm = UnitNorm {
        scale: weight.clone(),
        variance: weight.clone(),
        epsilon: 0.5,
    };
    let unit =
        Unit::new(weight.clone(), weight.fold(Granularity::Element).unwrap()).with_norm(norm);
    let target = Target::new(vec![unit], Box::new(|_: f64| 0.5));
    let (score, select) = (Box::new(Magnitude), Box::new(Level::default()));
    let policy = Prune::new("p", vec![target], score, select, epochs(0, 1)).with_folded_norms();
    let error = policy.check().unwrap_err();
    assert!(error.contains("64 scales"), "{error}");
}
