use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::{Device, Tensor};
use calcine_fold::Layout;
use calcine_graph::Op;
use calcine_quantize::Quantized;
use calcine_summary::{SparsityTable, Weight, sparsity};
use calcine_train::checkpoint;
use calcine_train::{
    Classification, Data, DistillationObjective, Driver, EpochReport, Evaluation, FitSettings,
    Observer, Outcome, Run, StepReport, StopFlag, fit,
};

use super::directory::{RunDirectory, RunState};
use super::run_file::RunFile;
use super::setup::Setup;
use super::shape::{Fixed, QuantizationAware, Shape, Thinning};
use super::teacher::Teacher;
use super::{QuantizedReport, ReferenceError, Report, Settings};
use crate::{Classifier, ModelTask};

/// Steps between two checkpoints within an epoch: what a killed run loses at most.
const CHECKPOINT_EVERY: u64 = 25;

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
    /// It was finished before, and nothing has been done.
    Already {
        /// The run's directory, with its report.
        out: PathBuf,
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
    let setup = Setup::of_any(settings, device, download)?;
    let seed = setup.recipe.train().seed;
    let measure = Measure { setup: &setup };
    match &setup.quantized {
        Some(quantized) => Ok(measure.integers(quantized)),
        None => setup.build(seed, measure),
    }
}

struct Measure<'a> {
    setup: &'a Setup,
}

impl Measure<'_> {
    fn integers(&self, quantized: &Quantized) -> (Report, SparsityTable) {
        let began = Instant::now();
        let tested = calcine_train::evaluate(
            self.setup.images.test(),
            |images| quantized.forward(images),
            &Classification,
        );
        let table = sparsity_of_integers(quantized);
        (self.report(&tested, &table, began), table)
    }

    fn report(&self, tested: &Evaluation, table: &SparsityTable, began: Instant) -> Report {
        let mut report = self.setup.report(tested.value("top1"), tested, table);
        report.epochs = 0;
        report.seconds = began.elapsed().as_secs_f64();
        report.images_per_second = tested.count as f64 / report.seconds;
        report
    }
}

impl ModelTask for Measure<'_> {
    type Output = Result<(Report, SparsityTable), ReferenceError>;

    fn run<M: Classifier + 'static>(self, model: M) -> Self::Output {
        let began = Instant::now();
        self.setup.announce("evaluating");
        let model = self.setup.load_weights(model)?;
        let tested = self.setup.test(&model);
        let table = sparsity(&model);
        Ok((self.report(&tested, &table, began), table))
    }
}

/// The sparsity of the weights of a quantized network: integers that stand for zero.
#[must_use]
pub fn sparsity_of_integers(quantized: &Quantized) -> SparsityTable {
    let groups = |name: &str| {
        let node = quantized
            .graph()
            .nodes
            .iter()
            .find(|node| node.name == name);
        match node.map(|node| &node.op) {
            Some(Op::Convolution(convolution)) => convolution.groups,
            _ => 1,
        }
    };
    let weights = quantized.layers().map(|layer| {
        let values: Vec<f32> = layer.weight.iter().map(|int| *int as f32).collect();
        Weight {
            name: format!("{}.weight", layer.name),
            shape: layer.shape.to_vec(),
            layout: Some(match layer.output_axis {
                0 => Layout::OutputFirst,
                _ => Layout::InputFirst,
            }),
            groups: groups(layer.name),
            values: Tensor::from_data(values.as_slice(), quantized.device()),
        }
    });
    SparsityTable::of_weights(weights.collect())
}

/// Trains as the settings say, in the directory `out`. A directory that holds a run is resumed if it is
/// the same run, from its last complete checkpoint if it has one. A run that is finished stays as it is.
///
/// # Errors
///
/// If anything it needs is missing or malformed, or the run diverges.
pub fn train(
    settings: &Settings,
    device: &Device,
    out: &RunDirectory,
    stop: &StopFlag,
    observer: &mut dyn Observer,
    download: &mut dyn FnMut(u64, u64),
) -> Result<Finished, ReferenceError> {
    if out.state(settings)? == RunState::Finished {
        return Ok(Finished::Already {
            out: out.path().to_path_buf(),
        });
    }
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
    out: &'a RunDirectory,
    stop: &'a StopFlag,
    observer: &'a mut dyn Observer,
}

