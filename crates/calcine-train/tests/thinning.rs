//! A run goes on with a thinned model as it would have gone on with the masked one.

use burn::module::Module;
use burn::optim::{AdaGradConfig, AdamConfig, ModuleOptimizer, RmsPropConfig};
use burn::tensor::{Tensor, TensorData};
use calcine_criteria::Aggregation;
use calcine_criteria::{Level, Magnitude, Norm, Threshold};
use calcine_fold::{Fold, Granularity, Layout};
use calcine_graph::{ThinningPlan, UnitId};
use calcine_params::{Inventory, flat};
use calcine_schedule::Window;
use calcine_testkit::{each, values};
use calcine_thin::{PaddingEffect, thin};
use calcine_trace::{Network, trace};
use calcine_train::{
    Driver, Group, KeptIndices, Policy, Prune, RateEntry, RatePlan, Restore, Rewind, Run, Target,
    ThinnedError, Unit, When, WindowUnit,
};

use crate::made_up::{MadeUp, boxed, conv_net, read, sgd, stored, training_device};

const STEPS: u64 = 4;

fn network() -> Network {
    let model = conv_net(1);
    let sample = Tensor::<4>::zeros([1, 2, 6, 6], &training_device()).without_autodiff();
    let network = trace(&model.valid(), sample, |m, x| m.forward(x)).unwrap();
    network.train()
}

/// Half the channels are dropped in epoch 0; of the head's weights, small ones fall all the time.
fn driver(network: &Network, rewind: bool) -> Driver<Network> {
    let inventory = Inventory::from_module(network);
    let unit = |path: &str, granularity| {
        let parameter = inventory.get(path).unwrap().clone();
        let layout = parameter.layout().unwrap_or(Layout::OutputFirst);
        let fold = Fold::new(granularity, &parameter.shape, layout).unwrap();
        Unit::new(parameter, fold)
    };
    let channels = Group::shared(
        vec![unit("conv.weight", Granularity::Filter)],
        Aggregation::Sum,
    )
    .unwrap();
    let vectors = ["norm.gamma", "norm.beta"].map(|path| unit(path, Granularity::Element));
    let channels = Target {
        groups: vec![channels.with_followers(vectors.into()).unwrap()],
        amount: Box::new(|_: f64| 0.5),
    };
    let channels = Prune::new(
        "channels",
        vec![channels],
        Box::new(Norm::L1),
        Box::<Level>::default(),
        When::epochs(Window::new(0, 1, 1).unwrap()),
    );
    let head = Target::new(
        vec![unit("head.weight", Granularity::Element)],
        Box::new(|p: f64| 0.02 + 0.1 * p),
    );
    let head = Prune::new(
        "head",
        vec![head],
        Box::new(Magnitude),
        Box::new(Threshold),
        When::new(Window::new(1, 3 * STEPS, 3).unwrap(), WindowUnit::Steps),
    );
    let mut policies: Vec<Box<dyn Policy<Network>>> = vec![boxed(channels), boxed(head)];
    if rewind {
        policies.push(boxed(Rewind::new(&inventory, 0, vec![2], Restore::Weights)));
    }
    let falling = RateEntry {
        schedule: Box::new(calcine_schedule::rate::Step::new(2, 0.5).unwrap()),
        window: Window::new(0, 3, 1).unwrap(),
        unit: WindowUnit::Epochs,
    };
    Driver::new(
        STEPS,
        policies,
        RatePlan::constant(0.05).with_schedule(falling),
    )
}

fn trained(mut run: Run<Network>, epochs: std::ops::Range<u64>) -> Run<Network> {
    let data = MadeUp::for_conv_net(STEPS);
    for position in epochs.start * STEPS..epochs.end * STEPS {
        let batch = data.batch("train", position);
        let pass = run.driver.forward_backward(&run.model, batch, |m, batch| {
            let logits: Tensor<2> = m.forward(batch.input);
            let labels = batch.target.one_hot::<2>(4).float();
            ((logits - labels).powi_scalar(2).mean(), ())
        });
        run.model = run
            .driver
            .step(run.model, &mut run.optimizer, pass.gradients);
    }
    run
}

fn thinned(run: Run<Network>, rewind: bool) -> (Run<Network>, KeptIndices) {
    let whole = Inventory::from_module(&run.model);
    let thinned = thin(
        run.driver.masked_model(&run.model).valid(),
        PaddingEffect::KeepBorder,
    )
    .unwrap();
    let kept_indices = KeptIndices::from_cuts(&thinned.plan.cuts(), &whole).unwrap();
    let network = thinned.network.train();
    let driver = driver(&network, rewind);
    let run = run.thinned(network, driver, &kept_indices, &training_device());
    (run.unwrap(), kept_indices)
}

