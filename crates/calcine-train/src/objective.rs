//! Objectives: the loss of a batch, and the metrics that are measured in addition.

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

/// An objective defines the loss of a batch, and metrics with a name and a direction.
///
/// It depends only on outputs and targets, not on models and inputs: the same objective can measure a module, the
/// network that was traced from it, and the quantized network. A step does not read from the device: a metric consists
/// of *sums* that stay on the device and are added over the batches, and of [`values`](Self::values), which computes
/// the metric from their totals.
///
/// [`Classification`], [`Segmentation`] and [`Regression`] are provided.
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
    /// The output of the model for a batch, for example logits.
    type Output: Clone + 'static;
    /// The target of a batch, for example classes.
    type Target: Clone + 'static;

    /// The metrics. The first one is the main metric, by which epochs are compared unless
    /// [`FitSettings::metric`](crate::FitSettings::metric) names another one. If there are no metrics, it is the loss.
    fn metrics(&self) -> Vec<Metric>;

    /// The number of samples in a batch. It is the weight of the batch in means over several batches.
    fn count(&self, target: &Self::Target) -> usize;

    /// The mean loss over the samples of a batch: `[1]`. The device is not read.
    fn loss(&self, output: Self::Output, target: Self::Target) -> Tensor<1>;

    /// The sums over the samples of a batch from which the metrics are computed. The device is not read.
    fn sums(&self, output: Self::Output, target: Self::Target) -> MetricSums;

    /// The value of each metric, in the order of [`metrics`](Self::metrics), from the totals over at least one sample.
    fn values(&self, totals: &Totals) -> Vec<f64>;

    /// The loss of each sample, `[n]`; `None` if the objective cannot compute it. A sensitivity scan compares the
    /// losses of the same sample. The device is not read.
    fn losses(&self, output: Self::Output, target: Self::Target) -> Option<Tensor<1>> {
        let _ = (output, target);
        None
    }

    /// The divergence between the outputs of a student and a teacher, summed over the samples of a batch: `[1]`; `None`
    /// if the objective does not define it. No gradient reaches the teacher. The device is not read.
    ///
    /// Distillation adds it to the loss, and searches for quantization parameters minimize it.
    fn divergence(
        &self,
        student: Self::Output,
        teacher: Self::Output,
        temperature: f64,
    ) -> Option<Tensor<1>> {
        let _ = (student, teacher, temperature);
        None
    }

    /// Checks that the objective supports distillation with these settings.
    ///
    /// # Errors
    ///
    /// If it does not, with the reason. The default does not support distillation.
    fn check_distillation(&self, distillation: &Distillation) -> Result<(), String> {
        let _ = distillation;
        Err(
            "the objective does not define the divergence of a student from its teacher: implement \
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
