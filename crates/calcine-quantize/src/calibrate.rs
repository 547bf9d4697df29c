use std::collections::BTreeMap;
use std::path::Path;

use burn::module::Module;
use burn::tensor::Tensor;
use calcine_quant::{Counts, Seen};
use calcine_trace::watch::{
    Activation, ChannelExtrema, ChannelMoments, Extrema, Histogram, Moments, Places, Statistic,
    Watched,
};
use calcine_trace::watch::{BinCounts, Seen as Amount};
use calcine_trace::{AnyTensor, Network, Tensors};
use serde::{Deserialize, Serialize};

use crate::QuantizeError;
use crate::file::write_beside;

/// The version of the file.
const FORMAT: u32 = 1;

/// Bins of what is seen of a value.
const BINS: usize = 2048;

/// What every value of a network was, over some batches: the ranges that grids are made of.
///
/// It is data: saved as JSON, it can be read, edited and used again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    format: u32,
    /// How many samples were seen.
    pub samples: usize,
    /// What each node gave, and what each input was, by name.
    pub values: BTreeMap<String, Seen>,
}

/// A calibration that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CalibrationFileError {
    /// The file system refused.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Not what [`Calibration::save`] wrote.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// Of another version.
    #[error("format {found}, this version reads {FORMAT}")]
    Format {
        /// The file's version.
        found: u32,
    },
}

impl Calibration {
    /// Runs batches through a network, in evaluation, and looks at every node and input. Two passes: one for
    /// ranges and moments, one for how values are distributed over the range. Each reads the device once; inputs are
    /// read whole.
    ///
    /// Use training or validation images, never those of the test.
    ///
    /// # Errors
    ///
    /// If there is no batch, or one does not fit.
    pub fn of<I: Tensors + Clone>(network: &Network, batches: &[I]) -> Result<Self, QuantizeError> {
        let network = network.valid();
        if batches.is_empty() {
            return Err(QuantizeError::NoBatch);
        }
        let all = || batches.iter().cloned();
        let places = Places::all();
        let statistics = (Extrema, Moments, Averages);
        let watched: Watched<(ChannelExtrema, ChannelMoments, [f64; 2])> =
            network.watch(all(), &places, &statistics)?;
        let ranges = watched.iter().map(|node| {
            let (extrema, _, _) = &node.value;
            (node.name.clone(), [extrema.low(), extrema.high()])
        });
        let histogram = Histogram::within(ranges, BINS);
        let counts: Watched<BinCounts> = network.watch(all(), &places, &histogram)?;
        let mut values = BTreeMap::new();
        for (node, counts) in watched.iter().zip(counts.iter()) {
            let (extrema, moments, average) = &node.value;
            let seen = Seen {
                min: extrema.low(),
                max: extrema.high(),
                mean: moments.layer_mean(),
                deviation: moments.layer_std(),
                average: *average,
                counts: Counts {
                    low: counts.value.low,
                    high: counts.value.high,
                    counts: counts.value.counts.clone(),
                },
            };
            values.insert(node.name.clone(), seen);
        }
        let mut samples = 0;
        for (position, id) in network.graph().inputs.iter().enumerate() {
            let name = network.graph().value(*id).name.clone();
            let of = |batch: I| batch.into_any().into_iter().nth(position);
            let rows: Vec<Vec<f32>> = all().filter_map(of).flat_map(rows).collect();
            samples = rows.len();
            let seen = Seen::of(&rows.iter().map(Vec::as_slice).collect::<Vec<_>>(), BINS);
            values.extend(seen.map(|seen| (name, seen)));
        }
        Ok(Self {
            format: FORMAT,
            samples,
            values,
        })
    }
}

impl Calibration {
    /// What was seen of the node or input of this name.
    pub(crate) fn of_value(&self, name: &str) -> Result<&Seen, QuantizeError> {
        let seen = self.values.get(name);
        seen.ok_or_else(|| QuantizeError::Unseen {
            name: name.to_owned(),
        })
    }

    /// Writes JSON, beside the file, and then renamed.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn save(&self, file: &Path) -> Result<(), CalibrationFileError> {
        Ok(write_beside(file, &serde_json::to_vec(self)?)?)
    }

    /// Reads what [`save`](Self::save) wrote, and somebody may have changed.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or is not of this form.
    pub fn load(file: &Path) -> Result<Self, CalibrationFileError> {
        let calibration: Self = serde_json::from_slice(&std::fs::read(file)?)?;
        match calibration.format {
            FORMAT => Ok(calibration),
            found => Err(CalibrationFileError::Format { found }),
        }
    }
}

/// The values of each sample; none of what is not float.
fn rows(tensor: AnyTensor) -> Vec<Vec<f32>> {
    let samples = tensor.shape().first().copied().unwrap_or(1).max(1);
    let Some(flat) = tensor.flat() else {
        return Vec::new();
    };
    let values: Vec<f32> = flat.into_data().iter::<f32>().collect();
    let each = (values.len() / samples).max(1);
    values.chunks(each).map(<[f32]>::to_vec).collect()
}

/// The means over samples of their smallest and largest values.
struct Averages;

impl Statistic for Averages {
    type Value = [f64; 2];

    fn of(&self, batch: &Activation<'_>) -> Vec<Tensor<1>> {
        let [samples, channels, positions] = batch.values.dims();
        let rows = batch
            .values
            .clone()
            .reshape([samples, channels * positions]);
        let sum = |ends: Tensor<2>| ends.sum().reshape([1]);
        vec![sum(rows.clone().min_dim(1)), sum(rows.max_dim(1))]
    }

    #[allow(clippy::cast_precision_loss, reason = "counts of samples")]
    fn value(&self, vectors: &[Vec<f64>], seen: Amount) -> [f64; 2] {
        let samples = seen.samples.max(1) as f64;
        let mean = |vector: usize| {
            vectors
                .get(vector)
                .and_then(|v| v.first())
                .map_or(0.0, |sum| sum / samples)
        };
        [mean(0), mean(1)]
    }
}
