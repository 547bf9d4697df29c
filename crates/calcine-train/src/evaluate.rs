use burn::tensor::{Device, Int, Tensor, TensorData, Transaction, activation};
use serde::{Deserialize, Serialize};

use crate::Lesson;

/// A batch of inputs and their classes.
#[derive(Debug, Clone)]
pub struct Labelled<X> {
    /// The inputs, whatever the model takes.
    pub input: X,
    /// The class of each: `[n]`.
    pub labels: Tensor<1, Int>,
    /// What a teacher says of them; counts in training only.
    pub lesson: Option<Lesson>,
}

impl<X> Labelled<X> {
    /// Without a teacher.
    #[must_use]
    pub fn new(input: X, labels: Tensor<1, Int>) -> Self {
        Self {
            input,
            labels,
            lesson: None,
        }
    }
}

/// How well a classifier does.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Evaluation {
    /// Mean cross-entropy. One that is no number is `null` in JSON.
    #[serde(with = "or_null")]
    pub loss: f64,
    /// Share of inputs whose class has the largest logit, in percent; ties go to the lowest class.
    #[serde(with = "or_null")]
    pub top1: f64,
    /// Share of inputs whose class is among the five largest logits, in percent; ties as in `top1`.
    #[serde(with = "or_null")]
    pub top5: f64,
    /// Inputs seen.
    pub count: u64,
}

/// JSON has no NaN and no infinity: a diverged epoch is written as `null`, and read as NaN, so that its run can be
/// resumed.
mod or_null {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[allow(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde hands over references"
    )]
    pub(super) fn serialize<S: Serializer>(number: &f64, to: S) -> Result<S::Ok, S::Error> {
        number.is_finite().then_some(number).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
        Ok(Option::deserialize(from)?.unwrap_or(f64::NAN))
    }
}

/// Runs a classifier over batches; pass `model.valid()`'s forward.
///
/// Sums stay on the device and are read once, at the end.
pub fn evaluate<X>(
    batches: impl IntoIterator<Item = Labelled<X>>,
    forward: impl Fn(X) -> Tensor<2>,
) -> Evaluation {
    let mut tally = Tally::default();
    for Labelled { input, labels, .. } in batches {
        let logits = forward(input);
        let loss = cross_entropy(logits.clone(), labels.clone());
        tally.add(loss, logits, labels);
    }
    tally.read()
}

/// Mean cross-entropy of logits against classes.
///
/// # Shapes
///
/// `logits`: `[n, classes]`; `labels`: `[n]`; result: `[1]`.
pub(crate) fn cross_entropy(logits: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1> {
    let [n, _] = logits.dims();
    let picked = activation::log_softmax(logits, 1).gather(1, labels.reshape([n, 1]));
    picked.mean().neg()
}

/// Running sums of loss and hits, on the device.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    sums: Option<(Tensor<1>, Tensor<1, Int>, Tensor<1, Int>)>,
    count: u64,
}

impl Tally {
    /// Adds a batch: its mean loss, its logits and classes. A class is beaten by every larger logit,
    /// and by equal ones of lower index: a network that has died and gives the same logit to every
    /// class is as good as chance.
    pub(crate) fn add(&mut self, loss: Tensor<1>, logits: Tensor<2>, labels: Tensor<1, Int>) {
        let [n, classes] = logits.dims();
        let logits = logits.without_autodiff();
        let labels = labels.reshape([n, 1]);
        let own = logits.clone().gather(1, labels.clone());
        let index = Tensor::arange(0..classes as i64, &labels.device()).reshape([1, classes]);
        // Not `greater`: what is not a number must not count as a hit.
        let lower = logits.clone().lower(own.clone());
        let tied = logits.equal(own);
        let later = tied.bool_and(index.greater_equal(labels));
        let better = lower.bool_or(later).bool_not().int().sum_dim(1);
        let top1 = better.clone().lower_scalar(1).int().sum();
        let top5 = better.lower_scalar(5).int().sum();
        let loss = loss.without_autodiff().mul_scalar(n as f64);
        self.sums = Some(match self.sums.take() {
            None => (loss, top1, top5),
            Some((l, a, b)) => (l + loss, a + top1, b + top5),
        });
        self.count += n as u64;
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The sums themselves: loss × n, top-1 and top-5 hits, n. Exact, so that [`resume`](Self::resume)
    /// goes on as if nothing had been.
    pub(crate) fn sums(&self) -> [f64; 4] {
        let Some((loss, top1, top5)) = self.sums.clone() else {
            return [0.0; 4];
        };
        let read = Transaction::default()
            .register(loss)
            .register(top1)
            .register(top5)
            .execute();
        let number = |data: &TensorData| data.iter::<f64>().next().expect("a sum is one number");
        [
            number(&read[0]),
            number(&read[1]),
            number(&read[2]),
            self.count as f64,
        ]
    }

    /// What [`sums`](Self::sums) gave, back on a device.
    pub(crate) fn resume([loss, top1, top5, count]: [f64; 4], device: &Device) -> Self {
        if count == 0.0 {
            return Self::default();
        }
        let device = device.clone().without_autodiff();
        let hits = |n: f64| Tensor::<1, Int>::from_data([n as i32], &device);
        let loss = Tensor::from_data([loss as f32], &device);
        Self {
            sums: Some((loss, hits(top1), hits(top5))),
            count: count as u64,
        }
    }

    /// Reads the sums, as means.
    pub(crate) fn read(&self) -> Evaluation {
        let [loss, top1, top5, count] = self.sums();
        if count == 0.0 {
            return Evaluation::default();
        }
        Evaluation {
            loss: loss / count,
            top1: 100.0 * top1 / count,
            top5: 100.0 * top5 / count,
            count: self.count,
        }
    }
}
