use calcine_metric::{Evaluation, MetricValue};

use crate::objective::{Objective, Tally, Totals};

/// A batch of inputs and targets.
#[derive(Debug, Clone)]
pub struct Batch<X, T> {
    /// The inputs of the model.
    pub input: X,
    /// The targets in the form that the [`Objective`] takes: for a classifier, the classes `[n]`.
    pub target: T,
}

impl<X, T> Batch<X, T> {
    /// A batch of these inputs and targets.
    #[must_use]
    pub const fn new(input: X, target: T) -> Self {
        Self { input, target }
    }
}

/// Measures a model on batches. Pass the forward pass of `model.valid()`.
///
/// Totals stay on the device and are read once, at the end. Without any batch, the count and the loss are 0.
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

/// The means and the metrics for these totals.
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
