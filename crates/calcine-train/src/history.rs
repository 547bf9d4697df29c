use serde::{Deserialize, Serialize};

use crate::Evaluation;

/// What one epoch came to. No clock times: equal runs have equal rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochRow {
    /// The epoch, from 1.
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

/// The epochs of a run so far.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// In order.
    pub epochs: Vec<EpochRow>,
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

    /// The epoch to keep: of those as sparse as the sparsest, the one with the best validation top-1,
    /// the earliest among equals. Without a validation split, the last epoch.
    #[must_use]
    pub fn best(&self) -> Option<&EpochRow> {
        let fewest = self.epochs.iter().map(|row| row.nonzero).min()?;
        let sparsest = self.epochs.iter().filter(|row| row.nonzero == fewest);
        let top1 = |row: &EpochRow| row.validation.map(|validation| validation.top1);
        sparsest.reduce(|best, row| match (top1(best), top1(row)) {
            (Some(old), Some(new)) if new <= old => best,
            _ => row,
        })
    }
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
            sparsity: 0.0,
            nonzero,
        }
    }

    #[test]
    fn the_best_epoch_is_the_most_accurate_of_the_sparsest() {
        let history = History {
            epochs: vec![
                row(1, 50, 99.0),
                row(2, 20, 80.0),
                row(3, 20, 85.0),
                row(4, 20, 85.0),
            ],
        };
        assert_eq!(history.best().map(|row| row.epoch), Some(3));
        assert_eq!(History::default().best(), None);
    }

    #[test]
    fn a_row_has_as_many_cells_as_the_header_with_or_without_validation() {
        let mut without = row(1, 5, 0.0);
        without.validation = None;
        let csv = History {
            epochs: vec![without, row(2, 5, 1.5)],
        }
        .to_csv();
        let commas: Vec<usize> = csv.lines().map(|line| line.matches(',').count()).collect();
        assert_eq!(commas, [10, 10, 10]);
    }
}
