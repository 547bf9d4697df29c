//! `calcine quantize`: a network in integer arithmetic, after training.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use calcine::plot::{Axis, Chart, Panels};
use calcine::quantize::{MixedPrecision, QuantizationSettings, SearchError};
use calcine::summary::Sheet;
use calcine::zoo::reference::{
    QuantizeRun, QuantizeSettings, ReferenceError, RunDirectory, Search, SearchSettings, Settings,
    quantize_network,
};

use crate::events::log;
use crate::failure::{Failure, bad};
use crate::interrupt::Interrupt;
use crate::options::{
    self, DataOptions, DeviceOptions, ReportOptions, WeightsOptions, natural, no_recipe, positive,
};
use crate::progress::{DownloadBar, TrialBar};
use crate::terminal::width;
use crate::whole;

/// The file from which a search goes on.
const TRIALS: &str = "trials.json";

/// Quantize a network after training: calibrate, quantize, measure on the test set, save.
///
/// Without --recipe: 8 bits throughout, min-max ranges. The quantized network computes in integer arithmetic, bit for bit
/// as an integer engine does; `quantized.safetensors` is a MODEL for every command that does not change a network.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A network of the zoo, such as resnet20, or a network file.
    #[arg(value_name = "MODEL")]
    model: String,
    #[command(flatten)]
    weights: WeightsOptions,
    #[command(flatten)]
    data: DataOptions,
    #[command(flatten)]
    device: DeviceOptions,
    /// A file that says how: bits, schemes, range estimators, layers that differ [default: 8 bits, min-max].
    #[arg(long, value_name = "FILE.toml")]
    recipe: Option<PathBuf>,
    /// Validation images to calibrate with, drawn by the seed.
    #[arg(long, alias = "images", value_parser = positive::<usize>, value_name = "N", default_value = "1000")]
    calibration_images: usize,
    /// The calibration.json of an earlier run, instead of calibrating.
    #[arg(long, value_name = "FILE.json", conflicts_with = "calibration_images")]
    calibration: Option<PathBuf>,
    /// Search for better quantization parameters first, by how far the outputs for other validation images are from
    /// the float network's [default: no search]. Ctrl-C and SIGTERM stop after a trial; the same command with the same
    /// --out goes on.
    #[arg(long, value_enum)]
    search: Option<How>,
    /// With --search: validation images whose outputs are compared [default: 500].
    #[arg(long, value_parser = positive::<usize>, value_name = "N")]
    search_images: Option<usize>,
    /// With --search lapq: rounds over all scales [default: 1].
    #[arg(long, value_parser = natural::<usize>, value_name = "N")]
    rounds: Option<usize>,
    /// With --search mixed-precision: the bit widths that are tried, from 2 to 16 [default: 8,6,5,4,3,2].
    #[arg(long, value_delimiter = ',', value_parser = bit_width, value_name = "A,B,…")]
    bits: Option<Vec<u8>>,
    /// With --search mixed-precision: choose the bits of each layer so that the file takes at most so many bytes [default:
    /// choose nothing, and only measure].
    #[arg(long, value_parser = positive::<u64>, value_name = "BYTES")]
    budget: Option<u64>,
    /// Test images at most, and validation images at most [default: all].
    #[arg(long, alias = "test-images", value_parser = positive::<usize>, value_name = "N", help_heading = "Data")]
    test_limit: Option<usize>,
    /// The directory for the network, the calibration and the report [default: one in `runs`, named after the recipe
    /// and the time].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    report: ReportOptions,
}

/// A search for quantization parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum How {
    /// Scales that together lose least (Nahshan et al., 2021).
    Lapq,
    /// The best range estimator of each tensor, one after the other.
    Greedy,
    /// What fewer bits of each layer's weights cost, and mixed precision.
    MixedPrecision,
}

