//! A network with several exits, as an objective of one's own around the ready-made one, against Distiller's.
//!
//! There is no policy for it: the loss is a weighted sum of each exit's, and which exit a sample takes is decided by the loss
//! of that sample.

use burn::tensor::{Int, Tensor, TensorData};
use calcine_testkit::golden::{self, Golden};
use calcine_testkit::{each, is_reference};
use calcine_train::{Classification, Metric, MetricSums, Objective, Totals};
use serde_json::Value;

use crate::golden::assert_close;
use crate::made_up::{read, training_device};

/// The cross-entropy of each exit with a weight; of the last exit with what the weights leave of 1.
struct Exits {
    weights: Vec<f64>,
}

impl Objective for Exits {
    type Output = Vec<Tensor<2>>;
    type Target = Tensor<1, Int>;

    fn metrics(&self) -> Vec<Metric> {
        Vec::new()
    }

    fn count(&self, target: &Tensor<1, Int>) -> usize {
        target.dims()[0]
    }

    fn loss(&self, exits: Vec<Tensor<2>>, target: Tensor<1, Int>) -> Tensor<1> {
        let rest = 1.0 - self.weights.iter().sum::<f64>();
        let weights = self.weights.iter().copied().chain([rest]);
        let terms = exits.into_iter().zip(weights).map(|(logits, weight)| {
            Classification
                .loss(logits, target.clone())
                .mul_scalar(weight)
        });
        terms.reduce(|sum, term| sum + term).unwrap()
    }

    fn sums(&self, _: Vec<Tensor<2>>, _: Tensor<1, Int>) -> MetricSums {
        MetricSums::default()
    }

    fn values(&self, _: &Totals) -> Vec<f64> {
        Vec::new()
    }
}

fn labels(file: &Golden, reference: &Value) -> Tensor<1, Int> {
    let (shape, values) = file.values(reference);
    let values: Vec<i64> = values.into_iter().map(|label| label as i64).collect();
    Tensor::from_data(TensorData::new(values, shape), &training_device())
}

fn exits(file: &Golden, list: &Value) -> Vec<Tensor<2>> {
    let list = list.as_array().unwrap().iter();
    let exits = list.map(|exit| file.tensor::<2>(exit, &training_device()));
    exits.map(Tensor::require_grad).collect()
}

fn numbers(list: &Value) -> Vec<f64> {
    let list = list.as_array().unwrap().iter();
    list.map(|number| number.as_f64().unwrap()).collect()
}

/// The loss over all exits, and the gradient of each exit's logits.
#[test]
fn golden_losses_of_early_exits() {
    let file = golden::open("early_exit");
    let cases = file.having(&["/input/exit_logits", "/expect/grad"]);
    each(cases, |case| {
        let exits = exits(&file, &case["input"]["exit_logits"]);
        let objective = Exits {
            weights: numbers(&case["args"]["loss_weights"]),
        };
        let target = labels(&file, &case["input"]["labels"]);
        let loss = objective.loss(exits.clone(), target);
        let expected = [case["expect"]["loss"].as_f64().unwrap() as f32];
        assert_close(&read(loss.clone()), &expected, (1e-5, 1e-7), "loss");
        let gradients = loss.backward();
        let tolerance = if is_reference() { 2e-4 } else { 2e-3 };
        for (exit, expected) in exits.iter().zip(case["expect"]["grad"].as_array().unwrap()) {
            let found = read(exit.grad(&gradients).unwrap());
            let expected = file.values(expected).1;
            assert_close(&found, &expected, (tolerance, 1e-5), "gradient");
        }
    });
}

/// Where an exit is missing Distiller loses its share: what is left is the last exit's.
#[test]
fn golden_the_share_of_a_missing_exit() {
    let file = golden::open("early_exit");
    for case in file.having(&["/input/final_logits", "/expect/loss"]) {
        let last = file.tensor::<2>(&case["input"]["final_logits"], &training_device());
        let rest = 1.0 - numbers(&case["args"]["loss_weights"]).iter().sum::<f64>();
        let target = labels(&file, &case["input"]["labels"]);
        let loss = Classification.loss(last, target).mul_scalar(rest);
        let expected = [case["expect"]["loss"].as_f64().unwrap() as f32];
        assert_close(&read(loss), &expected, (1e-5, 1e-7), "loss");
    }
}

