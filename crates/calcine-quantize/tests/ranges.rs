//! Ranges of what was calibration, against plain sums over the values.

use burn::nn::{Relu, Sigmoid};
use burn::tensor::{Tensor, TensorData};
use calcine_quantize::{Calibration, CalibrationStatistics, Quantizer, RangeEstimator, Scheme};
use calcine_testkit::{device, values};
use calcine_trace::trace;

/// 20 samples of 300 numbers around 0.3, in two batches.
fn batches() -> [Tensor<2>; 2] {
    let numbers: Vec<f32> = values(6000).iter().map(|x| 2.0 * x.powi(3) + 0.3).collect();
    let tensor = Tensor::<2>::from_data(TensorData::new(numbers, [20, 300]), &device());
    [tensor.clone().narrow(0, 0, 12), tensor.narrow(0, 12, 8)]
}

fn read(batches: &[Tensor<2>]) -> Vec<f64> {
    let read = |batch: &Tensor<2>| batch.clone().into_data().iter::<f64>().collect::<Vec<_>>();
    batches.iter().flat_map(read).collect()
}

fn statistics(name: &str) -> CalibrationStatistics {
    let [a, b] = batches();
    let network = trace(&Relu::new(), a.clone(), |m, x| m.forward(x)).unwrap();
    let calibration = Calibration::collect(&network, &[a, b]).unwrap();
    calibration.values[name].clone()
}

#[test]
fn moments_and_extrema_are_those_of_all_values() {
    let inputs = read(&batches());
    let outputs: Vec<f64> = inputs.iter().map(|x| x.max(0.0)).collect();
    for (name, values) in [("input", inputs), ("relu", outputs)] {
        let statistics = statistics(name);
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let deviation = (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count).sqrt();
        let min = values.iter().copied().fold(f64::INFINITY, f64::min);
        let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let rows: Vec<&[f64]> = values.chunks(300).collect();
        let ends = |pick: fn(f64, f64) -> f64, start: f64| {
            let each = rows.iter().map(|row| row.iter().copied().fold(start, pick));
            each.sum::<f64>() / rows.len() as f64
        };
        let expected = [
            min,
            max,
            mean,
            deviation,
            ends(f64::min, f64::INFINITY),
            ends(f64::max, f64::NEG_INFINITY),
        ];
        let found = [
            statistics.min,
            statistics.max,
            statistics.mean,
            statistics.deviation,
            statistics.average[0],
            statistics.average[1],
        ];
        for (found, expected) in found.into_iter().zip(expected) {
            assert!(
                (found - expected).abs() < 1e-4,
                "{name}: {found} for {expected}"
            );
        }
        assert_eq!(statistics.counts.counts.iter().sum::<u64>(), 6000);
    }
}

/// The best of the hundred ranges, by the error of every single value.
#[test]
fn least_error_is_the_least_over_all_values() {
    let values = read(&batches());
    let statistics = statistics("input");
    for (bits, scheme) in [
        (3, Scheme::Affine),
        (4, Scheme::Symmetric),
        (8, Scheme::Affine),
    ] {
        let error = |[low, high]: [f64; 2]| {
            let quantizer = Quantizer::from_range(low, high, bits, scheme).unwrap();
            let fake_quantized =
                |x: f64| f64::from(quantizer.dequantize(quantizer.quantize(x as f32)));
            values
                .iter()
                .map(|x| (x - fake_quantized(*x)).powi(2))
                .sum::<f64>()
        };
        let best = (1..=100)
            .map(|share| {
                error([statistics.min, statistics.max].map(|end| end * f64::from(share) / 100.0))
            })
            .fold(f64::INFINITY, f64::min);
        let found = error(RangeEstimator::Mse.range(&statistics, bits, scheme));
        // Bins stand for the values in them.
        assert!(
            found <= best * 1.02,
            "{bits} {scheme:?}: {found} for {best}"
        );
    }
}

#[test]
fn every_range_estimator_stays_within_what_was_seen() {
    let range_estimators = [
        RangeEstimator::MinMax,
        RangeEstimator::Average,
        RangeEstimator::Deviations(2.0),
        RangeEstimator::Gauss,
        RangeEstimator::Laplace,
        RangeEstimator::Percentile(99.0),
        RangeEstimator::Mse,
        RangeEstimator::Norm(3.0),
        RangeEstimator::Entropy,
    ];
    for name in ["input", "relu"] {
        let statistics = statistics(name);
        for range_estimator in range_estimators {
            let [low, high] = range_estimator.range(&statistics, 4, Scheme::Affine);
            assert!(
                statistics.min - 1e-6 <= low && low < high && high <= statistics.max + 1e-6,
                "{name} {range_estimator}: {low} {high}"
            );
            if name == "relu" {
                assert_eq!(low, 0.0, "{range_estimator}");
            }
        }
    }
    let inputs = read(&batches());
    let [low, high] =
        RangeEstimator::Percentile(99.0).range(&statistics("input"), 8, Scheme::Affine);
    let outside = inputs.iter().filter(|x| **x < low || **x > high).count();
    assert!((90..=150).contains(&outside), "{outside} of 6000");
}

/// What has no integers of its own is computed in float between two quantizers.
#[test]
fn a_sigmoid_is_computed_between_quantizers() {
    let [a, b] = batches();
    let network = trace(&Sigmoid::new(), a.clone(), |m, x| {
        m.forward(x).mul_scalar(2.0)
    })
    .unwrap();
    let calibration = Calibration::collect(&network, &[a.clone(), b]).unwrap();
    let quantized = calcine_quantize::quantize(
        &network,
        &calibration,
        &calcine_quantize::QuantizationSettings::default(),
    )
    .unwrap();
    let found: Tensor<2> = quantized.forward(a.clone());
    let expected: Tensor<2> = network.forward(a);
    let off = (found - expected).abs().max().into_scalar::<f32>();
    assert!(off > 0.0 && off < 0.02, "{off}");
}

/// What only a sigmoid sees has no quantizer beyond 6, where the sigmoid is flat.
#[test]
fn what_saturates_ends_the_quantizer() {
    let [a, _] = batches();
    let wide = a * 10.0;
    let range_of = |forward: fn(Tensor<2>) -> Tensor<2>| {
        let network = trace(&Relu::new(), wide.clone(), |_, x| forward(x) * 2.0).unwrap();
        let calibration = Calibration::collect(&network, std::slice::from_ref(&wide)).unwrap();
        let settings = calcine_quantize::QuantizationSettings::default();
        let quantized = calcine_quantize::quantize(&network, &calibration, &settings).unwrap();
        let quantizer = quantized.quantizer("input").unwrap();
        quantizer.centred().map(|end| end * quantizer.scale)
    };
    let close = |found: [f32; 2], end: f32| {
        let off = found.map(|found| (found.abs() - end).abs());
        off[0] < 0.05 && off[1] < 0.05
    };
    assert!(close(range_of(burn::tensor::activation::sigmoid), 6.0));
    assert!(close(range_of(burn::tensor::activation::tanh), 4.0));
    assert!(close(
        range_of(|x| burn::tensor::activation::sigmoid(x.clone()) * x.tanh()),
        6.0
    ));
    assert!(range_of(|x| burn::tensor::activation::sigmoid(x.clone()) * x)[1] > 10.0);
}
