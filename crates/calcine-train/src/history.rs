use std::cmp::Ordering;

use calcine_metric::{Evaluation, Metric};
use serde::{Deserialize, Serialize};

/// The results of an epoch. They contain no times, so equal runs have equal rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochRow {
    /// The epoch, from 0 as in recipes.
    pub epoch: u64,
    /// The number of steps since the run began.
    pub steps: u64,
    /// The learning rate of the last step of the epoch.
    pub rate: f64,
    /// The means over the training batches of the epoch, measured during training.
    pub train: Evaluation,
    /// The metrics of the validation split after the epoch; `None` if there is no such split.
    pub validation: Option<Evaluation>,
    /// The share of zeros in the weights of the model (parameters of rank 2 or more).
    pub sparsity: f64,
    /// The number of weights that are not zero.
    pub nonzero: u64,
}

impl EpochRow {
    /// Compares two validated epochs: the greater one is to be kept. NaN is worse than any number.
    fn compare(&self, other: &Self, metric: &Metric) -> Ordering {
        let of = |row: &Self, metric: &Metric| {
            let validation = row.validation.as_ref();
            validation.map_or(f64::NAN, |validation| validation.value(&metric.name))
        };
        let by = |metric: &Metric| metric.compare(of(self, metric), of(other, metric));
        by(metric)
            .then(other.nonzero.cmp(&self.nonzero))
            .then_with(|| by(&Metric::loss()))
    }
}

/// The epochs of a run so far.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// The epochs in order.
    pub epochs: Vec<EpochRow>,
    /// The index of the first epoch of the current model. Earlier epochs trained it before it was
    /// [thinned](crate::Run::thinned).
    #[serde(default)]
    pub first: usize,
    /// The metrics of the objective, in its order.
    #[serde(default)]
    pub metrics: Vec<Metric>,
    /// The metric by which epochs are compared; the loss if there is none.
    #[serde(default)]
    pub compared_by: Option<Metric>,
}

/// The metrics are not suitable for comparing the epochs of a run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetricError {
    /// The objective does not have the metric.
    #[error("the objective has no metric `{name}`: it has {}", listed(known))]
    Unknown {
        /// The name.
        name: String,
        /// The valid names.
        known: Vec<String>,
    },
    /// The previous epochs were measured with other metrics.
    #[error(
        "the epochs so far were measured by {}, and the objective has {}: resume with the objective of the run",
        listed(before),
        listed(now)
    )]
    Other {
        /// The metrics of the previous epochs.
        before: Vec<String>,
        /// The metrics of the objective.
        now: Vec<String>,
    },
}

