//! Distiller's recorded numbers.

use burn::module::{Module, Param};
use burn::optim::momentum::MomentumConfig;
use burn::optim::{ModuleOptimizer, SgdConfig};
use burn::tensor::{Bool, Tensor, TensorData};
use calcine_criteria::{Candidate, Level, Magnitude, Select};
use calcine_fold::{Fold, Granularity, Layout};
use calcine_params::Inventory;
use calcine_schedule::{Cubic, Curve, Window};
use calcine_testkit::golden::{self, Golden};
use calcine_testkit::is_reference;
use calcine_train::{
    After, Driver, GradientMasks, Hold, Lifetime, Policy, Prune, RatePlan, Target, Unit, When,
};
use serde_json::Value;

use crate::made_up::{boxed, read, training_device, zeros};

/// Any number of weights, flat: an element-wise pruner does not see the shape.
#[derive(Module, Debug)]
struct Bag {
    weights: Vec<Param<Tensor<1>>>,
}

fn vector(values: Vec<f32>) -> Tensor<1> {
    let length = values.len();
    Tensor::from_data(TensorData::new(values, [length]), &training_device())
}

fn whole(value: &Value) -> u64 {
    value
        .as_u64()
        .unwrap_or_else(|| panic!("{value} is no whole number"))
}

fn real(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

fn level<M: Module>(model: &M, amount: impl Curve + Send + Sync + 'static, when: When) -> Prune {
    let of = |parameter: &calcine_params::Parameter| {
        let fold = Fold::new(Granularity::Element, &parameter.shape, Layout::OutputFirst);
        Unit::new(parameter.clone(), fold.unwrap())
    };
    let parameters = Inventory::from_module(model).iter().map(of).collect();
    let target = Target::new(parameters, Box::new(amount));
    Prune::new(
        "p",
        vec![target],
        Box::new(Magnitude),
        Box::new(Truncated),
        when,
    )
}

/// A level as Distiller counts it: the product is truncated in double precision, so that 0.1 of 240, which comes out of
/// its ramp as 0.09999999999999998, are 23.
struct Truncated;

impl Select for Truncated {
    fn keep(&self, candidates: &[Candidate], amount: f64) -> Vec<Tensor<1, Bool>> {
        let one = |candidate: &Candidate| {
            let units = candidate.scores.units() as f64;
            let level = (amount * units).trunc() / units;
            Level::default()
                .keep(std::slice::from_ref(candidate), level)
                .remove(0)
        };
        candidates.iter().map(one).collect()
    }
}

/// Compares in the file's manner: relative and absolute parts.
#[track_caller]
pub(crate) fn assert_close(found: &[f32], expected: &[f32], (rel, abs): (f64, f64), what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let (found, expected) = (f64::from(found), f64::from(expected));
        let allowed = rel * expected.abs() + abs;
        assert!(
            (found - expected).abs() <= allowed,
            "{what}[{i}]: {found}, expected {expected}"
        );
    }
}

#[test]
fn golden_agp_trajectory() {
    let file = golden::open("agp_trajectory");
    for case in file.cases("") {
        if case["expect"]["trace"].is_array() {
            agp_trajectory(&file, case);
        }
    }
}

