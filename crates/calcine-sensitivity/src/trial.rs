use burn::module::Module;
use calcine_fold::Fold;
use calcine_params::Parameter;

use crate::prune::{pruned, share, zeros};
use crate::{Interval, Measurement, Point, Scan, ScanError};

/// A point to be.
pub(crate) struct Trial {
    pub(crate) parameter: Parameter,
    pub(crate) fold: Fold,
    pub(crate) level: f64,
    /// The share of zeros.
    pub(crate) achieved: f64,
    /// Its weights are the model's.
    pub(crate) prunes_nothing: bool,
    /// The earlier trial with the same weights.
    pub(crate) same_as: Option<usize>,
}

/// Every parameter and level, and which of them come to the same weights.
pub(crate) fn trials<M: Module>(model: &M, plan: &Scan) -> Result<Vec<Trial>, ScanError> {
    let mut trials: Vec<Trial> = Vec::new();
    for (parameter, fold) in plan.targets(model)? {
        let before = zeros(model, &parameter);
        let mut seen: Vec<(usize, Vec<bool>)> = Vec::new();
        for &level in &plan.levels {
            let candidate = pruned(model, plan, &parameter, &fold, level);
            let after = zeros(&candidate, &parameter);
            let twin = seen
                .iter()
                .find(|(_, zeros)| *zeros == after)
                .map(|&(index, _)| index);
            let index = trials.len();
            trials.push(Trial {
                parameter: parameter.clone(),
                fold: fold.clone(),
                level,
                achieved: share(&after),
                prunes_nothing: after == before,
                same_as: twin,
            });
            if twin.is_none() {
                seen.push((index, after));
            }
        }
    }
    Ok(trials)
}

impl Trial {
    /// Whether a point is this trial's.
    pub(crate) fn is(&self, point: &Point) -> bool {
        self.parameter.path == point.parameter && self.level == point.requested
    }

    /// The trial as a point.
    pub(crate) fn point(
        &self,
        baseline: &Measurement,
        measured: &Measurement,
        rise: Option<Interval>,
    ) -> Point {
        Point {
            parameter: self.parameter.path.clone(),
            requested: self.level,
            achieved: self.achieved,
            macs: None,
            loss: measured.evaluation.loss,
            metrics: measured.evaluation.metrics.clone(),
            interval: rise.map(|rise| Interval {
                low: baseline.evaluation.loss + rise.low,
                high: baseline.evaluation.loss + rise.high,
            }),
        }
    }
}
