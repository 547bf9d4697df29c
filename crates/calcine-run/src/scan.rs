use std::fmt;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use calcine_fold::Granularity;
use calcine_metric::{Metric, label};
use calcine_sensitivity::{Measurement, Progress, Scan, Sensitivity, Suggestion, recipe, suggest};
use calcine_summary::Sheet;
use calcine_trace::{Network, Tensors};
use calcine_train::{Draw, History, Objective, StopFlag};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::error::write;
use crate::inference::Inference;
use crate::origin::{add_evaluation, entries};
use crate::{Experiment, Names, Origin, RunDirectory, RunError};

/// The file that identifies the scan in a directory.
const SETTINGS: &str = "scan.json";

/// The settings of a sensitivity scan.
#[derive(Debug)]
pub struct ScanSettings {
    /// Parameters, granularity, levels, score and selection.
    pub scan: Scan,
    /// The validation samples to evaluate on. If they are drawn at random, the losses of single samples are paired.
    pub draw: Draw,
    /// The batch size.
    pub batch_size: usize,
    /// The seed of random draws.
    pub seed: u64,
    /// The metric of the charts; `None` for the objective's first metric.
    pub metric: Option<String>,
    /// The identity of the scan, by which a directory is recognized as its own; `null` stands for parameters,
    /// granularity, levels, samples and seed.
    pub identity: Value,
    /// A flag that stops the scan after the current evaluation.
    pub stop: StopFlag,
}

impl ScanSettings {
    /// Settings of a scan over the whole validation split.
    #[must_use]
    pub fn new(scan: Scan) -> Self {
        Self {
            scan,
            draw: Draw::All,
            batch_size: 128,
            seed: 0,
            metric: None,
            identity: Value::Null,
            stop: StopFlag::default(),
        }
    }

    fn identity(&self) -> Value {
        if !self.identity.is_null() {
            return self.identity.clone();
        }
        let Scan {
            params,
            granularity,
            levels,
            ..
        } = &self.scan;
        serde_json::json!({
            "params": params,
            "granularity": granularity.to_string(),
            "levels": levels,
            "samples": self.draw,
            "batch_size": self.batch_size,
            "seed": self.seed,
        })
    }
}

/// The results of a scan.
#[derive(Debug)]
#[non_exhaustive]
pub struct Scanned {
    /// The experiment.
    pub origin: Origin,
    /// The unit that is dropped as a whole.
    pub granularity: Granularity,
    /// The levels.
    pub levels: Vec<f64>,
    /// The measured points; all of them unless the scan was stopped.
    pub sensitivity: Sensitivity,
    /// The metric of the charts.
    pub metric: Metric,
    /// Whether the scan was stopped. There are no charts then, and it can be resumed.
    pub stopped: bool,
    /// The number of validation samples on which every point was evaluated.
    pub samples: usize,
    /// The duration of this process's part, in seconds.
    pub seconds: f64,
}

impl Scanned {
    /// Reads the identity of the scan in a directory.
    ///
    /// # Errors
    ///
    /// If the directory contains no `scan.json`, or it is malformed.
    pub fn identity_of(directory: &Path) -> Result<Value, RunError> {
        let file = directory.join(SETTINGS);
        let text = fs::read_to_string(&file);
        let text = text.map_err(|error| RunError::begin(directory, SETTINGS, error))?;
        serde_json::from_str(&text).map_err(|error| RunError::malformed(&file, error))
    }
}

impl Scanned {
    /// Suggests for each parameter the highest level that makes the [metric](Self::metric) worse by at most `max_drop`, as
    /// [`calcine_sensitivity::suggest`] does.
    #[must_use]
    pub fn suggest(&self, max_drop: f64) -> Suggestions {
        Suggestions {
            suggestions: suggest(&self.sensitivity, &self.metric, max_drop),
            max_drop,
            metric: self.metric.clone(),
            granularity: self.granularity,
            samples: format!("{} validation {}", self.samples, self.origin.names.samples),
        }
    }
}

/// One line: the model, the number of points, the metrics of the unpruned network, and the time.
impl fmt::Display for Scanned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Names { model, samples, .. } = &self.origin.names;
        let baseline = &self.sensitivity.baseline.evaluation;
        write!(
            f,
            "{model}: {} points; the unpruned network has {} on {} validation {samples}; {:.0} s",
            self.sensitivity.points.len(),
            baseline.shown(&self.origin.metrics),
            self.samples,
            self.seconds,
        )
    }
}

/// One JSON object: a classifier of images has `granularity`, `levels`, the number of `points` and of `images`, and `top1`,
/// `top5` and `loss` of the unpruned network. The points are in `sensitivity.csv`.
impl Serialize for Scanned {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = self.origin.to_map();
        add_evaluation(&mut map, &self.sensitivity.baseline.evaluation, "");
        map.insert(self.origin.names.samples.clone(), self.samples.into());
        map.extend(entries(json!({
            "granularity": self.granularity.to_string(),
            "levels": self.levels,
            "points": self.sensitivity.points.len(),
            "seconds": self.seconds,
        })));
        map.serialize(to)
    }
}

/// The levels that a scan suggests.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Suggestions {
    /// The level of each parameter.
    pub suggestions: Vec<Suggestion>,
    /// By how much each level may make the metric worse, in its unit.
    pub max_drop: f64,
    /// The metric.
    pub metric: Metric,
    /// The unit that is dropped as a whole.
    pub granularity: Granularity,
    /// The samples of the scan, such as `500 validation images`.
    samples: String,
}