/// What is counted at one exit.
#[derive(Default, Clone)]
struct Counted {
    samples: usize,
    top1: usize,
    top5: usize,
}

/// A sample leaves at the first exit whose loss is below that exit's threshold, else at the last.
#[test]
fn golden_decisions_of_early_exits() {
    let file = golden::open("early_exit");
    let cases = file.having(&["/args/thresholds", "/input/batches", "/expect/exit_taken"]);
    each(cases, |case| {
        let expect = &case["expect"];
        let thresholds = numbers(&case["args"]["thresholds"]);
        let mut counted = vec![Counted::default(); thresholds.len() + 1];
        // Of each exit the mean loss of each batch.
        let mut losses = vec![Vec::new(); thresholds.len() + 1];
        let batches = case["input"]["batches"].as_array().unwrap().iter();
        for (batch, taken) in batches.zip(expect["exit_taken_per_batch"].as_array().unwrap()) {
            let exits = exits(&file, &batch["exit_logits"]);
            let target = labels(&file, &batch["labels"]);
            let classes: Vec<usize> = target
                .clone()
                .into_data()
                .iter::<i64>()
                .map(|class| class as usize)
                .collect();
            let own: Vec<Vec<f32>> = exits
                .iter()
                .map(|exit| read(Classification.losses(exit.clone(), target.clone()).unwrap()))
                .collect();
            for (losses, own) in losses.iter_mut().zip(&own) {
                losses.push(own.iter().sum::<f32>() as f64 / own.len() as f64);
            }
            let before: Vec<usize> = counted.iter().map(|exit| exit.samples).collect();
            for (sample, &class) in classes.iter().enumerate() {
                let mut early = thresholds.iter().enumerate();
                let leaves = early.find(|(exit, limit)| f64::from(own[*exit][sample]) < **limit);
                let exit = leaves.map_or(thresholds.len(), |(exit, _)| exit);
                let logits = read(exits[exit].clone());
                let width = logits.len() / classes.len();
                let logits = &logits[sample * width..(sample + 1) * width];
                let larger = logits.iter().filter(|logit| **logit > logits[class]);
                let rank = larger.count();
                counted[exit].samples += 1;
                counted[exit].top1 += usize::from(rank < 1);
                counted[exit].top5 += usize::from(rank < 5);
            }
            let found = counted.iter().zip(before).map(|(exit, n)| exit.samples - n);
            let found: Vec<f64> = found.map(|count| count as f64).collect();
            assert_eq!(found, numbers(taken));
        }
        let share = |of: usize, all: usize| 100.0 * of as f64 / all.max(1) as f64;
        let percents = |of: fn(&Counted) -> usize| -> Vec<f64> {
            let exits = counted.iter();
            exits.map(|exit| share(of(exit), exit.samples)).collect()
        };
        let close = |found: &[f64], key: &str| {
            let expected = match &expect[key] {
                Value::Array(_) => numbers(&expect[key]),
                one => vec![one.as_f64().unwrap()],
            };
            assert_eq!(found.len(), expected.len(), "{key}");
            for (found, expected) in found.iter().zip(expected) {
                approx::assert_relative_eq!(*found, expected, max_relative = 1e-5);
            }
        };
        let taken: Vec<f64> = counted.iter().map(|exit| exit.samples as f64).collect();
        close(&taken, "exit_taken");
        close(&percents(|exit| exit.top1), "top1_per_exit");
        close(&percents(|exit| exit.top5), "top5_per_exit");
        let mean = |losses: &Vec<f64>| losses.iter().sum::<f64>() / losses.len() as f64;
        let means: Vec<f64> = losses.iter().map(mean).collect();
        close(&means, "mean_loss_per_exit");
        let all: usize = counted.iter().map(|exit| exit.samples).sum();
        let total = |of: fn(&Counted) -> usize| [share(counted.iter().map(of).sum(), all)];
        close(&total(|exit| exit.top1), "total_top1");
        close(&total(|exit| exit.top5), "total_top5");
    });
}

/// Weights that leave nothing for the last exit are an error there; here that exit is not trained.
#[test]
fn golden_weights_of_exits_that_are_errors() {
    let file = golden::open("early_exit");
    for case in file.having(&["/args/loss_weights", "/expect/error"]) {
        let sum: f64 = numbers(&case["args"]["loss_weights"]).iter().sum();
        assert!(sum >= 1.0, "{}", case["name"]);
    }
}
