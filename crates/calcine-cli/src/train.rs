//! `calcine train`: executes a recipe.

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use calcine::run::{
    Experiment, Finished, Model, Report, RunDirectory, RunFile, Teacher, TrainSettings,
};
use calcine::trace::{AnyTensor, Network, Tensors};
use calcine::train::{Criterion, Log, Logged, Objective};

use crate::evaluate;
use crate::events::log;
use crate::failure::{Failure, bad};
use crate::interrupt::Interrupt;
use crate::logs::{self, Histograms};
use crate::options::{self, JobOptions, MODEL_HELP, TestOptions, positive, share};
use crate::progress::TrainingBar;
use crate::settings::Settings;
use crate::setup::{Job, Setup, teacher};
use crate::terminal::width;
use crate::whole;

/// Train, prune, thin or quantize a network according to a recipe, and report the result.
///
/// Ctrl-C and SIGTERM save and stop; --resume continues.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(value_name = "MODEL", help = MODEL_HELP, required_unless_present_any = ["resume", "recipe"], conflicts_with = "resume")]
    model: Option<String>,
    #[command(flatten)]
    run: RunOptions,
}

/// The options of a run.
#[derive(Debug, clap::Args)]
pub(crate) struct RunOptions {
    /// The recipe.
    #[arg(long, value_name = "FILE.toml", required_unless_present = "resume")]
    recipe: Option<PathBuf>,
    #[command(flatten)]
    job: JobOptions,
    /// Number of epochs of the run [default: that of the recipe].
    #[arg(long, value_parser = positive::<u64>, value_name = "N")]
    epochs: Option<u64>,
    /// Number of samples in a batch [default: that of the recipe].
    #[arg(long, value_parser = positive::<usize>, value_name = "N")]
    batch_size: Option<usize>,
    /// Number of training samples in an epoch, a new random subset each time [default: that of the recipe, otherwise
    /// all].
    #[arg(long, alias = "train-images", value_parser = positive::<usize>, value_name = "N", help_heading = "Data")]
    train_limit: Option<usize>,
    #[command(flatten)]
    test: TestOptions,
    /// Keep the most accurate epoch with at least this share of zeros, such as 0.75 [default: the most accurate of the
    /// sparsest epochs].
    #[arg(long, value_name = "SHARE", value_parser = share)]
    min_sparsity: Option<f64>,
    /// What to log by step, in addition to `metrics.csv`, which has one row per epoch. A resumed run continues the logs
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
    /// The directory of the run [default: one in `runs`, named after the recipe and the time].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Continue a run that was stopped or killed, from its last complete checkpoint.
    #[arg(long, value_name = "DIR", conflicts_with_all = [
        "recipe", "weights", "weights_key", "weights_strip", "weights_ignore", "data", "mean", "std",
        "validation", "device", "epochs", "batch_size", "train_limit", "test_limit", "seed", "min_sparsity", "out",
    ])]
    resume: Option<PathBuf>,
}

/// The run of `cargo xtask train-cifar`, with its options.
#[derive(Debug, clap::Args)]
pub(crate) struct ReferenceArgs {
    /// A network of the zoo [default: that of the recipe, otherwise resnet20].
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

/// Runs the command for `cargo xtask train-cifar`.
pub(crate) fn reference(args: &ReferenceArgs) -> Result<(), Failure> {
    let (model, run) = (args.model.as_deref(), &args.run);
    if !args.evaluate {
        return run.run(model);
    }
    if run.job.device.lists() {
        return Ok(());
    }
    let settings = run.settings(model, false)?;
    let JobOptions { device, report, .. } = &run.job;
    evaluate::measure(&settings, device, args.summary, report)
}

/// MODEL and `--weights`; a network file may be given as either if there is no other MODEL.
fn named<'a>(
    model: Option<&'a str>,
    weights: Option<&'a str>,
) -> (Option<&'a str>, Option<&'a str>) {
    let Some(file) = weights.filter(|file| model.is_none() && Path::new(file).is_file()) else {
        return (model, weights);
    };
    match Model::load(file.as_ref(), &Device::flex()) {
        Ok(_) => (Some(file), None),
        Err(_) => (model, weights),
    }
}

impl RunOptions {
    fn run(&self, model: Option<&str>) -> Result<(), Failure> {
        if self.job.device.lists() {
            return Ok(());
        }
        let (settings, out) = match &self.resume {
            Some(directory) => (
                RunFile::settings_of(directory).map_err(bad)?,
                directory.clone(),
            ),
            None => (self.settings(model, true)?, self.out()),
        };
        let device = options::device(&settings.device)?;
        train(self, &settings, &device, &out)
    }

