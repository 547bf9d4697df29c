//! `calcine bench`: the speed of a network.

use std::hint::black_box;
use std::time::{Duration, Instant};

use burn::tensor::{Device, TensorData};
use calcine::graph::{ElementKind, Graph};
use calcine::trace::AnyTensor;
use rayon::ThreadPoolBuilder;

use crate::failure::{Failure, bad};
use crate::memory::Peak;
use crate::model::{AnyNetwork, Loaded, load};
use crate::options::{DeviceOptions, ReportOptions, WeightsOptions, positive};

/// Measure the time and the memory that a network, float or quantized, takes for a batch.
///
/// The inputs are zeros, in the shapes with which the network was traced. After one run that is not counted, the batch
/// is run repeatedly, for two seconds and at least ten times. `memory_bytes` in the JSON is the largest resident memory
/// of the whole process during the measurement, including the weights; null if the system does not report it.
///
/// A quantized network is simulated: it computes with the arithmetic and the results of an integer engine, bit for bit,
/// but not with its speed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A network of the zoo, such as resnet20, or a network file, float or quantized.
    #[arg(value_name = "MODEL")]
    model: String,
    #[command(flatten)]
    weights: WeightsOptions,
    #[command(flatten)]
    device: DeviceOptions,
    /// Number of samples in a batch.
    #[arg(long, value_parser = positive::<usize>, value_name = "N", default_value = "1")]
    batch: usize,
    /// Number of threads [default: the number of cores].
    #[arg(long, value_parser = positive::<usize>, value_name = "N")]
    threads: Option<usize>,
    #[command(flatten)]
    report: ReportOptions,
}

/// The minimum duration of the measurement.
const TIME: Duration = Duration::from_secs(2);

/// The minimum and the maximum number of runs of a batch.
const RUNS: [usize; 2] = [10, 2000];

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if args.device.lists() {
        return Ok(());
    }
    let device = args.device.device()?;
    let Loaded { name, network, .. } = load(&args.model, &args.weights, &device)?;
    let form = match &network {
        AnyNetwork::Float(_) => "float",
        AnyNetwork::Quantized(_) => "int8-simulated",
    };
    let threads = args.threads.unwrap_or_else(rayon::current_num_threads);
    let pool = ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|error| bad(format!("--threads {threads}: {error}")))?;
    let peak = Peak::reset();
    let mut seconds = pool.install(|| times(&network, args.batch, &device))?;
    let memory = peak.bytes();
    seconds.sort_by(f64::total_cmp);
    let (median, p95) = (quantile(&seconds, 0.5), quantile(&seconds, 0.95));
    let rate = args.batch as f64 / median;
    let peak = memory.map_or_else(String::new, |bytes| {
        format!(", {:.1} MB at most", bytes as f64 / 1e6)
    });
    args.report.say(&format!(
        "{name}, {form}, batch {}, {threads} thread{}: median {:.3} ms, 95 % within {:.3} ms, {rate:.1} images/s{peak}",
        args.batch,
        if threads == 1 { "" } else { "s" },
        1e3 * median,
        1e3 * p95,
    ));
    args.report.finish(&serde_json::json!({
        "model": name,
        "device": args.device.device,
        "form": form,
        "threads": threads,
        "batch": args.batch,
        "runs": seconds.len(),
        "median_ms": 1e3 * median,
        "p95_ms": 1e3 * p95,
        "images_per_second": rate,
        "memory_bytes": memory,
    }));
    Ok(())
}

/// Returns the seconds of each run of a batch.
fn times(network: &AnyNetwork, batch: usize, device: &Device) -> Result<Vec<f64>, Failure> {
    let inputs = zeros(network.graph(), batch, device)?;
    let mut seconds = Vec::new();
    pass(network, inputs.clone())?;
    let began = Instant::now();
    while seconds.len() < RUNS[1] && (seconds.len() < RUNS[0] || began.elapsed() < TIME) {
        let start = Instant::now();
        pass(network, inputs.clone())?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    Ok(seconds)
}

/// Runs a forward pass, and waits for its results.
fn pass(network: &AnyNetwork, inputs: Vec<AnyTensor>) -> Result<(), Failure> {
    let outputs = match network {
        AnyNetwork::Float(network) => network.run(inputs, &mut |_, tensor| tensor),
        AnyNetwork::Quantized(network) => network.try_forward(inputs),
    };
    for output in outputs.map_err(bad)? {
        // Reading waits for the device.
        black_box(output.into_data());
    }
    Ok(())
}

/// Returns inputs of the network for a batch of this size.
fn zeros(graph: &Graph, batch: usize, device: &Device) -> Result<Vec<AnyTensor>, Failure> {
    let inputs = graph.inputs.iter().map(|id| {
        let value = graph.value(*id);
        let shape = value.shape_at(batch);
        let data = match value.kind {
            ElementKind::Float => TensorData::zeros::<f32, _>(shape),
            ElementKind::Int => TensorData::zeros::<i64, _>(shape),
            ElementKind::Bool => TensorData::zeros::<bool, _>(shape),
        };
        AnyTensor::from_data(data, value.kind, device)
            .ok_or_else(|| bad(format!("the input `{}` has too many axes", value.name)))
    });
    inputs.collect()
}

/// The smallest value that at least this share of the sorted values does not exceed.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_a_value_that_was_measured() {
        let sorted: Vec<f64> = (1..=20).map(f64::from).collect();
        assert_eq!(
            (quantile(&sorted, 0.5), quantile(&sorted, 0.95)),
            (10.0, 19.0)
        );
        assert_eq!(quantile(&[7.0], 0.95), 7.0);
    }
}
