//! `cargo xtask train-cifar`: the reference run.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use calcine::train::StopFlag;
use calcine::zoo::Architecture;
use calcine::zoo::reference::{self, Finished, Report, Settings};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::failure::Failure;
use crate::progress::{DownloadBar, TrainingBar, stderr};

/// The recipe of the default run.
const DEFAULT_RECIPE: &str = "recipes/resnet20-agp.toml";

/// Exit code of everything that is wrong with what was given.
const BAD_INPUT: u8 = 2;

/// Train, prune and report a network on CIFAR-10.
///
/// Without options: takes the trained ResNet-20 that comes with the project, prunes it gradually to
/// 80 % while fine-tuning, and reports top-1 before and after. Ctrl-C saves and stops; --resume goes on.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to do, and how to train [default: recipes/resnet20-agp.toml].
    #[arg(long)]
    recipe: Option<PathBuf>,
    /// resnet20, resnet32, resnet44, resnet56, plain20 or simplenet [default: the recipe's].
    #[arg(long)]
    model: Option<Architecture>,
    /// A safetensors or PyTorch file, `default` for those shipped, or `none` for fresh ones.
    #[arg(long)]
    weights: Option<String>,
    /// `auto` (the environment's CALCINE_DATA, the cache, a download, or made-up images), `synthetic`, a
    /// directory, or the official archive (.tar.gz).
    #[arg(long, default_value = "auto")]
    data: String,
    /// Where to compute; `list` shows what this build has.
    #[arg(long, default_value = "flex")]
    device: String,
    /// Epochs of the run [default: the recipe's].
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    epochs: Option<u64>,
    /// Images in a batch [default: the recipe's].
    #[arg(long, value_parser = positive)]
    batch_size: Option<usize>,
    /// Training images in an epoch, a fresh random subset each [default: the recipe's].
    #[arg(long, value_parser = positive)]
    train_limit: Option<usize>,
    /// Test images, and validation images, at most.
    #[arg(long, value_parser = positive)]
    test_limit: Option<usize>,
    /// Seed of every random stream [default: the recipe's].
    #[arg(long)]
    seed: Option<u64>,
    /// The run's directory; by default one in `runs`, named after the recipe and the time.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Go on with a run that was stopped or killed, from its last complete checkpoint.
    #[arg(long, value_name = "DIR", conflicts_with_all = [
        "recipe", "model", "weights", "data", "device", "epochs", "batch_size", "train_limit",
        "test_limit", "seed", "out", "evaluate",
    ])]
    resume: Option<PathBuf>,
    /// Only measure the network on the test set.
    #[arg(long)]
    evaluate: bool,
    /// With --evaluate: print a table of the model.
    #[arg(long, value_enum, requires = "evaluate")]
    summary: Option<Summary>,
    /// Print one JSON object as the last line of stdout; everything else goes to stderr anyway.
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
    if args.device == "list" {
        calcine::device::compiled().into_iter().for_each(print_line);
        return Ok(());
    }
    let (settings, out) = match &args.resume {
        Some(directory) => (Settings::of_run(directory).map_err(bad)?, directory.clone()),
        None => (settings(args)?, out(args)),
    };
    let device = calcine::device::by_name(&settings.device).map_err(bad)?;
    let download = DownloadBar::default();
    let mut downloading = |done, total| download.show(done, total);
    if args.evaluate {
        log(None)?;
        let (report, table) =
            reference::evaluate(&settings, &device, &mut downloading).map_err(bad)?;
        if let Some(Summary::Sparsity) = args.summary {
            say(args, &table.to_string());
        }
        return finish(args, &report);
    }
    fs::create_dir_all(&out).map_err(|error| bad(format!("{}: {error}", out.display())))?;
    log(Some(&out.join("log.txt")))?;
    let stop = StopFlag::default();
    let raised = stop.clone();
    ctrlc::set_handler(move || {
        if raised.is_raised() {
            std::process::exit(130);
        }
        raised.raise();
        stderr("stopping after this step; press Ctrl-C again to stop at once without saving");
    })
    .map_err(|error| Failure::new(format!("Ctrl-C cannot be caught: {error}")))?;
    let mut bar = TrainingBar::default();
    let finished = reference::train(&settings, &device, &out, &stop, &mut bar, &mut downloading);
    bar.close();
    match finished.map_err(bad)? {
        Finished::Whole { report, table } => {
            say(args, &table.to_string());
            finish(args, &report)
        }
        Finished::Stopped { out } => {
            let out = out.display();
            stderr(&format!(
                "stopped and saved; go on with: cargo xtask train-cifar --resume {out}"
            ));
            Ok(())
        }
    }
}

