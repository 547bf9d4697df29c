//! `calcine train`: the reference run.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use calcine::train::EpochRow;
use calcine::zoo::reference::{self, Finished, Report, RunDirectory, Settings};
use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::logs::{self, Histograms};
use crate::network::{self, Network, natural, positive, share};
use crate::progress::{DownloadBar, TrainingBar};
use crate::terminal::{self, colours, print_line, width};
use crate::whole;

/// Exit code of everything that is wrong with what was given.
const BAD_INPUT: u8 = 2;

/// Train, prune and report a network on CIFAR-10.
///
/// Without options: takes the trained ResNet-20 that comes with the project, prunes it gradually to
/// 80 % while fine-tuning, and reports top-1 before and after. Ctrl-C and SIGTERM save and stop; --resume goes on.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to do, and how to train.
    #[arg(long, value_name = "FILE.toml")]
    recipe: Option<PathBuf>,
    #[command(flatten)]
    network: Network,
    /// Epochs of the run [default: the recipe's].
    #[arg(long, value_parser = positive::<u64>, value_name = "N")]
    epochs: Option<u64>,
    /// Images in a batch [default: the recipe's].
    #[arg(long, value_parser = positive::<usize>, value_name = "N")]
    batch_size: Option<usize>,
    /// Training images of an epoch, drawn anew for each [default: the recipe's, else all].
    #[arg(long, alias = "train-limit", value_parser = positive::<usize>, value_name = "N")]
    train_images: Option<usize>,
    /// Test images at most, and validation images at most [default: all].
    #[arg(long, alias = "test-limit", value_parser = positive::<usize>, value_name = "N")]
    test_images: Option<usize>,
    /// Seed of every random stream [default: the recipe's, else 0].
    #[arg(long, value_parser = natural::<u64>, value_name = "N")]
    seed: Option<u64>,
    /// Keep the most accurate epoch with at least this share of zeros, such as 0.75 [default: the most
    /// accurate of the sparsest].
    #[arg(long, value_name = "SHARE", value_parser = share)]
    min_sparsity: Option<f64>,
    /// What to log by steps, beside `metrics.csv`, which has a row an epoch. A resumed run goes on with the logs
    /// that it has.
    #[arg(
        long,
        value_enum,
        value_name = "KIND",
        value_delimiter = ',',
        default_value = "csv"
    )]
    log: Vec<logs::Kind>,
    /// Also log a histogram of each weight after each epoch, to TensorBoard.
    #[arg(long)]
    histograms: bool,
    /// The run's directory [default: one in `runs`, named after the recipe and the time].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on with a run that was stopped or killed, from its last complete checkpoint.
    #[arg(long, value_name = "DIR", conflicts_with_all = [
        "recipe", "model", "weights", "weights_key", "weights_strip", "weights_ignore", "data", "mean", "std",
        "device", "epochs", "batch_size", "train_images", "test_images", "seed", "min_sparsity", "out", "evaluate",
    ])]
    resume: Option<PathBuf>,
    /// Only measure the network on the test set.
    #[arg(long, conflicts_with_all = [
        "epochs", "batch_size", "train_images", "min_sparsity", "log", "histograms", "out",
    ])]
    evaluate: bool,
    /// With --evaluate: print a table of the model.
    #[arg(long, value_enum, requires = "evaluate")]
    summary: Option<Summary>,
    /// Print one JSON object as the last line of stdout; everything else goes to stderr then.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Summary {
    /// Zeros of every weight, by element and structure.
    Sparsity,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if args.network.lists_devices() {
        return Ok(());
    }
    let (settings, out) = match &args.resume {
        Some(directory) => (Settings::of_run(directory).map_err(bad)?, directory.clone()),
        None => (settings(args)?, out(args)),
    };
    let device = network::device(&settings.device)?;
    if args.evaluate {
        evaluate(args, &settings, &device)
    } else {
        train(args, &settings, &device, &out)
    }
}

