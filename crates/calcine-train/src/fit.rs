mod error;
mod saver;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use burn::module::Module;
use burn::tensor::Tensor;
use calcine_schedule::Clock;
use calcine_sparsity::Share;

pub use self::error::FitError;
use self::saver::Saver;
use crate::data::Data;
use crate::evaluate::{Batch, evaluate, evaluation};
use crate::finite::check_finite;
use crate::history::{Criterion, EpochRow};
use crate::objective::{Objective, Tally};
use crate::observer::{EpochReport, Observer, StepReport, WeightReport};
use crate::run::Run;

/// The settings of [`fit`].
#[derive(Debug, Clone)]
pub struct FitSettings {
    /// The total number of epochs, including those of a resumed run.
    pub epochs: u64,
    /// The epoch before which [`fit`] returns the run as [`Outcome::Paused`].
    pub pause: Option<u64>,
    /// The number of steps between two reports. Loss and metrics are read from the device only for reports. Every epoch
    /// ends with a report; with 0, that is the only one.
    pub report_every: u64,
    /// The number of steps between two checkpoints within an epoch. In addition, every epoch ends with a checkpoint.
    pub checkpoint_every: Option<u64>,
    /// The directory of the checkpoints; with `None`, no checkpoints are written.
    pub checkpoints: Option<PathBuf>,
    /// The epoch whose weights are kept in the directory of the checkpoints.
    pub criterion: Criterion,
    /// The name of the metric by which epochs are compared; `loss` is possible, too. The default is the first metric of
    /// the objective.
    pub metric: Option<String>,
    /// Additional information that is saved with every checkpoint.
    pub context: serde_json::Value,
    /// The flag that stops the run. It is checked after every step.
    pub stop: StopFlag,
}

impl Default for FitSettings {
    fn default() -> Self {
        Self {
            epochs: 1,
            pause: None,
            report_every: 10,
            checkpoint_every: None,
            checkpoints: None,
            criterion: Criterion::default(),
            metric: None,
            context: serde_json::Value::Null,
            stop: StopFlag::default(),
        }
    }
}

/// A flag that asks a run to save a checkpoint and stop after the current step. Clones share the flag.
#[derive(Debug, Clone, Default)]
pub struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// Raises the flag.
    pub fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the flag is raised.
    #[must_use]
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// How a run ended.
#[derive(Debug)]
pub enum Outcome<M> {
    /// All epochs are done.
    Finished(Run<M>),
    /// The run has reached [`FitSettings::pause`]. Its last checkpoint was saved.
    Paused(Run<M>),
    /// The stop flag was raised. A checkpoint was saved if there is a directory for checkpoints.
    Stopped(Run<M>),
}

/// Trains a model: epochs of steps, each epoch followed by validation and a checkpoint.
///
/// `forward` returns the output that the objective takes. The step itself does not read from the device; every
/// [`FitSettings::report_every`] steps, the loss and the metrics are read and reported, and the run stops if the loss,
/// a parameter or a running statistic is not finite.
///
/// # Errors
///
/// If the loss or a parameter is no longer finite; if the data and the driver have different numbers of steps per
/// epoch, or an epoch has too few batches; if the objective does not have the metric that the settings name, or has
/// other metrics than the history of a resumed run; or if a checkpoint cannot be written.
pub fn fit<M: Module, X: 'static, O: Objective>(
    run: Run<M>,
    data: &dyn Data<X, O::Target>,
    forward: impl Fn(&M, X) -> O::Output,
    objective: &O,
    settings: &FitSettings,
    observer: &mut dyn Observer,
) -> Result<Outcome<M>, FitError> {
    let passes = ForwardPasses {
        training: &forward,
        inference: None,
    };
    fit_with(run, data, passes, objective, settings, observer)
}

/// The forward pass of a model that does not change meanwhile.
pub type ForwardPass<'m, X, Y> = Box<dyn Fn(X) -> Y + 'm>;

/// The forward passes of a training run; both return the output that the objective takes.
#[allow(missing_debug_implementations, reason = "two functions")]
pub struct ForwardPasses<'a, M, X, Y> {
    /// That of a training step.
    pub training: &'a dyn Fn(&M, X) -> Y,
    /// That of a validation, which prepares a model outside autodiff once: for a faster engine, for example. `None` if it is that of a
    /// step.
    pub inference: Option<&'a dyn for<'m> Fn(&'m M) -> ForwardPass<'m, X, Y>>,
}

