//! Scores of activations: looked at when a pruner selects, of the model as it is then.

use burn::module::Module;
use burn::optim::SgdConfig;
use burn::tensor::{Tensor, TensorData};
use calcine_criteria::{Apoz, Level, MeanActivation, NOfM, Score, Wanda};
use calcine_fold::{Fold, Granularity};
use calcine_observe::{
    ActivationRequest, ActivationSource, AtAddition, Moments, NetworkActivations, Norms, Zeros,
    observe_filters, observe_inputs,
};
use calcine_params::{Inventory, flat};
use calcine_schedule::Window;
use calcine_testkit::{ConvNet, device, values};
use calcine_trace::trace;
use calcine_train::{Batches, Driver, Policy, Prune, RatePlan, Target, Unit, When, WindowUnit};

fn images(seed: usize) -> Tensor<4> {
    let values: Vec<f32> = values(4 * 72 + seed).split_off(seed);
    Tensor::from_data(TensorData::new(values, [4, 2, 6, 6]), &device())
}

fn batches() -> Vec<Tensor<4>> {
    vec![images(0), images(7), images(31)]
}

/// A pruner of half the units of one weight, in steps 0 and 2.
fn pruner(
    model: &ConvNet,
    path: &str,
    granularity: Granularity,
    score: Box<dyn Score + Send>,
) -> Prune {
    let inventory = Inventory::from_module(model);
    let parameter = inventory.get(path).unwrap().clone();
    let fold = Fold::new(granularity, &parameter.shape, parameter.layout().unwrap()).unwrap();
    let select: Box<dyn calcine_criteria::Select + Send> = match granularity {
        Granularity::Group { of } => Box::new(NOfM { of }),
        _ => Box::new(Level::default()),
    };
    let target = Target::new(vec![Unit::new(parameter, fold)], Box::new(|_: f64| 0.5));
    let when = When::new(Window::new(0, 4, 2).unwrap(), WindowUnit::Steps);
    Prune::new("p", vec![target], score, select, when).with_batches(Batches::Count(2))
}

fn source(model: &ConvNet) -> Box<NetworkActivations> {
    let network = trace(&model.valid(), images(0), |m, x| m.forward(x)).unwrap();
    Box::new(NetworkActivations::new(&network, batches(), AtAddition::Stop).unwrap())
}

fn driver(model: &ConvNet, pruner: Prune) -> Driver<ConvNet> {
    let policies: Vec<Box<dyn Policy<ConvNet>>> = vec![Box::new(pruner)];
    let driver = Driver::new(4, policies, RatePlan::constant(0.5));
    driver.with_activation_source(source(model)).unwrap()
}

fn step(driver: &mut Driver<ConvNet>, model: ConvNet) -> ConvNet {
    let images = images(3).to_device(&device().autodiff());
    let pass = driver.forward_backward(&model, images, |model, images| {
        ((model.forward(images) - 1.0).powi_scalar(2).mean(), ())
    });
    driver.step(model, &mut SgdConfig::new().init(), pass.gradients)
}

/// Which units of a weight are zero throughout.
fn dead(model: &ConvNet, path: &str, rows: usize) -> Vec<usize> {
    let inventory = Inventory::from_module(model);
    let weight = flat(model, [inventory.get(path).unwrap()]).remove(0);
    let weight: Vec<f32> = weight.into_data().iter::<f32>().collect();
    let rows = weight.chunks(weight.len() / rows).enumerate();
    let zero = rows.filter(|(_, row)| row.iter().all(|x| *x == 0.0));
    zero.map(|(row, _)| row).collect()
}

fn lowest(scores: &[f64], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let mut lowest = order[..count].to_vec();
    lowest.sort_unstable();
    lowest
}

/// The statistics of the model as it is, over the first two batches.
fn statistics(model: &ConvNet) -> (Vec<f64>, Vec<f64>) {
    let network = trace(&model.valid(), images(0), |m, x| m.forward(x)).unwrap();
    let batches = batches().into_iter().take(2);
    let observed = observe_filters(
        &network,
        batches,
        &["conv.weight"],
        AtAddition::Stop,
        &(Zeros, Moments),
    )
    .unwrap();
    let (zeros, moments) = observed.get("conv.weight").unwrap();
    (zeros.apoz(), moments.mean.clone())
}