fn listed(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

impl History {
    /// Sets the metrics of the following epochs, and the name of the one by which epochs are compared (by default the
    /// first one).
    ///
    /// # Errors
    ///
    /// If there is no such metric, or previous epochs were measured with other metrics.
    pub fn compare_by(
        &mut self,
        metrics: Vec<Metric>,
        name: Option<&str>,
    ) -> Result<(), MetricError> {
        let names = |metrics: &[Metric]| metrics.iter().map(|m| m.name.clone()).collect();
        if !self.epochs.is_empty() && self.metrics != metrics {
            return Err(MetricError::Other {
                before: names(&self.metrics),
                now: names(&metrics),
            });
        }
        let chosen = match name {
            None => metrics.first().cloned(),
            Some("loss") => Some(Metric::loss()),
            Some(name) => Some(self::metric(&metrics, name).cloned().ok_or_else(|| {
                let mut known: Vec<String> = names(&metrics);
                known.push("loss".to_owned());
                MetricError::Unknown {
                    name: name.to_owned(),
                    known,
                }
            })?),
        };
        self.compared_by = chosen;
        self.metrics = metrics;
        Ok(())
    }

    /// The metric by which epochs are compared: the first metric of the objective, or the one that was set.
    #[must_use]
    pub fn main_metric(&self) -> Metric {
        self.compared_by.clone().unwrap_or_else(Metric::loss)
    }

    /// The history as comma-separated values, with one line per epoch: `epoch,steps,learning_rate`, then the loss and
    /// the metrics of the training batches and of the validation split (`train_loss`, `train_top1`, …,
    /// `validation_loss`, …), then `sparsity,nonzero`.
    #[must_use]
    pub fn to_csv(&self) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let metrics = || self.metrics.iter().map(|metric| metric.name.as_str());
        let of = |split: &str| -> Vec<String> {
            let names = std::iter::once("loss").chain(metrics());
            names.map(|name| format!("{split}_{name}")).collect()
        };
        let first = ["epoch", "steps", "learning_rate"].map(str::to_owned);
        let last = ["sparsity", "nonzero"].map(str::to_owned);
        let header = first.into_iter().chain(of("train"));
        let header = header.chain(of("validation")).chain(last);
        writer
            .write_record(header)
            .expect("a vector takes all writes");
        for row in &self.epochs {
            let values = |evaluation: Option<&Evaluation>| -> Vec<String> {
                let value = |name| {
                    let value = evaluation.and_then(|evaluation| evaluation.find(name));
                    value.map(|value| value.to_string()).unwrap_or_default()
                };
                std::iter::once("loss")
                    .chain(metrics())
                    .map(value)
                    .collect()
            };
            let cells = [
                row.epoch.to_string(),
                row.steps.to_string(),
                row.rate.to_string(),
            ]
            .into_iter()
            .chain(values(Some(&row.train)))
            .chain(values(row.validation.as_ref()))
            .chain([row.sparsity.to_string(), row.nonzero.to_string()]);
            writer
                .write_record(cells)
                .expect("a vector takes all writes");
        }
        String::from_utf8(writer.into_inner().expect("a vector takes all writes"))
            .expect("cells are text")
    }

    /// The epoch to keep by default: [`Criterion::Sparsest`].
    #[must_use]
    pub fn best(&self) -> Option<&EpochRow> {
        self.best_by(Criterion::default())
    }

    /// The epoch to keep among those of the current model: the one with the best value of the [main
    /// metric](Self::main_metric) on the validation split; among equals the sparsest, then the one with the lower
    /// validation loss, then the earliest. NaN is worse than any number. Without a validation split, it is the last
    /// epoch that meets the criterion.
    #[must_use]
    pub fn best_by(&self, criterion: Criterion) -> Option<&EpochRow> {
        let sparse_enough = |row: &EpochRow| match criterion {
            Criterion::Sparsest => false,
            Criterion::AtLeast(sparsity) => row.sparsity >= sparsity,
        };
        let epochs = self.present();
        let fewest = epochs.iter().map(|row| row.nonzero).min()?;
        let any = epochs.iter().any(sparse_enough);
        let eligible = epochs.iter().filter(|row| {
            if any {
                sparse_enough(row)
            } else {
                row.nonzero == fewest
            }
        });
        let metric = self.main_metric();
        eligible.reduce(|best, row| match (&best.validation, &row.validation) {
            (Some(_), Some(_)) if row.compare(best, &metric).is_le() => best,
            _ => row,
        })
    }

    /// The epochs of the current model.
    fn present(&self) -> &[EpochRow] {
        self.epochs.get(self.first..).unwrap_or_default()
    }

    /// The Pareto front of sparsity and the [main metric](Self::main_metric): the epochs of the current model for which
    /// there is no other epoch that is better in one of the two and not worse in the other.
    ///
    /// They are ordered from the sparsest to the most accurate; of equal epochs, the one with the lower validation loss
    /// is taken, then the earliest. The metric is that of the validation split; without one, the front is empty. Epochs
    /// whose metric is not finite are not on it.
    #[must_use]
    pub fn pareto(&self) -> Vec<&EpochRow> {
        let metric = self.main_metric();
        let value = |row: &EpochRow| {
            let validation = row.validation.as_ref()?;
            Some(validation.value(&metric.name)).filter(|value| value.is_finite())
        };
        let measured = |row| value(row).map(|value| (row, value));
        let mut rows: Vec<(&EpochRow, f64)> = self.present().iter().filter_map(measured).collect();
        rows.sort_by(|(a, _), (b, _)| a.nonzero.cmp(&b.nonzero).then(b.compare(a, &metric)));
        let mut best = f64::NAN;
        let mut front = Vec::new();
        for (row, value) in rows {
            if metric.is_better(value, best) {
                best = value;
                front.push(row);
            }
        }
        front
    }
}

/// The metric with this name.
fn metric<'a>(metrics: &'a [Metric], name: &str) -> Option<&'a Metric> {
    metrics.iter().find(|metric| metric.name == name)
}

