//! Weights refitted after a selection, to what their layers gave before it.

use burn::module::Module;
use burn::optim::SgdConfig;
use burn::tensor::Tensor;
use calcine_criteria::{Level, Norm};
use calcine_fold::{Fold, Granularity};
use calcine_observe::{AtAddition, LayerSamples, NetworkActivations, Sampling, sample_layers};
use calcine_params::{Inventory, flat};
use calcine_schedule::Window;
use calcine_testkit::{ConvNet, device, numbers};
use calcine_trace::{Network, trace};
use calcine_train::{
    Batches, Driver, Policy, Prune, RatePlan, Reconstruct, Target, Unit, When, WindowUnit,
};

const CONV: &str = "conv.weight";
const HEAD: &str = "head.weight";

fn batches() -> Vec<Tensor<4>> {
    let batch = |index: u32| (numbers([16, 2, 6, 6]) * f64::from(3 * index + 2)).sin();
    (0..4).map(batch).collect()
}

fn traced(model: &ConvNet) -> Network {
    trace(&model.valid(), numbers([1, 2, 6, 6]), |m, x| m.forward(x)).unwrap()
}

/// A pruner of half the inputs of both layers, in steps 0 and 2.
fn pruner(model: &ConvNet, reconstruct: Option<Reconstruct>) -> Prune {
    let inventory = Inventory::from_module(model);
    let target = |(path, granularity): (&str, Granularity)| {
        let parameter = inventory.get(path).unwrap().clone();
        let fold = Fold::new(granularity, &parameter.shape, parameter.layout().unwrap()).unwrap();
        Target::new(vec![Unit::new(parameter, fold)], Box::new(|_: f64| 0.5))
    };
    let targets = [(CONV, Granularity::Channel), (HEAD, Granularity::FcInput)].map(target);
    let when = When::new(Window::new(0, 4, 2).unwrap(), WindowUnit::Steps);
    let select = Box::new(Level::default());
    let prune = Prune::new("p", targets.into(), Box::new(Norm::L1), select, when).with_seed(5);
    match reconstruct {
        Some(reconstruct) => prune.with_reconstruction(reconstruct),
        None => prune,
    }
}

/// All output positions, so that it is known which.
fn all() -> Reconstruct {
    Reconstruct {
        positions: 99,
        batches: Batches::All,
    }
}

fn driver(model: &ConvNet, reconstruct: Option<Reconstruct>, rate: f64) -> Driver<ConvNet> {
    let policies: Vec<Box<dyn Policy<ConvNet>>> = vec![Box::new(pruner(model, reconstruct))];
    let source = NetworkActivations::new(&traced(model), batches(), AtAddition::Stop).unwrap();
    let driver = Driver::new(4, policies, RatePlan::constant(rate));
    driver.with_activation_source(Box::new(source)).unwrap()
}

/// The weights that the forward pass sees, and those that are stored afterwards.
fn step(driver: &mut Driver<ConvNet>, model: ConvNet) -> (ConvNet, ConvNet) {
    let images = batches().remove(0).to_device(&device().autodiff());
    let pass = driver.forward_backward(&model, images, |model, images| {
        let loss = (model.forward(images) - 1.0).powi_scalar(2).mean();
        (loss, model.valid())
    });
    let model = driver.step(model, &mut SgdConfig::new().init(), pass.gradients);
    (pass.output, model)
}

fn values<M: Module>(model: &M, path: &str) -> Vec<f64> {
    let inventory = Inventory::from_module(model);
    let tensor = flat(model, [inventory.get(path).unwrap()]).remove(0);
    tensor.into_data().iter::<f64>().collect()
}

fn samples(model: &ConvNet, path: &str) -> LayerSamples {
    let sampling = Sampling {
        positions: 99,
        seed: 0,
    };
    let observed = sample_layers(&traced(model), batches(), &[path], &sampling);
    observed.unwrap().get(path).unwrap().clone()
}

