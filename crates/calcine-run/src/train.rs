use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::module::Module;
use calcine_metric::{Evaluation, Metric};
use calcine_quantize::{QatNetwork, Quantized};
use calcine_recipe::Recipe;
use calcine_summary::{SparsityTable, sparsity};
use calcine_trace::{Network, Tensors};
use calcine_train::{
    Criterion, Data, DistillationData, DistillationObjective, Draw, Driver, EpochReport,
    FitSettings, ForwardPasses, History, NoObserver, Objective, Observer, Outcome, Run, StepReport,
    StopFlag, checkpoint, evaluate, fit_with,
};
use serde::Serialize;
use serde_json::Value;

use crate::directory::RunState;
use crate::error::write;
use crate::experiment::{device_of, without_autodiff};
use crate::inference::Inference;
use crate::metadata::{MEASURED_METADATA, RECIPE_METADATA, measured};
use crate::stages::{Quantizing, Stages, Thinning, save};
use crate::{Experiment, QuantizedReport, Report, RunDirectory, RunError, RunFile, Split};

/// The batch size of calibration.
const CALIBRATION: usize = 100;

/// Computes a teacher's outputs for a batch of inputs, outside autodiff.
pub type Teacher<'a, X, Y> = Box<dyn Fn(X) -> Y + 'a>;

/// The settings with which a recipe is executed, in addition to its own.
pub struct TrainSettings<'a, X, Y> {
    /// The identity of the run, by which its directory is recognized and with which it is resumed, as JSON; `null`
    /// stands for the recipe with its epochs and seed, the names, and how the kept weights are chosen.
    pub identity: Value,
    /// The criterion by which the kept epoch is chosen.
    pub criterion: Criterion,
    /// The metric by which epochs are compared; `None` for the objective's first metric.
    pub metric: Option<String>,
    /// The number of steps between two checkpoints within an epoch, which is the most that a killed run loses. Each
    /// epoch also ends with a checkpoint.
    pub checkpoint_every: Option<u64>,
    /// The teacher of `[distill]`: it computes outputs for inputs that are outside autodiff. `None` stands for the
    /// initial network of the run.
    pub teacher: Option<Teacher<'a, X, Y>>,
    /// Additional warnings for the report, such as those about the data.
    pub warnings: Vec<String>,
    /// A flag that stops the run after the current step.
    pub stop: StopFlag,
}

impl<X, Y> Default for TrainSettings<'_, X, Y> {
    fn default() -> Self {
        Self {
            identity: Value::Null,
            criterion: Criterion::default(),
            metric: None,
            checkpoint_every: Some(25),
            teacher: None,
            warnings: Vec::new(),
            stop: StopFlag::default(),
        }
    }
}

impl<X, Y> TrainSettings<'_, X, Y> {
    /// The defaults, for a run that is identified by these settings of the caller; [`RunFile::settings_of`] reads them
    /// back.
    ///
    /// # Errors
    ///
    /// If the settings cannot be written as JSON.
    pub fn with_identity(settings: &impl Serialize) -> Result<Self, serde_json::Error> {
        Ok(Self {
            identity: serde_json::to_value(settings)?,
            ..Self::default()
        })
    }
}

impl<X, Y> std::fmt::Debug for TrainSettings<'_, X, Y> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TrainSettings")
            .field("identity", &self.identity)
            .field("criterion", &self.criterion)
            .field("metric", &self.metric)
            .finish_non_exhaustive()
    }
}

/// The ways in which a run can end.
#[derive(Debug)]
pub enum Finished {
    /// All epochs are finished.
    Whole {
        /// The results.
        report: Box<Report>,
        /// The sparsity of the kept weights.
        table: SparsityTable,
        /// The network with the kept weights, thinned if the recipe contains that.
        network: Box<Network>,
        /// The integer network, if the recipe has quantization-aware training.
        quantized: Option<Box<Quantized>>,
    },
    /// The run was finished before, and nothing has been done.
    Already {
        /// The directory of the run, which contains its report.
        out: PathBuf,
    },
    /// The run was asked to stop, and can be resumed.
    Stopped {
        /// The directory of the run.
        out: PathBuf,
    },
}

