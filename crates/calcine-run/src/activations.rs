use std::fmt;
use std::path::Path;

use calcine_observe::{
    Extrema, Moments, Norms, Observed, Per, Places, Statistics, Zeros, observe, observe_passes,
};
use calcine_summary::Sheet;
use calcine_trace::Tensors;
use calcine_train::{Draw, Objective};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::error::write;
use crate::{Experiment, Model, Names, Origin, RunError};

/// The statistics of activations: zeros, means and deviations, ranges, and norms.
pub type ActivationStatistics = (Zeros, Moments, Extrema, Norms);

/// The activations to observe, and the samples to observe them on.
#[derive(Debug)]
pub struct ActivationSettings {
    /// The layers and operations whose outputs are observed.
    pub places: Places,
    /// The selection of validation samples.
    pub draw: Draw,
    /// The number of samples in a batch.
    pub batch_size: usize,
    /// The seed with which samples are drawn.
    pub seed: u64,
}

impl Default for ActivationSettings {
    /// Observes the outputs of activation functions over the whole validation split, in batches of 128.
    fn default() -> Self {
        Self {
            places: Places::activations(),
            draw: Draw::All,
            batch_size: 128,
            seed: 0,
        }
    }
}

/// The statistics of the activations of a network.
#[derive(Debug)]
#[non_exhaustive]
pub struct Activations {
    /// The names of the model, the data and the device.
    pub origin: Origin,
    /// The number of validation samples.
    pub samples: usize,
    /// The statistics of each observed layer or operation.
    pub observed: Observed<<ActivationStatistics as Statistics>::Value>,
}

/// One line: the model and the number of samples.
impl fmt::Display for Activations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Names { model, samples, .. } = &self.origin.names;
        write!(f, "{model} over {} validation {samples}", self.samples)
    }
}

/// One JSON object with the number of `samples`, and the values of each layer or operation in `statistics`.
impl Serialize for Activations {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = self.origin.to_map();
        let statistics = self.observed.scalars().into_iter();
        let statistics: Map<String, Value> =
            statistics.map(|(tag, value)| (tag, value.into())).collect();
        map.insert("samples".to_owned(), self.samples.into());
        map.insert("statistics".to_owned(), statistics.into());
        map.serialize(to)
    }
}

impl Activations {
    /// Writes the statistics to a directory: `layers.csv`, with one row for each layer or operation, and
    /// `channels.csv`, with one row for each channel.
    ///
    /// # Errors
    ///
    /// If a file cannot be written.
    pub fn save(&self, out: &Path) -> Result<(), RunError> {
        write(&out.join("layers.csv"), self.observed.csv(Per::Layer))?;
        write(&out.join("channels.csv"), self.observed.csv(Per::Channel))
    }

    /// The statistics as a table with one row for each layer or operation, and four decimals.
    #[must_use]
    pub fn sheet(&self) -> Sheet {
        let short = |cell: &str| match cell.parse::<f64>() {
            Ok(number) => format!("{number:.4}"),
            Err(_) => cell.to_owned(),
        };
        let csv = self.observed.csv(Per::Layer);
        let mut rows = csv.lines().map(|line| line.split(',').map(short).collect());
        Sheet {
            header: rows.next().unwrap_or_default(),
            rows: rows.collect(),
        }
    }
}

impl<X, O> Experiment<'_, X, O>
where
    X: Tensors + Clone + 'static,
    O: Objective,
    O::Output: Tensors,
{
    /// Observes activations over validation samples, in one pass. In a quantized network, the dequantized values are
    /// observed.
    ///
    /// # Errors
    ///
    /// If no layer or operation matches, there is no validation sample, or the network does not fit the inputs.
    pub fn activations(&self, settings: &ActivationSettings) -> Result<Activations, RunError> {
        let ActivationSettings {
            places,
            draw,
            batch_size,
            seed,
        } = settings;
        let batches = self.sample(*draw, *batch_size, *seed)?;
        let samples = self.count(&batches);
        let inputs = batches.into_iter().map(|batch| batch.input);
        let statistics: ActivationStatistics = (Zeros, Moments, Extrema, Norms);
        let observed = match &self.model {
            Model::Float(_) => observe(&self.network()?, inputs, places, &statistics)?,
            Model::Quantized(quantized) => {
                let graph = quantized.graph();
                observe_passes(graph, inputs, places, &statistics, |batch, see| {
                    quantized
                        .run(batch, &mut |node, result| see(node, &result))
                        .map(drop)
                })?
            }
        };
        Ok(Activations {
            origin: self.origin(),
            samples,
            observed,
        })
    }
}
