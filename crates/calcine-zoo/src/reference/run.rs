use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::{Device, Tensor};
use calcine_recipe::{Recipe, RecipeError};
use calcine_summary::{SparsityTable, sparsity};
use calcine_trace::watch::{Sums, WatchError};
use calcine_trace::{Network, TraceError, trace};
use calcine_train::checkpoint::{self, CheckpointError};
use calcine_train::{
    Data, Driver, EpochReport, Evaluation, FitError, FitSettings, NetworkWatch, Observer, Outcome,
    Run, StepReport, StopFlag, UnwatchedError, fit,
};

use super::data::Images;
use super::{Report, Settings, Weights};
use crate::cifar10::{self, CHANNELS, Cifar10, DataError, Options, SIDE};
use crate::weights::{self, WeightsError};
use crate::{Architecture, Classifier, ModelTask, UnknownArchitecture};

/// Steps between two checkpoints within an epoch: what a killed run loses at most.
const CHECKPOINT_EVERY: u64 = 25;

/// A reference run that cannot be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// The recipe is not sound or does not fit.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// No such network.
    #[error(transparent)]
    Architecture(#[from] UnknownArchitecture),
    /// The images cannot be had.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The weights cannot be loaded or saved.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// Training could not go on.
    #[error(transparent)]
    Fit(#[from] FitError),
    /// The network cannot be looked at from inside.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// Its activations cannot be looked at.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// Nothing shows a policy the activations that it looks at.
    #[error(transparent)]
    Unwatched(#[from] UnwatchedError),
    /// A checkpoint could not be taken up.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// No weights are shipped for this network.
    #[error(
        "no weights are shipped for {architecture}, only for resnet20: give a file, or `none` to \
         begin from scratch"
    )]
    NoDefault {
        /// The network.
        architecture: Architecture,
    },
    /// An epoch without a single batch.
    #[error("{images} training images make no batch of {batch_size}")]
    NoBatch {
        /// Training images in an epoch.
        images: usize,
        /// Images in a batch.
        batch_size: usize,
    },
    /// The directory has a run already.
    #[error("{} holds a run already: resume it, or give another directory", directory.display())]
    Occupied {
        /// The directory.
        directory: PathBuf,
    },
    /// A file of a run that is not what it should be.
    #[error("{}: {reason}", file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The file system refused.
    #[error("{}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl ReferenceError {
    pub(super) fn io(file: &Path, source: std::io::Error) -> Self {
        Self::Io {
            file: file.to_path_buf(),
            source,
        }
    }
}

/// How a reference run ended.
#[derive(Debug)]
pub enum Finished {
    /// All epochs are done.
    Whole {
        /// What it came to.
        report: Box<Report>,
        /// The kept weights' sparsity.
        table: SparsityTable,
    },
    /// It was asked to stop, and can be resumed.
    Stopped {
        /// The run's directory.
        out: PathBuf,
    },
}

/// Measures a network on the test set, without training: its report, and its sparsity.
///
/// # Errors
///
/// If anything it needs is missing or malformed.
pub fn evaluate(
    settings: &Settings,
    device: &Device,
    download: &mut dyn FnMut(u64, u64),
) -> Result<(Report, SparsityTable), ReferenceError> {
    let setup = Setup::new(settings, device, download)?;
    let seed = setup.recipe.train().seed;
    setup.build(seed, Measure { setup: &setup })
}

struct Measure<'a> {
    setup: &'a Setup,
}

impl ModelTask for Measure<'_> {
    type Output = Result<(Report, SparsityTable), ReferenceError>;

    fn run<M: Classifier + 'static>(self, model: M) -> Self::Output {
        let began = Instant::now();
        let model = self.setup.load_weights(model)?;
        let tested = self.setup.test(&model);
        let table = sparsity(&model);
        let mut report = self.setup.report(tested.top1, tested, &table);
        report.epochs = 0;
        report.seconds = began.elapsed().as_secs_f64();
        report.images_per_second = tested.count as f64 / report.seconds;
        Ok((report, table))
    }
}

/// Trains as the settings say, in the directory `out`. A directory that holds a run is resumed if it is
/// the same run, from its last complete checkpoint if it has one.
///
/// # Errors
///
/// If anything it needs is missing or malformed, or the run diverges.
pub fn train(
    settings: &Settings,
    device: &Device,
    out: &Path,
    stop: &StopFlag,
    observer: &mut dyn Observer,
    download: &mut dyn FnMut(u64, u64),
) -> Result<Finished, ReferenceError> {
    let setup = Setup::new(settings, device, download)?;
    let seed = setup.recipe.train().seed;
    setup.build(
        seed,
        Train {
            setup: &setup,
            settings,
            out,
            stop,
            observer,
        },
    )
}

struct Train<'a> {
    setup: &'a Setup,
    settings: &'a Settings,
    out: &'a Path,
    stop: &'a StopFlag,
    observer: &'a mut dyn Observer,
}

