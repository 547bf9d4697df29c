//! `calcine sensitivity`: how much each layer of a network can lose.

use std::path::{Path, PathBuf};

use calcine::fold::Granularity;
use calcine::sensitivity::{Suggestion, levels, recipe, suggest};
use calcine::train::{Draw, Metric};
use calcine::zoo::reference::{ScanSettings, Scanned, Settings, scan};

use crate::events::log;
use crate::failure::{Failure, bad};
use crate::interrupt::Interrupt;
use crate::options::{
    self, DataOptions, DeviceOptions, ReportOptions, WeightsOptions, no_recipe, positive, share,
};
use crate::progress::{DownloadBar, EvaluationBar};
use crate::whole;

/// How the suggested recipe trains: as `recipes/resnet20-agp.toml`.
const TRAIN: &str = "\
epochs = 6
batch_size = 128
images_per_epoch = 10_000
lr = 0.02
nesterov = true
";

/// Prune one layer at a time, without fine-tuning, and measure on validation images.
///
/// By default every weight is pruned element by element at the levels 0, 0.05 … 0.9, and measured on all validation images.
/// For resnet20 on CIFAR-10 these are 418 evaluations of 5,000 images, which take some two hours on two cores;
/// `--levels 0.5,0.8 --validation-limit 500` takes a minute or two. Ctrl-C and SIGTERM stop after an evaluation; --resume
/// goes on.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A network of the zoo, such as resnet20, or a network file.
    #[arg(
        value_name = "MODEL",
        required_unless_present = "resume",
        conflicts_with = "resume"
    )]
    model: Option<String>,
    #[command(flatten)]
    weights: WeightsOptions,
    #[command(flatten)]
    data: DataOptions,
    #[command(flatten)]
    device: DeviceOptions,
    /// What is dropped as a whole: element, kernel, filter, channel, fc_output, fc_input, layer or
    /// block(RxDxHxW).
    #[arg(long, default_value = "element")]
    granularity: Granularity,
    /// The levels: shares of the units of a layer to drop [default: 0, 0.05 … 0.9].
    #[arg(long, value_delimiter = ',', value_name = "A,B,…", value_parser = share)]
    levels: Option<Vec<f64>>,
    /// The same as a range, its end not included.
    #[arg(long, num_args = 3, value_names = ["START", "STOP", "STEP"], conflicts_with = "levels")]
    range: Option<Vec<f64>>,
    /// Names and globs of weights, `!` in front takes away [default: all that have such units].
    #[arg(long, num_args = 1.., value_name = "GLOB")]
    params: Vec<String>,
    /// Validation images at most; the first ones, unless --random is given [default: all].
    #[arg(long, alias = "validation-images", value_parser = positive::<usize>, value_name = "N", help_heading = "Data")]
    validation_limit: Option<usize>,
    /// Draw the validation images at random, and write the confidence interval of each loss.
    #[arg(long, requires = "validation_limit")]
    random: bool,
    /// Images in a batch: the more the faster, until memory ends.
    #[arg(long, value_parser = positive::<usize>, value_name = "N", default_value = "250")]
    batch_size: usize,
    /// Suggest for each layer the highest level that loses at most so many points of top-1, and write the
    /// recipe.
    #[arg(long, value_name = "POINTS", value_parser = points)]
    max_drop: Option<f64>,
    /// The scan's directory [default: one in `runs`, named after the granularity and the time].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on with a scan that was stopped or killed, or take its suggestions, with --max-drop.
    #[arg(long, value_name = "DIR", conflicts_with_all = [
        "weights", "weights_key", "weights_strip", "weights_ignore", "data", "mean", "std", "device",
        "granularity", "levels", "range", "params", "validation_limit", "random", "batch_size", "seed", "out",
    ])]
    resume: Option<PathBuf>,
    #[command(flatten)]
    report: ReportOptions,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if args.device.lists() {
        return Ok(());
    }
    let (settings, out) = match &args.resume {
        Some(directory) => (
            ScanSettings::of_run(directory).map_err(bad)?,
            directory.clone(),
        ),
        None => (settings(args)?, out(args)),
    };
    let device = options::device(&settings.device)?;
    log(None)?;
    whole::announce(&out);
    let interrupt =
        Interrupt::listen("stopping after this evaluation; press Ctrl-C again to stop at once")?;
    let download = DownloadBar::default();
    let mut bar = EvaluationBar::default();
    let scanned = scan(
        &settings,
        &device,
        &out,
        interrupt.flag(),
        &mut |now| bar.scanned(now),
        &mut |done, total| download.show(done, total),
    );
    bar.close();
    let scanned = scanned.map_err(bad)?;
    if scanned.stopped {
        let out = options::quoted(&out.display().to_string());
        return Err(interrupt.stopped(format!(
            "stopped; go on with: calcine sensitivity --resume {out}"
        )));
    }
    finish(args, &settings, &scanned, &out)
}

