//! `calcine sensitivity`: measures how much each layer of a network can be pruned.

use std::path::{Path, PathBuf};

use calcine::fold::Granularity;
use calcine::run::{Experiment, RunError, ScanSettings, Scanned};
use calcine::sensitivity::{Scan, levels};
use calcine::trace::{AnyTensor, Tensors};
use calcine::train::{Draw, Objective};
use serde::{Deserialize, Serialize};

use crate::events::log;
use crate::failure::{Failure, bad};
use crate::interrupt::Interrupt;
use crate::options::{self, JobOptions, MODEL_HELP, positive, share};
use crate::progress::EvaluationBar;
use crate::settings::Settings;
use crate::setup::{Job, Setup};
use crate::terminal::width;
use crate::whole;

/// The settings that determine a scan; they are saved with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Identity {
    settings: Settings,
    granularity: String,
    params: Vec<String>,
    levels: Vec<f64>,
    draw: Draw,
    batch_size: usize,
}

/// The `[train]` table of the suggested recipe, as in `recipes/resnet20-agp.toml`.
const TRAIN: &str = "\
epochs = 6
batch_size = 128
images_per_epoch = 10_000
lr = 0.02
nesterov = true
";

/// Prune one layer at a time, without fine-tuning, and measure the network on validation images.
///
/// By default, every weight is pruned element by element at the levels 0, 0.05 … 0.9, and the network is measured on
/// all validation images. For resnet20 on CIFAR-10 these are 418 evaluations of 5,000 images;
/// `--levels 0.5,0.8 --validation-limit 500` are 44 evaluations of 500, which took 18 s on two cores. Ctrl-C and SIGTERM stop after
/// an evaluation; --resume continues.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(
        value_name = "MODEL",
        help = MODEL_HELP,
        required_unless_present = "resume",
        conflicts_with = "resume"
    )]
    model: Option<String>,
    #[command(flatten)]
    job: JobOptions,
    /// The unit that is dropped as a whole: element, kernel, filter, channel, fc_output, fc_input, layer,
    /// group(M) or block(RxDxHxW).
    #[arg(long, default_value = "element")]
    granularity: Granularity,
    /// The levels: shares of the units of a layer to drop [default: 0, 0.05 … 0.9].
    #[arg(long, value_delimiter = ',', value_name = "A,B,…", value_parser = share)]
    levels: Option<Vec<f64>>,
    /// The levels as a range; STOP is not included.
    #[arg(long, num_args = 3, value_names = ["START", "STOP", "STEP"], conflicts_with = "levels")]
    range: Option<Vec<f64>>,
    /// Names or glob patterns of weights; a leading `!` excludes [default: all weights that have such units].
    #[arg(long, num_args = 1.., value_name = "GLOB")]
    params: Vec<String>,
    /// Use at most this number of validation samples, the first ones, unless --random is given [default: all].
    #[arg(long, alias = "validation-images", value_parser = positive::<usize>, value_name = "N", help_heading = "Data")]
    validation_limit: Option<usize>,
    /// Draw the validation samples at random, and write a confidence interval of each loss.
    #[arg(long, requires = "validation_limit")]
    random: bool,
    /// Number of samples in a batch: larger batches are faster, as long as the memory suffices.
    #[arg(long, value_parser = positive::<usize>, value_name = "N", default_value = "250")]
    batch_size: usize,
    /// Suggest for each layer the highest level that loses at most this number of points of top-1, and write a recipe.
    #[arg(long, value_name = "POINTS", value_parser = points)]
    max_drop: Option<f64>,
    /// The directory of the scan [default: one in `runs`, named after the granularity and the time].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Continue a scan that was stopped or killed, or use its results with --max-drop.
    #[arg(long, value_name = "DIR", conflicts_with_all = [
        "weights", "weights_key", "weights_strip", "weights_ignore", "data", "mean", "std", "validation", "device",
        "granularity", "levels", "range", "params", "validation_limit", "random", "batch_size", "seed", "out",
    ])]
    resume: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if args.job.device.lists() {
        return Ok(());
    }
    let (identity, out) = match &args.resume {
        Some(directory) => (saved(directory).map_err(bad)?, directory.clone()),
        None => (identity(args)?, out(args)),
    };
    let device = options::device(&identity.settings.device)?;
    log(None)?;
    whole::announce(&out);
    let interrupt =
        Interrupt::listen("stopping after this evaluation; press Ctrl-C again to stop at once")?;
    let setup = Setup::new(&identity.settings, &device)?;
    let job = Sensitivity {
        args,
        identity: &identity,
        setup: &setup,
        interrupt: &interrupt,
        out: &out,
    };
    setup.run("scanning", job)
}

