use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::Evaluation;

/// What one epoch came to. No clock times: equal runs have equal rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochRow {
    /// The epoch, from 0 as in recipes.
    pub epoch: u64,
    /// Steps since the run began.
    pub steps: u64,
    /// Learning rate of the epoch's last step.
    pub rate: f64,
    /// Means over the epoch's training batches, as they were trained on.
    pub train: Evaluation,
    /// The validation split afterwards; absent without one.
    pub validation: Option<Evaluation>,
    /// Share of zeros in the model's weights (parameters of rank 2 or more).
    pub sparsity: f64,
    /// Weights that are not zero.
    pub nonzero: u64,
}

impl EpochRow {
    /// Which of two validated epochs is to be kept: the greater one. A number that is none is worse than any.
    fn compare(&self, other: &Self) -> Ordering {
        let number = |row: &Self, pick: fn(&Evaluation) -> f64, worst: f64| {
            let number = row.validation.as_ref().map_or(f64::NAN, pick);
            if number.is_nan() { worst } else { number }
        };
        let top1 = |row| number(row, |e| e.top1, f64::NEG_INFINITY);
        let loss = |row| number(row, |e| e.loss, f64::INFINITY);
        top1(self)
            .total_cmp(&top1(other))
            .then(other.nonzero.cmp(&self.nonzero))
            .then(loss(other).total_cmp(&loss(self)))
    }

    fn top1(&self) -> Option<f64> {
        self.validation.map(|validation| validation.top1)
    }
}

/// The epochs of a run so far.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// In order.
    pub epochs: Vec<EpochRow>,
    /// Where those of the model as it is now begin: the others trained it before it was
    /// [thinned](crate::Run::thinned).
    #[serde(default)]
    pub first: usize,
}

impl History {
    /// As comma-separated values, a row an epoch.
    #[must_use]
    pub fn to_csv(&self) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let header = [
            "epoch",
            "steps",
            "learning_rate",
            "train_loss",
            "train_top1",
            "train_top5",
            "validation_loss",
            "validation_top1",
            "validation_top5",
            "sparsity",
            "nonzero",
        ];
        writer
            .write_record(header)
            .expect("a vector takes all writes");
        for row in &self.epochs {
            let scores = |scores: Option<&Evaluation>| {
                let number = |pick: fn(&Evaluation) -> f64| {
                    scores.map(pick).map(|x| x.to_string()).unwrap_or_default()
                };
                [number(|e| e.loss), number(|e| e.top1), number(|e| e.top5)]
            };
            let cells = [
                row.epoch.to_string(),
                row.steps.to_string(),
                row.rate.to_string(),
            ]
            .into_iter()
            .chain(scores(Some(&row.train)))
            .chain(scores(row.validation.as_ref()))
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

    /// The epoch to keep, of the model as it is now. More accurate is a higher validation top-1; among equals it
    /// is the sparsest, then the one of the lower validation loss, then the earliest. Without a validation split it is the last epoch of those in question.
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
        eligible.reduce(|best, row| match (best.validation, row.validation) {
            (Some(_), Some(_)) if row.compare(best).is_le() => best,
            _ => row,
        })
    }

    /// The epochs of the model as it is now.
    fn present(&self) -> &[EpochRow] {
        self.epochs.get(self.first..).unwrap_or_default()
    }

    /// The Pareto front of sparsity and accuracy: the epochs of the model as it is now than which none has fewer weights left
    /// without being less accurate, and none is more accurate without having more weights left.
    ///
    /// From the sparsest to the most accurate; of equals the one of the lower validation loss, then the earliest.
    /// Accuracy is the validation top-1, so without a validation split there is no front.
    #[must_use]
    pub fn pareto(&self) -> Vec<&EpochRow> {
        let scored = |row| EpochRow::top1(row).map(|top1| (row, top1));
        let mut rows: Vec<(&EpochRow, f64)> = self.present().iter().filter_map(scored).collect();
        rows.sort_by(|(a, _), (b, _)| a.nonzero.cmp(&b.nonzero).then(b.compare(a)));
        let mut best = f64::NEG_INFINITY;
        let mut front = Vec::new();
        for (row, top1) in rows {
            if top1 > best {
                best = top1;
                front.push(row);
            }
        }
        front
    }
}

/// Which epoch's weights a run keeps.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub enum Criterion {
    /// The most accurate of the epochs that are as sparse as the sparsest.
    #[default]
    Sparsest,
    /// The most accurate of the epochs with at least this share of zeros; as [`Sparsest`](Self::Sparsest)
    /// as long as there is none. With 0, the most accurate of all.
    ///
    /// A pruner rounds down to whole weights and leaves some layers alone, so a model pruned to a level
    /// of 0.8 has a little less: ask for a little less, too.
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
            validation: Some(Evaluation {
                top1,
                ..Evaluation::default()
            }),
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
            first: 0,
        }
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
                first: 0,
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
                    let (fewer, more) = (other.nonzero < row.nonzero, other.top1() > row.top1());
                    let (few, good) = (other.nonzero <= row.nonzero, other.top1() >= row.top1());
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
            first: 0,
        }
        .to_csv();
        let commas: Vec<usize> = csv.lines().map(|line| line.matches(',').count()).collect();
        assert_eq!(commas, [10, 10, 10]);
    }
}