impl<M, X, Y> ForwardPasses<'_, M, X, Y> {
    /// The forward pass for evaluations of this model.
    pub fn evaluating<'m>(&'m self, model: &'m M) -> ForwardPass<'m, X, Y> {
        match self.inference {
            Some(inference) => inference(model),
            None => Box::new(|input| (self.training)(model, input)),
        }
    }
}

impl<M, X, Y> Clone for ForwardPasses<'_, M, X, Y> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M, X, Y> Copy for ForwardPasses<'_, M, X, Y> {}

/// Like [`fit`], with a forward pass of its own for validation.
///
/// # Errors
///
/// Like [`fit`].
pub fn fit_with<M: Module, X: 'static, O: Objective>(
    mut run: Run<M>,
    data: &dyn Data<X, O::Target>,
    passes: ForwardPasses<'_, M, X, O::Output>,
    objective: &O,
    settings: &FitSettings,
    observer: &mut dyn Observer,
) -> Result<Outcome<M>, FitError> {
    (run.history).compare_by(objective.metrics(), settings.metric.as_deref())?;
    let task = Task {
        data,
        passes,
        objective,
    };
    run.driver.check_activation_source()?;
    run.driver.check_model(&run.model)?;
    let (steps, driver) = (data.steps_per_epoch(), run.driver.clock().steps_per_epoch);
    if steps != driver {
        return Err(FitError::Steps {
            data: steps,
            driver,
        });
    }
    let mut saver = Saver::open(settings, run.driver.clock().global_step())?;
    observer.begin(run.driver.clock());
    while run.driver.clock().epoch < settings.epochs {
        if settings.pause == Some(run.driver.clock().epoch) {
            return Ok(Outcome::Paused(run));
        }
        let epoch;
        (run, epoch) = train_epoch(run, &task, &mut saver, observer)?;
        let Epoch::Whole { rate } = epoch else {
            saver.save(&run, observer)?;
            return Ok(Outcome::Stopped(run));
        };
        let seen = run.driver.masked_model(&run.model);
        let weights = if observer.wants_values() {
            WeightReport::with_values(&seen)
        } else {
            WeightReport::sparsity(&seen)
        };
        drop(seen);
        let row = run.close_epoch(&task, rate, &weights);
        if let Some(failure) = data.failure() {
            return Err(FitError::Data(failure));
        }
        let (epoch, step) = (row.epoch, row.steps);
        if let Some(loss) = row
            .validation
            .as_ref()
            .map(|validation| validation.loss)
            .filter(|loss| !loss.is_finite())
        {
            return Err(FitError::Diverged {
                loss,
                epoch,
                step,
                kept: saver.good,
            });
        }
        observer.epoch(&EpochReport {
            row: &row,
            history: &run.history,
            weights: &weights,
        });
        // Written before the checkpoint: a run that is killed between the two repeats the epoch and writes it again.
        if run.history.best_by(settings.criterion) == Some(&row) {
            saver.save_best(&run)?;
        }
        saver.save(&run, observer)?;
        if row.validation.is_some() {
            saver.confirm();
        }
        if settings.stop.is_raised() && run.driver.clock().epoch < settings.epochs {
            return Ok(Outcome::Stopped(run));
        }
    }
    Ok(Outcome::Finished(run))
}

/// The data, the objective and the forward passes of a training run.
struct Task<'a, M, X: 'static, O: Objective> {
    data: &'a dyn Data<X, O::Target>,
    passes: ForwardPasses<'a, M, X, O::Output>,
    objective: &'a O,
}

