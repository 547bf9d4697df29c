//! `calcine bench`: how fast a network computes.

mod onnx_runtime;

use std::hint::black_box;
use std::time::{Duration, Instant};

use burn::tensor::{Device, TensorData};
use calcine::engine::{Array, Engine, NodeTime, Numbers, Options};
use calcine::graph::{ElementKind, Graph};
use calcine::quantize::{QuantizationSettings, quantize_with};
use calcine::trace::AnyTensor;
use rayon::{ThreadPool, ThreadPoolBuilder};

use self::onnx_runtime::OnnxRuntime;
use crate::failure::{Failure, bad};
use crate::memory::Peak;
use crate::model::{AnyNetwork, Loaded, load};
use crate::options::{DeviceOptions, ReportOptions, WeightsOptions, positive};

/// Measure how long a network, float or quantized, takes for a batch, and how much memory.
///
/// The network runs in Calcine's engine: a quantized one in real integers. With --with, others compute the same in turns with it,
/// 50 ms each, so that a busy machine slows all of them. The inputs are zeros, in the shapes with which the network was traced. The
/// batch is run repeatedly, for two seconds and at least ten times. `memory_bytes` in the JSON is the largest resident memory of the
/// whole process after the first turn of the engine, including the weights; null if the system does not report it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A network of the zoo, such as resnet20, or a network file, float, quantized or ONNX.
    #[arg(value_name = "MODEL")]
    model: String,
    /// The numbers that it computes with. A float network is quantized for int8, calibrated with drawn inputs, whose results
    /// mean nothing: only its speed is measured [default: those of the network].
    #[arg(long, value_name = "FORM")]
    form: Option<Form>,
    /// What else is measured: `flex` for Burn on --device, which simulates integers in float, and `onnxruntime`, for which
    /// `python3`, or what the variable PYTHON names, must have ONNX Runtime.
    #[arg(long = "with", value_name = "NAMES", value_delimiter = ',')]
    others: Vec<Other>,
    /// Print how long each node takes, of one batch on one thread, and how the engine computes it.
    #[arg(long)]
    profile: bool,
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

/// The numbers that a network computes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    Float,
    Int8,
}

/// What a network is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Other {
    Flex,
    Onnxruntime,
}

/// The minimum duration of the measurement, for each of those that are measured.
const TIME: Duration = Duration::from_secs(2);

/// How long one takes its turn.
const TURN: Duration = Duration::from_millis(50);

/// The minimum and the maximum number of runs of a batch.
const RUNS: [usize; 2] = [10, 20_000];

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if args.device.lists() {
        return Ok(());
    }
    let device = args.device.device()?;
    let loaded = load(&args.model, &args.weights, &device)?;
    let Loaded { name, network, .. } = in_form(args.form, loaded, &device)?;
    let form = match &network {
        AnyNetwork::Float(_) => "float",
        AnyNetwork::Quantized(_) => "int8",
    };
    let threads = args.threads.unwrap_or_else(rayon::current_num_threads);
    let peak = Peak::reset();
    let mut options = Options::default();
    options.threads = threads;
    let engine = Engine::from_bytes(&to_bytes(&network)?, options).map_err(bad)?;
    let inputs = arrays(network.graph(), args.batch);
    let mut contenders: Vec<(&str, Contender<'_>)> = Vec::new();
    let outputs = engine.run(&inputs).map_err(bad)?;
    contenders.push((
        "calcine",
        Contender::Engine {
            engine: &engine,
            inputs: &inputs,
            outputs,
        },
    ));
    for other in &args.others {
        contenders.push(match other {
            Other::Flex => {
                let pool = ThreadPoolBuilder::new().num_threads(threads).build();
                let pool = pool.map_err(|error| bad(format!("--threads {threads}: {error}")))?;
                let inputs = zeros(network.graph(), args.batch, &device)?;
                (
                    args.device.device.as_str(),
                    Contender::Burn {
                        network: &network,
                        inputs,
                        pool,
                    },
                )
            }
            Other::Onnxruntime => {
                let runtime = OnnxRuntime::start(&network, args.batch, threads)?;
                ("onnxruntime", Contender::Runtime(runtime))
            }
        });
    }
    let mut seconds: Vec<Vec<f64>> = vec![Vec::new(); contenders.len()];
    let mut memory = None;
    while seconds.iter().any(|own| !is_enough(own)) {
        for ((_, contender), seconds) in contenders.iter_mut().zip(&mut seconds) {
            contender.turn(seconds)?;
            memory = memory.or_else(|| peak.bytes());
        }
    }
    let profile = match args.profile {
        true => engine.profile(&inputs, 50).map_err(bad)?,
        false => Vec::new(),
    };
    let measured: Vec<Measured<'_>> = contenders
        .iter()
        .zip(seconds)
        .map(|((name, _), seconds)| Measured::of(name, seconds, args.batch))
        .collect();
    say(args, &name, form, threads, memory, &measured);
    say_profile(args, &profile);
    let Some(own) = measured.first() else {
        return Ok(());
    };
    args.report.finish(&serde_json::json!({
        "model": name,
        "device": args.device.device,
        "form": form,
        "threads": threads,
        "batch": args.batch,
        "runs": own.runs,
        "median_ms": own.median_ms,
        "p95_ms": own.p95_ms,
        "images_per_second": own.rate,
        "memory_bytes": memory,
        "isa": engine.options().isa.to_string(),
        "with": measured[1..].iter().map(Measured::json).collect::<Vec<_>>(),
        "profile": profile.iter().map(node_json).collect::<Vec<_>>(),
    }));
    Ok(())
}