impl ModelTask for Train<'_> {
    type Output = Result<Finished, ReferenceError>;

    fn run<M: Classifier + 'static>(self, model: M) -> Self::Output {
        if !self.setup.recipe.needs_network() {
            let shape = Fixed { setup: self.setup };
            return self.course(model, &shape);
        }
        if self.setup.recipe.quantization().is_some() {
            let model = self.setup.load_weights(model)?;
            let shape = QuantizationAware { setup: self.setup };
            let network = shape.network(self.setup.traced(&model)?)?;
            return self.course(network, &shape);
        }
        let network = self.setup.traced(&model)?;
        let shape = Thinning::new(self.setup, self.out.path(), network.clone());
        self.course(network, &shape)
    }
}

impl Train<'_> {
    fn course<M: Classifier>(
        self,
        model: M,
        shape: &impl Shape<M>,
    ) -> Result<Finished, ReferenceError> {
        let began = Instant::now();
        let Self {
            setup,
            settings,
            out: directory,
            stop,
            observer,
        } = self;
        let out = directory.path();
        let recipe = &setup.recipe;
        let epochs = recipe.train().epochs;
        let steps = setup.images.steps_per_epoch();
        if steps == 0 {
            let batch_size = recipe.train().batch_size;
            return Err(ReferenceError::NoBatch {
                images: setup.images.train_images(),
                batch_size,
            });
        }
        setup.announce("training");
        let train = recipe.train();
        tracing::info!(
            "{epochs} epochs of {steps} steps, {} images each, by {}",
            train.batch_size,
            recipe.file().unwrap_or("a recipe without a name")
        );
        let teacher = Teacher::of(setup)?;
        let taught = (teacher.as_ref()).map(|teacher| {
            let data = teacher.teach(&setup.images, setup.images.training());
            let objective =
                DistillationObjective::new(&Classification, teacher.distillation.distillation);
            (data, objective.expect("classifiers learn from teachers"))
        });
        let driver = shape.driver(&model)?;
        let mut warnings = recipe.warnings(steps);
        warnings.extend(driver.warnings());
        warnings.extend(fewer_batches(&driver, steps));
        warnings.extend(setup.images.warning(recipe.train()));
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        let checkpoints = out.join("checkpoints");
        let begin =
            |model: M, driver| Run::new(model.train(), driver, recipe.train().optimizer.init());
        let mut run;
        let before: f64;
        if claim(settings, directory)? == RunState::Checkpointed {
            let (_, header) = checkpoint::latest(&checkpoints)?;
            let model = shape.at(model, header.clock)?;
            let driver = shape.driver(&model)?;
            let (resumed, context) = begin(model, driver).resume(&checkpoints, &setup.device)?;
            run = resumed;
            before = context["top1_before"].as_f64().unwrap_or(f64::NAN);
            tracing::info!("resumed at step {}", run.driver.clock().global_step());
        } else {
            run = begin(shape.begun(model)?, driver);
            before = setup.test(&run.model.valid()).value("top1");
            tracing::info!("top-1 before: {before:.2} %");
        }
        let mut fit_settings = FitSettings {
            epochs,
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
        let run = loop {
            let clock = *run.driver.clock();
            let moments = || {
                shape
                    .moments()
                    .into_iter()
                    .filter(|&moment| moment < epochs)
            };
            // A checkpoint of the very moment is of the run before it.
            if clock.step == 0 && moments().any(|moment| moment == clock.epoch) {
                run = shape.change(run)?;
            }
            fit_settings.pause = moments().find(|&moment| moment > clock.epoch);
            let outcome = match &taught {
                Some((taught, objective)) => fit(
                    run,
                    taught,
                    M::forward,
                    objective,
                    &fit_settings,
                    &mut watching,
                ),
                None => fit(
                    run,
                    &setup.images,
                    M::forward,
                    &Classification,
                    &fit_settings,
                    &mut watching,
                ),
            };
            match outcome? {
                Outcome::Paused(paused) => run = paused,
                Outcome::Finished(run) => break run,
                Outcome::Stopped(_) => {
                    return Ok(Finished::Stopped {
                        out: out.to_path_buf(),
                    });
                }
            }
        };
        let (metrics, _) = watching;
        if let Some(error) = metrics.failed {
            return Err(error);
        }
        write(&metrics.file, run.history.to_csv())?;
        let steps = run.driver.clock().global_step();
        let mut outcomes = run.driver.outcomes();
        let kept = run.history.best_by(settings.criterion());
        let kept = kept.map(|row| row.epoch);
        let front = run.history.pareto().into_iter().cloned().collect();
        let best = checkpoint::best(&checkpoints);
        let model = checkpoint::load_model(run.model, &best)?.valid();
        let (model, thinned) = shape.finish(model)?;
        calcine_weights::save(&model, &out.join("model.safetensors"))?;
        let tested = setup.test(&model);
        let table = sparsity(&model);
        write(&out.join("sparsity.csv"), table.to_csv())?;
        let mut report = setup.report(before, &tested, &table);
        report.steps = steps;
        report.kept_epoch = kept;
        report.front = front;
        outcomes.extend(shape.outcomes(thinned.as_ref()));
        let missed = outcomes.iter().filter(|outcome| !outcome.is_reached());
        for outcome in missed {
            tracing::warn!("{outcome}");
            warnings.push(outcome.to_string());
        }
        report.outcomes = outcomes;
        report.warnings = warnings;
        report.thinned = thinned;
        if let Some(integers) = shape.integers(&model)? {
            let file = out.join("quantized.safetensors");
            let bytes = integers.to_bytes()?;
            write(&file, &bytes)?;
            let tested = calcine_train::evaluate(
                setup.images.test(),
                |images| integers.forward(images),
                &Classification,
            );
            report.quantized = Some(QuantizedReport {
                top1: tested.value("top1"),
                top5: tested.value("top5"),
                loss: tested.loss,
                bytes: integers.stored_bytes(),
                file_bytes: bytes.len(),
            });
        }
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

/// The policies that want to look at more batches than an epoch has, which are all that they are shown.
fn fewer_batches<M: Classifier>(driver: &Driver<M>, steps: u64) -> Option<String> {
    let (wanted, refitted) = (driver.wanted(), driver.reconstructions());
    let scored = wanted.iter().filter_map(|wanted| wanted.batches);
    let most = scored.chain(refitted.iter().filter_map(|refitted| refitted.batches));
    let most = most.max().filter(|most| *most > steps)?;
    Some(format!(
        "activations of {most} batches are asked for, and looked at in {steps}: an epoch has no more"
    ))
}

/// Makes a directory this run's, and says how far the run is.
fn claim(settings: &Settings, out: &RunDirectory) -> Result<RunState, ReferenceError> {
    let state = out.state(settings)?;
    if state == RunState::New {
        write(&out.path().join("recipe.toml"), &settings.recipe)?;
        let file = RunFile::of_this_process(settings)?;
        let text = serde_json::to_string_pretty(&file).expect("settings are plain data");
        write(&out.path().join("run.json"), text)?;
    }
    Ok(state)
}

/// Writes a file atomically.
pub(super) fn write(file: &Path, text: impl AsRef<[u8]>) -> Result<(), ReferenceError> {
    calcine_files::write(file, text).map_err(|error| ReferenceError::io(file, error))
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
        self.images += report.samples as f64;
        self.seconds += report.samples as f64 / report.per_second;
    }

    fn epoch(&mut self, report: &EpochReport<'_>) {
        if let Err(error) = write(&self.file, report.history.to_csv()) {
            self.failed = Some(error);
        }
    }
}