fn evaluate(args: &Args, settings: &Settings, device: &Device) -> Result<(), Failure> {
    log(None)?;
    let download = DownloadBar::default();
    let mut downloading = |done, total| download.show(done, total);
    let (report, table) = reference::evaluate(settings, device, &mut downloading).map_err(bad)?;
    if let Some(Summary::Sparsity) = args.summary {
        say(args, &table.fitted(width()));
    }
    finish(args, &report)
}

fn train(args: &Args, settings: &Settings, device: &Device, out: &Path) -> Result<(), Failure> {
    let directory = RunDirectory::for_run(settings, out).map_err(bad)?;
    if directory.is_finished() {
        return already(args, out);
    }
    let histograms = if args.histograms {
        Histograms::On
    } else {
        Histograms::Off
    };
    let logs = logs::open(out, &args.log, histograms)?;
    log(Some(&out.join("log.txt")))?;
    whole::announce(out);
    let interrupt = Interrupt::listen(
        "stopping after this step; press Ctrl-C again to stop at once without saving",
    )?;
    let mut watching = (TrainingBar::default(), logs);
    let download = DownloadBar::default();
    let mut downloading = |done, total| download.show(done, total);
    let finished = reference::train(
        settings,
        device,
        &directory,
        interrupt.flag(),
        &mut watching,
        &mut downloading,
    );
    let (mut bar, logs) = watching;
    bar.close();
    let stopped = match finished.map_err(bad)? {
        Finished::Whole { report, table } => {
            say(args, &table.fitted(width()));
            finish(args, &report)?;
            None
        }
        Finished::Already { out } => {
            already(args, &out)?;
            None
        }
        Finished::Stopped { out } => Some(out),
    };
    logs.finish().map_err(bad)?;
    stopped.map_or(Ok(()), |out| {
        let out = network::quoted(&out.display().to_string());
        Err(interrupt.stopped(format!(
            "stopped and saved; go on with: calcine train --resume {out}"
        )))
    })
}

/// Says that a run was finished before, and what it came to.
fn already(args: &Args, out: &Path) -> Result<(), Failure> {
    let file = out.join("report.json");
    let text =
        fs::read_to_string(&file).map_err(|error| bad(format!("{}: {error}", file.display())))?;
    let report: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| bad(format!("{}: {error}", file.display())))?;
    say(
        args,
        &format!(
            "finished before, and left as it is: top-1 {:.2} %, see {}",
            report["top1"].as_f64().unwrap_or(f64::NAN),
            file.display()
        ),
    );
    if args.json {
        print_line(&report.to_string());
    }
    Ok(())
}

fn settings(args: &Args) -> Result<Settings, Failure> {
    let Some(file) = &args.recipe else {
        return Err(bad(
            "`--recipe FILE.toml` is missing; `calcine recipe new` writes a recipe to begin with",
        ));
    };
    let name = file.display().to_string();
    let text = fs::read_to_string(file)
        .map_err(|error| bad(format!("{name}: the recipe cannot be read: {error}")))?;
    Ok(Settings {
        epochs: args.epochs,
        batch_size: args.batch_size,
        train_limit: args.train_images,
        test_limit: args.test_images,
        seed: args.seed,
        min_sparsity: args.min_sparsity,
        ..args.network.over(Settings::new(name, text))
    })
}

/// `runs/<recipe>-<time>` unless something else is said.
fn out(args: &Args) -> PathBuf {
    let recipe = args.recipe.as_deref().unwrap_or(Path::new("run"));
    let recipe = recipe
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let now = chrono::Local::now().format("%Y%m%d-%H%M%S");
    args.out
        .clone()
        .unwrap_or_else(|| Path::new("runs").join(format!("{recipe}-{now}")))
}