/// The network with the numbers that are asked for.
fn in_form(form: Option<Form>, loaded: Loaded, device: &Device) -> Result<Loaded, Failure> {
    match (&loaded.network, form) {
        (AnyNetwork::Quantized(_), Some(Form::Float)) => Err(bad(format!(
            "--form float: {} is a quantized network, whose form is int8",
            loaded.name
        ))),
        (AnyNetwork::Float(network), Some(Form::Int8)) => {
            let inputs = drawn(network.graph(), 4, device)?;
            let settings = QuantizationSettings::default();
            let quantized = quantize_with((**network).clone(), &[inputs], &settings);
            let network = AnyNetwork::Quantized(Box::new(quantized.map_err(bad)?));
            Ok(Loaded { network, ..loaded })
        }
        _ => Ok(loaded),
    }
}

/// The file that the network is saved as.
pub(crate) fn to_bytes(network: &AnyNetwork) -> Result<Vec<u8>, Failure> {
    match network {
        AnyNetwork::Float(network) => network.to_bytes().map_err(bad),
        AnyNetwork::Quantized(network) => network.to_bytes().map_err(bad),
    }
}

/// One that is measured.
#[derive(Debug)]
enum Contender<'a> {
    Engine {
        engine: &'a Engine,
        inputs: &'a [Array],
        outputs: Vec<Array>,
    },
    Burn {
        network: &'a AnyNetwork,
        inputs: Vec<AnyTensor>,
        pool: ThreadPool,
    },
    Runtime(OnnxRuntime),
}

impl Contender<'_> {
    /// Runs batches for a turn, and adds the seconds of each.
    fn turn(&mut self, seconds: &mut Vec<f64>) -> Result<(), Failure> {
        match self {
            Self::Engine {
                engine,
                inputs,
                outputs,
            } => timed(seconds, || engine.run_into(inputs, outputs).map_err(bad)),
            Self::Burn {
                network,
                inputs,
                pool,
            } => pool.install(|| timed(seconds, || pass(network, inputs.clone()))),
            Self::Runtime(runtime) => {
                seconds.extend(runtime.turn(TURN)?);
                Ok(())
            }
        }
    }
}

/// Runs again and again for a turn.
fn timed(
    seconds: &mut Vec<f64>,
    mut run: impl FnMut() -> Result<(), Failure>,
) -> Result<(), Failure> {
    // What others did meanwhile is forgotten first.
    run()?;
    let began = Instant::now();
    loop {
        let start = Instant::now();
        run()?;
        seconds.push(start.elapsed().as_secs_f64());
        if began.elapsed() >= TURN {
            return Ok(());
        }
    }
}

fn is_enough(seconds: &[f64]) -> bool {
    let long = seconds.iter().sum::<f64>() >= TIME.as_secs_f64();
    seconds.len() >= RUNS[1] || seconds.len() >= RUNS[0] && long
}

/// A forward pass, until the results are there.
fn pass(network: &AnyNetwork, inputs: Vec<AnyTensor>) -> Result<(), Failure> {
    let outputs = match network {
        AnyNetwork::Float(network) => network.run(inputs, &mut |_, tensor| tensor),
        AnyNetwork::Quantized(network) => network.run(inputs, &mut |_, _| {}),
    };
    for output in outputs.map_err(bad)? {
        // Reading waits for the device.
        black_box(output.into_data());
    }
    Ok(())
}