/// Options that only a search looks at, or only another one.
fn check(args: &Args) -> Result<(), Failure> {
    let any = args.search.is_some();
    let searches = |search| args.search == Some(search);
    let options = [
        (
            "--search-images",
            args.search_images.is_some(),
            any,
            "--search",
        ),
        (
            "--rounds",
            args.rounds.is_some(),
            searches(How::Lapq),
            "--search lapq",
        ),
        (
            "--bits",
            args.bits.is_some(),
            searches(How::MixedPrecision),
            "--search mixed-precision",
        ),
        (
            "--budget",
            args.budget.is_some(),
            searches(How::MixedPrecision),
            "--search mixed-precision",
        ),
    ];
    for (option, given, has_effect, with) in options {
        if given && !has_effect {
            return Err(bad(format!("{option} has no effect: it is for {with}")));
        }
    }
    Ok(())
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if args.device.lists() {
        return Ok(());
    }
    check(args)?;
    let quantization = match &args.recipe {
        Some(file) => QuantizationSettings::from_file(file).map_err(bad)?,
        None => QuantizationSettings::default(),
    };
    let recipe = Settings {
        test_limit: args.test_limit,
        ..no_recipe("the quantization")
    };
    let network = options::settings(
        Some(&args.model),
        &args.weights,
        &args.data,
        &args.device,
        recipe,
    )?;
    let device = args.device.device()?;
    log(None)?;
    let download = DownloadBar::default();
    let out = out(args);
    // Before hours of work, and until the last file is written.
    let progress = args.search.map(|_| TRIALS);
    let directory = RunDirectory::for_results(&out, progress).map_err(bad)?;
    whole::announce(&out);
    let search = args.search.map(|how| SearchSettings {
        search: match how {
            How::Lapq => Search::Lapq {
                rounds: args.rounds.unwrap_or(1),
            },
            How::Greedy => Search::Greedy,
            How::MixedPrecision => Search::MixedPrecision {
                bits: args.bits.clone().unwrap_or_else(|| vec![8, 6, 5, 4, 3, 2]),
                budget: args.budget,
            },
        },
        images: args.search_images.unwrap_or(500),
        trials: Some(out.join(TRIALS)),
    });
    let mut trials = TrialBar::default();
    let interrupt = match &search {
        Some(_) => Some(Interrupt::listen(
            "stopping after this trial; press Ctrl-C again to stop at once",
        )?),
        None => None,
    };
    let stopped = || {
        interrupt
            .as_ref()
            .filter(|interrupt| interrupt.flag().is_raised())
    };
    let settings = QuantizeSettings {
        network,
        quantization,
        images: args.calibration_images,
        calibration: args.calibration.clone(),
        search,
    };
    let run = quantize_network(
        &settings,
        &device,
        &mut |done, total| download.show(done, total),
        &mut |progress| {
            trials.show(progress);
            if stopped().is_some() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        },
    );
    trials.close();
    let run = match run {
        Err(ReferenceError::Search(SearchError::Stopped { done })) => {
            let out = options::quoted(&out.display().to_string());
            let message =
                format!("stopped after {done} trials; go on with the same command and --out {out}");
            return Err(match stopped() {
                Some(interrupt) => interrupt.stopped(message),
                None => Failure::new(message),
            });
        }
        Err(error) => {
            directory.give_up();
            return Err(bad(error));
        }
        Ok(run) => run,
    };
    let file = out.join("quantized.safetensors");
    run.quantized.save(&file).map_err(bad)?;
    run.calibration
        .save(&out.join("calibration.json"))
        .map_err(bad)?;
    let bytes = std::fs::metadata(&file).map_or(0, |file| file.len());
    if args.search.is_some() {
        whole::write(&out.join("recipe.toml"), run.quantization.to_toml())?;
    }
    if let Some(mixed_precision) = &run.mixed_precision {
        draw(&run, mixed_precision, &out)?;
    }
    let chosen = run
        .mixed_precision
        .as_ref()
        .filter(|_| args.budget.is_some());
    let forecast = chosen.map(|mixed_precision| mixed_precision.forecast(&run.quantization));
    let report = json(args, &run, [Some(bytes), forecast], &out);
    let text = serde_json::to_string_pretty(&report).map_err(bad)?;
    whole::write(&out.join("report.json"), text)?;
    if run.source.is_synthetic() {
        args.report.say(&format!("NOT CIFAR-10: {}", run.source));
    }
    args.report.say(&table(&run, bytes, forecast));
    let said = run.quantized.report().to_string();
    if !said.is_empty() {
        args.report.say(said.trim_end());
    }
    args.report.say(&whole::wrote(&out));
    args.report.finish(&report);
    drop(directory);
    Ok(())
}