fn assert_close(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        let near = 1e-5 * (1.0 + expected.abs());
        assert!((found - expected).abs() < near, "{found}, {expected}");
    }
}

#[test]
fn what_is_left_comes_nearest_to_what_the_layer_gave() {
    let model = ConvNet::new(&device().autodiff());
    let layers = [CONV, HEAD].map(|path| (path, samples(&model, path)));
    let (seen, stored) = step(&mut driver(&model, Some(all()), 0.0), model.clone());
    let (_, plain) = step(&mut driver(&model, None, 0.0), model);
    for (path, samples) in &layers {
        let keep: Vec<bool> = values(&plain, path).iter().map(|w| *w != 0.0).collect();
        assert_eq!(keep.iter().filter(|keep| **keep).count(), keep.len() / 2);
        let refit = samples.refit(&keep).unwrap();
        let weight = values(&stored, path);
        assert_close(&weight, &refit.weight);
        assert_eq!(values(&seen, path), weight);
        assert!(weight.iter().zip(&keep).all(|(w, keep)| *keep || *w == 0.0));
        let bias = |model: &ConvNet| samples.bias().map(|path| values(model, path));
        if let (Some(found), Some(expected)) = (bias(&stored), &refit.bias) {
            assert_close(&found, expected);
        }
        let before = samples.error(&values(&plain, path), bias(&plain).as_deref());
        assert!(refit.error < before, "{}, {before}", refit.error);
    }
}

#[test]
fn a_later_selection_refits_to_the_layer_as_it_is_then() {
    let model = ConvNet::new(&device().autodiff());
    let mut driver = driver(&model, Some(all()), 0.1);
    let (_, model) = step(&mut driver, model);
    let (_, before) = step(&mut driver, model);
    let dead: Vec<bool> = values(&before, HEAD).iter().map(|w| *w == 0.0).collect();
    let (seen, _) = step(&mut driver, before.clone());
    // Nothing more falls, so the layer is what it was, and nothing is to be made up for.
    assert_close(&values(&seen, HEAD), &values(&before, HEAD));
    let (_, after) = step(&mut driver, before);
    assert!(dead.iter().any(|dead| *dead));
    let kept = values(&after, HEAD).into_iter().zip(dead);
    assert!(kept.into_iter().all(|(w, dead)| dead == (w == 0.0)));
}

#[test]
fn equal_seeds_refit_to_equal_weights() {
    let some = Reconstruct {
        positions: 3,
        batches: Batches::Count(2),
    };
    let model = ConvNet::new(&device().autodiff());
    let run = || {
        let mut driver = driver(&model, Some(some), 0.0);
        // Nothing that moves the running statistics, which clones share.
        let pass = driver.forward_backward(&model, (), |model, ()| {
            (model.head.weight.val().mean(), model.valid())
        });
        [CONV, HEAD].map(|path| values(&pass.output, path))
    };
    assert_eq!(run(), run());
}

#[test]
fn what_nothing_refits_is_an_error_before_the_run() {
    let model = ConvNet::new(&device().autodiff());
    let policies = |reconstruct| -> Vec<Box<dyn Policy<ConvNet>>> {
        vec![Box::new(pruner(&model, Some(reconstruct)))]
    };
    let blind = Driver::new(4, policies(all()), RatePlan::constant(0.5));
    assert_eq!(blind.reconstructions()[0].weights, [CONV, HEAD]);
    let error = blind.check_activation_source().unwrap_err().to_string();
    assert!(error.starts_with("`p` needs activations"), "{error}");
    let many = Reconstruct {
        batches: Batches::Count(9),
        ..Reconstruct::default()
    };
    let source = NetworkActivations::new(&traced(&model), batches(), AtAddition::Stop).unwrap();
    let driver = Driver::new(4, policies(many), RatePlan::constant(0.5));
    let error = driver.with_activation_source(Box::new(source)).unwrap_err();
    let expected = ["`p`: it needs activations of 9 batches, but there are only 4"];
    assert_eq!(error.problems(), expected);
}
