//! Searches for settings.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use calcine_metric::Evaluation;
use calcine_trace::Network;

use crate::by_layer::{ByLayer, own_name};
use crate::plan::{producers, quantizers};
use crate::uses::{Uses, has_integers};
use crate::{
    Calibration, Override, QuantizationSettings, QuantizeError, Quantized, QuantizedFileError,
    RangeEstimator, Rounding, quantize,
};

/// Why a search cannot continue.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SearchError {
    /// The network cannot be quantized.
    #[error(transparent)]
    Quantize(#[from] QuantizeError),
    /// The network cannot be stored in a file.
    #[error(transparent)]
    Network(#[from] QuantizedFileError),
    /// The file of trials cannot be used.
    #[error("{}: {reason}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// The problem.
        reason: String,
    },
    /// The search was stopped; the trials so far are in the file of trials, if there is one.
    #[error("stopped after {done} trials")]
    Stopped {
        /// The number of trials.
        done: usize,
    },
}

/// The progress of a search after a trial.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TrialProgress {
    /// The number of trials so far, including those in the file.
    pub done: usize,
    /// The largest number of trials in this search.
    pub at_most: usize,
    /// The score of the last trial.
    pub score: Evaluation,
}

/// A function that is called after every trial.
type Progress<'a> = dyn FnMut(&TrialProgress) -> ControlFlow<()> + 'a;

/// The trials of a search: quantized networks and their scores. The search minimizes the *loss* of the [`Evaluation`];
/// its metrics are only reported.
///
/// A search depends only on the scores, so it can be resumed from a file that contains them: its trials are not
/// repeated.
///
/// # Examples
///
/// ```
/// use burn::nn::{Linear, LinearConfig};
/// use burn::tensor::{Device, Tensor};
/// use calcine_quantize::{Calibration, Evaluation, Quantized, QuantizationSettings, Trials, lapq};
/// use calcine_trace::trace;
///
/// let device = Device::flex();
/// let model: Linear = LinearConfig::new(4, 2).init(&device);
/// let batches = [Tensor::<2>::from_floats([[0.0, 1.0, -1.0, 0.5]], &device)];
/// let network = trace(&model, batches[0].clone(), |m, x| m.forward(x))?;
/// let calibration = Calibration::collect(&network, &batches)?;
///
/// let expected = model.forward(batches[0].clone());
/// let score = |quantized: &Quantized| {
///     let found: Tensor<2> = quantized.forward(batches[0].clone());
///     let loss = (found - expected.clone()).square().mean().into_scalar::<f32>();
///     Evaluation::new(loss.into(), 1)
/// };
/// let mut settings = QuantizationSettings::default();
/// settings.weights.bits = 4;
/// let found = lapq(&network, &calibration, &settings, 1, &mut Trials::new(score))?;
/// assert!(found.to_toml().contains("range_estimator = \"norm("));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Trials<'a> {
    score: Box<dyn FnMut(&Quantized) -> Evaluation + 'a>,
    progress: Box<Progress<'a>>,
    file: Option<PathBuf>,
    /// A description of the network and the data of the scores.
    about: String,
    /// The score of each trial, with the checksum of its settings.
    known: Vec<(u32, Evaluation)>,
    done: usize,
    at_most: usize,
}

impl<'a> Trials<'a> {
    /// Trials with this score function.
    pub fn new(score: impl FnMut(&Quantized) -> Evaluation + 'a) -> Self {
        Self {
            score: Box::new(score),
            progress: Box::new(|_| ControlFlow::Continue(())),
            file: None,
            about: String::new(),
            known: Vec::new(),
            done: 0,
            at_most: 0,
        }
    }

    /// Sets a function that is called after every trial; if it returns `Break`, the search stops.
    #[must_use]
    pub fn with_progress(
        mut self,
        progress: impl FnMut(&TrialProgress) -> ControlFlow<()> + 'a,
    ) -> Self {
        self.progress = Box::new(progress);
        self
    }

