//! The momentum and the epsilon of batch norms, which no visitor of a model sees.

use burn::module::Module;
use burn::nn::{BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Linear, LinearConfig};
use burn::tensor::{Device, Tensor};
use calcine_testkit::{device, numbers};
use calcine_trace::graph::Op;
use calcine_trace::{Network, TraceError, trace, trace_made};

/// Norms between layers, the last of which is used twice.
#[derive(Module, Debug)]
struct Normed {
    layers: Vec<(Linear, BatchNorm)>,
    dropout: Dropout,
    twice: BatchNorm,
}

impl Normed {
    fn new(momenta: &[f64], twice: f64, device: &Device) -> Self {
        let norm = |momentum: f64| {
            let config = BatchNormConfig::new(4).with_epsilon(0.001 + momentum / 8.0);
            config.with_momentum(momentum).init(device)
        };
        let layer = |momentum: &f64| (LinearConfig::new(4, 4).init(device), norm(*momentum));
        Self {
            layers: momenta.iter().map(layer).collect(),
            dropout: DropoutConfig::new(0.9).init(),
            twice: norm(twice),
        }
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let each = |x, (linear, norm): &(Linear, BatchNorm)| norm.forward(linear.forward(x));
        let x = self.dropout.forward(self.layers.iter().fold(x, each));
        self.twice.forward(self.twice.forward(x) + 1.0)
    }
}

/// The epsilon and the momentum of each node that is a batch norm.
fn norms(network: &Network) -> Vec<(f64, f64)> {
    let nodes = network.graph().nodes.iter();
    let norms = nodes.filter_map(|node| match node.op {
        Op::BatchNorm { epsilon, momentum } => Some((epsilon, momentum)),
        _ => None,
    });
    norms.collect()
}

const MOMENTA: [f64; 7] = [0.1, 0.3, 0.01, 0.999, 1.0, 0.0, 0.015_625];

#[test]
fn a_network_has_the_epsilon_and_the_momentum_of_each_norm() {
    let expected = |model: &Normed| -> Vec<(f64, f64)> {
        let norms = model.layers.iter().map(|(_, norm)| norm);
        let norms = norms.chain([&model.twice, &model.twice]);
        norms.map(|norm| (norm.epsilon, norm.momentum)).collect()
    };
    for device in [device(), device().autodiff()] {
        let model = Normed::new(&MOMENTA, 0.2, &device);
        let before = model.twice.running_mean.value_sync().into_data();
        for batch in [1, 3] {
            let sample = numbers([batch, 4]);
            let network = trace(&model, sample.clone(), |m, x| m.forward(x)).unwrap();
            assert_eq!(norms(&network), expected(&model));
            let made = |device: &Device| Normed::new(&MOMENTA, 0.2, device);
            let network = trace_made(made, sample, |m, x| m.forward(x)).unwrap();
            assert_eq!(norms(&network), expected(&model));
        }
        let after = model.twice.running_mean.value_sync().into_data();
        assert_eq!(before, after, "the statistics of the model are its own");
        assert!(model.twice.training.is_enabled());
    }
}

/// In evaluation Burn computes with the number; only training needs the momentum.
#[test]
fn the_running_statistics_of_a_network_move_as_those_of_its_model() {
    let device = device().autodiff();
    let model = Normed::new(&[0.3, 1.0 / 3.0], 0.25, &device);
    let mut network = trace(&model, numbers([2, 4]), |m, x| m.forward(x)).unwrap();
    network = network.train();
    let model = Normed {
        dropout: DropoutConfig::new(0.0).init(),
        ..model
    };
    let batch = Tensor::from_inner(numbers::<2>([8, 4]));
    let _ = (
        model.forward(batch.clone()),
        network.forward::<_, Tensor<2>>(batch),
    );
    let statistics = |values: Vec<Tensor<1>>| -> Vec<f32> {
        let all = Tensor::cat(values, 0).without_autodiff().into_data();
        all.iter::<f32>().collect()
    };
    let inventory = calcine_params::Inventory::from_module(&model);
    let own = inventory.iter().filter(|p| p.path.contains("running_"));
    let theirs = statistics(calcine_params::flat(&model, own));
    let inventory = calcine_params::Inventory::from_module(&network);
    let own = inventory.iter().filter(|p| p.path.contains("running_"));
    let ours = statistics(calcine_params::flat(&network, own));
    assert_eq!(ours.len(), 3 * 2 * 4);
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert!(
            (ours - theirs).abs() <= 1e-5 * theirs.abs().max(1.0),
            "{ours} {theirs}"
        );
    }
}

/// A model that does something else in training.
#[derive(Module, Debug)]
struct Odd {
    norm: BatchNorm,
    #[module(skip)]
    training: Training,
}

#[derive(Debug, Clone, Copy)]
enum Training {
    Panics,
    IsNotFinite,
    LeavesOut,
}

impl Odd {
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        match (x.device().is_autodiff(), self.training) {
            (false, _) => self.norm.forward(x),
            (true, Training::Panics) => panic!("it never trains"),
            (true, Training::IsNotFinite) => self.norm.forward(x * f32::NAN),
            (true, Training::LeavesOut) => x,
        }
    }
}

fn odd(training: Training) -> Odd {
    let norm = BatchNormConfig::new(4).with_epsilon(0.5).init(&device());
    Odd { norm, training }
}

fn traced(model: &Odd) -> Result<Network, TraceError> {
    trace(model, numbers([2, 4]), |m, x| m.forward(x))
}

#[test]
fn a_momentum_that_cannot_be_measured_is_an_error_unless_the_norm_is_frozen() {
    for (training, reason) in [
        (
            Training::Panics,
            "the forward pass in training panics: it never trains",
        ),
        (Training::IsNotFinite, "its running mean is not finite"),
    ] {
        let model = odd(training);
        let error = traced(&model).map(drop).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, TraceError::Momentum { .. }), "{text}");
        let layer = "the momentum of `norm` cannot be measured";
        assert!(text.contains(layer) && text.contains(reason), "{text}");
        assert!(text.contains("`Module::freeze_group`"), "{text}");
        let network = traced(&model.freeze()).unwrap();
        assert_eq!(norms(&network)[0].0, 0.5);
    }
}

#[test]
fn a_norm_whose_statistics_do_not_move_has_the_momentum_zero() {
    let network = traced(&odd(Training::LeavesOut)).unwrap();
    assert_eq!(norms(&network), [(0.5, 0.0)]);
}
