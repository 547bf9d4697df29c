//! Recorded runs of Distiller's, replayed from the converted schedule.

use std::collections::BTreeMap;

use burn::module::{Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::optim::momentum::MomentumConfig;
use burn::optim::{ModuleOptimizer, SgdConfig};
use burn::tensor::activation::{log_softmax, relu};
use burn::tensor::{Device, Int, Tensor, TensorData};
use calcine_distiller::{Converted, Options, convert};
use calcine_recipe::Recipe;
use calcine_testkit::golden;
use calcine_testkit::{device, is_reference};
use serde::Deserialize;

/// "fc1(8,6) relu fc2(6,4)".
#[derive(Module, Debug)]
struct Net {
    fc1: Linear,
    fc2: Linear,
}

/// A recorded layer. Burn stores `[in, out]`, PyTorch `[out, in]`.
fn layer(input: impl Fn(&str) -> (Vec<usize>, Vec<f32>), name: &str) -> Linear {
    let device = device().autodiff();
    let (shape, weight) = input(&format!("{name}.weight"));
    let (_, bias) = input(&format!("{name}.bias"));
    let mut layer = LinearConfig::new(shape[1], shape[0]).init(&device);
    let weight = Tensor::<2>::from_data(TensorData::new(weight, shape), &device);
    let length = bias.len();
    layer.weight = Param::from_tensor(weight.transpose());
    let bias = Tensor::<1>::from_data(TensorData::new(bias, [length]), &device);
    layer.bias = Some(Param::from_tensor(bias));
    layer
}

fn training_device() -> Device {
    device().autodiff()
}

fn momentum_sgd(momentum: f64) -> ModuleOptimizer {
    let momentum = MomentumConfig::new()
        .with_momentum(momentum)
        .with_dampening(0.0);
    SgdConfig::new().with_momentum(Some(momentum)).init()
}

fn cross_entropy(logits: Tensor<2>, labels: &[f32]) -> Tensor<1> {
    let [batch, classes] = logits.dims();
    let labels: Vec<i64> = labels.iter().map(|label| *label as i64).collect();
    let labels = TensorData::new(labels, [batch]);
    let labels = Tensor::<1, Int>::from_data(labels, &training_device());
    let chosen: Tensor<2> = labels.one_hot::<2>(classes).float();
    (log_softmax(logits, 1) * chosen).sum_dim(1).mean().neg()
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

/// Weights and biases in PyTorch's order of values.
fn parameters(net: &Net) -> [(&'static str, Vec<f32>); 4] {
    let weight = |layer: &Linear| numbers(layer.weight.val().transpose());
    let bias = |layer: &Linear| numbers(layer.bias.as_ref().expect("it has one").val());
    [
        ("fc1.weight", weight(&net.fc1)),
        ("fc1.bias", bias(&net.fc1)),
        ("fc2.weight", weight(&net.fc2)),
        ("fc2.bias", bias(&net.fc2)),
    ]
}

fn converted(yaml: &str, epochs: u64) -> Converted {
    let options = Options {
        epochs: Some(epochs),
        model: None,
    };
    convert(None, yaml, &options).unwrap_or_else(|error| panic!("{error}"))
}

/// What a schedule says of its gradual pruners.
#[derive(Deserialize)]
struct Schedule {
    pruners: BTreeMap<String, Gradual>,
    policies: Vec<Window>,
}

#[derive(Deserialize)]
struct Gradual {
    initial_sparsity: Option<f64>,
    final_sparsity: Option<f64>,
    #[serde(default)]
    weights: Vec<String>,
}

#[derive(Deserialize)]
struct Window {
    pruner: Option<Instance>,
    starting_epoch: Option<u64>,
    ending_epoch: Option<u64>,
    frequency: Option<u64>,
}

#[derive(Deserialize)]
struct Instance {
    instance_name: String,
}

impl Schedule {
    /// The level to which a gradual pruner has brought a parameter by an epoch: `f + (i − f)(1 − p)³` at its last firing, where
    /// `p` is the share of the window that is over then (Zhu & Gupta, 2017); 0 without one.
    fn level(&self, parameter: &str, epoch: u64) -> f64 {
        let levels = self.policies.iter().filter_map(|window| {
            let pruner = &self.pruners[&window.pruner.as_ref()?.instance_name];
            let (initial, last) = (pruner.initial_sparsity?, pruner.final_sparsity?);
            let (start, end) = (window.starting_epoch?, window.ending_epoch?);
            let covers = pruner.weights.iter().any(|name| name == parameter);
            let fired = (start..end.min(epoch + 1)).step_by(window.frequency? as usize);
            let at = fired.last().filter(|_| covers)?;
            let over = (at - start) as f64 / (end - start - 1) as f64;
            Some(last + (initial - last) * (1.0 - over).powi(3))
        });
        levels.fold(0.0, f64::max)
    }
}

#[test]
fn golden_a_converted_schedule_trains_as_distiller_did() {
    let file = golden::open("policy_trace");
    let case = file.having(&["/args/yaml", "/expect/trace"])[0];
    let args = &case["args"];
    // "SGD lr 0.1 momentum 0.9".
    let words: Vec<&str> = args["optimizer"].as_str().unwrap().split(' ').collect();
    let option = |name: &str| -> f64 {
        let at = words.iter().position(|word| *word == name).unwrap();
        words[at + 1].parse().unwrap()
    };
    let epochs = args["epochs"].as_u64().unwrap();
    let yaml = args["yaml"].as_str().unwrap();
    let schedule: Schedule = serde_saphyr::from_str(yaml).unwrap();
    let converted = converted(yaml, epochs);
    // Pruners of one parameter intersect, where Distiller's last one replaced the others: from the epoch on in which two
    // prune, that makes a difference, and it is announced.
    let order = case["expect"]["policy_order_per_epoch"]
        .as_object()
        .unwrap();
    let two_prune = order.iter().filter(|(_, policies)| {
        let names = policies.as_array().unwrap().iter();
        let is_pruner = |name: &str| name.starts_with("PruningPolicy");
        let pruners = names.filter(|name| is_pruner(name.as_str().unwrap()));
        pruners.count() > 1
    });
    let differs = two_prune.map(|(epoch, _)| epoch.parse().unwrap()).min();
    let announced = "prune the same parameters";
    let mut warnings = converted.warnings.iter();
    assert!(differs.is_none() || warnings.any(|warning| warning.text.contains(announced)));
    let differs = differs.unwrap_or(epochs);

    let input = |name: &str| file.values(&case["input"][name]);
    let mut net = Net {
        fc1: layer(input, "fc1"),
        fc2: layer(input, "fc2"),
    };
    let recipe = Recipe::parse(&converted.recipe).unwrap();
    // Distiller's base rate is no part of its schedules.
    let base = recipe.train().optimizer.lr.unwrap();
    let recipe = converted.recipe.replacen(
        &format!("\nlr = {base}\n"),
        &format!("\nlr = {}\n", option("lr")),
        1,
    );
    let recipe = Recipe::parse(&recipe).unwrap();
    assert_eq!(recipe.train().optimizer.lr, Some(option("lr")));
    let steps = args["minibatches_per_epoch"].as_u64().unwrap();
    let mut driver = recipe
        .bind(&net, steps)
        .unwrap_or_else(|error| panic!("{error}"));
    let mut optimizer = momentum_sgd(option("momentum"));
    let tolerance = case["tolerance"]["rel"].as_f64().unwrap();
    let tolerance = if is_reference() {
        tolerance
    } else {
        100.0 * tolerance
    };
    let mut before = [0; 4];
    for row in case["expect"]["trace"].as_array().unwrap() {
        let epoch = row["epoch"].as_u64().unwrap();
        let what = format!("epoch {epoch}, batch {}", row["minibatch"]);
        let rate = row["lr"].as_f64().unwrap();
        assert!(
            (driver.rate() - rate).abs() < 1e-12 * rate,
            "{what}: {}",
            driver.rate()
        );
        let x = file.tensor::<2>(&row["x"], &training_device());
        let (_, labels) = file.values(&row["y"]);
        let pass = driver.forward_backward(&net, x, |net, x| {
            let logits = net.fc2.forward(relu(net.fc1.forward(x)));
            (cross_entropy(logits, &labels), ())
        });
        let loss = f64::from(numbers(pass.loss)[0]);
        net = driver.step(net, &mut optimizer, pass.gradients);
        if epoch < differs {
            let expected = row["base_loss"].as_f64().unwrap();
            assert!(
                (loss - expected).abs() < tolerance * expected,
                "{what}: loss {loss}"
            );
        }
        for ((name, values), before) in parameters(&net).into_iter().zip(&mut before) {
            let sparsity = row["sparsity"][name].as_f64().unwrap();
            let expected = (sparsity * values.len() as f64).round() as usize;
            let zeros = values.iter().filter(|value| **value == 0.0).count();
            if epoch < differs {
                assert_eq!(zeros, expected, "{what}: {name}");
            } else {
                // What every pruner has dropped stays dropped here, and the level of a gradual pruner holds.
                let level = schedule.level(name, epoch);
                if level > 0.0 {
                    let exact = (level * values.len() as f64).floor() as usize;
                    assert_eq!(zeros, exact.max(*before), "{what}: {name}");
                }
                assert!(zeros >= *before, "{what}: {name}");
                if epoch == differs {
                    assert!(zeros >= expected, "{what}: {name}");
                }
            }
            *before = zeros;
        }
    }
}

#[test]
fn golden_a_learning_rate_s_window_is_distiller_s() {
    let file = golden::open("lr_schedules");
    let case = file.having(&["/args/base_lr", "/args/starting_epoch"])[0];
    let args = &case["args"];
    let yaml = format!(
        "lr_schedulers:\n  lr: {{class: MultiStepMultiGammaLR, milestones: {}, gammas: {}}}\npolicies:\n  - \
         {{lr_scheduler: {{instance_name: lr}}, starting_epoch: {}, ending_epoch: {}, frequency: {}}}\n",
        args["milestones"],
        args["gammas"],
        args["starting_epoch"],
        args["ending_epoch"],
        args["frequency"]
    );
    let expected = case["expect"]["lr_during_epoch"].as_array().unwrap();
    let recipe = Recipe::parse(&converted(&yaml, expected.len() as u64).recipe).unwrap();
    // Distiller's base rate is no part of its schedules.
    let base = recipe.train().optimizer.lr.unwrap() / args["base_lr"].as_f64().unwrap();
    let device = training_device();
    let mut net = Net {
        fc1: LinearConfig::new(2, 2).init(&device),
        fc2: LinearConfig::new(2, 2).init(&device),
    };
    let mut driver = recipe
        .bind(&net, 1)
        .unwrap_or_else(|error| panic!("{error}"));
    let mut optimizer = momentum_sgd(0.9);
    for (epoch, expected) in expected.iter().enumerate() {
        let expected = base * expected.as_f64().unwrap();
        let rate = driver.rate();
        assert!(
            (rate - expected).abs() < 1e-12,
            "epoch {epoch}: {rate}, expected {expected}"
        );
        let x = Tensor::<2>::ones([1, 2], &device);
        let pass = driver.forward_backward(&net, x, |net, x| {
            (net.fc2.forward(net.fc1.forward(x)).mean(), ())
        });
        net = driver.step(net, &mut optimizer, pass.gradients);
    }
}