impl ModelTask for Train<'_> {
    type Output = Result<Finished, ReferenceError>;

    fn run<M: Classifier + 'static>(self, model: M) -> Self::Output {
        let began = Instant::now();
        let Self {
            setup,
            settings,
            out,
            stop,
            observer,
        } = self;
        let recipe = &setup.recipe;
        let steps = setup.images.steps_per_epoch();
        if steps == 0 {
            let batch_size = recipe.train().batch_size;
            return Err(ReferenceError::NoBatch {
                images: setup.images.train_images(),
                batch_size,
            });
        }
        let driver = shown(recipe.bind(&model, steps)?, &model, &setup.images)?;
        for warning in recipe.warnings(steps) {
            tracing::warn!("{warning}");
        }
        let checkpoints = out.join("checkpoints");
        let model = model.train();
        let mut run = Run::new(model, driver, recipe.train().optimizer.init());
        let before: f64;
        if claim(settings, out)? == Claimed::Checkpointed {
            let (resumed, context) = run.resume(&checkpoints, &setup.device)?;
            run = resumed;
            before = context["top1_before"].as_f64().unwrap_or(f64::NAN);
            tracing::info!("resumed at step {}", run.driver.clock().global_step());
        } else {
            run.model = setup.load_weights(run.model)?;
            before = setup.test(&run.model.valid()).top1;
            tracing::info!("top-1 before: {before:.2} %");
        }
        let fit_settings = FitSettings {
            epochs: recipe.train().epochs,
            checkpoint_every: Some(CHECKPOINT_EVERY),
            checkpoints: Some(checkpoints.clone()),
            criterion: settings.criterion(),
            context: serde_json::json!({ "top1_before": before }),
            stop: stop.clone(),
            ..FitSettings::default()
        };
        let metrics = Metrics {
            file: out.join("metrics.csv"),
            images: 0.0,
            seconds: 0.0,
            failed: None,
        };
        let mut watching = (metrics, observer);
        let outcome = fit(run, &setup.images, M::forward, &fit_settings, &mut watching)?;
        let (metrics, _) = watching;
        if let Some(error) = metrics.failed {
            return Err(error);
        }
        let run = match outcome {
            Outcome::Finished(run) => run,
            Outcome::Stopped(_) => {
                return Ok(Finished::Stopped {
                    out: out.to_path_buf(),
                });
            }
        };
        write(&metrics.file, run.history.to_csv())?;
        let steps = run.driver.clock().global_step();
        let kept = run.history.best_by(settings.criterion());
        let kept = kept.map(|row| row.epoch);
        let front = run.history.pareto().into_iter().cloned().collect();
        let best = checkpoint::best(&checkpoints);
        let model = checkpoint::load_model(run.model, &best)?.valid();
        weights::save(&model, &out.join("model.safetensors"))?;
        let tested = setup.test(&model);
        let table = sparsity(&model);
        write(&out.join("sparsity.csv"), table.to_csv())?;
        let mut report = setup.report(before, tested, &table);
        report.steps = steps;
        report.kept_epoch = kept;
        report.front = front;
        report.seconds = began.elapsed().as_secs_f64();
        report.images_per_second = metrics.images / f64::max(metrics.seconds, f64::MIN_POSITIVE);
        report.out = Some(out.to_path_buf());
        let text = serde_json::to_string_pretty(&report).expect("a report is plain data");
        write(&out.join("report.json"), text)?;
        Ok(Finished::Whole {
            report: Box::new(report),
            table,
        })
    }
}

/// What a run needs before there is a model.
pub(super) struct Setup {
    recipe: Recipe,
    pub(super) architecture: Architecture,
    weights: Weights,
    pub(super) source: cifar10::Source,
    pub(super) images: Images,
    pub(super) device: Device,
    device_name: String,
    /// The network that the weights' file holds, if it holds one.
    network: Option<Network>,
}

impl Setup {
    pub(super) fn new(
        settings: &Settings,
        device: &Device,
        download: &mut dyn FnMut(u64, u64),
    ) -> Result<Self, ReferenceError> {
        let recipe = settings.recipe()?;
        let architecture = settings.architecture(&recipe)?;
        let weights = recipe.train().weights.as_deref().unwrap_or("default");
        let mut weights: Weights = weights.parse().unwrap_or(Weights::Default);
        let data: Cifar10 = cifar10::load(&settings.choice(), &Options::default(), download)?;
        if data.source.is_synthetic() {
            tracing::warn!(
                "{}: the numbers of this run say nothing about CIFAR-10",
                data.source
            );
            if weights == Weights::Default {
                tracing::warn!(
                    "weights trained on CIFAR-10 are of no use here: beginning from scratch"
                );
                weights = Weights::None;
            }
        }
        let images = Images::new(&data, recipe.train(), settings.test_limit, device);
        let device = &device.clone().without_autodiff().autodiff();
        let network = weights.network(device)?;
        if network.is_some() {
            weights = Weights::None;
        }
        Ok(Self {
            network,
            architecture,
            weights,
            source: data.source,
            images,
            device: device.clone(),
            device_name: settings.device.clone(),
            recipe,
        })
    }