fn saved(directory: &Path) -> Result<Identity, RunError> {
    let identity = Scanned::identity_of(directory)?;
    serde_json::from_value(identity).map_err(|error| RunError::Malformed {
        file: directory.join("scan.json"),
        reason: error.to_string(),
    })
}

struct Sensitivity<'a> {
    args: &'a Args,
    identity: &'a Identity,
    setup: &'a Setup,
    interrupt: &'a Interrupt,
    out: &'a Path,
}

impl Job for Sensitivity<'_> {
    type Output = ();

    fn run<O>(self, experiment: &Experiment<'_, Vec<AnyTensor>, O>) -> Result<(), Failure>
    where
        O: Objective,
        O::Output: Tensors,
    {
        let Identity {
            granularity,
            params,
            levels,
            draw,
            batch_size,
            ..
        } = self.identity;
        let seed = self.setup.recipe.train().seed;
        let scan = Scan::new(granularity.parse().map_err(bad)?)
            .with_params(params.iter().cloned())
            .with_levels(levels.iter().copied())
            .with_seed(seed);
        let settings = ScanSettings {
            draw: *draw,
            batch_size: *batch_size,
            seed,
            identity: serde_json::to_value(self.identity).map_err(bad)?,
            stop: self.interrupt.flag().clone(),
            ..ScanSettings::new(scan)
        };
        let metrics = experiment.metrics();
        let mut bar = EvaluationBar::default();
        let scanned = experiment.scan(&settings, self.out, &mut |now| bar.scanned(now, &metrics));
        bar.close();
        let scanned = scanned.map_err(bad)?;
        if scanned.stopped {
            let out = options::quoted(&self.out.display().to_string());
            return Err(self.interrupt.stopped(format!(
                "stopped; continue with: calcine sensitivity --resume {out}"
            )));
        }
        self.setup.say_caveat(&self.args.job.report);
        self.args.job.report.say(&scanned.to_string());
        self.finish(&scanned)
    }
}

fn identity(args: &Args) -> Result<Identity, Failure> {
    let levels = match (&args.levels, args.range.as_deref()) {
        (Some(levels), _) => levels.clone(),
        (None, Some(&[start, stop, step])) => {
            let range = levels(start, stop, step);
            if range.is_empty() || range.iter().any(|level| !(0.0..=1.0).contains(level)) {
                return Err(bad(format!(
                    "--range {start} {stop} {step}: expected START below STOP, a STEP above 0, and levels from 0 to 1"
                )));
            }
            range
        }
        _ => levels(0.0, 0.95, 0.05),
    };
    let recipe = Settings {
        changes: true,
        ..Settings::without_recipe("the scan")
    };
    let settings = args.job.settings(args.model.as_deref(), recipe)?;
    Ok(Identity {
        settings,
        granularity: args.granularity.to_string(),
        params: args.params.clone(),
        levels,
        draw: match args.validation_limit {
            Some(limit) if args.random => Draw::Random(limit),
            Some(limit) => Draw::First(limit),
            None => Draw::All,
        },
        batch_size: args.batch_size,
    })
}

/// Parses a number of points, for clap.
fn points(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(points) if points >= 0.0 && points.is_finite() => Ok(points),
        _ => Err("expected a number of points of at least 0".to_owned()),
    }
}

/// The directory `runs/sensitivity-<granularity>-<time>`, unless another one was requested.
fn out(args: &Args) -> PathBuf {
    // The name of a block granularity contains brackets.
    let granularity = args.granularity.to_string().replace(['(', ')'], "");
    options::out(args.out.as_deref(), &format!("sensitivity-{granularity}"))
}

impl Sensitivity<'_> {
    /// Writes the suggestions, the files and the JSON.
    fn finish(&self, scanned: &Scanned) -> Result<(), Failure> {
        let (report, out) = (&self.args.job.report, self.out);
        let mut json = serde_json::to_value(scanned).map_err(bad)?;
        json["out"] = serde_json::json!(out);
        json["suggestions"] = serde_json::json!([]);
        if let Some(max_drop) = self.args.max_drop {
            let suggested = scanned.suggest(max_drop);
            report.say(&suggested.sheet().fitted(width()));
            let seed = self.setup.recipe.train().seed;
            let train = format!("{}seed = {seed}\n{TRAIN}", self.setup.model.recipe_lines());
            whole::write(&out.join("suggested.toml"), suggested.recipe(&train))?;
            json["suggestions"] = serde_json::json!(suggested.suggestions);
        }
        report.say(&whole::wrote(out));
        report.finish(&json);
        Ok(())
    }
}