#[test]
fn filters_are_ranked_by_the_activations_of_the_model_as_it_is() {
    let scores: [Box<dyn Score + Send>; 2] = [Box::new(Apoz), Box::new(MeanActivation)];
    for (index, score) in scores.into_iter().enumerate() {
        let model = ConvNet::new(&device().autodiff());
        let pruner = pruner(&model, "conv.weight", Granularity::Filter, score);
        let mut driver = driver(&model, pruner);
        let expected = |model: &ConvNet| {
            let (apoz, mean) = statistics(model);
            let active: Vec<f64> = apoz.iter().map(|share| 1.0 - share).collect();
            lowest([&active, &mean][index], 4)
        };
        let first = expected(&model);
        let model = step(&mut driver, model);
        assert_eq!(dead(&model, "conv.weight", 8), first);
        let model = step(&mut driver, model);
        let model = step(&mut driver, model);
        // What is dead gives the constant of its norm, and stays dead whatever that is.
        assert_eq!(dead(&model, "conv.weight", 8), first);
    }
}

#[test]
fn weights_are_ranked_by_what_they_multiply() {
    let model = ConvNet::new(&device().autodiff());
    let pruner = pruner(
        &model,
        "head.weight",
        Granularity::Group { of: 8 },
        Box::new(Wanda),
    );
    let mut driver = driver(&model, pruner);
    let network = trace(&model.valid(), images(0), |m, x| m.forward(x)).unwrap();
    let inputs = batches().into_iter().take(2);
    let observed = observe_inputs(&network, inputs, &["head.weight"], &Norms).unwrap();
    let norms = observed.get("head.weight").unwrap().total_l2.clone();
    let inventory = Inventory::from_module(&model);
    let read = |model: &ConvNet| -> Vec<f64> {
        let weight = flat(model, [inventory.get("head.weight").unwrap()]).remove(0);
        weight.into_data().iter::<f64>().collect()
    };
    let before = read(&model);
    let after = read(&step(&mut driver, model));
    for output in 0..4 {
        let products: Vec<f64> = (0..8)
            .map(|input| before[input * 4 + output].abs() * norms[input])
            .collect();
        let zero: Vec<usize> = (0..8)
            .filter(|input| after[input * 4 + output] == 0.0)
            .collect();
        assert_eq!(zero, lowest(&products, 4));
    }
}

#[test]
fn what_nothing_shows_is_an_error_before_the_run() {
    let model = ConvNet::new(&device().autodiff());
    let apoz = |path, granularity| pruner(&model, path, granularity, Box::new(Apoz));
    let blind: Vec<Box<dyn Policy<ConvNet>>> =
        vec![Box::new(apoz("conv.weight", Granularity::Filter))];
    let blind = Driver::new(4, blind, RatePlan::constant(0.5));
    let error = blind.check_activation_source().unwrap_err();
    assert!(
        error.to_string().starts_with("`p` needs activations"),
        "{error}"
    );
    let policies: Vec<Box<dyn Policy<ConvNet>>> = vec![
        Box::new(apoz("head.weight", Granularity::FcOutput)),
        Box::new(apoz("conv.weight", Granularity::Filter).with_batches(Batches::Count(9))),
    ];
    let driver = Driver::new(4, policies, RatePlan::constant(0.5));
    let error = driver.with_activation_source(source(&model)).unwrap_err();
    assert_eq!(
        error.problems(),
        [
            "`p`: the filters of `head.weight` have no activation function of their own: the output \
             of the network comes first",
            "`p`: it needs activations of 9 batches, but there are only 3",
        ]
    );
}

/// The layers of another model.
#[derive(Module, Debug)]
struct Other {
    something: burn::nn::Linear,
}

#[test]
fn a_model_without_the_networks_parameters_is_refused() {
    let model = ConvNet::new(&device());
    let mut source = source(&model);
    ActivationSource::<ConvNet>::check_model(&*source, &model).unwrap();
    let other = Other {
        something: burn::nn::LinearConfig::new(1, 2).init(&device()),
    };
    let error = source.check_model(&other).unwrap_err();
    assert!(error.contains("it has no `conv.weight`"), "{error}");
    let request = ActivationRequest {
        weight: "conv.weight".to_owned(),
        needs: calcine_criteria::Needs::Activity(calcine_criteria::Activity::Mean),
        batches: None,
    };
    let looked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        source.observe(&other, &[request]).len()
    }));
    assert!(
        looked.is_err(),
        "the network's own weights are those of long ago"
    );

    let mut wider = model.clone();
    wider.head = burn::nn::LinearConfig::new(9, 4).init(&device());
    let driver = driver(
        &model,
        pruner(&model, "conv.weight", Granularity::Filter, Box::new(Apoz)),
    );
    driver.check_model(&model).unwrap();
    let error = driver.check_model(&wider).unwrap_err().to_string();
    assert!(
        error.contains("`head.weight` has the shape [9, 4], in the network [8, 4]"),
        "{error}"
    );
}