    /// Sets a file that is written atomically after every trial. If it exists, the search resumes from it, provided
    /// that its trials have the same calibration and the same `about`, which describes the network and the images of
    /// the scores.
    ///
    /// # Errors
    ///
    /// If the file exists and cannot be read.
    pub fn with_file(mut self, file: &Path, about: &str) -> Result<Self, SearchError> {
        if file.exists() {
            let read = std::fs::read(file).map_err(|error| error.to_string());
            let known = read.and_then(|bytes| {
                serde_json::from_slice(&bytes).map_err(|error| error.to_string())
            });
            self.known = known.map_err(|reason| SearchError::File {
                file: file.to_path_buf(),
                reason,
            })?;
        }
        self.file = Some(file.to_path_buf());
        about.clone_into(&mut self.about);
        Ok(self)
    }

    /// Announces that at most this number of trials will follow.
    pub(crate) fn expect(&mut self, trials: usize) {
        self.at_most = self.done + trials;
    }

    /// The score of these settings.
    pub(crate) fn score(
        &mut self,
        network: &Network,
        calibration: &Calibration,
        settings: &QuantizationSettings,
    ) -> Result<Evaluation, SearchError> {
        let json = serde_json::to_vec(calibration).expect("a calibration is plain data");
        let print = [settings.to_toml().as_bytes(), self.about.as_bytes(), &json]
            .into_iter()
            .fold(0, crc32c::crc32c_append);
        let known = self.known.get(self.done).filter(|known| known.0 == print);
        let score = match known {
            Some((_, score)) => score.clone(),
            None => {
                let score = (self.score)(&quantize(network, calibration, settings)?);
                // Trials after other settings are not valid from here on.
                self.known.truncate(self.done);
                self.known.push((print, score.clone()));
                self.save()?;
                score
            }
        };
        self.done += 1;
        let progress = TrialProgress {
            done: self.done,
            at_most: self.at_most.max(self.done),
            score: score.clone(),
        };
        match (self.progress)(&progress) {
            ControlFlow::Continue(()) => Ok(score),
            ControlFlow::Break(()) => Err(SearchError::Stopped { done: self.done }),
        }
    }

    fn save(&self) -> Result<(), SearchError> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let text = serde_json::to_vec(&self.known).expect("scores are plain data");
        calcine_files::write(file, &text).map_err(|error| SearchError::File {
            file: file.clone(),
            reason: error.to_string(),
        })
    }
}

impl std::fmt::Debug for Trials<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trials")
            .field("done", &self.done)
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

/// A quantizer whose range can be stretched: that of the weights of a layer, or of a node's result or an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Weights,
    Activations,
}

/// All quantizers of the network, in execution order.
fn parts(
    network: &Network,
    calibration: &Calibration,
    settings: &QuantizationSettings,
) -> Result<Vec<(String, Part)>, QuantizeError> {
    let graph = network.graph();
    let uses = Uses::new(graph);
    let by_layer = ByLayer::new(settings, graph)?;
    let quantizers = quantizers(graph, &uses, calibration, &by_layer)?;
    let producers = producers(graph, &uses, &quantizers);
    let inputs = graph.inputs.iter().filter(|id| quantizers[id.0].is_some());
    let mut parts: Vec<(String, Part)> = inputs
        .map(|id| (graph.value(*id).name.clone(), Part::Activations))
        .collect();
    for node in &graph.nodes {
        if has_integers(graph, node) && by_layer.settings_for(&node.name).float.is_none() {
            parts.push((own_name(graph, node).to_owned(), Part::Weights));
        }
        if producers[node.output.0] == Some(node.output) {
            parts.push((own_name(graph, node).to_owned(), Part::Activations));
        }
    }
    Ok(parts)
}

/// The settings with the range of a quantizer stretched.
fn stretched(
    settings: &QuantizationSettings,
    (name, part): &(String, Part),
    by: f64,
) -> QuantizationSettings {
    let mut settings = settings.clone();
    let own = own(&mut settings, name);
    match part {
        Part::Weights => own.weight_stretch = Some(by),
        Part::Activations => own.activation_stretch = Some(by),
    }
    settings
}

