//! `calcine bench`: how fast a network computes.

mod measure;
mod onnx_runtime;

use burn::tensor::Device;
use calcine::engine::{Array, Engine, NodeTime, Options};
use calcine::quantize::{QuantizationSettings, quantize_with};
use calcine::run::{Model, filled_inputs};
use calcine::trace::AnyTensor;
use rayon::ThreadPoolBuilder;

use self::measure::{Contender, Measured, is_enough};
use self::onnx_runtime::OnnxRuntime;
use crate::failure::{Failure, bad};
use crate::memory::Peak;
use crate::model::{Loaded, load};
use crate::options::{DeviceOptions, MODEL_HELP, ReportOptions, WeightsOptions, positive};

/// Measure how long a network, float or quantized, takes for a batch, and how much memory.
///
/// The network runs in Calcine's engine, a quantized one in integer arithmetic. With --with, the engine and other programs are measured
/// alternately, for 50 ms each, so that other load on the machine slows down all of them. The inputs are zeros, in the shapes with
/// which the network was traced. The batch is run repeatedly, for two seconds and at least ten times. `memory_bytes` in the JSON is the
/// largest resident memory of the whole process after the engine was first measured, including the weights; null if the system does
/// not report it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(value_name = "MODEL", help = MODEL_HELP)]
    model: String,
    /// The arithmetic to measure. With int8, a float network is first quantized with ranges of random inputs, so only its speed is
    /// meaningful, not its outputs [default: that of the network].
    #[arg(long, value_name = "FORM")]
    form: Option<Form>,
    /// Other programs to measure: `flex` for Burn on --device, which simulates integers in float, and `onnxruntime` for ONNX Runtime,
    /// which `python3`, or the Python that the variable PYTHON names, must have installed.
    #[arg(long = "with", value_name = "NAMES", value_delimiter = ',')]
    others: Vec<Other>,
    /// Print the time of each node for one batch on one thread, and how the engine computes it.
    #[arg(long)]
    profile: bool,
    #[command(flatten)]
    weights: WeightsOptions,
    #[command(flatten)]
    device: DeviceOptions,
    /// Number of samples in a batch.
    #[arg(long, alias = "batch", value_parser = positive::<usize>, value_name = "N", default_value = "1")]
    batch_size: usize,
    /// Number of threads [default: the number of cores].
    #[arg(long, value_parser = positive::<usize>, value_name = "N")]
    threads: Option<usize>,
    #[command(flatten)]
    report: ReportOptions,
}

/// The arithmetic of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    Float,
    Int8,
}

/// A program with which the engine is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Other {
    Flex,
    Onnxruntime,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if args.device.lists() {
        return Ok(());
    }
    let device = args.device.device()?;
    let loaded = load(&args.model, &args.weights, &device)?;
    let Loaded { name, network, .. } = in_form(args.form, loaded, &device)?;
    let form = match &network {
        Model::Float(_) => "float",
        Model::Quantized(_) => "int8",
    };
    let threads = args.threads.unwrap_or_else(rayon::current_num_threads);
    let peak = Peak::reset();
    let mut options = Options::default();
    options.threads = threads;
    let engine = Engine::compile(&network, options).map_err(bad)?;
    let zeros = filled_inputs(network.graph(), args.batch_size, &device, |_| 0.0).map_err(bad)?;
    let inputs: Vec<Array> = zeros.iter().map(AnyTensor::to_array).collect();
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
                (
                    args.device.device.as_str(),
                    Contender::Burn {
                        network: &network,
                        inputs: zeros.clone(),
                        pool,
                    },
                )
            }
            Other::Onnxruntime => {
                let runtime = OnnxRuntime::start(&network, args.batch_size, threads)?;
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
        .map(|((name, _), seconds)| Measured::of(name, seconds, args.batch_size))
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
        "batch": args.batch_size,
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

/// The network in the requested form.
fn in_form(form: Option<Form>, loaded: Loaded, device: &Device) -> Result<Loaded, Failure> {
    match (&loaded.network, form) {
        (Model::Quantized(_), Some(Form::Float)) => Err(bad(format!(
            "--form float: {} is a quantized network, whose form is int8",
            loaded.name
        ))),
        (Model::Float(network), Some(Form::Int8)) => {
            let inputs = filled_inputs(network.graph(), 4, device, spread).map_err(bad)?;
            let settings = QuantizationSettings::default();
            let quantized = quantize_with(network.clone(), &[inputs], &settings);
            let network = Model::from(quantized.map_err(bad)?);
            Ok(Loaded { network, ..loaded })
        }
        _ => Ok(loaded),
    }
}

/// Numbers that are evenly distributed between −1 and 1: steps of the golden ratio.
fn spread(at: usize) -> f32 {
    (2.0 * (0.618_033_988_75 * at as f64).fract() - 1.0) as f32
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
                args.batch_size,
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
        let zeros = row.zeros.filter(|zeros| zeros.zero > 0);
        let zeros = zeros.map_or_else(String::new, |zeros| format!(", {zeros}"));
        args.report.say(&format!(
            "{:9.1} µs {:5.1} % {}: {}{how}{zeros}",
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
