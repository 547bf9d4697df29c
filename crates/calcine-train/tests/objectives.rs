//! Segmentation and regression against computations element by element.

use approx::assert_relative_eq;
use burn::tensor::{Int, Tensor, TensorData};
use calcine_testkit::{device, values};
use calcine_train::{Batch, Distillation, Metric, Objective, Regression, Segmentation, evaluate};

use crate::made_up::read;

const CLASSES: usize = 4;
const PIXELS: usize = 6;

/// Logits `[n, 4, 2, 3]` and classes, of which 255 occurs if asked for.
fn segmented(n: usize, seed: usize, ignored: bool) -> (Vec<f32>, Vec<i64>) {
    let count = n * CLASSES * PIXELS;
    let logits = values(seed + count)[seed..].to_vec();
    let class = |at: usize| match (at * 7 + seed) % 5 {
        4 if ignored => 255,
        class => (class % CLASSES) as i64,
    };
    (logits, (0..n * PIXELS).map(class).collect())
}

fn batch(n: usize, (logits, classes): &(Vec<f32>, Vec<i64>)) -> Batch<Tensor<4>, Tensor<3, Int>> {
    let device = &device();
    let logits = TensorData::new(logits.clone(), [n, CLASSES, 2, 3]);
    let classes = TensorData::new(classes.clone(), [n, 2, 3]);
    Batch::new(
        Tensor::from_data(logits, device),
        Tensor::from_data(classes, device),
    )
}

/// Loss of each image, and the confusion matrix, target by prediction.
fn oracle(
    n: usize,
    (logits, classes): &(Vec<f32>, Vec<i64>),
) -> (Vec<f64>, [[u64; CLASSES]; CLASSES]) {
    let mut confusion = [[0; CLASSES]; CLASSES];
    let losses = (0..n).map(|image| {
        let (mut sum, mut count) = (0.0, 0);
        for pixel in 0..PIXELS {
            let class = classes[image * PIXELS + pixel];
            if class == 255 {
                continue;
            }
            let class = class as usize;
            let logit = |c: usize| f64::from(logits[(image * CLASSES + c) * PIXELS + pixel]);
            let all: f64 = (0..CLASSES).map(|c| logit(c).exp()).sum();
            sum += all.ln() - logit(class);
            count += 1;
            let best = (0..CLASSES).max_by(|&a, &b| logit(a).total_cmp(&logit(b)));
            confusion[class][best.unwrap()] += 1;
        }
        sum / f64::from(count)
    });
    (losses.collect(), confusion)
}

#[test]
fn segmentation_is_that_of_the_oracle_with_and_without_ignored_pixels() {
    for ignored in [false, true] {
        let objective = match ignored {
            true => Segmentation::new(CLASSES).with_ignored(255),
            false => Segmentation::new(CLASSES),
        };
        let sizes = [3, 1];
        let data: Vec<_> = sizes
            .iter()
            .map(|&n| segmented(n, 10 * n, ignored))
            .collect();
        let batches = || sizes.iter().zip(&data).map(|(&n, data)| batch(n, data));
        let found = evaluate(batches(), |logits| logits, &objective);
        let mut confusion = [[0; CLASSES]; CLASSES];
        for ((&n, data), batch) in sizes.iter().zip(&data).zip(batches()) {
            let (losses, own) = oracle(n, data);
            let found = objective.losses(batch.input, batch.target);
            for (found, expected) in read(found.unwrap()).into_iter().zip(losses) {
                assert_relative_eq!(f64::from(found), expected, max_relative = 1e-4);
            }
            for (row, own) in confusion.iter_mut().flatten().zip(own.iter().flatten()) {
                *row += own;
            }
        }
        let all: u64 = confusion.iter().flatten().sum();
        let hits: u64 = (0..CLASSES).map(|class| confusion[class][class]).sum();
        let iou = (0..CLASSES).filter_map(|class| {
            let row: u64 = confusion[class].iter().sum();
            let column: u64 = confusion.iter().map(|row| row[class]).sum();
            let union = row + column - confusion[class][class];
            (union > 0).then(|| confusion[class][class] as f64 / union as f64)
        });
        let iou: Vec<f64> = iou.collect();
        let mean_iou = 100.0 * iou.iter().sum::<f64>() / iou.len() as f64;
        assert_relative_eq!(found.value("mean_iou"), mean_iou, max_relative = 1e-12);
        let accuracy = 100.0 * hits as f64 / all as f64;
        assert_relative_eq!(
            found.value("pixel_accuracy"),
            accuracy,
            max_relative = 1e-12
        );
        assert_eq!(found.count, 4);
    }
}

#[test]
fn regression_is_that_of_the_oracle() {
    let tensor = |values: &[f32], n: usize| -> Tensor<2> {
        Tensor::from_data(TensorData::new(values.to_vec(), [n, 3]), &device())
    };
    let (outputs, targets) = (values(24), values(60)[36..].to_vec());
    let batches = [(0..5, 5), (5..8, 3)].map(|(rows, n)| {
        let range = rows.start * 3..rows.end * 3;
        Batch::new(
            tensor(&outputs[range.clone()], n),
            tensor(&targets[range], n),
        )
    });
    let objective = Regression::<2>::new().with_peak(2.0);
    let found = evaluate(batches.clone(), |output| output, &objective);
    let errors = outputs.iter().zip(&targets).map(|(a, b)| f64::from(a - b));
    let squared = errors.clone().map(|error| error * error).sum::<f64>() / 24.0;
    let absolute = errors.map(f64::abs).sum::<f64>() / 24.0;
    for (name, expected) in [
        ("loss", squared),
        ("rmse", squared.sqrt()),
        ("mae", absolute),
        ("psnr", 10.0 * (4.0 / squared).log10()),
    ] {
        assert_relative_eq!(found.value(name), expected, max_relative = 1e-5);
    }
    let [first, _] = batches;
    let losses = read(
        objective
            .losses(first.input.clone(), first.target.clone())
            .unwrap(),
    );
    let mean = losses.iter().sum::<f32>() / 5.0;
    let loss = read(objective.loss(first.input.clone(), first.target.clone()))[0];
    assert_relative_eq!(mean, loss, max_relative = 1e-5);
    let divergence = objective
        .divergence(first.input, first.target, 1.0)
        .unwrap();
    assert_relative_eq!(read(divergence)[0], 5.0 * loss, max_relative = 1e-5);
}

#[test]
fn the_main_metric_of_a_regressor_is_its_ratio_to_the_noise_if_it_has_a_peak() {
    let first = |objective: Regression<2>| objective.metrics().remove(0);
    assert_eq!(first(Regression::new()), Metric::lower("rmse", ""));
    assert_eq!(
        first(Regression::new().with_peak(1.0)),
        Metric::higher("psnr", "dB")
    );
}

#[test]
fn a_regressor_has_nothing_to_soften() {
    let soft = Distillation {
        temperature: 4.0,
        ..Distillation::default()
    };
    let objective = Regression::<2>::new();
    let error = objective.check_distillation(&soft).unwrap_err();
    assert!(error.contains("the temperature is 4"), "{error}");
    assert!(
        objective
            .check_distillation(&Distillation::default())
            .is_ok()
    );
    assert!(Segmentation::new(2).check_distillation(&soft).is_ok());
}