#[test]
fn training_goes_on_as_with_masks() {
    let adam: fn() -> ModuleOptimizer = || AdamConfig::new().init();
    let adagrad: fn() -> ModuleOptimizer = || AdaGradConfig::new().init();
    let rms: fn() -> ModuleOptimizer = || RmsPropConfig::new().init();
    let rows = [
        ("sgd with momentum", sgd as fn() -> ModuleOptimizer, false),
        ("adam", adam, false),
        ("adagrad", adagrad, false),
        ("rmsprop", rms, false),
        ("sgd, weights rewound after thinning", sgd, true),
    ];
    each(&rows, |(_, optimizer, rewind)| {
        let network = network();
        let begin = || {
            let network = network.valid().train();
            let driver = driver(&network, *rewind);
            Run::new(network, driver, optimizer())
        };
        let masked = trained(begin(), 0..3);
        let (run, kept_indices) = thinned(trained(begin(), 0..1), *rewind);
        assert_eq!(
            Inventory::from_module(&run.model)
                .get("conv.weight")
                .unwrap()
                .shape[0],
            4
        );
        let run = trained(run, 1..3);
        assert_eq!(run.driver.clock(), masked.driver.clock());

        let inventory = Inventory::from_module(&masked.model);
        let values = flat(&masked.model.valid(), &inventory);
        for (parameter, values) in inventory.iter().zip(values) {
            let expected = read(kept_indices.gather(&parameter.path, values));
            let found = stored(&run.model.valid(), &parameter.path);
            assert_eq!(found.len(), expected.len(), "{}", parameter.path);
            for (found, expected) in found.iter().zip(expected) {
                let close = (found - expected).abs() <= 2e-4 * expected.abs().max(1.0);
                assert!(close, "{}: {found} for {expected}", parameter.path);
            }
        }
        let keep = |run: &Run<Network>| run.driver.masks().keep("head.weight").unwrap();
        let expected = kept_indices.gather("head.weight", keep(&masked));
        let bools = |keep: Tensor<1, burn::tensor::Bool>| keep.into_data().iter::<bool>().collect();
        let (found, expected): (Vec<bool>, Vec<bool>) = (bools(keep(&run)), bools(expected));
        assert_eq!(found, expected);
        assert!(found.contains(&true));
    });
}

#[test]
fn what_remains_is_what_the_cuts_keep() {
    let network = network();
    let inventory = Inventory::from_module(&network);
    let axes = network.graph().axes().unwrap();
    let units = [1, 2, 6].map(|unit| UnitId { group: 0, unit });
    let plan = ThinningPlan::removing(&axes, units).unwrap();
    let kept_indices = KeptIndices::from_cuts(&plan.cuts(), &inventory).unwrap();
    // One value for each element, sliced by hand: 8 filters of 18 weights, 8 inputs of 4 outputs.
    let kept = [0, 3, 4, 5, 7];
    for (path, each) in [("conv.weight", 18), ("norm.gamma", 1), ("head.weight", 4)] {
        let numbers = values(8 * each);
        let expected: Vec<f32> = kept
            .iter()
            .flat_map(|k| numbers[k * each..(k + 1) * each].to_vec())
            .collect();
        let tensor = Tensor::<1>::from_data(
            TensorData::new(numbers, [8 * each]),
            &training_device().without_autodiff(),
        );
        assert_eq!(read(kept_indices.gather(path, tensor)), expected, "{path}");
    }
    assert_eq!(kept_indices.positions("head.bias"), None);
}

#[test]
fn what_does_not_fit_is_refused() {
    let network = network();
    let begin = || Run::new(network.clone(), driver(&network, false), sgd());
    let inventory = Inventory::from_module(&network);
    let axes = network.graph().axes().unwrap();
    let plan = ThinningPlan::removing(&axes, [UnitId { group: 0, unit: 1 }]).unwrap();
    let mut cuts = plan.cuts();
    let kept_indices = KeptIndices::from_cuts(&cuts, &inventory).unwrap();

    let device = training_device();
    let whole = begin().thinned(
        network.clone(),
        driver(&network, false),
        &kept_indices,
        &device,
    );
    assert!(
        matches!(whole, Err(ThinnedError::Model { .. })),
        "{whole:?}"
    );

    let nothing = KeptIndices::default();
    let other = begin().thinned(network.clone(), driver(&network, true), &nothing, &device);
    let message = other.unwrap_err().to_string();
    assert!(message.contains("rewind"), "{message}");

    cuts[0].length = 9;
    let error = KeptIndices::from_cuts(&cuts, &inventory)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("of length 9") && error.contains("[8, 2, 3, 3]"),
        "{error}"
    );
}
