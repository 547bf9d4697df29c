use burn::tensor::{Int, Tensor, activation};
use calcine_metric::Metric;

use super::{MetricSums, Objective, Totals};
use crate::Distillation;

/// The objective of classification: mean cross-entropy, and top-1 and top-5 accuracy in percent.
///
/// The output is logits `[n, classes]`, and the target classes `[n]`. The rank of the target class is the number of
/// classes with a larger logit, or with an equal logit and a lower index; a network that gives the same logit to every
/// class is therefore not better than chance. A logit that is NaN never counts as correct.
///
/// With the logits t of a teacher, the divergence of logits z is `KL(softmax(t / T) ‖ softmax(z / T))`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Classification;

impl Objective for Classification {
    type Output = Tensor<2>;
    type Target = Tensor<1, Int>;

    fn metrics(&self) -> Vec<Metric> {
        vec![Metric::higher("top1", "%"), Metric::higher("top5", "%")]
    }

    fn count(&self, target: &Tensor<1, Int>) -> usize {
        target.dims()[0]
    }

    fn loss(&self, output: Tensor<2>, target: Tensor<1, Int>) -> Tensor<1> {
        picked(output, target).mean().neg()
    }

    fn sums(&self, output: Tensor<2>, target: Tensor<1, Int>) -> MetricSums {
        let [n, classes] = output.dims();
        let logits = output.without_autodiff();
        let labels = target.reshape([n, 1]);
        let own = logits.clone().gather(1, labels.clone());
        let index = Tensor::arange(0..classes as i64, &labels.device()).reshape([1, classes]);
        // Not `greater`, because NaN must not count as correct.
        let lower = logits.clone().lower(own.clone());
        let tied = logits.equal(own);
        let later = tied.bool_and(index.greater_equal(labels));
        let better = lower.bool_or(later).bool_not().int().sum_dim(1);
        let top1 = better.clone().lower_scalar(1).int().sum();
        let top5 = better.lower_scalar(5).int().sum();
        MetricSums::from_counts(Tensor::cat(vec![top1, top5], 0))
    }

    fn values(&self, totals: &Totals) -> Vec<f64> {
        vec![totals.percent(0), totals.percent(1)]
    }

    fn losses(&self, output: Tensor<2>, target: Tensor<1, Int>) -> Option<Tensor<1>> {
        let [n] = target.dims();
        Some(picked(output, target).reshape([n]).neg())
    }

    fn divergence(
        &self,
        student: Tensor<2>,
        teacher: Tensor<2>,
        temperature: f64,
    ) -> Option<Tensor<1>> {
        Some(kullback_leibler(student, teacher, 1, temperature).sum())
    }

    fn check_distillation(&self, _: &Distillation) -> Result<(), String> {
        Ok(())
    }
}

/// The log-probability of the target class of each sample: `[n, 1]`.
fn picked(logits: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<2> {
    let [n, _] = logits.dims();
    activation::log_softmax(logits, 1).gather(1, labels.reshape([n, 1]))
}

/// The terms of `KL(softmax(t / T) ‖ softmax(z / T))`, with the softmax over the classes, in the shape of the logits.
/// No gradient reaches the teacher.
pub(super) fn kullback_leibler<const D: usize>(
    student: Tensor<D>,
    teacher: Tensor<D>,
    axis: usize,
    temperature: f64,
) -> Tensor<D> {
    let softened = |logits: Tensor<D>| logits.div_scalar(temperature);
    let student = activation::log_softmax(softened(student), axis);
    let teacher = activation::log_softmax(softened(teacher.detach()), axis);
    teacher.clone().exp() * (teacher - student)
}
