use std::collections::BTreeMap;
use std::path::Path;

use burn::module::Module;
use burn::tensor::Tensor;
use calcine_observe::{
    Activation, BinCounts, ChannelExtrema, ChannelMoments, Extrema, Histogram, Moments, Observed,
    Places, SampleCounts, Statistic,
};
use calcine_quant::{CalibrationStatistics, Counts, Observer, StatisticsError};
use calcine_trace::{AnyTensor, Network, Tensors, batch_size};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::QuantizeError;

/// The version of the file format.
const FORMAT: u32 = 1;

/// The number of values that are copied from a tensor at once, which fit in the cache of a core.
const READ: usize = 1 << 15;

/// The number of values that one observer sees before it is merged with the others.
const OBSERVED: usize = 1 << 18;

/// Calibration statistics: the ranges and distributions of every value of a network over some batches, from which
/// quantizers are chosen.
///
/// It can be saved as JSON, edited, and loaded again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    format: u32,
    /// The number of samples.
    pub samples: usize,
    /// The statistics of each node and each input, by name.
    pub values: BTreeMap<String, CalibrationStatistics>,
}

/// Why a calibration file cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CalibrationFileError {
    /// A file operation failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The file is not one that [`Calibration::save`] wrote.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// The file has another version.
    #[error("format {found}, this version reads {FORMAT}")]
    Format {
        /// The version of the file.
        found: u32,
    },
    /// The statistics are inconsistent.
    #[error("`{name}`: {source}")]
    Statistics {
        /// The node or input.
        name: String,
        /// The problem.
        source: StatisticsError,
    },
}

impl Calibration {
    /// Runs batches through a network in evaluation mode, and collects the statistics of every node and input.
    ///
    /// In host memory, this takes one pass. On other devices it takes two passes, one for ranges and moments and one
    /// for histograms, with one device read each; inputs are read completely. The bins are the same in both cases, but
    /// a device decides in `f32` to which of two bins a value at their boundary belongs. A value that was not finite in
    /// some batch has no entry.
    ///
    /// Use training or validation images, never test images.
    ///
    /// # Errors
    ///
    /// If there is no batch, or one does not match the inputs of the network.
    pub fn collect<I: Tensors + Clone>(
        network: &Network,
        batches: &[I],
    ) -> Result<Self, QuantizeError> {
        let network = network.valid();
        let graph = network.graph();
        let mut observers = vec![Observer::default(); graph.values.len()];
        let (mut samples, mut on_host) = (0, true);
        for batch in batches {
            let inputs = batch.clone().into_any();
            batch_size(graph, &inputs)?;
            for (id, input) in graph.inputs.iter().zip(&inputs) {
                observe(&mut observers[id.0], input);
            }
            samples += inputs.first().map_or(0, rows);
            on_host &= inputs
                .iter()
                .all(|input| calcine_device::in_host_memory(&input.device()));
            if on_host {
                network.run(inputs, &mut |node, result| {
                    observe(&mut observers[node.output.0], &result);
                    result
                })?;
            }
        }
        let named = graph.values.iter().zip(&observers);
        let statistics = named
            .filter_map(|(value, observer)| Some((value.name.clone(), observer.statistics()?)));
        let mut values: BTreeMap<String, CalibrationStatistics> = statistics.collect();
        if samples == 0 {
            return Err(QuantizeError::NoBatch);
        }
        if !on_host {
            values.extend(observed(&network, batches)?);
        }
        Ok(Self {
            format: FORMAT,
            samples,
            values,
        })
    }
}

impl Calibration {
    /// An empty calibration, for weight-only quantization or dynamic ranges.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            format: FORMAT,
            samples: 0,
            values: BTreeMap::new(),
        }
    }

    /// The statistics of the node or input with this name.
    pub(crate) fn of_value(&self, name: &str) -> Result<&CalibrationStatistics, QuantizeError> {
        let statistics = self.values.get(name);
        let statistics = statistics.ok_or_else(|| QuantizeError::NotCalibrated {
            name: name.to_owned(),
        })?;
        statistics
            .check()
            .map_err(|source| QuantizeError::Calibration {
                name: name.to_owned(),
                source,
            })?;
        Ok(statistics)
    }

    /// Writes JSON, atomically (see [`calcine_files::write()`]).
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn save(&self, file: &Path) -> Result<(), CalibrationFileError> {
        Ok(calcine_files::write(file, serde_json::to_vec(self)?)?)
    }

    /// Reads a file that [`save`](Self::save) wrote and that may have been edited.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, has another form, or contains inconsistent statistics
    /// ([`CalibrationStatistics::check`]).
    pub fn load(file: &Path) -> Result<Self, CalibrationFileError> {
        let calibration: Self = serde_json::from_slice(&std::fs::read(file)?)?;
        if calibration.format != FORMAT {
            let found = calibration.format;
            return Err(CalibrationFileError::Format { found });
        }
        for (name, statistics) in &calibration.values {
            statistics
                .check()
                .map_err(|source| CalibrationFileError::Statistics {
                    name: name.clone(),
                    source,
                })?;
        }
        Ok(calibration)
    }
}

/// The number of samples of a tensor: the length of its first axis.
fn rows(tensor: &AnyTensor) -> usize {
    tensor.shape().first().copied().unwrap_or(1)
}

