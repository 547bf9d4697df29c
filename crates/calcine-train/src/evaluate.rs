use calcine_metric::{Evaluation, MetricValue};

use crate::objective::{Objective, Tally, Totals};

/// A batch of inputs and what the outputs are compared with.
#[derive(Debug, Clone)]
pub struct Batch<X, T> {
    /// The inputs, whatever the model takes.
    pub input: X,
    /// The targets, as the [`Objective`] takes them: the classes `[n]` of a classifier.
    pub target: T,
}

impl<X, T> Batch<X, T> {
    /// A batch.
    #[must_use]
    pub const fn new(input: X, target: T) -> Self {
        Self { input, target }
    }
}

/// Measures a model on batches; pass the forward pass of `model.valid()`.
///
/// Sums stay on the device and are read once, at the end. Without a batch, the count is 0, and the loss too.
pub fn evaluate<X, O: Objective>(
    batches: impl IntoIterator<Item = Batch<X, O::Target>>,
    forward: impl Fn(X) -> O::Output,
    objective: &O,
) -> Evaluation {
    let mut tally = Tally::default();
    for Batch { input, target } in batches {
        let output = forward(input);
        let n = objective.count(&target);
        let loss = objective.loss(output.clone(), target.clone());
        tally.add(loss, objective.sums(output, target), n);
    }
    evaluation(objective, &tally.totals())
}

/// The means and metrics that totals come to.
pub(crate) fn evaluation(objective: &impl Objective, totals: &Totals) -> Evaluation {
    let metrics = objective.metrics().into_iter();
    if totals.count == 0 {
        let metrics = metrics.map(|metric| (metric, 0.0));
        return named(0.0, metrics, 0);
    }
    let metrics = metrics.zip(objective.values(totals));
    named(totals.mean_loss(), metrics, totals.count)
}

fn named(
    loss: f64,
    metrics: impl Iterator<Item = (calcine_metric::Metric, f64)>,
    count: u64,
) -> Evaluation {
    let metrics = metrics.map(|(metric, value)| MetricValue {
        name: metric.name,
        value,
    });
    Evaluation {
        loss,
        metrics: metrics.collect(),
        count,
    }
}