impl Suggestions {
    /// A row for each parameter: the level, the share of zeros at that level, and by how much the metric is worse.
    #[must_use]
    pub fn sheet(&self) -> Sheet {
        let rows = self.suggestions.iter().map(|suggestion| {
            vec![
                suggestion.parameter.clone(),
                suggestion.level.to_string(),
                format!("{:.1} %", 100.0 * suggestion.achieved),
                format!("{:.2} {}", suggestion.drop, self.unit())
                    .trim_end()
                    .to_owned(),
            ]
        });
        let worse = format!("{} worse by", label(&self.metric.name));
        Sheet {
            header: ["parameter", "level", "zeros", &worse]
                .map(str::to_owned)
                .to_vec(),
            rows: rows.collect(),
        }
    }

    /// A recipe that prunes each parameter to its level, as [`calcine_sensitivity::recipe`] writes it, with a comment about
    /// its origin. `train` is the contents of its `[train]` table.
    #[must_use]
    pub fn recipe(&self, train: &str) -> String {
        format!(
            "# The highest levels at which pruning a layer alone, without fine-tuning, loses at most {} {}\n\
             # of {}, by a sensitivity scan on {}. Take them as a starting point:\n\
             # the losses of layers add up, and fine-tuning recovers much of them.\n{}",
            self.max_drop,
            self.unit(),
            label(&self.metric.name),
            self.samples,
            recipe(&self.suggestions, self.granularity, train),
        )
    }

    /// Differences of percentages are points.
    fn unit(&self) -> &str {
        match self.metric.unit.as_str() {
            "%" => "points",
            unit => unit,
        }
    }
}

impl<X, O> Experiment<'_, X, O>
where
    X: Tensors + Clone + 'static,
    O: Objective,
    O::Output: Tensors,
{
    /// Measures how much each layer can be pruned: prunes one parameter at a time to each level, without training, and
    /// evaluates the network on the validation split. The table and the charts are written to the directory `out`. If
    /// it contains the same scan, the scan is resumed.
    ///
    /// # Errors
    ///
    /// If the network is quantized or does not fit, it cannot be scanned with these settings, there is no validation
    /// sample or no such metric, or the directory contains something else.
    pub fn scan(
        &self,
        settings: &ScanSettings,
        out: &Path,
        progress: &mut dyn FnMut(&Progress<'_>),
    ) -> Result<Scanned, RunError> {
        let began = Instant::now();
        self.check_forward()?;
        let network = self.network()?;
        settings.scan.check(&network)?;
        let mut history = History::default();
        let named = history.compare_by(self.metrics(), settings.metric.as_deref());
        named.map_err(|error| RunError::Unfit {
            problems: vec![error.to_string()],
        })?;
        let metric = history.main_metric();
        let batches = self.sample(settings.draw, settings.batch_size, settings.seed)?;
        let with_losses = matches!(settings.draw, Draw::Random(_));
        // Last, so that an impossible request leaves no directory.
        let directory = claim(&settings.identity(), out)?;
        let measure = |network: &Network| {
            let inference = Inference::new(network);
            let forward = |x| inference.forward(x);
            let (evaluation, losses) = self.evaluate_on(&batches, forward, with_losses);
            Measurement { evaluation, losses }
        };
        let file = out.join("sensitivity.csv");
        let outcome =
            calcine_sensitivity::scan(&network, &settings.scan, measure, Some(&file), |now| {
                progress(now);
                match settings.stop.is_raised() {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            })?;
        let scanned = Scanned {
            origin: self.origin(),
            granularity: settings.scan.granularity,
            levels: settings.scan.levels.clone(),
            sensitivity: outcome.sensitivity,
            metric,
            stopped: outcome.stopped,
            samples: self.count(&batches),
            seconds: began.elapsed().as_secs_f64(),
        };
        if !scanned.stopped {
            self.draw(&scanned, settings, out)?;
        }
        drop(directory);
        Ok(scanned)
    }

    /// Writes the chart and the small multiples.
    fn draw(&self, scanned: &Scanned, settings: &ScanSettings, out: &Path) -> Result<(), RunError> {
        // Where the data is does not belong in a title.
        let data = self.names.data.split(" from ").next().unwrap_or_default();
        let title = format!(
            "{} on {}: {} with one layer pruned by {}, {} validation {}",
            self.names.model,
            data.trim_end_matches(" downloaded"),
            calcine_metric::label(&scanned.metric.name),
            settings.scan.granularity,
            scanned.samples,
            self.names.samples,
        );
        let sensitivity = &scanned.sensitivity;
        let chart = sensitivity.chart(&title, &scanned.metric);
        let panels = sensitivity.panels(&title, &scanned.metric);
        write(&out.join("sensitivity.svg"), chart.to_svg()?)?;
        write(&out.join("sensitivity.png"), chart.to_png()?)?;
        write(&out.join("panels.svg"), panels.to_svg()?)?;
        write(&out.join("panels.png"), panels.to_png()?)?;
        Ok(())
    }
}

/// Creates the directory `out` for this scan, or checks that it belongs to it, and locks it.
fn claim(identity: &Value, out: &Path) -> Result<RunDirectory, RunError> {
    let directory = RunDirectory::lock(out)?;
    let occupied = || RunError::Occupied {
        directory: PathBuf::from(out),
    };
    if out.join(SETTINGS).exists() {
        let same = Scanned::identity_of(out)? == *identity;
        return if same { Ok(directory) } else { Err(occupied()) };
    }
    if !directory.is_empty()? {
        return Err(occupied());
    }
    let text = serde_json::to_string_pretty(identity).expect("settings are plain data");
    write(&out.join(SETTINGS), text)?;
    Ok(directory)
}