/// Which epoch is kept.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub enum Criterion {
    /// The best epoch by the main metric among those with the highest sparsity.
    #[default]
    Sparsest,
    /// The best epoch by the main metric among those with at least this share of zeros; if there is none, as
    /// [`Sparsest`](Self::Sparsest). With 0, the best of all epochs.
    ///
    /// A pruner rounds down to whole weights and may leave out some layers, so a model that is pruned to a level of 0.8
    /// has slightly less sparsity. Choose a slightly smaller share.
    AtLeast(f64),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(epoch: u64, nonzero: u64, top1: f64) -> EpochRow {
        EpochRow {
            epoch,
            steps: epoch * 10,
            rate: 0.1,
            train: Evaluation::default(),
            validation: Some(Evaluation::new(0.0, 0).with_metric("top1", top1)),
            sparsity: 1.0 - nonzero as f64 / 100.0,
            nonzero,
        }
    }

    fn history(rows: &[(u64, f64)]) -> History {
        let rows = (1..).zip(rows);
        History {
            epochs: rows
                .map(|(epoch, (n, top1))| row(epoch, *n, *top1))
                .collect(),
            ..measured()
        }
    }

    /// By top-1.
    fn measured() -> History {
        let mut history = History::default();
        let metrics = vec![Metric::higher("top1", "%")];
        history.compare_by(metrics, None).unwrap();
        history
    }

    #[test]
    fn the_best_epoch_is_the_most_accurate_of_the_sparsest() {
        let history = history(&[(50, 99.0), (20, 80.0), (20, 85.0), (20, 85.0)]);
        assert_eq!(history.best().map(|row| row.epoch), Some(3));
        assert_eq!(History::default().best(), None);
    }

    #[test]
    fn the_best_epoch_of_a_target_is_the_most_accurate_that_reaches_it() {
        let rows = [
            (90, 99.0),
            (50, 80.0),
            (45, 85.0),
            (20, 70.0),
            (30, 85.0),
            (30, 85.0),
        ];
        let history = history(&rows);
        let best = |sparsity| {
            history
                .best_by(Criterion::AtLeast(sparsity))
                .map(|row| row.epoch)
        };
        assert_eq!(best(0.0), Some(1));
        assert_eq!(
            best(0.5),
            Some(5),
            "of equals the sparsest, then the earliest"
        );
        assert_eq!(best(0.8), Some(4));
        assert_eq!(best(0.9), Some(4), "out of reach: the sparsest");
    }

    #[test]
    fn of_epochs_of_equal_accuracy_the_lower_loss_is_kept_and_a_number_before_none() {
        let (nan, inf) = (f64::NAN, f64::INFINITY);
        // Top-1 and loss by epoch, and the epoch that is kept.
        let rows: [(&[(f64, f64)], u64); 7] = [
            (&[(80.0, 0.5), (80.0, 0.4), (80.0, 0.45)], 2),
            (&[(80.0, 0.4), (80.0, 0.4)], 1),
            (&[(80.0, 0.1), (81.0, 0.9)], 2),
            (&[(80.0, nan), (80.0, 9.0), (80.0, nan)], 2),
            (&[(80.0, nan), (80.0, inf)], 1),
            (&[(nan, 0.1), (10.0, 5.0), (nan, 0.1)], 2),
            (&[(nan, nan), (nan, nan)], 1),
        ];
        for (rows, kept) in rows {
            let epochs = (1..).zip(rows).map(|(epoch, &(top1, loss))| {
                let mut row = row(epoch, 20, top1);
                row.validation.as_mut().unwrap().loss = loss;
                row
            });
            let history = History {
                epochs: epochs.collect(),
                ..measured()
            };
            for criterion in [Criterion::Sparsest, Criterion::AtLeast(0.5)] {
                let best = history.best_by(criterion).map(|row| row.epoch);
                assert_eq!(best, Some(kept), "{rows:?}");
            }
            let front: Vec<u64> = history.pareto().iter().map(|row| row.epoch).collect();
            assert!(front.is_empty() || front == [kept], "{rows:?}: {front:?}");
        }
    }

    #[test]
    fn a_history_with_losses_that_are_no_numbers_is_read_again() {
        let mut diverged = row(1, 5, 10.0);
        diverged.validation.as_mut().unwrap().loss = f64::NAN;
        diverged.train.loss = f64::INFINITY;
        let text = serde_json::to_string(&diverged).unwrap();
        let again: EpochRow = serde_json::from_str(&text).unwrap();
        assert!(again.validation.unwrap().loss.is_nan() && again.train.loss.is_nan());
        let fine = row(2, 5, 10.0);
        let text = serde_json::to_string(&fine).unwrap();
        assert_eq!(serde_json::from_str::<EpochRow>(&text).unwrap(), fine);
    }

    #[test]
    fn epochs_before_a_thinning_are_no_longer_kept() {
        let mut history = history(&[(20, 99.0), (50, 80.0), (50, 85.0), (60, 70.0)]);
        history.first = 1;
        assert_eq!(history.best().map(|row| row.epoch), Some(3));
        assert_eq!(history.pareto().len(), 1);
        history.first = 4;
        assert_eq!(history.best(), None);
    }

    #[test]
    fn the_best_epoch_changes_to_the_newest_or_not_at_all() {
        // So that a run can save it in the moment when it is the newest.
        let rows = scattered();
        for criterion in [Criterion::Sparsest, Criterion::AtLeast(0.6)] {
            for n in 1..rows.len() {
                let (before, after) = (history(&rows[..n]), history(&rows[..=n]));
                let best = |history: &History| history.best_by(criterion).map(|row| row.epoch);
                let newest = Some(n as u64 + 1);
                assert!(
                    best(&after) == best(&before) || best(&after) == newest,
                    "{n}"
                );
            }
        }
    }

    fn top1(row: &EpochRow) -> f64 {
        row.validation.as_ref().unwrap().value("top1")
    }

    #[test]
    fn a_metric_of_which_lower_is_better_turns_the_order() {
        let rows = [(1, 3.0), (2, 1.0), (3, f64::NAN), (4, 2.0)];
        let epochs = rows.map(|(epoch, error)| {
            let mut row = row(epoch, 20, 0.0);
            row.validation = Some(Evaluation::new(error, 1).with_metric("rmse", error));
            row
        });
        let mut history = History::default();
        let metrics = vec![Metric::lower("rmse", "")];
        history.compare_by(metrics.clone(), None).unwrap();
        history.epochs = epochs.to_vec();
        assert_eq!(history.best().map(|row| row.epoch), Some(2));
        let front: Vec<u64> = history.pareto().iter().map(|row| row.epoch).collect();
        assert_eq!(front, [2]);
        history.compare_by(metrics.clone(), Some("loss")).unwrap();
        assert_eq!(history.best().map(|row| row.epoch), Some(2));
        let error = history.compare_by(metrics, Some("top1")).unwrap_err();
        assert!(
            error.to_string().contains("it has `rmse`, `loss`"),
            "{error}"
        );
        let other = vec![Metric::higher("psnr", "dB")];
        assert!(matches!(
            history.compare_by(other, None),
            Err(MetricError::Other { .. })
        ));
    }

    /// Pairs of few different numbers, so that there are ties.
    fn scattered() -> Vec<(u64, f64)> {
        (1..60_u64)
            .map(|i| (10 * (i * i % 7) + 20, (i * 37 % 11) as f64))
            .collect()
    }

    #[test]
    fn the_front_is_what_no_other_epoch_beats() {
        let rows = scattered();
        for n in 0..rows.len() {
            let history = history(&rows[..n]);
            let beaten = |row: &EpochRow| {
                history.epochs.iter().any(|other| {
                    let (fewer, more) = (other.nonzero < row.nonzero, top1(other) > top1(row));
                    let (few, good) = (other.nonzero <= row.nonzero, top1(other) >= top1(row));
                    few && good && (fewer || more || other.epoch < row.epoch)
                })
            };
            let mut expected: Vec<&EpochRow> =
                history.epochs.iter().filter(|row| !beaten(row)).collect();
            expected.sort_by_key(|row| row.nonzero);
            assert_eq!(history.pareto(), expected);
            for criterion in [Criterion::Sparsest, Criterion::AtLeast(0.6)] {
                let best = history.best_by(criterion);
                assert!(
                    best.is_none_or(|best| expected.contains(&best)),
                    "{criterion:?}"
                );
            }
        }
    }

    #[test]
    fn a_row_has_as_many_cells_as_the_header_with_or_without_validation() {
        let mut without = row(1, 5, 0.0);
        without.validation = None;
        let csv = History {
            epochs: vec![without, row(2, 5, 1.5)],
            ..measured()
        }
        .to_csv();
        let commas: Vec<usize> = csv.lines().map(|line| line.matches(',').count()).collect();
        assert_eq!(commas, [8, 8, 8]);
    }
}