impl<X, O> Experiment<'_, X, O>
where
    X: Tensors + Clone + 'static,
    O: Objective,
    O::Output: Tensors,
{
    /// Executes a recipe in the directory `out`: [`train_in`](Self::train_in) with the default settings.
    ///
    /// # Errors
    ///
    /// The errors of [`train_in`](Self::train_in), and an error if another process writes to the directory.
    pub fn train(&self, recipe: &Recipe, out: impl AsRef<Path>) -> Result<Finished, RunError> {
        let settings = TrainSettings::default();
        let directory = RunDirectory::for_run(&self.identity(recipe, &settings), out.as_ref())?;
        self.train_in(recipe, &directory, settings, &mut NoObserver)
    }

    /// The identity of a run: [`TrainSettings::identity`], or the default.
    pub fn identity(&self, recipe: &Recipe, settings: &TrainSettings<'_, X, O::Output>) -> Value {
        if !settings.identity.is_null() {
            return settings.identity.clone();
        }
        let train = recipe.train();
        let least = match settings.criterion {
            Criterion::AtLeast(least) => Some(least),
            _ => None,
        };
        serde_json::json!({
            "recipe": recipe.text(),
            "epochs": train.epochs,
            "seed": train.seed,
            "names": self.names,
            "min_sparsity": least,
            "metric": settings.metric,
        })
    }

    /// Executes a recipe: trains the network and prunes, thins, quantizes and distills it according to the recipe, and
    /// writes the files that are listed in the [crate documentation](crate) to the directory. If the directory contains
    /// the same run, it is resumed from its last complete checkpoint; a finished run is not changed.
    ///
    /// # Errors
    ///
    /// If recipe, network, objective, data and settings do not fit together (all problems are listed), if the directory
    /// contains something else, or if the run diverges.
    pub fn train_in(
        &self,
        recipe: &Recipe,
        out: &RunDirectory,
        settings: TrainSettings<'_, X, O::Output>,
        observer: &mut dyn Observer,
    ) -> Result<Finished, RunError> {
        let settings = TrainSettings {
            identity: self.identity(recipe, &settings),
            ..settings
        };
        if out.state(&settings.identity)? == RunState::Finished {
            return Ok(Finished::Already {
                out: out.path().to_path_buf(),
            });
        }
        let network = self.network()?;
        let steps = self.data.steps_per_epoch();
        self.check(recipe, &network, steps, &settings)?;
        self.check_forward()?;
        let device = device_of(&network);
        let course = Course {
            experiment: self,
            recipe,
            settings,
            out,
            initial: network.clone(),
        };
        if let Some(asked) = recipe.quantization() {
            let stages = Quantizing {
                recipe,
                asked,
                steps,
            };
            let draw = Draw::Random(asked.training.images);
            let batches = self.sample(draw, CALIBRATION, recipe.train().seed)?;
            let inputs = batches.into_iter();
            let inputs: Vec<_> = inputs.map(|batch| without_autodiff(batch.input)).collect();
            let network = stages.network(network, &inputs)?;
            let passes = ForwardPasses {
                training: &|network: &QatNetwork, input: X| network.forward(input),
                inference: None,
            };
            return course.run(network, &stages, passes, observer);
        }
        let stages = Thinning {
            recipe,
            steps,
            out: out.path(),
            whole: network.clone(),
            device,
            inputs: &|batches| self.first_inputs(batches),
        };
        let passes = ForwardPasses {
            training: &|network: &Network, input: X| network.forward(input),
            inference: Some(&|network| {
                let inference = Inference::new(network);
                Box::new(move |input| inference.forward(input))
            }),
        };
        course.run(network, &stages, passes, observer)
    }

    /// Lists every reason why the recipe cannot be executed.
    fn check(
        &self,
        recipe: &Recipe,
        network: &Network,
        steps: u64,
        settings: &TrainSettings<'_, X, O::Output>,
    ) -> Result<(), RunError> {
        let mut problems = Vec::new();
        if steps == 0 {
            problems.push(format!(
                "there are fewer training {} than a batch needs, so an epoch has no step",
                self.names.samples
            ));
        }
        let mut history = History::default();
        if let Err(error) = history.compare_by(self.metrics(), settings.metric.as_deref()) {
            problems.push(error.to_string());
        }
        if let Some(distillation) = recipe.distillation() {
            let named = distillation.model.is_some() || distillation.weights.is_some();
            if named && settings.teacher.is_none() {
                problems.push(
                    "`[distill]` names a teacher by `model` or `weights`, which only a command line knows: give it as \
                     `TrainSettings::teacher`, or leave both out for the network as the run begins with it"
                        .to_owned(),
                );
            }
            if let Err(reason) = self
                .objective
                .check_distillation(&distillation.distillation)
            {
                problems.push(format!("`[distill]` does not fit: {reason}"));
            }
        }
        // A recipe for quantization-aware training is bound to the network that is prepared for it.
        if steps > 0 {
            let tables = recipe.runner_tables();
            let bound = recipe.bind_for_runner(&tables, network, Some(network.graph()), steps);
            match bound {
                Err(error) if problems.is_empty() => return Err(error.into()),
                Err(error) => problems.push(error.to_string()),
                Ok(_) => {}
            }
        }
        if problems.is_empty() {
            Ok(())
        } else {
            Err(RunError::Unfit { problems })
        }
    }
}

