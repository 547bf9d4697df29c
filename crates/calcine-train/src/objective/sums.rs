use burn::tensor::{Device, Int, Tensor, TensorData, Transaction};
use serde::{Deserialize, Serialize};

/// The sums from which the metrics of one or several batches are computed. Both parts stay on the device.
#[derive(Debug, Clone, Default)]
pub struct MetricSums {
    /// Integers, such as the number of samples that are classified correctly: `[k]`. Their totals are exact up to the
    /// largest integer of the type on the device, 2³¹ − 1 for 32 bits.
    pub counts: Option<Tensor<1, Int>>,
    /// Real numbers, such as summed errors: `[k]`.
    pub sums: Option<Tensor<1>>,
}

impl MetricSums {
    /// Sums that consist only of integers: `[k]`.
    #[must_use]
    pub fn from_counts(counts: Tensor<1, Int>) -> Self {
        Self {
            counts: Some(counts),
            sums: None,
        }
    }

    /// Sums that consist only of real numbers: `[k]`.
    #[must_use]
    pub fn from_sums(sums: Tensor<1>) -> Self {
        Self {
            counts: None,
            sums: Some(sums),
        }
    }

    fn added(self, other: Self) -> Self {
        Self {
            counts: either(self.counts, other.counts, |a, b| a + b),
            sums: either(self.sums, other.sums, |a, b| a + b),
        }
    }
}

/// The combination of both, or the one that is present.
fn either<T>(a: Option<T>, b: Option<T>, join: impl Fn(T, T) -> T) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(join(a, b)),
        (a, b) => a.or(b),
    }
}

/// The totals of the loss and the sums over all batches so far, on the host.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Totals {
    /// The sum over the batches of mean loss × number of samples.
    #[serde(with = "or_null")]
    pub loss: f64,
    /// The totals of [`MetricSums::counts`].
    pub counts: Vec<i64>,
    /// The totals of [`MetricSums::sums`].
    #[serde(with = "or_null::each")]
    pub sums: Vec<f64>,
    /// The number of samples.
    pub count: u64,
}

impl Totals {
    /// The mean loss over all samples; NaN if there are none.
    #[must_use]
    pub fn mean_loss(&self) -> f64 {
        self.loss / self.count as f64
    }

    /// The count at this position as a percentage of the samples; NaN if there is no such count.
    #[must_use]
    pub fn percent(&self, position: usize) -> f64 {
        let count = self.counts.get(position);
        count.map_or(f64::NAN, |&count| 100.0 * count as f64 / self.count as f64)
    }

    /// The mean over all samples of the sum at this position; NaN if there is no such sum.
    #[must_use]
    pub fn mean(&self, position: usize) -> f64 {
        let sum = self.sums.get(position);
        sum.map_or(f64::NAN, |&sum| sum / self.count as f64)
    }
}

/// The running totals of loss and metrics, on the device.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    sums: Option<(Tensor<1>, MetricSums)>,
    count: u64,
}

impl Tally {
    /// Adds a batch of `n` samples: its mean loss, and the sums for its metrics.
    pub(crate) fn add(&mut self, loss: Tensor<1>, metrics: MetricSums, n: usize) {
        let loss = loss.without_autodiff().mul_scalar(n as f64);
        let metrics = MetricSums {
            counts: metrics.counts.map(Tensor::without_autodiff),
            sums: metrics.sums.map(Tensor::without_autodiff),
        };
        self.sums = Some(match self.sums.take() {
            None => (loss, metrics),
            Some((before, others)) => (before + loss, others.added(metrics)),
        });
        self.count += n as u64;
    }

    /// The number of samples so far.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Reads the totals from the device, once. They are exact, so [`resume`](Self::resume) continues as if there had
    /// been no interruption.
    pub(crate) fn totals(&self) -> Totals {
        let Some((loss, metrics)) = self.sums.clone() else {
            return Totals::default();
        };
        let MetricSums { counts, sums } = metrics;
        let mut transaction = Transaction::default().register(loss);
        let (has_counts, has_sums) = (counts.is_some(), sums.is_some());
        if let Some(counts) = counts {
            transaction = transaction.register(counts);
        }
        if let Some(sums) = sums {
            transaction = transaction.register(sums);
        }
        let mut read = transaction.execute().into_iter();
        let mut next = |is_there: bool| if is_there { read.next() } else { None };
        let (loss, counts, sums) = (next(true), next(has_counts), next(has_sums));
        Totals {
            loss: loss.map_or(0.0, |loss| loss.iter::<f64>().sum()),
            counts: counts.map_or(Vec::new(), |counts| counts.iter::<i64>().collect()),
            sums: sums.map_or(Vec::new(), |sums| sums.iter::<f64>().collect()),
            count: self.count,
        }
    }

    /// Continues from totals that [`totals`](Self::totals) returned.
    pub(crate) fn resume(totals: Totals, device: &Device) -> Self {
        if totals.count == 0 {
            return Self::default();
        }
        let device = &device.clone().without_autodiff();
        let loss = Tensor::from_data([totals.loss as f32], device);
        let counts = (!totals.counts.is_empty()).then(|| {
            let length = totals.counts.len();
            Tensor::from_data(TensorData::new(totals.counts, [length]), device)
        });
        let sums = (!totals.sums.is_empty()).then(|| {
            let sums: Vec<f32> = totals.sums.iter().map(|&sum| sum as f32).collect();
            Tensor::from_data(TensorData::new(sums, [totals.sums.len()]), device)
        });
        Self {
            sums: Some((loss, MetricSums { counts, sums })),
            count: totals.count,
        }
    }
}

/// JSON has neither NaN nor infinity: they are written as `null`, which is read as NaN.
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

    pub(super) mod each {
        use serde::{Deserialize, Deserializer, Serialize, Serializer};

        pub(in super::super) fn serialize<S: Serializer>(
            numbers: &[f64],
            to: S,
        ) -> Result<S::Ok, S::Error> {
            let numbers = numbers.iter().map(|x| x.is_finite().then_some(*x));
            numbers.collect::<Vec<_>>().serialize(to)
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
            from: D,
        ) -> Result<Vec<f64>, D::Error> {
            let numbers = Vec::<Option<f64>>::deserialize(from)?;
            Ok(numbers.into_iter().map(|x| x.unwrap_or(f64::NAN)).collect())
        }
    }
}
