//! What a model is trained for: the loss of a batch, and the metrics that are counted beside it.

mod classification;
mod regression;
mod segmentation;
mod sums;

pub use classification::Classification;
pub use regression::Regression;
pub use segmentation::Segmentation;
pub(crate) use sums::Tally;
pub use sums::{MetricSums, Totals};

use burn::tensor::Tensor;
use calcine_metric::Metric;

use crate::Distillation;

/// What a model is trained for: the loss of a batch, and metrics with a name and a direction.
///
/// An objective knows outputs and targets, and neither models nor inputs: the same objective measures a module, the
/// network that was traced from it, and the quantized network. Within a step nothing is read from the device: a metric is
/// *sums* that stay there, added up over the batches, and [`values`](Self::values), which turns their totals into numbers.
///
/// [`Classification`], [`Segmentation`] and [`Regression`] are ready-made.
///
/// # Examples
///
/// A language model, measured by its perplexity:
///
/// ```
/// use burn::tensor::{Int, Tensor, activation::log_softmax};
/// use calcine_train::{Metric, MetricSums, Objective, Totals};
///
/// struct NextToken;
///
/// impl Objective for NextToken {
///     type Output = Tensor<3>;      // logits: [n, tokens, vocabulary]
///     type Target = Tensor<2, Int>; // [n, tokens]
///
///     fn metrics(&self) -> Vec<Metric> {
///         vec![Metric::lower("perplexity", "")]
///     }
///     fn count(&self, target: &Tensor<2, Int>) -> usize {
///         target.dims()[0]
///     }
///     fn loss(&self, output: Tensor<3>, target: Tensor<2, Int>) -> Tensor<1> {
///         log_softmax(output, 2).gather(2, target.unsqueeze_dim(2)).mean().neg()
///     }
///     fn sums(&self, _: Tensor<3>, _: Tensor<2, Int>) -> MetricSums {
///         MetricSums::default()
///     }
///     fn values(&self, totals: &Totals) -> Vec<f64> {
///         vec![totals.mean_loss().exp()]
///     }
/// }
/// ```
pub trait Objective {
    /// What the model computes of a batch: logits, for one.
    type Output: Clone + 'static;
    /// What the output is compared with: classes, for one.
    type Target: Clone + 'static;

    /// The metrics. The first one is the main one, by which epochs are compared unless
    /// [`FitSettings::metric`](crate::FitSettings::metric) names another. Without any, it is the loss.
    fn metrics(&self) -> Vec<Metric>;

    /// The number of samples in a batch. Losses and metrics of several batches are averaged by it.
    fn count(&self, target: &Self::Target) -> usize;

    /// The mean loss over the samples of a batch: `[1]`. The device is not read.
    fn loss(&self, output: Self::Output, target: Self::Target) -> Tensor<1>;

    /// What the metrics of a batch are computed from, summed over its samples. The device is not read.
    fn sums(&self, output: Self::Output, target: Self::Target) -> MetricSums;

    /// The value of each metric, in the order of [`metrics`](Self::metrics), from the totals over at least one sample.
    fn values(&self, totals: &Totals) -> Vec<f64>;

    /// The loss of each sample: `[n]`; `None` if the objective does not separate them. A sensitivity scan pairs them. The
    /// device is not read.
    fn losses(&self, output: Self::Output, target: Self::Target) -> Option<Tensor<1>> {
        let _ = (output, target);
        None
    }

    /// How far the outputs of a student are from those of a teacher, summed over the samples of a batch: `[1]`; `None` if
    /// the objective has no such measure. No gradient reaches the teacher. The device is not read.
    ///
    /// Distillation adds it to the loss, and searches for quantization parameters make it small.
    fn divergence(
        &self,
        student: Self::Output,
        teacher: Self::Output,
        temperature: f64,
    ) -> Option<Tensor<1>> {
        let _ = (student, teacher, temperature);
        None
    }

    /// Checks that a student can be trained by this objective with the outputs of a teacher.
    ///
    /// # Errors
    ///
    /// If it cannot, with the reason. Unless implemented, it cannot.
    fn check_distillation(&self, distillation: &Distillation) -> Result<(), String> {
        let _ = distillation;
        Err(
            "the objective does not say how far a student is from its teacher: implement \
             `Objective::divergence` and `Objective::check_distillation`"
                .to_owned(),
        )
    }
}

impl<O: Objective + ?Sized> Objective for &O {
    type Output = O::Output;
    type Target = O::Target;

    fn metrics(&self) -> Vec<Metric> {
        (**self).metrics()
    }

    fn count(&self, target: &Self::Target) -> usize {
        (**self).count(target)
    }

    fn loss(&self, output: Self::Output, target: Self::Target) -> Tensor<1> {
        (**self).loss(output, target)
    }

    fn sums(&self, output: Self::Output, target: Self::Target) -> MetricSums {
        (**self).sums(output, target)
    }

    fn values(&self, totals: &Totals) -> Vec<f64> {
        (**self).values(totals)
    }

    fn losses(&self, output: Self::Output, target: Self::Target) -> Option<Tensor<1>> {
        (**self).losses(output, target)
    }

    fn divergence(
        &self,
        student: Self::Output,
        teacher: Self::Output,
        temperature: f64,
    ) -> Option<Tensor<1>> {
        (**self).divergence(student, teacher, temperature)
    }

    fn check_distillation(&self, distillation: &Distillation) -> Result<(), String> {
        (**self).check_distillation(distillation)
    }
}
