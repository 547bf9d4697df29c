//! `calcine quantize`: a network in integer arithmetic, after training.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use calcine::plot::{Axis, Chart, Panels};
use calcine::quantize::{Calibration, MixedPrecision, QuantizationSettings, SearchError};
use calcine::recipe::Recipe;
use calcine::run::{
    Experiment, Names, QuantizeRun, QuantizeSettings, RunDirectory, RunError, Search,
    SearchSettings,
};
use calcine::summary::Sheet;
use calcine::trace::{AnyTensor, Tensors};
use calcine::train::{Evaluation, Metric, Objective};

use crate::evaluate::add;
use crate::events::log;
use crate::failure::{Failure, bad};
use crate::interrupt::Interrupt;
use crate::options::{
    self, DataOptions, DeviceOptions, ReportOptions, WeightsOptions, natural, positive,
};
use crate::progress::TrialBar;
use crate::settings::Settings;
use crate::setup::{Job, Setup, label};
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
    let asked = match &args.recipe {
        Some(file) => {
            let recipe = Recipe::from_file(file).map_err(bad)?;
            let table = recipe.quantization().ok_or_else(|| {
                bad(format!(
                    "{}: there is no `[quantize]` in it",
                    file.display()
                ))
            })?;
            table.settings.clone()
        }
        None => QuantizationSettings::default(),
    };
    let calibration = args.calibration.as_deref().map(load).transpose()?;
    let recipe = Settings {
        test_limit: args.test_limit,
        changes: true,
        ..Settings::without_recipe("the quantization")
    };
    let settings = options::settings(&args.model, &args.weights, &args.data, &args.device, recipe)?;
    let device = args.device.device()?;
    log(None)?;
    let out = out(args);
    // Before hours of work, and until the last file is written.
    let progress = args.search.map(|_| TRIALS);
    let directory = RunDirectory::for_results(&out, progress).map_err(bad)?;
    whole::announce(&out);
    let job = |setup: &Setup| {
        let network = serde_json::to_string(&settings).map_err(bad)?;
        let run = QuantizeSettings {
            samples: args.calibration_images,
            calibration,
            search: search(args, &out, network),
            seed: setup.recipe.train().seed,
            ..QuantizeSettings::new(asked)
        };
        let job = Quantize {
            args,
            setup,
            settings: run,
            out: &out,
        };
        setup.run("quantizing", job)
    };
    let result = Setup::new(&settings, &device).and_then(|setup| job(&setup));
    if result.is_err() {
        directory.give_up();
    }
    result
}

/// The calibration of an earlier run.
fn load(file: &Path) -> Result<Calibration, Failure> {
    Calibration::load(file).map_err(|error| bad(format!("{}: {error}", file.display())))
}

fn search(args: &Args, out: &Path, network: String) -> Option<SearchSettings> {
    let search = match args.search? {
        How::Lapq => Search::Lapq {
            rounds: args.rounds.unwrap_or(1),
        },
        How::Greedy => Search::Greedy,
        How::MixedPrecision => Search::MixedPrecision {
            bits: args.bits.clone().unwrap_or_else(|| vec![8, 6, 5, 4, 3, 2]),
            budget: args.budget,
        },
    };
    Some(SearchSettings {
        search,
        samples: args.search_images.unwrap_or(500),
        trials: Some((out.join(TRIALS), network)),
    })
}

struct Quantize<'a> {
    args: &'a Args,
    setup: &'a Setup,
    settings: QuantizeSettings,
    out: &'a Path,
}