    fn settings(&self, model: Option<&str>, changes: bool) -> Result<Settings, Failure> {
        let file = self.recipe.as_deref().unwrap_or(Path::new(""));
        let recipe = Settings {
            epochs: self.epochs,
            batch_size: self.batch_size,
            train_limit: self.train_limit,
            test_limit: self.test.test_limit,
            min_sparsity: self.min_sparsity,
            changes,
            ..Settings::from_file(file)?
        };
        let (model, weights) = named(model, self.job.weights.weights.as_deref());
        self.job.settings_with(model, weights, recipe)
    }

    /// The directory `runs/<recipe>-<time>`, unless another one was requested.
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
    let identity = serde_json::to_value(settings).map_err(bad)?;
    let directory = RunDirectory::for_run(&identity, out).map_err(bad)?;
    if directory.is_finished() {
        return already(args, out);
    }
    let result = train_in(args, settings, device, &directory);
    if result.is_err() {
        directory.give_up();
    }
    result
}

fn train_in(
    args: &RunOptions,
    settings: &Settings,
    device: &Device,
    directory: &RunDirectory,
) -> Result<(), Failure> {
    let out = directory.path();
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
    let setup = Setup::new(settings, device)?;
    let mut watching = (TrainingBar::default(), logs);
    let job = Train {
        args,
        settings,
        setup: &setup,
        directory,
        interrupt: &interrupt,
        watching: &mut watching,
    };
    let stopped = setup.run("training", job);
    let (mut bar, logs) = watching;
    bar.close();
    let stopped = stopped?;
    logs.finish().map_err(bad)?;
    stopped.map_or(Ok(()), |out| {
        let out = options::quoted(&out.display().to_string());
        Err(interrupt.stopped(format!(
            "stopped and saved; continue with: calcine train --resume {out}"
        )))
    })
}

/// The bar, and the logs.
type Watching = (TrainingBar, Logged<Vec<Box<dyn Log>>>);

struct Train<'a> {
    args: &'a RunOptions,
    settings: &'a Settings,
    setup: &'a Setup,
    directory: &'a RunDirectory,
    interrupt: &'a Interrupt,
    watching: &'a mut Watching,
}

impl Job for Train<'_> {
    /// The directory of a run that was stopped.
    type Output = Option<PathBuf>;

    const TRAINS: bool = true;

    fn run<O>(
        self,
        experiment: &Experiment<'_, Vec<AnyTensor>, O>,
    ) -> Result<Option<PathBuf>, Failure>
    where
        O: Objective,
        O::Output: Tensors,
    {
        let Self {
            args,
            settings,
            setup,
            directory,
            interrupt,
            watching,
        } = self;
        let least = settings.min_sparsity;
        let teacher = teacher(setup)?.map(|network| -> Teacher<'_, Vec<AnyTensor>, O::Output> {
            Box::new(move |inputs| Network::forward(&network, inputs))
        });
        let mut run = TrainSettings::with_identity(settings).map_err(bad)?;
        run.criterion = least.map_or(Criterion::Sparsest, Criterion::AtLeast);
        run.teacher = teacher;
        run.stop = interrupt.flag().clone();
        run.warnings = setup.warnings();
        let finished = experiment.train_in(&setup.recipe, directory, run, watching);
        watching.0.close();
        match finished.map_err(bad)? {
            Finished::Whole {
                report,
                table,
                network,
                ..
            } => {
                // A thinned network already has its own file.
                if report.thinned.is_none() {
                    let file = directory.path().join("network.safetensors");
                    network.save(&file).map_err(bad)?;
                }
                args.job.report.say(&table.fitted(width()));
                setup.say_caveat(&args.job.report);
                finish(args, &report);
                Ok(None)
            }
            Finished::Already { out } => {
                already(args, &out)?;
                Ok(None)
            }
            Finished::Stopped { out } => Ok(Some(out)),
        }
    }
}

/// Reports that a run was finished before, and its result.
fn already(args: &RunOptions, out: &Path) -> Result<(), Failure> {
    let file = out.join("report.json");
    let text =
        fs::read_to_string(&file).map_err(|error| bad(format!("{}: {error}", file.display())))?;
    let report: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| bad(format!("{}: {error}", file.display())))?;
    args.job.report.say(&format!(
        "finished before, and left as it is: see {}",
        file.display()
    ));
    args.job.report.finish(&report);
    Ok(())
}

/// Prints the result, and the JSON if it was requested.
fn finish(args: &RunOptions, report: &Report) {
    let print = &args.job.report;
    print.say(&report.to_string());
    if let Some(thinned) = &report.thinned {
        print.say(&thinned.sheet().fitted(width()));
    }
    if let Some(out) = &report.out {
        print.say(&whole::wrote(out));
    }
    print.finish(report);
}