/// Writes what each layer's widths cost, as a table and as charts.
fn draw(run: &QuantizeRun, mixed_precision: &MixedPrecision, out: &Path) -> Result<(), Failure> {
    whole::write(&out.join("mixed_precision.csv"), mixed_precision.to_csv())?;
    let title = format!(
        "{}: top-1 with the weights of one layer in fewer bits",
        run.architecture
    );
    let (x, y) = (
        Axis::new("bits of a weight", "").descending(),
        Axis::new("top-1", "%"),
    );
    let chart = mixed_precision
        .layers
        .iter()
        .fold(Chart::new(title, x, y), |chart, layer| {
            let points = layer.bit_widths.iter();
            let points = points.map(|width| (f64::from(width.bits), width.score.value("top1")));
            chart.with_series(layer.name.as_str(), points)
        });
    let panels: Panels = chart.clone().into();
    whole::write(
        &out.join("mixed_precision.svg"),
        chart.to_svg().map_err(bad)?,
    )?;
    whole::write(
        &out.join("mixed_precision.png"),
        chart.to_png().map_err(bad)?,
    )?;
    whole::write(&out.join("panels.svg"), panels.to_svg().map_err(bad)?)?;
    whole::write(&out.join("panels.png"), panels.to_png().map_err(bad)?)
}

/// `runs/<recipe>-<time>` unless something else is said.
fn out(args: &Args) -> PathBuf {
    let name = args.recipe.as_deref().and_then(Path::file_stem);
    let name = name.map_or("quantized".into(), |name| name.to_string_lossy());
    options::out(args.out.as_deref(), &name)
}

fn table(run: &QuantizeRun, bytes: u64, forecast: Option<u64>) -> String {
    let row = |name: &str, before: String, after: String| vec![name.to_owned(), before, after];
    let mut rows = vec![
        row(
            "top-1",
            format!("{:.2}", run.before.value("top1")),
            format!("{:.2}", run.after.value("top1")),
        ),
        row(
            "top-5",
            format!("{:.2}", run.before.value("top5")),
            format!("{:.2}", run.after.value("top5")),
        ),
        row(
            "loss",
            format!("{:.4}", run.before.loss),
            format!("{:.4}", run.after.loss),
        ),
        row(
            "bytes of parameters",
            run.bytes_before.to_string(),
            run.quantized.stored_bytes().to_string(),
        ),
        row("bytes of the file", String::new(), bytes.to_string()),
    ];
    if let Some(forecast) = forecast {
        let forecast = forecast.to_string();
        rows.push(row("bytes of the file, forecast", String::new(), forecast));
    }
    let header = ["", "float", "quantized"].map(str::to_owned).to_vec();
    format!(
        "{}\n{} on {} test images, calibrated with {} images",
        Sheet { header, rows }.fitted(width()),
        run.architecture,
        run.after.count,
        run.calibration.samples
    )
}

fn json(
    args: &Args,
    run: &QuantizeRun,
    [bytes, forecast]: [Option<u64>; 2],
    out: &Path,
) -> serde_json::Value {
    serde_json::json!({
        "model": run.architecture.to_string(),
        "data": run.source.to_string(),
        "device": args.device.device,
        "recipe": args.recipe,
        "seed": args.data.seed.unwrap_or(0),
        "images": run.calibration.samples,
        "test_images": run.after.count,
        "top1_before": run.before.value("top1"),
        "top1": run.after.value("top1"),
        "top5": run.after.value("top5"),
        "loss_before": run.before.loss,
        "loss": run.after.loss,
        "bytes_before": run.bytes_before,
        "bytes": run.quantized.stored_bytes(),
        "file_bytes": bytes,
        "file_bytes_forecast": forecast,
        "report": run.quantized.report(),
        "warnings": run.quantized.report().warnings(),
        "out": out,
    })
}

/// Reads a bit width for clap.
fn bit_width(text: &str) -> Result<u8, String> {
    match text.parse() {
        Ok(bits @ 2..=16) => Ok(bits),
        _ => Err("expected a whole number from 2 to 16".to_owned()),
    }
}