fn settings(args: &Args) -> Result<Settings, Failure> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let file = args
        .recipe
        .clone()
        .unwrap_or_else(|| workspace.join(DEFAULT_RECIPE));
    let text = fs::read_to_string(&file).map_err(|error| {
        bad(format!(
            "{}: the recipe cannot be read: {error}",
            file.display()
        ))
    })?;
    let name = match &args.recipe {
        Some(file) => file.display().to_string(),
        None => DEFAULT_RECIPE.to_owned(),
    };
    Ok(Settings {
        model: args.model.map(|model| model.to_string()),
        weights: args.weights.clone(),
        data: args.data.clone(),
        device: args.device.clone(),
        epochs: args.epochs,
        batch_size: args.batch_size,
        train_limit: args.train_limit,
        test_limit: args.test_limit,
        seed: args.seed,
        ..Settings::new(name, text)
    })
}

/// `runs/<recipe>-<time>` unless something else is said.
fn out(args: &Args) -> PathBuf {
    let recipe = args.recipe.as_deref().unwrap_or(Path::new(DEFAULT_RECIPE));
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
    if let Some(out) = &report.out {
        say(
            args,
            &format!(
                "wrote {0}/checkpoints, {0}/model.safetensors, {0}/metrics.csv, {0}/sparsity.csv, \
             {0}/log.txt",
                out.display()
            ),
        );
    }
    if args.json {
        let json = serde_json::to_string(report)
            .map_err(|error| Failure::new(format!("the report cannot be written: {error}")))?;
        print_line(&json);
    }
    Ok(())
}

/// Sends the library's events to the terminal and, with times, to the run's log.
fn log(file: Option<&Path>) -> Result<(), Failure> {
    let level = tracing_subscriber::filter::LevelFilter::INFO;
    let own =
        || tracing_subscriber::filter::filter_fn(|event| event.target().starts_with("calcine"));
    let file = match file {
        Some(path) => Some(append(path)?),
        None => None,
    };
    let file = file.map(|file| {
        fmt::layer()
            .with_ansi(false)
            .with_target(false)
            .with_writer(file)
            .with_filter(own())
    });
    let terminal = fmt::layer()
        .without_time()
        .with_target(false)
        .with_writer(crate::progress::Stderr)
        .with_filter(tracing_subscriber::filter::LevelFilter::WARN);
    let registry = tracing_subscriber::registry()
        .with(level)
        .with(terminal)
        .with(file);
    registry
        .try_init()
        .map_err(|error| Failure::new(format!("no log: {error}")))
}

fn append(path: &Path) -> Result<std::sync::Mutex<File>, Failure> {
    let file = OpenOptions::new().create(true).append(true).open(path);
    let file = file.map_err(|error| bad(format!("{}: {error}", path.display())))?;
    Ok(std::sync::Mutex::new(file))
}

#[allow(clippy::needless_pass_by_value, reason = "made for `map_err`")]
fn bad(error: impl ToString) -> Failure {
    Failure::new(error.to_string()).with_exit_code(BAD_INPUT)
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("expected a whole number above 0".to_owned()),
        Ok(number) => Ok(number),
    }
}

/// A result: to stdout, unless that is for the JSON alone.
fn say(args: &Args, text: &str) {
    if args.json {
        stderr(text);
    } else {
        print_line(text);
    }
}

#[allow(clippy::print_stdout, reason = "results are what stdout is for")]
fn print_line(line: &str) {
    println!("{line}");
}