/// What was measured of one.
#[derive(Debug)]
struct Measured<'a> {
    name: &'a str,
    runs: usize,
    median_ms: f64,
    p95_ms: f64,
    rate: f64,
}

impl<'a> Measured<'a> {
    fn of(name: &'a str, mut seconds: Vec<f64>, batch: usize) -> Self {
        seconds.sort_by(f64::total_cmp);
        let median = quantile(&seconds, 0.5);
        Self {
            name,
            runs: seconds.len(),
            median_ms: 1e3 * median,
            p95_ms: 1e3 * quantile(&seconds, 0.95),
            rate: batch as f64 / median,
        }
    }

    fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "name": self.name,
            "runs": self.runs,
            "median_ms": self.median_ms,
            "p95_ms": self.p95_ms,
            "images_per_second": self.rate,
        })
    }

    fn text(&self) -> String {
        format!(
            "median {:.3} ms, 95 % within {:.3} ms, {:.1} images/s",
            self.median_ms, self.p95_ms, self.rate
        )
    }
}

fn say(
    args: &Args,
    name: &str,
    form: &str,
    threads: usize,
    memory: Option<u64>,
    measured: &[Measured<'_>],
) {
    let peak = memory.map_or_else(String::new, |bytes| {
        format!(", {:.1} MB at most", bytes as f64 / 1e6)
    });
    for (at, own) in measured.iter().enumerate() {
        args.report.say(&match at {
            0 => format!(
                "{name}, {form}, batch {}, {threads} thread{}: {}{peak}",
                args.batch,
                if threads == 1 { "" } else { "s" },
                own.text(),
            ),
            _ => format!(
                "{}: {}; calcine is {:.2} times as fast",
                own.name,
                own.text(),
                measured[0].rate / own.rate
            ),
        });
    }
}

fn say_profile(args: &Args, profile: &[NodeTime]) {
    let all: f64 = profile.iter().map(|row| row.time.as_secs_f64()).sum();
    for row in profile {
        let seconds = row.time.as_secs_f64();
        let how = row
            .execution
            .as_ref()
            .map_or_else(String::new, |how| format!(", {how}"));
        args.report.say(&format!(
            "{:9.1} µs {:5.1} % {}: {}{how}",
            1e6 * seconds,
            100.0 * seconds / all.max(f64::MIN_POSITIVE),
            row.node,
            row.operation
        ));
    }
}

fn node_json(row: &NodeTime) -> serde_json::Value {
    serde_json::json!({
        "node": row.node,
        "operation": row.operation,
        "how": row.execution.as_ref().map(ToString::to_string),
        "microseconds": 1e6 * row.time.as_secs_f64(),
    })
}

/// Inputs of the network for a batch of this size, for the engine.
pub(crate) fn arrays(graph: &Graph, batch: usize) -> Vec<Array> {
    let inputs = graph.inputs.iter().map(|id| {
        let value = graph.value(*id);
        let shape = value.shape_at(batch);
        let count = shape.iter().product();
        let numbers = match value.kind {
            ElementKind::Float => Numbers::Floats(vec![0.0; count]),
            ElementKind::Int => Numbers::Ints(vec![0; count]),
            ElementKind::Bool => Numbers::Bools(vec![false; count]),
        };
        Array { shape, numbers }
    });
    inputs.collect()
}

/// Inputs of the network for a batch of this size.
fn zeros(graph: &Graph, batch: usize, device: &Device) -> Result<Vec<AnyTensor>, Failure> {
    inputs(graph, batch, device, |_| 0.0)
}

/// The same of numbers between −1 and 1 where they are floats.
fn drawn(graph: &Graph, batch: usize, device: &Device) -> Result<Vec<AnyTensor>, Failure> {
    // Steps of the golden ratio are spread evenly.
    inputs(graph, batch, device, |at| {
        (2.0 * (0.618_033_988_75 * at as f64).fract() - 1.0) as f32
    })
}

fn inputs(
    graph: &Graph,
    batch: usize,
    device: &Device,
    number: impl Fn(usize) -> f32,
) -> Result<Vec<AnyTensor>, Failure> {
    let inputs = graph.inputs.iter().map(|id| {
        let value = graph.value(*id);
        let shape = value.shape_at(batch);
        let count: usize = shape.iter().product();
        let data = match value.kind {
            ElementKind::Float => TensorData::new((0..count).map(&number).collect(), shape),
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