impl Job for Quantize<'_> {
    type Output = ();

    fn run<O>(self, experiment: &Experiment<'_, Vec<AnyTensor>, O>) -> Result<(), Failure>
    where
        O: Objective,
        O::Output: Tensors,
    {
        let interrupt = match &self.settings.search {
            Some(_) => Some(Interrupt::listen(
                "stopping after this trial; press Ctrl-C again to stop at once",
            )?),
            None => None,
        };
        let metrics = experiment.metrics();
        let mut trials = TrialBar::default();
        let run = experiment.quantize(&self.settings, &mut |progress| {
            trials.show(progress, &metrics);
            let stopped = interrupt
                .as_ref()
                .is_some_and(|interrupt| interrupt.flag().is_raised());
            if stopped {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        trials.close();
        match (run, interrupt) {
            (Ok(run), _) => self.finish(&run, experiment.names(), &metrics),
            (Err(RunError::Search(SearchError::Stopped { done })), Some(interrupt)) => {
                let out = options::quoted(&self.out.display().to_string());
                Err(interrupt.stopped(format!(
                    "stopped after {done} trials; go on with the same command and --out {out}"
                )))
            }
            (Err(error), _) => Err(bad(error)),
        }
    }
}

impl Quantize<'_> {
    /// Writes everything, and says what it came to.
    fn finish(&self, run: &QuantizeRun, names: &Names, metrics: &[Metric]) -> Result<(), Failure> {
        let Self {
            args, setup, out, ..
        } = self;
        let file = out.join("quantized.safetensors");
        run.quantized.save(&file).map_err(bad)?;
        let calibration = out.join("calibration.json");
        run.calibration.save(&calibration).map_err(bad)?;
        let bytes = std::fs::metadata(&file).map_or(0, |file| file.len());
        if args.search.is_some() {
            whole::write(&out.join("recipe.toml"), run.settings.to_toml())?;
        }
        if let Some(mixed_precision) = &run.mixed_precision {
            draw(mixed_precision, names, metrics, out)?;
        }
        let chosen = run
            .mixed_precision
            .as_ref()
            .filter(|_| args.budget.is_some());
        let forecast = chosen.map(|mixed_precision| mixed_precision.forecast(&run.settings));
        let report = self.json(run, names, bytes, forecast);
        let text = serde_json::to_string_pretty(&report).map_err(bad)?;
        whole::write(&out.join("report.json"), text)?;
        if let Some(caveat) = setup.caveat() {
            args.report.say(&caveat);
        }
        args.report
            .say(&table(run, names, metrics, bytes, forecast));
        let said = run.quantized.report().to_string();
        if !said.is_empty() {
            args.report.say(said.trim_end());
        }
        args.report.say(&whole::wrote(out));
        args.report.finish(&report);
        Ok(())
    }

    fn json(
        &self,
        run: &QuantizeRun,
        names: &Names,
        bytes: u64,
        forecast: Option<u64>,
    ) -> serde_json::Value {
        let Self {
            args, setup, out, ..
        } = self;
        let mut json = serde_json::json!({
            "model": names.model,
            "data": names.data,
            "data_is_synthetic": setup.dataset.source().is_synthetic(),
            "device": names.device,
            "recipe": args.recipe,
            "seed": setup.recipe.train().seed,
            "bytes_before": run.bytes_before,
            "bytes": run.quantized.stored_bytes(),
            "file_bytes": bytes,
            "file_bytes_forecast": forecast,
            "report": run.quantized.report(),
            "warnings": run.quantized.report().warnings(),
            "out": out,
        });
        let samples = &names.samples;
        json[samples] = run.calibration.samples.into();
        json[format!("{}_{samples}", run.split.name())] = run.after.count.into();
        add(&mut json, &run.before, "_before");
        add(&mut json, &run.after, "");
        json
    }
}

/// Writes what each layer's bit widths cost, as a table and as charts.
fn draw(
    mixed_precision: &MixedPrecision,
    names: &Names,
    metrics: &[Metric],
    out: &Path,
) -> Result<(), Failure> {
    whole::write(&out.join("mixed_precision.csv"), mixed_precision.to_csv())?;
    let metric = metrics.first().cloned().unwrap_or_else(Metric::loss);
    let name = label(&metric.name);
    let title = format!(
        "{}: {name} with the weights of one layer in fewer bits",
        names.model
    );
    let (x, y) = (
        Axis::new("bits of a weight", "").descending(),
        Axis::new(name.as_str(), metric.unit.as_str()),
    );
    let chart = mixed_precision
        .layers
        .iter()
        .fold(Chart::new(title, x, y), |chart, layer| {
            let points = layer.bit_widths.iter();
            let points =
                points.map(|width| (f64::from(width.bits), width.score.value(&metric.name)));
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

fn table(
    run: &QuantizeRun,
    names: &Names,
    metrics: &[Metric],
    bytes: u64,
    forecast: Option<u64>,
) -> String {
    let row = |name: &str, before: String, after: String| vec![name.to_owned(), before, after];
    let value = |of: &Evaluation, metric: &Metric| metric.shown(of.value(&metric.name));
    let both = |metric: &Metric| {
        let [before, after] = [&run.before, &run.after].map(|of| value(of, metric));
        row(&label(&metric.name), before, after)
    };
    let mut rows: Vec<_> = metrics.iter().chain([&Metric::loss()]).map(both).collect();
    rows.extend([
        row(
            "bytes of parameters",
            run.bytes_before.to_string(),
            run.quantized.stored_bytes().to_string(),
        ),
        row("bytes of the file", String::new(), bytes.to_string()),
    ]);
    if let Some(forecast) = forecast {
        let forecast = forecast.to_string();
        rows.push(row("bytes of the file, forecast", String::new(), forecast));
    }
    let header = ["", "float", "quantized"].map(str::to_owned).to_vec();
    let samples = &names.samples;
    format!(
        "{}\n{} on {} {} {samples}, calibrated with {} {samples}",
        Sheet { header, rows }.fitted(width()),
        names.model,
        run.after.count,
        run.split.name(),
        run.calibration.samples
    )
}

/// Reads a bit width for clap.
fn bit_width(text: &str) -> Result<u8, String> {
    match text.parse() {
        Ok(bits @ 2..=16) => Ok(bits),
        _ => Err("expected a whole number from 2 to 16".to_owned()),
    }
}
