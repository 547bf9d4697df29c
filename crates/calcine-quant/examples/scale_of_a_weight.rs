//! Quantizes a weight with fewer and fewer bits, over the range with the smallest error and over the whole range.
#![allow(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "an example shows what it computed"
)]

use calcine_quant::{CalibrationStatistics, Quantizer, QuantizerError, RangeEstimator, Scheme};

fn main() -> Result<(), QuantizerError> {
    // A typical distribution of weights: many small ones and a few large ones.
    let weights: Vec<f32> = (1..=10_000)
        .map(|i| {
            let share = i as f32 / 10_001.0 - 0.5;
            -0.05 * share.signum() * (1.0 - 2.0 * share.abs()).ln()
        })
        .collect();
    let Some(statistics) = CalibrationStatistics::from_samples(&[&weights]) else {
        return Ok(());
    };
    for bits in [8, 6, 4, 3, 2] {
        for range_estimator in [
            RangeEstimator::MinMax,
            RangeEstimator::Laplace,
            RangeEstimator::Mse,
        ] {
            let [low, high] = range_estimator.range(&statistics, bits, Scheme::Symmetric);
            let quantizer = Quantizer::from_range(low, high, bits, Scheme::Symmetric)?;
            let error = statistics.error(&quantizer, 2.0).sqrt();
            println!(
                "{bits} bits, {range_estimator}: scale {:.5}, root mean square error {error:.5}",
                quantizer.scale
            );
        }
    }
    Ok(())
}
