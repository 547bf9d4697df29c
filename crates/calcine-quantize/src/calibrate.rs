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

/// The version of the file.
const FORMAT: u32 = 1;

/// Values that are copied out of a tensor at once, few enough to stay close to a core.
const READ: usize = 1 << 15;

/// Values that one observer sees before it is joined with the others.
const OBSERVED: usize = 1 << 18;

/// What every value of a network was, over some batches: the ranges that quantizers are made of.
///
/// It is data: saved as JSON, it can be read, edited and used again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    format: u32,
    /// How many samples were seen.
    pub samples: usize,
    /// What each node gave, and what each input was, by name.
    pub values: BTreeMap<String, CalibrationStatistics>,
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
    /// Statistics that are of no numbers.
    #[error("`{name}`: {source}")]
    Statistics {
        /// The node or input.
        name: String,
        /// What is wrong.
        source: StatisticsError,
    },
}

impl Calibration {
    /// Runs batches through a network, in evaluation, and looks at every node and input.
    ///
    /// In host memory it takes one pass. On another device it takes two, one for ranges and moments, one for how values
    /// are distributed over the range, and each reads the device once; inputs are read whole. Bins are the same
    /// either way, but a device decides in `f32` which of two bins a value at their border falls into. A value that was not
    /// finite once has no entry.
    ///
    /// Use training or validation images, never those of the test.
    ///
    /// # Errors
    ///
    /// If there is no batch, or one does not fit.
    pub fn of<I: Tensors + Clone>(network: &Network, batches: &[I]) -> Result<Self, QuantizeError> {
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
    /// Of nothing: for weights alone, or ranges that are dynamic.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            format: FORMAT,
            samples: 0,
            values: BTreeMap::new(),
        }
    }

    /// What was seen of the node or input of this name.
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

    /// Reads what [`save`](Self::save) wrote, and somebody may have changed.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, is not of this form, or has statistics that are of no numbers
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

/// How many samples a tensor has: the length of its first axis.
fn rows(tensor: &AnyTensor) -> usize {
    tensor.shape().first().copied().unwrap_or(1)
}

/// Shows an observer a tensor's samples, unless it has no floats.
///
/// It is read a little at a time, by all cores. Observers see the same samples however many cores there are, so that
/// sums are the same too.
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

/// What every node gave, found on the device.
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
    // All places have as many bins; those of one that has fewer stay empty behind its own.
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

/// The means of the smallest and the largest values of samples, over the samples that are not zero throughout.
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
        let found = Calibration::of(&network, &batches).unwrap();
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