/// "Per mini-batch: mask, add the given update to the weights, mask again."
fn agp_trajectory(file: &Golden, case: &Value) {
    let (args, name) = (&case["args"], &case["name"]);
    let names: Vec<&String> = case["input"]["weights"]
        .as_object()
        .unwrap()
        .keys()
        .collect();
    let values = |object: &Value| -> Vec<Vec<f32>> {
        names
            .iter()
            .map(|name| file.values(&object[name.as_str()]).1)
            .collect()
    };
    let leaves = values(&case["input"]["weights"])
        .into_iter()
        .map(|w| Param::from_tensor(vector(w)));
    let mut model = Bag {
        weights: leaves.collect(),
    };
    let ramp = Cubic {
        initial: real(&args["initial_sparsity"]),
        last: real(&args["final_sparsity"]),
    };
    let (start, end) = (whole(&args["starting_epoch"]), whole(&args["ending_epoch"]));
    let window = Window::new(start, end, whole(&args["frequency"])).unwrap();
    let policy = level(&model, ramp, When::epochs(window.clone()));
    let steps = whole(&args["minibatches_per_epoch"]);
    let mut driver = Driver::new(steps, vec![boxed(policy)], RatePlan::constant(1.0));
    let mut optimizer = SgdConfig::new().init();
    for epoch in case["expect"]["trace"].as_array().unwrap() {
        let at = whole(&epoch["epoch"]);
        assert_eq!(at, driver.clock().epoch);
        if let Some(target) = epoch["target_sparsity"].as_f64() {
            approx::assert_relative_eq!(
                ramp.value_at(window.progress(at)),
                target,
                max_relative = 1e-12
            );
        }
        for batch in epoch["minibatches"].as_array().unwrap() {
            let updates = values(&batch["update_added"]);
            // At rate 1 this loss adds the updates: its gradient is minus them.
            let pass = driver.forward_backward(&model, updates, |model, updates| {
                let terms = model.weights.iter().zip(updates).map(|(weight, update)| {
                    (weight.val() * vector(update).without_autodiff().neg()).sum()
                });
                let seen: Vec<usize> = model
                    .weights
                    .iter()
                    .map(|weight| zeros(&read(weight.val())))
                    .collect();
                (terms.reduce(|a, b| a + b).unwrap(), seen)
            });
            model = driver.step(model, &mut optimizer, pass.gradients);
            for (i, weight) in model.weights.iter().enumerate() {
                let what = format!("{name} epoch {at} {}", names[i]);
                let weight = read(weight.val());
                let expected = |key: &str| {
                    let count = real(&batch[key][names[i].as_str()]) * weight.len() as f64;
                    approx::assert_relative_eq!(count, count.round(), max_relative = 1e-12);
                    count.round() as usize
                };
                assert_eq!(pass.output[i], expected("sparsity_in_forward"), "{what}");
                assert_eq!(zeros(&weight), expected("sparsity_after"), "{what}");
                let mask = &epoch["mask"][names[i].as_str()];
                let keep = driver.masks().keep(&format!("weights.{i}"));
                match (mask.is_null(), keep) {
                    (true, None) => {}
                    (false, Some(keep)) => {
                        let keep: Vec<f32> = read(keep.float());
                        assert_eq!(keep, file.values(mask).1, "{what}: mask");
                    }
                    (null, keep) => panic!("{what}: mask null {null}, found {}", keep.is_some()),
                }
            }
        }
        for (weight, expected) in model.weights.iter().zip(values(&epoch["weights_end"])) {
            let tolerance = (1e-6, 1e-7);
            assert_close(
                &read(weight.val()),
                &expected,
                tolerance,
                &format!("{name} epoch {at}"),
            );
        }
    }
}

/// A linear layer without bias, its weight stored `[out, in]`.
#[derive(Module, Debug)]
struct Layer {
    weight: Param<Tensor<2>>,
}

/// Distiller's pruning policy in ours, and what becomes of its masks.
fn policy(model: &Layer, args: &Value, steps: u64) -> (Prune, After, Lifetime) {
    let options = &args["pruner_args"];
    let asks = |key: &str| options.get(key).is_some_and(|value| value == true);
    let (start, end) = (whole(&args["starting_epoch"]), whole(&args["ending_epoch"]));
    let mut when = When::epochs(Window::new(start, end, whole(&args["frequency"])).unwrap());
    when.again_every = options.get("mini_batch_pruning_frequency").map(whole);
    if asks("skip_first_minibatch") {
        // Distiller skips the first step of every epoch (surprise 39), ours of the window.
        assert_eq!(when.again_every, Some(1));
        let fires = (start * steps..end * steps).filter(|step| !step.is_multiple_of(steps));
        when = When::steps(Window::list(fires.collect()).unwrap());
    }
    let hold = match (asks("use_double_copies"), asks("mask_on_forward_only")) {
        (true, _) => Hold::Shadow,
        (false, true) => Hold::Forward,
        (false, false) => Hold::Always,
    };
    // A hard mask outlives its window in Distiller (surprise 38).
    let after = match hold == Hold::Always || asks("keep_mask") {
        true => After::Hold,
        false => After::Release,
    };
    let gradients = match asks("mask_gradients") {
        true => GradientMasks::On,
        false => GradientMasks::Off,
    };
    let lifetime = match asks("discard_masks_at_minibatch_end") {
        true => Lifetime::Step,
        false => Lifetime::Window,
    };
    let amount = real(&args["level"]);
    let policy = level(model, move |_: f64| amount, when)
        .with_hold(hold)
        .with_after(after)
        .with_gradient_masks(gradients)
        .with_lifetime(lifetime);
    (policy, after, lifetime)
}