/// Passes the samples of a tensor to an observer, unless it contains no floats.
///
/// The tensor is read in parts, on all cores. The parts do not depend on the number of cores, so that sums are the same
/// on every machine.
fn observe(observer: &mut Observer, tensor: &AnyTensor) {
    let samples = rows(tensor);
    let Some(flat) = tensor.clone().flat() else {
        return;
    };
    let numbers = flat.dims()[0];
    if numbers == 0 {
        return;
    }
    let each = numbers / samples;
    let [read, observed] = [READ, OBSERVED].map(|most| (most / each).max(1) * each);
    let part = |start: usize| {
        let end = numbers.min(start + observed);
        let mut observer = Observer::default();
        for start in (start..end).step_by(read) {
            let data = flat.clone().slice(start..end.min(start + read)).into_data();
            let data = data.convert::<f32>();
            let values = data.as_slice::<f32>().unwrap_or_default();
            for sample in values.chunks(each) {
                observer.observe(sample);
            }
        }
        observer
    };
    let starts: Vec<usize> = (0..numbers).step_by(observed).collect();
    let parts: Vec<Observer> = starts.into_par_iter().map(part).collect();
    for part in &parts {
        observer.merge(part);
    }
}

/// The statistics of every node, computed on the device.
fn observed<I: Tensors + Clone>(
    network: &Network,
    batches: &[I],
) -> Result<BTreeMap<String, CalibrationStatistics>, QuantizeError> {
    let all = || batches.iter().cloned();
    let places = Places::all();
    let statistics = (Extrema, Moments, Averages);
    let observed: Observed<(ChannelExtrema, ChannelMoments, [f64; 2])> =
        calcine_observe::observe(network, all(), &places, &statistics)?;
    let mut values = BTreeMap::new();
    for node in observed.iter() {
        let (extrema, moments, average) = &node.value;
        let (min, max) = (extrema.low(), extrema.high());
        #[allow(clippy::cast_possible_truncation, reason = "what was seen is f32")]
        let counts = Counts::between([min as f32, max as f32]);
        let statistics = counts.map(|counts| CalibrationStatistics {
            min,
            max,
            mean: moments.layer_mean(),
            deviation: moments.layer_std(),
            average: *average,
            counts,
        });
        values.extend(statistics.map(|statistics| (node.name.clone(), statistics)));
    }
    // All places have the same number of bins; surplus bins of a place stay empty.
    #[allow(clippy::cast_precision_loss, reason = "counts of bins")]
    let range = |counts: &Counts| {
        let high = counts.low + counts.width() * Counts::MOST as f64;
        [counts.low, high]
    };
    let ranges = values
        .iter()
        .map(|(name, statistics)| (name.clone(), range(&statistics.counts)));
    let histogram = Histogram::within(ranges, Counts::MOST);
    let counted: Observed<BinCounts> =
        calcine_observe::observe(network, all(), &places, &histogram)?;
    for node in counted.iter() {
        if let Some(statistics) = values.get_mut(&node.name) {
            let bins = statistics.counts.counts.len();
            statistics
                .counts
                .counts
                .copy_from_slice(&node.value.counts[..bins]);
        }
    }
    Ok(values)
}

/// The means of the smallest and the largest values of the samples, without samples that contain only zeros.
struct Averages;

impl Statistic for Averages {
    type Value = [f64; 2];

    fn measure(&self, batch: &Activation<'_>) -> Vec<Tensor<1>> {
        let [samples, channels, positions] = batch.values.dims();
        let rows = batch
            .values
            .clone()
            .reshape([samples, channels * positions]);
        let sum = |ends: Tensor<2>| ends.sum().reshape([1]);
        let other = rows.clone().abs().max_dim(1).not_equal_elem(0.0).float();
        vec![
            sum(rows.clone().min_dim(1)),
            sum(rows.max_dim(1)),
            sum(other),
        ]
    }

    fn value(&self, vectors: &[Vec<f64>], _: SampleCounts) -> [f64; 2] {
        let sum = |vector: usize| vectors.get(vector).and_then(|v| v.first()).copied();
        let samples = sum(2).unwrap_or(0.0).max(1.0);
        [0, 1].map(|end| sum(end).map_or(0.0, |sum| sum / samples))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use burn::nn::Relu;
    use calcine_testkit::{device, values};
    use calcine_trace::trace;

    /// What a device counts in two passes is what one pass over host memory finds, but for numbers at borders.
    #[test]
    fn both_ways_see_the_same() {
        let batches: Vec<Tensor<2>> = (1..=2)
            .map(|batch| {
                let numbers = values(6000).into_iter().map(|x| x * batch as f32 + 0.1);
                let data: Vec<f32> = numbers.collect();
                let flat = Tensor::<1>::from_floats(data.as_slice(), &device());
                flat.reshape([20, 300])
            })
            .collect();
        let network = trace(&Relu::new(), batches[0].clone(), |m, x| m.forward(x)).unwrap();
        let found = Calibration::collect(&network, &batches).unwrap();
        let one = &found.values["relu"];
        let two = &observed(&network.valid(), &batches).unwrap()["relu"];
        let ends = |statistics: &CalibrationStatistics| {
            (
                statistics.min,
                statistics.max,
                statistics.counts.low,
                statistics.counts.high,
            )
        };
        assert_eq!(ends(one), ends(two));
        let pairs = one.counts.counts.iter().zip(&two.counts.counts);
        let moved: u64 = pairs.map(|(a, b)| a.abs_diff(*b)).sum();
        assert_eq!(two.counts.counts.iter().sum::<u64>(), 12_000);
        assert!(moved <= 24, "{moved} of 12,000 are in other bins");
        for (a, b) in [
            (one.mean, two.mean),
            (one.deviation, two.deviation),
            (one.average[0], two.average[0]),
            (one.average[1], two.average[1]),
        ] {
            assert!((a - b).abs() < 1e-4, "{a} {b}");
        }
    }
}