impl<M: Module> Run<M> {
    /// Validates, passes the metric to the learning-rate schedules, and adds the epoch to the history.
    fn close_epoch<X: 'static, O: Objective>(
        &mut self,
        task: &Task<'_, M, X, O>,
        rate: f64,
        weights: &[WeightReport],
    ) -> EpochRow {
        let model = self.driver.masked_model(&self.model).valid();
        let forward = task.passes.evaluating(&model);
        let validation = evaluate(task.data.validation(), forward, task.objective);
        let validation = (validation.count > 0).then_some(validation);
        let train = evaluation(task.objective, &self.tally.totals());
        self.tally = Tally::default();
        self.driver
            .observe(validation.as_ref().unwrap_or(&train).loss);
        let share: Share = weights.iter().map(|weight| weight.share).sum();
        let row = EpochRow {
            // The clock is already at the next epoch.
            epoch: self.driver.clock().epoch - 1,
            steps: self.driver.clock().global_step(),
            rate,
            train,
            validation,
            sparsity: share.sparsity(),
            nonzero: share.nonzero,
        };
        self.history.epochs.push(row.clone());
        row
    }

    /// The terms that policies added to the loss of the last step. Reads from the device if there are any.
    fn read_terms(&self) -> Vec<(String, f64)> {
        let read = |(name, term): &(String, Tensor<1>)| {
            (name.clone(), term.clone().into_scalar::<f32>().into())
        };
        self.terms.iter().map(read).collect()
    }

    /// Executes one step, and adds its loss and metrics to the totals of the epoch. The model is moved, so that the
    /// optimizer can update it in place.
    fn step<X: 'static, O: Objective>(
        mut self,
        batch: Batch<X, O::Target>,
        task: &Task<'_, M, X, O>,
    ) -> Self {
        let n = task.objective.count(&batch.target);
        let pass = self
            .driver
            .forward_backward(&self.model, batch, |model, batch| {
                let output = (task.passes.training)(model, batch.input);
                let loss = (task.objective).loss(output.clone(), batch.target.clone());
                (loss, task.objective.sums(output, batch.target))
            });
        self.tally.add(pass.loss, pass.output, n);
        self.terms = pass.terms;
        self.model = self
            .driver
            .step(self.model, &mut self.optimizer, pass.gradients);
        self
    }
}

/// How the training part of an epoch ended.
enum Epoch {
    /// All steps are done; contains the learning rate of the last one.
    Whole { rate: f64 },
    /// The stop flag was raised before the end of the epoch.
    Stopped,
}

fn train_epoch<M: Module, X: 'static, O: Objective>(
    mut run: Run<M>,
    task: &Task<'_, M, X, O>,
    saver: &mut Saver<'_>,
    observer: &mut dyn Observer,
) -> Result<(Run<M>, Epoch), FitError> {
    let settings = saver.settings;
    let Clock {
        epoch,
        step: first,
        steps_per_epoch,
    } = *run.driver.clock();
    let mut meter = Meter::start(run.tally.count());
    for batch in task.data.epoch(epoch, first) {
        let clock = *run.driver.clock();
        let rate = run.driver.rate();
        run = run.step(batch, task);
        let done = clock.step + 1;
        let last = done == steps_per_epoch;
        let stop = settings.stop.is_raised() && !last;
        let save = settings
            .checkpoint_every
            .is_some_and(|every| done.is_multiple_of(every))
            && !last;
        if last || stop || save || done.is_multiple_of(settings.report_every) {
            let train = evaluation(task.objective, &run.tally.totals());
            if !train.loss.is_finite() {
                let step = clock.global_step() + 1;
                let (loss, kept) = (train.loss, saver.good.take());
                return Err(FitError::Diverged {
                    loss,
                    epoch,
                    step,
                    kept,
                });
            }
            check_finite(&run.model).map_err(|source| FitError::NotFinite {
                source,
                epoch,
                step: clock.global_step() + 1,
                kept: saver.good.take(),
            })?;
            saver.confirm();
            let count = train.count;
            let (samples, per_second) = meter.lap(count);
            let (epochs, sparsity) = (settings.epochs, run.sparsity());
            observer.step(&StepReport {
                clock,
                epochs,
                rate,
                train,
                metrics: run.history.metrics.clone(),
                terms: run.read_terms(),
                sparsity,
                samples,
                per_second,
            });
            meter = Meter::start(count);
        }
        if last {
            return Ok((run, Epoch::Whole { rate }));
        }
        if stop {
            return Ok((run, Epoch::Stopped));
        }
        if save {
            saver.save(&run, observer)?;
        }
    }
    if let Some(failure) = task.data.failure() {
        return Err(FitError::Data(failure));
    }
    let found = run.driver.clock().step;
    Err(FitError::ShortEpoch {
        epoch,
        found,
        expected: steps_per_epoch,
    })
}

/// Measures the number of samples per second between two reports.
struct Meter {
    since: Instant,
    count: u64,
}

impl Meter {
    fn start(count: u64) -> Self {
        Self {
            since: Instant::now(),
            count,
        }
    }

    /// The number of samples since the last report, and the number per second.
    fn lap(&self, count: u64) -> (u64, f64) {
        let elapsed = self.since.elapsed().max(Duration::from_micros(1));
        let samples = count - self.count;
        (samples, samples as f64 / elapsed.as_secs_f64())
    }
}