fn settings(args: &Args) -> Result<ScanSettings, Failure> {
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
    let Settings {
        model,
        weights,
        data,
        device,
        weights_options,
        normalization,
        ..
    } = options::settings(
        args.model.as_deref(),
        &args.weights,
        &args.data,
        &args.device,
        no_recipe("the scan"),
    )?;
    Ok(ScanSettings {
        model,
        weights,
        data,
        device,
        weights_options,
        normalization,
        seed: args.data.seed.unwrap_or(0),
        granularity: args.granularity.to_string(),
        params: args.params.clone(),
        levels,
        images: match args.validation_limit {
            Some(images) if args.random => Draw::Random(images),
            Some(images) => Draw::First(images),
            None => Draw::All,
        },
        batch_size: args.batch_size,
    })
}

/// Reads a number of points for clap.
fn points(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(points) if points >= 0.0 && points.is_finite() => Ok(points),
        _ => Err("expected a number of points of at least 0".to_owned()),
    }
}

/// `runs/sensitivity-<granularity>-<time>` unless something else is said.
fn out(args: &Args) -> PathBuf {
    // A block's name has brackets.
    let granularity = args.granularity.to_string().replace(['(', ')'], "");
    options::out(args.out.as_deref(), &format!("sensitivity-{granularity}"))
}

/// What it came to, for people and, if asked, for programs.
fn finish(
    args: &Args,
    settings: &ScanSettings,
    scanned: &Scanned,
    out: &Path,
) -> Result<(), Failure> {
    let baseline = &scanned.sensitivity.baseline.evaluation;
    if scanned.source.is_synthetic() {
        args.report
            .say(&format!("NOT CIFAR-10: {}", scanned.source));
    }
    args.report.say(&format!(
        "{}: {} points; the unpruned network has top-1 {:.2} %, top-5 {:.2} %, loss {:.4} on {} \
             validation images; {:.0} s",
        scanned.architecture,
        scanned.sensitivity.points.len(),
        baseline.value("top1"),
        baseline.value("top5"),
        baseline.loss,
        scanned.images,
        scanned.seconds,
    ));
    let mut suggestions = Vec::new();
    if let Some(max_drop) = args.max_drop {
        suggestions = suggest(&scanned.sensitivity, &Metric::higher("top1", "%"), max_drop);
        args.report.say(&table(&suggestions));
        let file = out.join("suggested.toml");
        let text = suggested(settings, scanned, max_drop, &suggestions)?;
        whole::write(&file, text)?;
    }
    args.report.say(&whole::wrote(out));
    args.report
        .finish(&json(settings, scanned, out, &suggestions));
    Ok(())
}

/// One line a layer.
fn table(suggestions: &[Suggestion]) -> String {
    let width = suggestions
        .iter()
        .map(|s| s.parameter.len())
        .max()
        .unwrap_or(0);
    let lines = suggestions.iter().map(|suggestion| {
        let Suggestion {
            parameter,
            level,
            achieved,
            drop,
            ..
        } = suggestion;
        let zeros = 100.0 * achieved;
        format!("{parameter:width$}  level {level:<5}  zeros {zeros:5.1} %  drop {drop:6.2} points")
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The recipe, with where it comes from.
fn suggested(
    settings: &ScanSettings,
    scanned: &Scanned,
    max_drop: f64,
    suggestions: &[Suggestion],
) -> Result<String, Failure> {
    let granularity = settings.granularity.parse().map_err(bad)?;
    let weights = settings.weights.as_deref().unwrap_or("default");
    let train = format!(
        "model = \"{}\"\nweights = {}\nseed = {}\n{TRAIN}",
        scanned.architecture,
        serde_json::Value::from(weights),
        settings.seed,
    );
    Ok(format!(
        "# The highest levels at which pruning a layer alone, without fine-tuning, loses at most {max_drop} points\n\
         # of top-1, by `calcine sensitivity` on {} validation images. Where to begin, not where to end:\n\
         # losses of layers add up, and fine-tuning regains much of them.\n{}",
        scanned.images,
        recipe(suggestions, granularity, &train),
    ))
}

fn json(
    settings: &ScanSettings,
    scanned: &Scanned,
    out: &Path,
    suggestions: &[Suggestion],
) -> serde_json::Value {
    let baseline = &scanned.sensitivity.baseline.evaluation;
    let suggestions: Vec<_> = suggestions
        .iter()
        .map(|s| {
            serde_json::json!({
                "parameter": s.parameter, "level": s.level, "achieved": s.achieved, "drop": s.drop,
            })
        })
        .collect();
    serde_json::json!({
        "model": scanned.architecture.to_string(),
        "data": scanned.source.to_string(),
        "data_is_synthetic": scanned.source.is_synthetic(),
        "device": settings.device,
        "granularity": settings.granularity,
        "levels": settings.levels,
        "images": scanned.images,
        "points": scanned.sensitivity.points.len(),
        "top1": baseline.value("top1"),
        "top5": baseline.value("top5"),
        "loss": baseline.loss,
        "suggestions": suggestions,
        "seconds": scanned.seconds,
        "out": out,
    })
}