/// The override with exactly this name that no later pattern overrides, or a new one at the end.
fn own<'a>(settings: &'a mut QuantizationSettings, name: &str) -> &'a mut Override {
    let layers = &mut settings.layers;
    let is_glob = |layer: &Override| layer.name.contains(['*', '?', '[', '{', '\\']);
    let begin = layers.iter().rposition(is_glob).map_or(0, |glob| glob + 1);
    let at = layers.iter().rposition(|layer| layer.name == name);
    let at = at.filter(|at| *at >= begin).unwrap_or_else(|| {
        layers.push(Override {
            name: name.to_owned(),
            ..Override::default()
        });
        layers.len() - 1
    });
    &mut layers[at]
}

/// The powers of the initial norms of LAPQ.
const POWERS: [f64; 5] = [2.0, 2.5, 3.0, 3.5, 4.0];

/// The factors that are tried for the range of each quantizer, in addition to the current one.
const STRETCHES: [f64; 2] = [0.85, 1.15];

/// LAPQ (Nahshan et al., 2021): searches for ranges whose joint loss is smallest, and returns the settings.
///
/// First, all quantizers use the same norm of their errors, `norm(p)`; the best of five p and of the minimum of the
/// parabola through the best ones is kept. Then the range of each quantizer in turn is made narrower and wider, and set
/// to the minimum of the parabola through the three losses, in `rounds` rounds (Powell's method, along its first
/// directions). During the search, weights are rounded to the nearest integers; the returned settings have the original
/// rounding again.
///
/// # Errors
///
/// If the network cannot be quantized with the settings, the file of trials cannot be written, or the search was
/// stopped.
pub fn lapq(
    network: &Network,
    calibration: &Calibration,
    settings: &QuantizationSettings,
    rounds: usize,
    trials: &mut Trials<'_>,
) -> Result<QuantizationSettings, SearchError> {
    settings.check().map_err(QuantizeError::from)?;
    let network = &network.clone().with_stored_weights();
    let mut best = nearest(settings);
    let mut loss = f64::INFINITY;
    // The set of quantizers does not depend on their ranges. Each is tried narrower, wider, and in between.
    let parts = parts(network, calibration, &best)?;
    trials.expect(POWERS.len() + 1 + rounds * parts.len() * (STRETCHES.len() + 1));
    let by_norm = |p: f64| {
        let mut settings = nearest(settings);
        settings.weights.range_estimator = RangeEstimator::Norm(p);
        settings.activations.range_estimator = RangeEstimator::Norm(p);
        settings
    };
    let mut losses = Vec::new();
    let mut powers = POWERS.to_vec();
    while let Some(p) = powers.get(losses.len()).copied() {
        let settings = by_norm(p);
        let found = trials.score(network, calibration, &settings)?.loss;
        losses.push(found);
        if found < loss {
            (best, loss) = (settings, found);
        }
        if losses.len() == POWERS.len() {
            let lowest = (1..losses.len() - 1).min_by(|&a, &b| losses[a].total_cmp(&losses[b]));
            let lowest = lowest
                .and_then(|at| vertex([at - 1, at, at + 1].map(|at| (POWERS[at], losses[at]))));
            powers.extend(lowest.filter(|p| (1.5..=6.0).contains(p)));
        }
    }
    for part in (0..rounds).flat_map(|_| &parts) {
        let now = stretch(&best, part);
        let mut points = vec![(now, loss)];
        let mut next: Vec<f64> = STRETCHES.iter().map(|by| by * now).collect();
        while !next.is_empty() {
            let by = next.remove(0);
            let candidate = stretched(&best, part, by);
            let found = trials.score(network, calibration, &candidate)?.loss;
            points.push((by, found));
            if let [a, b, c] = points[..] {
                next.extend(vertex([b, a, c]).filter(|by| (0.5 * now..=1.5 * now).contains(by)));
            }
        }
        let lowest = points.into_iter().min_by(|a, b| a.1.total_cmp(&b.1));
        if let Some((by, found)) = lowest.filter(|lowest| lowest.1 < loss) {
            (best, loss) = (stretched(&best, part, by), found);
        }
    }
    best.weights.rounding = settings.weights.rounding;
    best.weights.correct_bias = settings.weights.correct_bias;
    Ok(best)
}

