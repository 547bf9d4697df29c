use burn::tensor::Tensor;
use calcine_metric::Metric;

use super::{MetricSums, Objective, Totals};
use crate::Distillation;

/// The objective of regression: mean squared error, and as metrics its root and the mean absolute error.
///
/// Output and target have the same shape `[n, …]` with `D` axes. Means are computed over the elements of a sample, and
/// then over the samples. With a [peak](Self::with_peak), the main metric is the peak signal-to-noise ratio in
/// decibels, computed from the mean squared error over all samples: `10 · log₁₀(peak² / MSE)`.
///
/// With a teacher, the divergence is the mean squared difference of the outputs; the temperature must be 1.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Regression<const D: usize> {
    peak: Option<f64>,
}

impl<const D: usize> Regression<D> {
    /// An objective without a peak.
    #[must_use]
    pub const fn new() -> Self {
        Self { peak: None }
    }

    /// Sets the largest possible target value, for example 1 or 255 for images.
    #[must_use]
    pub const fn with_peak(self, peak: f64) -> Self {
        Self { peak: Some(peak) }
    }
}

/// The mean over the elements of each sample, summed over the samples: `[1]`.
fn summed<const D: usize>(values: Tensor<D>) -> Tensor<1> {
    let shape = values.dims();
    let elements: usize = shape.iter().skip(1).product();
    values.sum().div_scalar(elements as f64)
}

impl<const D: usize> Objective for Regression<D> {
    type Output = Tensor<D>;
    type Target = Tensor<D>;

    fn metrics(&self) -> Vec<Metric> {
        let peak = self.peak.map(|_| Metric::higher("psnr", "dB"));
        let errors = [Metric::lower("rmse", ""), Metric::lower("mae", "")];
        peak.into_iter().chain(errors).collect()
    }

    fn count(&self, target: &Tensor<D>) -> usize {
        target.dims()[0]
    }

    fn loss(&self, output: Tensor<D>, target: Tensor<D>) -> Tensor<1> {
        (output - target).square().mean()
    }

    fn sums(&self, output: Tensor<D>, target: Tensor<D>) -> MetricSums {
        let errors = output.without_autodiff() - target.without_autodiff();
        let squared = summed(errors.clone().square());
        MetricSums::from_sums(Tensor::cat(vec![squared, summed(errors.abs())], 0))
    }

    fn values(&self, totals: &Totals) -> Vec<f64> {
        let (squared, absolute) = (totals.mean(0), totals.mean(1));
        let psnr = self
            .peak
            .map(|peak| 10.0 * (peak.powi(2) / squared).log10());
        psnr.into_iter().chain([squared.sqrt(), absolute]).collect()
    }

    fn losses(&self, output: Tensor<D>, target: Tensor<D>) -> Option<Tensor<1>> {
        let shape = target.dims();
        let n = shape[0];
        let elements: usize = shape.iter().skip(1).product();
        let errors = (output - target).square().reshape([n, elements]);
        Some(errors.mean_dim(1).reshape([n]))
    }

    fn divergence(&self, student: Tensor<D>, teacher: Tensor<D>, _: f64) -> Option<Tensor<1>> {
        Some(summed((student - teacher.detach()).square()))
    }

    fn check_distillation(&self, distillation: &Distillation) -> Result<(), String> {
        if distillation.temperature == 1.0 {
            return Ok(());
        }
        Err(format!(
            "the temperature is {}: a regression has no logits, so it must be 1",
            distillation.temperature
        ))
    }
}