#[test]
fn golden_mask_application() {
    let file = golden::open("mask_application");
    for case in file.cases("") {
        let trace = case["expect"]["trace"].as_array();
        // The case without a trace is an error: gradient masks without forward-only ones, which here are
        // hard masks without momentum behind them.
        let Some(trace) = trace else { continue };
        let minibatches = trace.iter().map(|row| whole(&row["minibatch"]));
        mask_application(&file, case, minibatches.max().unwrap() + 1);
    }
}

fn momentum_sgd() -> ModuleOptimizer {
    let momentum = MomentumConfig::new().with_momentum(0.9).with_dampening(0.0);
    SgdConfig::new().with_momentum(Some(momentum)).init()
}

fn mask_application(file: &Golden, case: &Value, steps: u64) {
    let name = &case["name"];
    // Distiller's own tolerance; GPUs multiply matrices in another order.
    let widen = if is_reference() { 1.0 } else { 100.0 };
    let tolerance = (
        widen * case["tolerance"]["rel"].as_f64().unwrap_or(1e-5),
        widen * case["tolerance"]["abs"].as_f64().unwrap_or(1e-6),
    );
    let device = training_device();
    let weight = file.tensor::<2>(&case["input"]["w"], &device);
    let mut model = Layer {
        weight: Param::from_tensor(weight),
    };
    let (policy, after, lifetime) = policy(&model, &case["args"], steps);
    let gradients = Policy::<Layer>::gradient_masks(&policy);
    let mut driver = Driver::new(steps, vec![boxed(policy)], RatePlan::constant(0.1));
    let mut optimizer = momentum_sgd();
    for row in case["expect"]["trace"].as_array().unwrap() {
        let what = format!("{name} {}.{}", row["epoch"], row["minibatch"]);
        let expected = |key: &str| file.values(&row[key]).1;
        let batch = (
            file.tensor::<2>(&row["x"], &device),
            file.tensor::<2>(&row["target"], &device),
        );
        let pass = driver.forward_backward(&model, batch, |model, (x, target)| {
            let weight = model.weight.val();
            let loss = (x.matmul(weight.clone().transpose()) - target)
                .powi_scalar(2)
                .mean();
            (loss, read(weight))
        });
        assert_close(
            &read(pass.loss),
            &[real(&row["loss"]) as f32],
            tolerance,
            &what,
        );
        assert_close(
            &pass.output,
            &expected("w_in_forward"),
            tolerance,
            &format!("{what} forward"),
        );
        let keep = driver.masks().keep("weight").map(|keep| read(keep.float()));
        let mut gradient = read(pass.gradients.get::<2>(model.weight.id).unwrap());
        if let (GradientMasks::On, Some(keep)) = (gradients, &keep) {
            // Distiller's hook has masked them already.
            gradient = gradient
                .iter()
                .zip(keep)
                .map(|(g, keep)| g * keep)
                .collect();
        }
        assert_close(
            &gradient,
            &expected("grad"),
            tolerance,
            &format!("{what} grad"),
        );
        // A mask that no longer acts Distiller keeps, and one that has acted it does not show.
        let released = whole(&row["epoch"]) >= whole(&case["args"]["ending_epoch"]);
        if lifetime == Lifetime::Window && !(released && after == After::Release) {
            let mask = &row["mask_after"];
            assert_eq!(
                keep,
                (!mask.is_null()).then(|| file.values(mask).1),
                "{what}: mask"
            );
        }
        model = driver.step(model, &mut optimizer, pass.gradients);
        // What a window's end keeps, Distiller masks after the epoch, and ours in its last step.
        let end = match row.get("w_after_epoch_end") {
            Some(end) => file.values(end).1,
            None => expected("w_after_minibatch_end"),
        };
        let (found, expected) = (read(model.weight.val()), end);
        assert_close(&found, &expected, tolerance, &format!("{what} end"));
        assert_eq!(zeros(&found), zeros(&expected), "{what}: zeros");
    }
}
