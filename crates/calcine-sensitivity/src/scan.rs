use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;

use burn::module::Module;

use crate::prune::pruned;
use crate::table::names_of;
use crate::trial::{Trial, trials};
use crate::{Interval, Measurement, Point, Scan, ScanError, Sensitivity, UnknownFile};

/// The progress of a scan.
#[derive(Debug)]
#[non_exhaustive]
pub struct Progress<'a> {
    /// What has just been evaluated; `None` for the unpruned model.
    pub point: Option<&'a Point>,
    /// The unpruned model.
    pub baseline: &'a Measurement,
    /// Evaluations done by this call.
    pub done: usize,
    /// The number of evaluations that this call does in all. Points that are in the file already, and points that prune the
    /// same weights as another point, need none.
    pub total: usize,
}

/// How a scan ended.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Outcome {
    /// The measured points.
    pub sensitivity: Sensitivity,
    /// Whether it was stopped before all points were there.
    pub stopped: bool,
}

/// Measures how much each parameter can lose: prunes one parameter at a time to each level and evaluates the model.
///
/// Every point starts from the model's own weights, so pruning does not accumulate from level to level. The model itself
/// does not change: `evaluate` is given a copy that shares its other parameters with the model. `evaluate` must return the
/// same result for the same weights. It should measure on a validation split and never on the test set, because the set by
/// which levels are chosen cannot tell how good they are.
///
/// The unpruned model is evaluated once, at the beginning. A point that prunes nothing, or that prunes the same units as
/// another level of its parameter, is copied instead of evaluated.
///
/// With a `file`, the CSV is written atomically after every evaluation. If the file exists, the scan resumes from it: its
/// points are not evaluated again. The unpruned model is evaluated again and the zeros of every point are counted again, to
/// check that the file belongs to this scan.
///
/// `progress` is called after every evaluation, once the file has been written. When it breaks, the scan stops.
///
/// # Errors
///
/// If a pattern matches no parameter, a requested parameter has no units of the granularity, a level is outside 0 to 1, or
/// the file belongs to another scan or cannot be written.
pub fn scan<M: Module>(
    model: &M,
    plan: &Scan,
    mut evaluate: impl FnMut(&M) -> Measurement,
    file: Option<&Path>,
    mut progress: impl FnMut(&Progress<'_>) -> ControlFlow<()>,
) -> Result<Outcome, ScanError> {
    let trials = trials(model, plan)?;
    let known = file
        .filter(|file| file.exists())
        .map(Sensitivity::read)
        .transpose()?;
    let baseline = evaluate(model);
    if let (Some(file), Some(known)) = (file, &known) {
        check(known, &trials, &baseline).map_err(|source| ScanError::File {
            file: file.to_path_buf(),
            source,
        })?;
    }
    let mut found = Found::new(&trials, baseline, known.as_ref());
    let total = 1 + found.unknown(&trials);
    let mut done = 0;
    let mut step = |found: &Found, point: Option<usize>| {
        if let Some(file) = file {
            found.sensitivity(&trials).write(file)?;
        }
        done += 1;
        Ok::<_, ScanError>(progress(&Progress {
            point: point.and_then(|index| found.points[index].as_ref()),
            baseline: &found.baseline,
            done,
            total,
        }))
    };
    let mut flow = step(&found, None)?;
    for (index, trial) in trials.iter().enumerate() {
        if flow.is_break() {
            break;
        }
        if found.points[trial.same_as.unwrap_or(index)].is_some() || trial.prunes_nothing {
            continue;
        }
        let candidate = pruned(model, plan, &trial.parameter, &trial.fold, trial.level);
        let measured = evaluate(&candidate);
        found.put(trial, index, &measured)?;
        flow = step(&found, Some(index))?;
    }
    Ok(Outcome {
        stopped: found.unknown(&trials) > 0,
        sensitivity: found.sensitivity(&trials),
    })
}

/// What a loss may differ by between two evaluations of one model, relatively: sums are taken in another
/// order on another device.
const SAME: f64 = 1e-3;

/// That a file is of this scan, as far as it shows.
fn check(known: &Sensitivity, trials: &[Trial], baseline: &Measurement) -> Result<(), UnknownFile> {
    let (expected, found) = (known.baseline.evaluation.loss, baseline.evaluation.loss);
    if (expected - found).abs() > SAME * found.abs() {
        return Err(UnknownFile::Baseline { expected, found });
    }
    let names = |measurement: &Measurement| names_of(&measurement.evaluation.metrics);
    if names(&known.baseline) != names(baseline) {
        return Err(UnknownFile::Columns {
            found: names(&known.baseline).join(","),
            expected: names(baseline).join(","),
        });
    }
    for point in &known.points {
        let stranger = |reason: String| UnknownFile::Stranger {
            parameter: point.parameter.clone(),
            level: point.requested,
            reason,
        };
        let trial = trials.iter().find(|trial| trial.is(point));
        let trial = trial.ok_or_else(|| stranger("this one does not ask for it".to_owned()))?;
        let (then, now) = (point.achieved, trial.achieved);
        if (then - now).abs() > 1e-9 {
            return Err(stranger(format!(
                "its share of zeros is {then}, it would be {now}"
            )));
        }
        if point.interval.is_some() != (baseline.losses.len() > 1) {
            return Err(stranger(
                "one pairs the losses of examples, the other does not".to_owned(),
            ));
        }
    }
    Ok(())
}

/// The points so far, one for each trial that needs an evaluation of its own.
struct Found {
    baseline: Measurement,
    points: Vec<Option<Point>>,
}

impl Found {
    fn new(trials: &[Trial], baseline: Measurement, known: Option<&Sensitivity>) -> Self {
        let mut by_name: HashMap<(&str, u64), &Point> = HashMap::new();
        for point in known.iter().flat_map(|known| &known.points) {
            by_name.insert((&point.parameter, point.requested.to_bits()), point);
        }
        let mut points: Vec<Option<Point>> = vec![None; trials.len()];
        for (index, trial) in trials.iter().enumerate() {
            // What is known of a trial is known of the first with its weights.
            let first = trial.same_as.unwrap_or(index);
            let known = by_name.get(&(trial.parameter.path.as_str(), trial.level.to_bits()));
            if let (None, Some(point)) = (&points[first], known) {
                points[first] = Some((*point).clone());
            }
        }
        Self { baseline, points }
    }

    /// How many evaluations are left.
    fn unknown(&self, trials: &[Trial]) -> usize {
        let known = trials.iter().zip(&self.points);
        known
            .filter(|(trial, point)| {
                trial.same_as.is_none() && !trial.prunes_nothing && point.is_none()
            })
            .count()
    }

    fn put(
        &mut self,
        trial: &Trial,
        index: usize,
        measured: &Measurement,
    ) -> Result<(), ScanError> {
        let (before, after) = (&self.baseline.losses, &measured.losses);
        if before.len() != after.len() {
            return Err(ScanError::Unpaired {
                parameter: trial.parameter.path.clone(),
                level: trial.level,
                baseline: before.len(),
                found: after.len(),
            });
        }
        let rise = Interval::mean_difference(before, after);
        self.points[index] = Some(trial.point(&self.baseline, measured, rise));
        Ok(())
    }

    /// All points that are known, in order, copies included.
    fn sensitivity(&self, trials: &[Trial]) -> Sensitivity {
        // Of the unpruned model to itself: exactly nothing.
        let unpruned = Interval::mean_difference(&self.baseline.losses, &self.baseline.losses);
        let points = trials.iter().enumerate().filter_map(|(index, trial)| {
            if trial.prunes_nothing {
                return Some(trial.point(&self.baseline, &self.baseline, unpruned));
            }
            let point = self.points[trial.same_as.unwrap_or(index)].clone()?;
            Some(Point {
                requested: trial.level,
                ..point
            })
        });
        Sensitivity {
            baseline: self.baseline.clone(),
            points: points.collect(),
        }
    }
}