/// Greedy search: chooses the range estimator with the smallest loss for each quantizer in execution order, given the
/// previous choices, and returns the settings.
///
/// # Errors
///
/// Those of [`lapq`].
pub fn greedy(
    network: &Network,
    calibration: &Calibration,
    settings: &QuantizationSettings,
    range_estimators: &[RangeEstimator],
    trials: &mut Trials<'_>,
) -> Result<QuantizationSettings, SearchError> {
    settings.check().map_err(QuantizeError::from)?;
    let mut every = settings.clone();
    for &range_estimator in range_estimators {
        every.weights.range_estimator = range_estimator;
        every.check().map_err(QuantizeError::from)?;
    }
    let network = &network.clone().with_stored_weights();
    let mut best = nearest(settings);
    let parts = parts(network, calibration, &best)?;
    trials.expect(1 + parts.len() * range_estimators.len());
    let mut loss = trials.score(network, calibration, &best)?.loss;
    for (name, part) in parts {
        let mut kept = best.clone();
        for &range_estimator in range_estimators {
            let mut candidate = best.clone();
            let own = own(&mut candidate, &name);
            match part {
                Part::Weights => own.weight_range_estimator = Some(range_estimator),
                Part::Activations => own.activation_range_estimator = Some(range_estimator),
            }
            let found = trials.score(network, calibration, &candidate)?.loss;
            if found < loss {
                (kept, loss) = (candidate, found);
            }
        }
        best = kept;
    }
    best.weights.rounding = settings.weights.rounding;
    best.weights.correct_bias = settings.weights.correct_bias;
    Ok(best)
}

/// The settings without anything that needs samples.
pub(crate) fn nearest(settings: &QuantizationSettings) -> QuantizationSettings {
    let mut settings = settings.clone();
    settings.weights.rounding = Rounding::Nearest;
    settings.weights.correct_bias = false;
    settings
}

/// The current stretch of a quantizer.
fn stretch(settings: &QuantizationSettings, (name, part): &(String, Part)) -> f64 {
    let own = settings.layers.iter().rev();
    let mut own = own.filter(|layer| layer.name == *name);
    let stretch = own.find_map(|own| match part {
        Part::Weights => own.weight_stretch,
        Part::Activations => own.activation_stretch,
    });
    stretch.unwrap_or(1.0)
}

/// The minimum of the parabola through three points; `None` if it opens downwards.
fn vertex([a, b, c]: [(f64, f64); 3]) -> Option<f64> {
    let slope = |p: (f64, f64), q: (f64, f64)| (q.1 - p.1) / (q.0 - p.0);
    let bend = (slope(b, c) - slope(a, b)) / (c.0 - a.0);
    let lowest = 0.5 * (a.0 + b.0 - slope(a, b) / bend);
    (bend > 0.0 && lowest.is_finite()).then_some(lowest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parabolas_are_lowest_where_they_were_made_to_be() {
        let parabola = |x: f64| (x, 2.0 * (x - 0.7).powi(2) + 3.0);
        let lowest = vertex([0.5, 1.0, 1.5].map(parabola));
        assert!(
            lowest.is_some_and(|x| (x - 0.7).abs() < 1e-12),
            "{lowest:?}"
        );
        assert_eq!(vertex([(0.0, 0.0), (1.0, 1.0), (2.0, 0.0)]), None);
        assert_eq!(vertex([(0.0, 0.0), (1.0, 1.0), (2.0, 2.0)]), None);
    }
}
