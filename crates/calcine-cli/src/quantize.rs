//! `calcine quantize`: quantizes a network after training.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use calcine::quantize::{Calibration, QuantizationSettings, SearchError};
use calcine::recipe::Recipe;
use calcine::run::{
    Experiment, QuantizeRun, QuantizeSettings, RunDirectory, RunError, Search, SearchSettings,
};
use calcine::trace::{AnyTensor, Tensors};
use calcine::train::Objective;

use crate::events::log;
use crate::failure::{Failure, bad};
use crate::interrupt::Interrupt;
use crate::options::{self, ModelOptions, TestOptions, natural, positive};
use crate::progress::TrialBar;
use crate::settings::Settings;
use crate::setup::{Job, Setup};
use crate::terminal::{stderr, width};
use crate::whole;

/// The file from which a search resumes.
const TRIALS: &str = "trials.json";

/// Quantize a network after training: calibrate, quantize, measure on the test set, save.
///
/// Without --recipe, everything has 8 bits and min-max ranges. The quantized network computes the same as an integer
/// engine, bit for bit; `quantized.safetensors` is a MODEL for every command that does not change the network.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelOptions,
    /// A recipe with bits, schemes, range estimators and overrides for layers [default: 8 bits, min-max].
    #[arg(long, value_name = "FILE.toml")]
    recipe: Option<PathBuf>,
    /// Number of validation samples for calibration, drawn by the seed.
    #[arg(long, alias = "images", value_parser = positive::<usize>, value_name = "N", default_value = "1000")]
    calibration_images: usize,
    /// The calibration.json of an earlier run, to be used instead of calibrating.
    #[arg(long, value_name = "FILE.json", conflicts_with = "calibration_images")]
    calibration: Option<PathBuf>,
    /// Search for better quantization parameters first: those with which the outputs on other validation samples are
    /// closest to those of the float network [default: no search]. Ctrl-C and SIGTERM stop after a trial; the same
    /// command with the same --out resumes.
    #[arg(long, value_enum)]
    search: Option<How>,
    /// With --search: number of validation samples whose outputs are compared [default: 500].
    #[arg(long, value_parser = positive::<usize>, value_name = "N")]
    search_images: Option<usize>,
    /// With --search lapq: number of rounds over all scales [default: 1].
    #[arg(long, value_parser = natural::<usize>, value_name = "N")]
    rounds: Option<usize>,
    /// With --search mixed-precision: the bit widths to try, from 2 to 16 [default: 8,6,5,4,3,2].
    #[arg(long, value_delimiter = ',', value_parser = bit_width, value_name = "A,B,…")]
    bits: Option<Vec<u8>>,
    /// With --search mixed-precision: choose the bits of each layer so that the file has at most this number of bytes
    /// [default: measure only, and choose nothing].
    #[arg(long, value_parser = positive::<u64>, value_name = "BYTES")]
    budget: Option<u64>,
    #[command(flatten)]
    test: TestOptions,
    /// The batch sizes with which the speed is measured.
    #[arg(long, value_delimiter = ',', value_parser = positive::<usize>, value_name = "A,B,…", default_value = "1,64")]
    batches: Vec<usize>,
    /// The directory for the network, the calibration and the report [default: one in `runs`, named after the recipe
    /// and the time].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// A search for quantization parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum How {
    /// The combination of scales with the smallest loss (Nahshan et al., 2021).
    Lapq,
    /// The best range estimator of each tensor, one tensor after the other.
    Greedy,
    /// The loss of each layer with fewer bits for its weights, and mixed precision.
    MixedPrecision,
}

/// Rejects options that have an effect only with a search, or with another one.
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
    if args.model.job.device.lists() {
        return Ok(());
    }
    check(args)?;
    let calibration = args.calibration.as_deref().map(load).transpose()?;
    let recipe = match &args.recipe {
        Some(file) => settings(file)?,
        None => Settings::without_recipe("the quantization"),
    };
    let settings = args.model.settings(Settings {
        test_limit: args.test.test_limit,
        changes: true,
        ..recipe
    })?;
    let asked = asked(args)?;
    let device = args.model.job.device.device()?;
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
            batches: args.batches.clone(),
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

/// The settings of the job: seed, validation share and normalization are those of a recipe that also trains.
fn settings(file: &Path) -> Result<Settings, Failure> {
    let recipe = Recipe::from_file(file).map_err(bad)?;
    match recipe.trains() {
        true => Settings::from_file(file),
        false => Ok(Settings {
            has_recipe: true,
            ..Settings::without_recipe(&file.display().to_string())
        }),
    }
}

/// The quantization that the recipe requests.
fn asked(args: &Args) -> Result<QuantizationSettings, Failure> {
    let Some(file) = &args.recipe else {
        return Ok(QuantizationSettings::default());
    };
    let (recipe, name) = (Recipe::from_file(file).map_err(bad)?, file.display());
    let Some(table) = recipe.quantization() else {
        return Err(bad(format!("{name}: there is no `[quantize]` table")));
    };
    if recipe.trains() {
        stderr(&format!(
            "{name}: the network is quantized as `[quantize]` says, without the training of the recipe, which `calcine \
             train` executes"
        ));
    }
    Ok(table.settings.clone())
}

/// Reads the calibration of an earlier run.
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
            (Ok(run), _) => self.finish(&run),
            (Err(RunError::Search(SearchError::Stopped { done })), Some(interrupt)) => {
                let out = options::quoted(&self.out.display().to_string());
                Err(interrupt.stopped(format!(
                    "stopped after {done} trials; continue with the same command and --out {out}"
                )))
            }
            (Err(error), _) => Err(bad(error)),
        }
    }
}

impl Quantize<'_> {
    /// Writes all files, and prints the result.
    fn finish(&self, run: &QuantizeRun) -> Result<(), Failure> {
        let saved = run.save(self.out).map_err(bad)?;
        let report = &self.args.model.job.report;
        self.setup.say_caveat(report);
        report.say(&run.sheet().fitted(width()));
        report.say(&run.to_string());
        let said = run.quantized.report().to_string();
        if !said.is_empty() {
            report.say(said.trim_end());
        }
        report.say(&whole::wrote(self.out));
        report.finish(&saved);
        Ok(())
    }
}

/// The directory `runs/<recipe>-<time>`, unless another one was requested.
fn out(args: &Args) -> PathBuf {
    let name = args.recipe.as_deref().and_then(Path::file_stem);
    let name = name.map_or("quantized".into(), |name| name.to_string_lossy());
    options::out(args.out.as_deref(), &name)
}

/// Parses a bit width, for clap.
fn bit_width(text: &str) -> Result<u8, String> {
    match text.parse() {
        Ok(bits @ 2..=16) => Ok(bits),
        _ => Err("expected a whole number from 2 to 16".to_owned()),
    }
}