    /// Hands the network to the task: that of the weights' file, or a fresh one of the architecture.
    pub(super) fn build<T: ModelTask>(&self, seed: u64, task: T) -> T::Output {
        match &self.network {
            Some(network) => task.run(network.clone()),
            None => self.architecture.build(seed, &self.device, task),
        }
    }

    pub(super) fn load_weights<M: Classifier>(&self, model: M) -> Result<M, ReferenceError> {
        self.weights.load(model, self.architecture)
    }

    pub(super) fn test<M: Classifier>(&self, model: &M) -> Evaluation {
        let model = model.valid();
        calcine_train::evaluate(self.images.test(), |images| model.forward(images))
    }

    fn report(&self, before: f64, tested: Evaluation, table: &SparsityTable) -> Report {
        let train = self.recipe.train();
        let weights = table.total();
        Report {
            model: self.architecture.to_string(),
            data: self.source.to_string(),
            data_is_synthetic: self.source.is_synthetic(),
            device: self.device_name.clone(),
            recipe: self.recipe.file().unwrap_or_default().to_owned(),
            seed: train.seed,
            epochs: train.epochs,
            steps: 0,
            top1_before: before,
            top1: tested.top1,
            top5: tested.top5,
            loss: tested.loss,
            sparsity: weights.sparsity(),
            parameters: weights.total,
            nonzero: weights.nonzero,
            trainable_parameters: table.all.total,
            trainable_nonzero: table.all.nonzero,
            kept_epoch: None,
            front: Vec::new(),
            test_images: tested.count,
            seconds: 0.0,
            images_per_second: 0.0,
            out: None,
        }
    }
}

/// The driver, shown the activations of the model if a policy looks at them.
fn shown<M: Classifier>(
    driver: Driver<M>,
    model: &M,
    images: &Images,
) -> Result<Driver<M>, ReferenceError> {
    let (wanted, refitted) = (driver.wanted(), driver.reconstructions());
    let scored = wanted.iter().map(|wanted| wanted.batches);
    let counts = scored.chain(refitted.iter().map(|refitted| refitted.batches));
    if wanted.is_empty() && refitted.is_empty() {
        return Ok(driver);
    }
    // What looks at all batches looks at an epoch's.
    let epoch = images.steps_per_epoch();
    let counts = counts.map(|batches| batches.unwrap_or(epoch).min(epoch));
    let batches = images.first(counts.max().unwrap_or(1) as usize);
    let model = model.valid();
    let sample = Tensor::zeros([1, CHANNELS, SIDE, SIDE], images.inference());
    let network = trace(&model, sample, |model, images| model.forward(images))?;
    let watch = NetworkWatch::new(&network, batches, Sums::Pass)?;
    Ok(driver.with_watch(Box::new(watch))?)
}

#[derive(Debug, PartialEq, Eq)]
enum Claimed {
    /// Nothing has been trained yet.
    Fresh,
    /// There is a checkpoint to go on from.
    Checkpointed,
}

/// Makes `out` this run's directory, or finds that it is.
fn claim(settings: &Settings, out: &Path) -> Result<Claimed, ReferenceError> {
    if out.join("run.json").exists() {
        if Settings::of_run(out)? != *settings {
            return Err(ReferenceError::Occupied {
                directory: out.to_path_buf(),
            });
        }
        return match checkpoint::latest(&out.join("checkpoints")) {
            Ok(_) => Ok(Claimed::Checkpointed),
            Err(CheckpointError::None { .. }) => Ok(Claimed::Fresh),
            Err(error) => Err(error.into()),
        };
    }
    let occupied = fs::read_dir(out).is_ok_and(|mut entries| {
        entries.any(|entry| entry.is_ok_and(|entry| entry.file_name() != "log.txt"))
    });
    if occupied {
        return Err(ReferenceError::Occupied {
            directory: out.to_path_buf(),
        });
    }
    fs::create_dir_all(out).map_err(|error| ReferenceError::io(out, error))?;
    write(&out.join("recipe.toml"), &settings.recipe)?;
    let text = serde_json::to_string_pretty(settings).expect("settings are plain data");
    write(&out.join("run.json"), text)?;
    Ok(Claimed::Fresh)
}

/// Writes a file beside and renames it.
pub(super) fn write(file: &Path, text: impl AsRef<[u8]>) -> Result<(), ReferenceError> {
    let directory = file.parent().unwrap_or(Path::new("."));
    let write = || {
        let mut beside = tempfile::NamedTempFile::new_in(directory)?;
        beside.write_all(text.as_ref())?;
        beside.persist(file)?;
        Ok(())
    };
    write().map_err(|error| ReferenceError::io(file, error))
}

/// Writes `metrics.csv` after every epoch, and adds up training time.
struct Metrics {
    file: PathBuf,
    images: f64,
    seconds: f64,
    failed: Option<ReferenceError>,
}

impl Observer for Metrics {
    fn step(&mut self, report: &StepReport) {
        self.images += report.images as f64;
        self.seconds += report.images as f64 / report.per_second;
    }

    fn epoch(&mut self, report: &EpochReport<'_>) {
        if let Err(error) = write(&self.file, report.history.to_csv()) {
            self.failed = Some(error);
        }
    }
}