/// What it came to, for people and, if asked, for programs.
fn finish(args: &Args, report: &Report) -> Result<(), Failure> {
    if report.data_is_synthetic {
        say(args, &format!("NOT CIFAR-10: {}", report.data));
    }
    if args.evaluate {
        say(
            args,
            &format!(
                "{} on {} test images: top-1 {:.2} %, top-5 {:.2} %, loss {:.4}",
                report.model, report.test_images, report.top1, report.top5, report.loss
            ),
        );
    } else {
        say(
            args,
            &format!(
                "{}: top-1 {:.2} % before, {:.2} % after ({} test images), top-5 {:.2} %, loss {:.4}\n\
             sparsity {:.2} %: {} of {} weights left, kept from epoch {}\n\
             {} steps at {:.0} images/s, {:.0} s in all",
                report.model,
                report.top1_before,
                report.top1,
                report.test_images,
                report.top5,
                report.loss,
                100.0 * report.sparsity,
                report.nonzero,
                report.parameters,
                report.kept_epoch.unwrap_or_default(),
                report.steps,
                report.images_per_second,
                report.seconds,
            ),
        );
    }
    if let Some(thinned) = &report.thinned {
        say(args, &thinned.sheet().fitted(width()));
    }
    if let Some(integers) = &report.quantized {
        let text = format!(
            "in integers: top-1 {:.2} %, top-5 {:.2} %, loss {:.4}; {} bytes, {} with the graph",
            integers.top1, integers.top5, integers.loss, integers.bytes, integers.file_bytes
        );
        say(args, &text);
    }
    if report.front.len() > 1 {
        say(args, &front(&report.front));
    }
    if let Some(out) = &report.out {
        say(args, &whole::wrote(out));
    }
    if args.json {
        let json = serde_json::to_string(report)
            .map_err(|error| Failure::new(format!("the report cannot be written: {error}")))?;
        print_line(&json);
    }
    Ok(())
}

/// The epochs to choose from, with their sparsity and validation top-1.
fn front(rows: &[EpochRow]) -> String {
    let epochs = rows.iter().map(|row| {
        let top1 = row
            .validation
            .as_ref()
            .map_or(f64::NAN, |validation| validation.value("top1"));
        format!("{} ({:.2} %, {top1:.2} %)", row.epoch, 100.0 * row.sparsity)
    });
    let epochs: Vec<String> = epochs.collect();
    format!(
        "Pareto front, epoch (sparsity, validation top-1): {}",
        epochs.join(", ")
    )
}

/// Sends the library's events to the terminal and, with times, to the run's log.
pub(crate) fn log(file: Option<&Path>) -> Result<(), Failure> {
    let on_terminal = || {
        fmt::layer()
            .without_time()
            .with_target(false)
            .with_ansi(colours())
            .with_writer(terminal::Stderr)
    };
    let warnings = on_terminal().with_filter(LevelFilter::WARN);
    // What a run is about and what happens to it; its steps are for the bar.
    let news = on_terminal().with_level(false);
    let news = news.with_filter(filter_fn(|event| {
        *event.level() == Level::INFO && event.target().starts_with("calcine_zoo")
    }));
    let mut layers = vec![warnings.boxed(), news.boxed()];
    if let Some(path) = file {
        let own = filter_fn(|event| event.target().starts_with("calcine"));
        let file = fmt::layer()
            .with_ansi(false)
            .with_target(false)
            .with_writer(append(path)?);
        layers.push(file.with_filter(own).boxed());
    }
    tracing_subscriber::registry()
        .with(LevelFilter::INFO)
        .with(layers)
        .try_init()
        .map_err(|error| Failure::new(format!("no log: {error}")))
}

fn append(path: &Path) -> Result<std::sync::Mutex<File>, Failure> {
    let file = OpenOptions::new().create(true).append(true).open(path);
    let file = file.map_err(|error| bad(format!("{}: {error}", path.display())))?;
    Ok(std::sync::Mutex::new(file))
}

#[allow(clippy::needless_pass_by_value, reason = "made for `map_err`")]
pub(crate) fn bad(error: impl ToString) -> Failure {
    Failure::new(error.to_string()).with_exit_code(BAD_INPUT)
}

/// A result: to stdout, unless that is for the JSON alone.
fn say(args: &Args, text: &str) {
    terminal::say(args.json, text);
}