/// A recipe in execution.
struct Course<'a, 's, X: 'static, O: Objective> {
    experiment: &'a Experiment<'a, X, O>,
    recipe: &'a Recipe,
    settings: TrainSettings<'s, X, O::Output>,
    out: &'a RunDirectory,
    /// The initial network of the run.
    initial: Network,
}

impl<X, O> Course<'_, '_, X, O>
where
    X: Tensors + Clone + 'static,
    O: Objective,
    O::Output: Tensors,
{
    /// The objective with a teacher, if the recipe has one.
    fn run<M: Module>(
        self,
        model: M,
        stages: &impl Stages<M>,
        passes: ForwardPasses<'_, M, X, O::Output>,
        observer: &mut dyn Observer,
    ) -> Result<Finished, RunError> {
        let (data, objective) = (self.experiment.data, &self.experiment.objective);
        let Some(distillation) = self.recipe.distillation() else {
            return self.fit(model, stages, passes, data, objective, observer);
        };
        let unfit = |reason| RunError::Unfit {
            problems: vec![reason],
        };
        let distilled = DistillationObjective::new(objective, distillation.distillation);
        let distilled = distilled.map_err(unfit)?;
        let training = device_of(&self.initial).autodiff();
        let initial = &self.initial;
        let answers = |input: X| -> O::Output {
            let input = from_any(without_autodiff(input));
            let output: O::Output = match &self.settings.teacher {
                Some(teacher) => teacher(input),
                None => initial.forward(input),
            };
            let output = output.into_any().into_iter();
            from_any(output.map(|tensor| tensor.to_device(&training)).collect())
        };
        let data = DistillationData::new(data, answers).starting(distillation.start);
        self.fit(model, stages, passes, &data, &distilled, observer)
    }

    fn fit<M: Module, P: Objective<Output = O::Output>>(
        &self,
        model: M,
        stages: &impl Stages<M>,
        passes: ForwardPasses<'_, M, X, O::Output>,
        data: &dyn Data<X, P::Target>,
        objective: &P,
        observer: &mut dyn Observer,
    ) -> Result<Finished, RunError> {
        let began = Instant::now();
        let Self {
            experiment,
            recipe,
            settings,
            ..
        } = self;
        let out = self.out.path();
        let train = recipe.train();
        let epochs = train.epochs;
        let steps = data.steps_per_epoch();
        tracing::info!(
            "{epochs} epochs of {steps} steps by {}",
            recipe.file().unwrap_or("a recipe without a name")
        );
        if let Some(isa) = self.initial.training_kernels() {
            tracing::info!(
                "the traced network trains: its convolutions and batch norms with Calcine's kernels ({isa}), everything else with Burn"
            );
        }
        let measure = |model: &M| experiment.measure(passes.evaluating(model));
        let driver = stages.driver(&model)?;
        let mut warnings = recipe.warnings(steps);
        warnings.extend(driver.warnings());
        warnings.extend(fewer_batches(&driver, steps));
        warnings.extend(settings.warnings.iter().cloned());
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        let checkpoints = out.join("checkpoints");
        let begin = |model: M, driver| Run::new(model.train(), driver, train.optimizer.init());
        let mut run;
        let before: Evaluation;
        let metric = self.metric();
        if self.claim()? == RunState::Checkpointed {
            let (_, header) = checkpoint::latest(&checkpoints)?;
            let model = stages.at(model, header.clock)?;
            let driver = stages.driver(&model)?;
            let device = device_of(&self.initial);
            let (resumed, context) = begin(model, driver).resume(&checkpoints, &device)?;
            run = resumed;
            before = serde_json::from_value(context["before"].clone())
                .map_err(|error| RunError::malformed(&checkpoints, error))?;
            tracing::info!("resumed at step {}", run.driver.clock().global_step());
        } else {
            run = begin(stages.first(model), driver);
            (before, _) = measure(&run.model.valid())?;
            let value = metric.shown(before.value(&metric.name));
            tracing::info!("{} before: {value}", calcine_metric::label(&metric.name));
        }
        let mut fit_settings = FitSettings {
            epochs,
            checkpoint_every: settings.checkpoint_every,
            checkpoints: Some(checkpoints.clone()),
            criterion: settings.criterion,
            metric: settings.metric.clone(),
            context: serde_json::json!({ "before": before }),
            stop: settings.stop.clone(),
            ..FitSettings::default()
        };
        let metrics = Metrics {
            file: out.join("metrics.csv"),
            samples: 0.0,
            seconds: 0.0,
            failed: None,
        };
        let mut watching = (metrics, observer);
        let run = loop {
            let clock = *run.driver.clock();
            let moments = || {
                let moments = stages.moments().into_iter();
                moments.filter(|&moment| moment < epochs)
            };
            // A checkpoint of this very moment is that of the run before the change.
            if clock.step == 0 && moments().any(|moment| moment == clock.epoch) {
                run = stages.change(run)?;
            }
            fit_settings.pause = moments().find(|&moment| moment > clock.epoch);
            match fit_with(run, data, passes, objective, &fit_settings, &mut watching)? {
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
        let kept_epoch = run.history.best_by(settings.criterion).map(|row| row.epoch);
        let front = run.history.pareto().into_iter().cloned().collect();
        let best = checkpoint::best(&checkpoints);
        let model = checkpoint::load_model(run.model, &best)?.valid();
        let (model, thinned) = stages.finish(model)?;
        calcine_weights::save(&model, &out.join("model.safetensors"))?;
        let (after, split) = measure(&model)?;
        let table = sparsity(&model);
        write(&out.join("sparsity.csv"), table.to_csv())?;
        outcomes.extend(stages.outcomes(thinned.as_ref()));
        for outcome in outcomes.iter().filter(|outcome| !outcome.is_reached()) {
            tracing::warn!("{outcome}");
            warnings.push(outcome.to_string());
        }
        let network = stages.network(&model);
        let network = network
            .with_metadata(RECIPE_METADATA, recipe.text())
            .with_metadata(MEASURED_METADATA, measured(&after, split));
        if thinned.is_some() {
            save(&network, &out.join("thinned.safetensors"))?;
        }
        let mut quantized = stages.integers(&model)?;
        let mut integers = None;
        if let Some(network) = quantized.take() {
            let forward = |input| network.forward(input);
            let evaluation = match split {
                Split::Test => evaluate(experiment.data.test(), forward, &experiment.objective),
                Split::Validation => {
                    evaluate(experiment.data.validation(), forward, &experiment.objective)
                }
            };
            let network = network
                .with_metadata(RECIPE_METADATA, recipe.text())
                .with_metadata(MEASURED_METADATA, measured(&evaluation, split));
            let bytes = network.to_bytes()?;
            write(&out.join("quantized.safetensors"), &bytes)?;
            integers = Some(QuantizedReport {
                evaluation,
                bytes: network.stored_bytes(),
                file_bytes: bytes.len(),
            });
            quantized = Some(network);
        }
        let weights = table.total();
        let report = Report {
            origin: experiment.origin(),
            recipe: recipe.file().unwrap_or_default().to_owned(),
            seed: train.seed,
            epochs,
            steps,
            metric,
            before,
            after,
            split,
            sparsity: weights.sparsity(),
            parameters: weights.total,
            nonzero: weights.nonzero,
            trainable_parameters: table.all.total,
            trainable_nonzero: table.all.nonzero,
            kept_epoch,
            front,
            seconds: began.elapsed().as_secs_f64(),
            samples_per_second: metrics.samples / f64::max(metrics.seconds, f64::MIN_POSITIVE),
            thinned,
            quantized: integers,
            outcomes,
            warnings,
            out: Some(out.to_path_buf()),
        };
        let text = serde_json::to_string_pretty(&report).expect("a report is plain data");
        write(&out.join("report.json"), text)?;
        Ok(Finished::Whole {
            report: Box::new(report),
            table,
            network: Box::new(network),
            quantized: quantized.map(Box::new),
        })
    }

    /// The metric by which epochs are compared.
    fn metric(&self) -> Metric {
        let mut history = History::default();
        // The name was checked before.
        let _ = history.compare_by(self.experiment.metrics(), self.settings.metric.as_deref());
        history.main_metric()
    }

    /// Creates or checks the directory of this run, and returns how far the run is.
    fn claim(&self) -> Result<RunState, RunError> {
        let identity = &self.settings.identity;
        let state = self.out.state(identity)?;
        if state == RunState::New {
            let (path, text) = (self.out.path(), self.recipe.text());
            write(&path.join("recipe.toml"), text)?;
            let seed = self.recipe.train().seed;
            RunFile::of_this_process(identity.clone(), text, seed).save(path)?;
        }
        Ok(state)
    }
}

/// Converts tensors back to their former type.
fn from_any<T: Tensors>(tensors: Vec<calcine_trace::AnyTensor>) -> T {
    T::from_any(tensors).expect("number, kinds and ranks of the tensors are as before")
}

/// The policies that need more batches than an epoch has. They receive all batches of an epoch.
fn fewer_batches<M: Module>(driver: &Driver<M>, steps: u64) -> Option<String> {
    let (wanted, refitted) = (driver.activation_requests(), driver.reconstructions());
    let scored = wanted.iter().filter_map(|wanted| wanted.batches);
    let most = scored.chain(refitted.iter().filter_map(|refitted| refitted.batches));
    let most = most.max().filter(|most| *most > steps)?;
    Some(format!(
        "activations of {most} batches were requested, and those of {steps} are used: an epoch has no more"
    ))
}

/// Writes `metrics.csv` after every epoch, and sums the training time.
struct Metrics {
    file: PathBuf,
    samples: f64,
    seconds: f64,
    failed: Option<RunError>,
}

impl Observer for Metrics {
    fn step(&mut self, report: &StepReport) {
        self.samples += report.samples as f64;
        self.seconds += report.samples as f64 / report.per_second;
    }

    fn epoch(&mut self, report: &EpochReport<'_>) {
        if let Err(error) = write(&self.file, report.history.to_csv()) {
            self.failed = Some(error);
        }
    }
}
