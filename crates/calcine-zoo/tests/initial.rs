//! Initial weights: their distribution, and what they depend on.

use burn::tensor::Device;
use calcine_train::stream;
use calcine_zoo::{Classifier, ModelTask, ResNetConfig, SimpleNetConfig};
use rand_distr::{Distribution, StandardNormal};

use calcine_testkit::{Row, rows};

use crate::FAMILIES;

struct Rows;

impl ModelTask for Rows {
    type Output = Vec<Row>;

    fn run<M: Classifier + 'static>(self, model: M) -> Vec<Row> {
        rows(&model)
    }
}

#[test]
fn equal_seeds_give_equal_weights_and_others_give_others() {
    let device = Device::flex();
    for architecture in FAMILIES {
        let build = |seed| architecture.build(seed, &device, Rows);
        let (once, again, other) = (build(7), build(7), build(8));
        assert_eq!(once, again, "{architecture}");
        for (a, b) in once.iter().zip(&other) {
            let zero = a.path.ends_with(".bias") && a.values.iter().all(|v| *v == 0.0);
            let drawn = !(zero || a.layer.ends_with("BatchNorm"));
            assert_eq!(a.values != b.values, drawn, "{architecture} {}", a.path);
        }
    }
}

#[test]
fn weights_come_from_the_stream_of_their_own_path() {
    for row in rows(
        &ResNetConfig::new(20)
            .with_seed(3)
            .init(&Device::flex())
            .unwrap(),
    ) {
        let [outputs, _, k, _] = row.shape[..] else {
            continue;
        };
        let mut random = stream(3, &format!("init/{}", row.path), 0);
        let deviation = (2.0 / (k * k * outputs) as f64).sqrt();
        let first: f64 = StandardNormal.sample(&mut random);
        assert_eq!(row.values[0], (first * deviation) as f32, "{}", row.path);
    }
}

#[test]
fn convolutions_of_residual_networks_have_he_deviation() {
    let model = ResNetConfig::new(56)
        .with_seed(11)
        .init(&Device::flex())
        .unwrap();
    for row in rows(&model) {
        let [outputs, _, k, _] = row.shape[..] else {
            continue;
        };
        let expected = (2.0 / (k * k * outputs) as f64).sqrt();
        let (mean, deviation) = moments(&row.values);
        // Five standard errors of a normal sample of this size.
        let n = row.values.len() as f64;
        let close = 5.0 / (2.0 * n).sqrt();
        assert!(
            (deviation / expected - 1.0).abs() < close,
            "{}: {deviation}",
            row.path
        );
        assert!(
            mean.abs() < 5.0 * expected / n.sqrt(),
            "{}: {mean}",
            row.path
        );
    }
}

#[test]
fn other_layers_are_uniform_and_norms_begin_as_identity() {
    let device = Device::flex();
    let simple = rows(&SimpleNetConfig::new().with_seed(5).init(&device));
    let resnet = rows(&ResNetConfig::new(20).with_seed(5).init(&device).unwrap());
    let fan_in = [
        ("conv1.", 75.0),
        ("conv2.", 150.0),
        ("fc1.", 400.0),
        ("fc2.", 120.0),
        ("fc3.", 84.0),
        ("fc.", 64.0),
    ];
    let uniform = simple
        .iter()
        .chain(resnet.iter().filter(|row| row.path.starts_with("fc.")));
    for row in uniform {
        let (_, fan_in) = fan_in
            .iter()
            .find(|(layer, _)| row.path.starts_with(layer))
            .unwrap();
        let bound = 1.0 / f64::sqrt(*fan_in);
        let inside = row.values.iter().all(|v| f64::from(v.abs()) <= bound);
        assert!(inside, "{} within {bound}", row.path);
        if row.values.len() > 400 {
            let (_, deviation) = moments(&row.values);
            let expected = bound / 3.0_f64.sqrt();
            assert!(
                (deviation / expected - 1.0).abs() < 0.1,
                "{}: {deviation}",
                row.path
            );
        }
    }
    for row in resnet.iter().filter(|row| row.layer.ends_with("BatchNorm")) {
        let leaf = row.path.rsplit('.').next().unwrap();
        let value = if matches!(leaf, "gamma" | "running_var") {
            1.0
        } else {
            0.0
        };
        assert!(row.values.iter().all(|v| *v == value), "{}", row.path);
    }
}

fn moments(values: &[f32]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
    let variance = values
        .iter()
        .map(|v| (f64::from(*v) - mean).powi(2))
        .sum::<f64>()
        / (n - 1.0);
    (mean, variance.sqrt())
}
