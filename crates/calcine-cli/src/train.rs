//! `calcine train`: a recipe, carried out.

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use calcine::train::EpochRow;
use calcine::zoo::reference::{self, Finished, Report, RunDirectory, Settings};

use crate::evaluate;
use crate::events::log;
use crate::failure::{Failure, bad};
use crate::interrupt::Interrupt;
use crate::logs::{self, Histograms};
use crate::options::{
    self, DataOptions, DeviceOptions, ReportOptions, WeightsOptions, positive, share,
};
use crate::progress::{DownloadBar, TrainingBar};
use crate::terminal::width;
use crate::whole;

/// Train, prune, thin or quantize a network as a recipe says, and report what it came to.
///
/// Ctrl-C and SIGTERM save and stop; --resume goes on.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A network of the zoo, such as resnet20, or a network file [default: the network that the recipe names].
    #[arg(value_name = "MODEL", required_unless_present_any = ["resume", "recipe"], conflicts_with = "resume")]
    model: Option<String>,
    #[command(flatten)]
    run: RunOptions,
}

/// The options of a run.
#[derive(Debug, clap::Args)]
pub(crate) struct RunOptions {
    /// What to do, and how to train.
    #[arg(long, value_name = "FILE.toml", required_unless_present = "resume")]
    recipe: Option<PathBuf>,
    #[command(flatten)]
    weights: WeightsOptions,
    #[command(flatten)]
    data: DataOptions,
    #[command(flatten)]
    device: DeviceOptions,
    /// Epochs of the run [default: the recipe's].
    #[arg(long, value_parser = positive::<u64>, value_name = "N")]
    epochs: Option<u64>,
    /// Images in a batch [default: the recipe's].
    #[arg(long, value_parser = positive::<usize>, value_name = "N")]
    batch_size: Option<usize>,
    /// Training images of an epoch, drawn anew for each [default: the recipe's, else all].
    #[arg(long, alias = "train-images", value_parser = positive::<usize>, value_name = "N", help_heading = "Data")]
    train_limit: Option<usize>,
    /// Test images at most, and validation images at most [default: all].
    #[arg(long, alias = "test-images", value_parser = positive::<usize>, value_name = "N", help_heading = "Data")]
    test_limit: Option<usize>,
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
        "recipe", "weights", "weights_key", "weights_strip", "weights_ignore", "data", "mean", "std",
        "device", "epochs", "batch_size", "train_limit", "test_limit", "seed", "min_sparsity", "out",
    ])]
    resume: Option<PathBuf>,
    #[command(flatten)]
    report: ReportOptions,
}

/// The reference run under its old options, for `cargo xtask train-cifar`.
#[derive(Debug, clap::Args)]
pub(crate) struct ReferenceArgs {
    /// A network of the zoo [default: the recipe's, else resnet20].
    #[arg(long, conflicts_with = "resume")]
    model: Option<String>,
    #[command(flatten)]
    run: RunOptions,
    /// Only measure the network on the test set.
    #[arg(long, conflicts_with_all = [
        "epochs", "batch_size", "train_limit", "min_sparsity", "log", "histograms", "out", "resume",
    ])]
    evaluate: bool,
    /// With --evaluate: print a table of the model.
    #[arg(long, value_enum, requires = "evaluate")]
    summary: Option<evaluate::Summary>,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    args.run.run(args.model.as_deref())
}

/// Runs the reference run.
pub(crate) fn reference(args: &ReferenceArgs) -> Result<(), Failure> {
    let run = &args.run;
    if !args.evaluate {
        return run.run(args.model.as_deref());
    }
    if run.device.lists() {
        return Ok(());
    }
    let settings = run.settings(args.model.as_deref())?;
    evaluate::measure(&settings, &run.device, args.summary, &run.report)
}

impl RunOptions {
    fn run(&self, model: Option<&str>) -> Result<(), Failure> {
        if self.device.lists() {
            return Ok(());
        }
        let (settings, out) = match &self.resume {
            Some(directory) => (Settings::of_run(directory).map_err(bad)?, directory.clone()),
            None => (self.settings(model)?, self.out()),
        };
        let device = options::device(&settings.device)?;
        train(self, &settings, &device, &out)
    }

    fn settings(&self, model: Option<&str>) -> Result<Settings, Failure> {
        let file = self.recipe.as_deref().unwrap_or(Path::new(""));
        let name = file.display().to_string();
        let text = fs::read_to_string(file)
            .map_err(|error| bad(format!("{name}: the recipe cannot be read: {error}")))?;
        let recipe = Settings {
            epochs: self.epochs,
            batch_size: self.batch_size,
            train_limit: self.train_limit,
            test_limit: self.test_limit,
            min_sparsity: self.min_sparsity,
            ..Settings::new(name, text)
        };
        options::settings(model, &self.weights, &self.data, &self.device, recipe)
    }

    /// `runs/<recipe>-<time>` unless something else is said.
    fn out(&self) -> PathBuf {
        let recipe = self.recipe.as_deref().and_then(Path::file_stem);
        let name = recipe.map_or("run".into(), |name| name.to_string_lossy());
        options::out(self.out.as_deref(), &name)
    }
}

fn train(
    args: &RunOptions,
    settings: &Settings,
    device: &Device,
    out: &Path,
) -> Result<(), Failure> {
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
            args.report.say(&table.fitted(width()));
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
        let out = options::quoted(&out.display().to_string());
        Err(interrupt.stopped(format!(
            "stopped and saved; go on with: calcine train --resume {out}"
        )))
    })
}

/// Says that a run was finished before, and what it came to.
fn already(args: &RunOptions, out: &Path) -> Result<(), Failure> {
    let file = out.join("report.json");
    let text =
        fs::read_to_string(&file).map_err(|error| bad(format!("{}: {error}", file.display())))?;
    let report: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| bad(format!("{}: {error}", file.display())))?;
    args.report.say(&format!(
        "finished before, and left as it is: top-1 {:.2} %, see {}",
        report["top1"].as_f64().unwrap_or(f64::NAN),
        file.display()
    ));
    args.report.finish(&report);
    Ok(())
}

/// What it came to, for people and, if asked, for programs.
fn finish(args: &RunOptions, report: &Report) -> Result<(), Failure> {
    if report.data_is_synthetic {
        args.report.say(&format!("NOT CIFAR-10: {}", report.data));
    }
    args.report.say(&format!(
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
    ));
    if let Some(thinned) = &report.thinned {
        args.report.say(&thinned.sheet().fitted(width()));
    }
    if let Some(integers) = &report.quantized {
        let text = format!(
            "in integers: top-1 {:.2} %, top-5 {:.2} %, loss {:.4}; {} bytes, {} with the graph",
            integers.top1, integers.top5, integers.loss, integers.bytes, integers.file_bytes
        );
        args.report.say(&text);
    }
    if report.front.len() > 1 {
        args.report.say(&front(&report.front));
    }
    if let Some(out) = &report.out {
        args.report.say(&whole::wrote(out));
    }
    args.report
        .finish(&serde_json::to_value(report).map_err(bad)?);
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
