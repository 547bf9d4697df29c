//! `calcine run`: computes the outputs of a network for an input.

use std::path::PathBuf;

use burn::tensor::Device;
use calcine::data::read_npy;
use calcine::engine::{Array, Engine, Numbers, Options};
use calcine::graph::ElementKind;

use crate::failure::{Failure, bad};
use crate::model::{Loaded, load};
use crate::options::{MODEL_HELP, ReportOptions, WeightsOptions, positive};
use crate::terminal::print_line;

/// Run a network, float or quantized, in Calcine's engine, and print its outputs.
///
/// A quantized network is computed in integer arithmetic. The outputs are printed as one line of numbers for each sample.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(value_name = "MODEL", help = MODEL_HELP)]
    model: String,
    /// A file with an input in the form that the network expects: normalized, with samples as the first axis and channels as the
    /// second. Give the option once for each input of the network.
    #[arg(long, value_name = "FILE.npy", required = true)]
    input: Vec<PathBuf>,
    /// Number of threads, among which the samples are divided.
    #[arg(long, value_parser = positive::<usize>, value_name = "N", default_value = "1")]
    threads: usize,
    #[command(flatten)]
    weights: WeightsOptions,
    #[command(flatten)]
    report: ReportOptions,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let Loaded { name, network, .. } = load(&args.model, &args.weights, &Device::flex())?;
    let mut options = Options::default();
    options.threads = args.threads;
    let engine = Engine::compile(&network, options).map_err(bad)?;
    let graph = engine.graph();
    let mut inputs = Vec::new();
    for (at, file) in args.input.iter().enumerate() {
        let (shape, floats) = read_npy(file).map_err(bad)?;
        let kind = graph.inputs.get(at).map(|id| graph.value(*id).kind);
        let numbers = match kind {
            Some(ElementKind::Int) => Numbers::Ints(floats.iter().map(|x| *x as i64).collect()),
            Some(ElementKind::Bool) => Numbers::Bools(floats.iter().map(|x| *x != 0.0).collect()),
            Some(ElementKind::Float) | None => Numbers::Floats(floats),
        };
        inputs.push(Array { shape, numbers });
    }
    let outputs = engine.run(&inputs).map_err(bad)?;
    let outputs: Vec<(Vec<usize>, &[f32])> = outputs
        .iter()
        .map(|output| (output.shape.clone(), output.as_floats().unwrap_or_default()))
        .collect();
    if args.report.json {
        let outputs = outputs
            .iter()
            .map(|(shape, numbers)| serde_json::json!({ "shape": shape, "numbers": numbers }));
        let outputs: Vec<_> = outputs.collect();
        print_line(&serde_json::json!({ "model": name, "outputs": outputs }).to_string());
        return Ok(());
    }
    for (shape, numbers) in &outputs {
        let samples = shape.first().copied().unwrap_or(1).max(1);
        for line in numbers.chunks((numbers.len() / samples).max(1)) {
            let words: Vec<String> = line.iter().map(ToString::to_string).collect();
            print_line(&words.join(" "));
        }
    }
    Ok(())
}
