use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use burn::module::Module;
use burn::optim::ModuleOptimizer;
use burn::tensor::{Device, Tensor};
use calcine_schedule::Clock;
use calcine_sparsity::Share;

use crate::checkpoint::{self, CheckpointError};
use crate::distill::loss;
use crate::evaluate::Tally;
use crate::{
    Criterion, Driver, EpochReport, EpochRow, History, Labelled, NotFinite, Observer, StepReport,
    UnwatchedError, WeightReport, check_finite, evaluate,
};

/// A training run: all that changes while it goes on.
pub struct Run<M> {
    /// The model in training.
    pub model: M,
    /// The step.
    pub driver: Driver<M>,
    /// The optimizer.
    pub optimizer: ModuleOptimizer,
    /// The epochs so far.
    pub history: History,
    pub(crate) tally: Tally,
    /// What policies added to the last step's loss.
    pub(crate) terms: Vec<(String, Tensor<1>)>,
}

impl<M: Module> Run<M> {
    /// A run that has not begun.
    #[must_use]
    pub fn new(model: M, driver: Driver<M>, optimizer: ModuleOptimizer) -> Self {
        Self {
            model,
            driver,
            optimizer,
            history: History::default(),
            tally: Tally::default(),
            terms: Vec::new(),
        }
    }

    /// Takes up the newest complete checkpoint in a directory. Also returns the context saved with it.
    ///
    /// # Errors
    ///
    /// As [`checkpoint::load`].
    pub fn resume(
        self,
        directory: &Path,
        device: &Device,
    ) -> Result<(Self, serde_json::Value), CheckpointError> {
        checkpoint::load(self, directory, device)
    }

    pub(crate) fn resumed(
        model: M,
        driver: Driver<M>,
        optimizer: ModuleOptimizer,
        history: History,
        unfinished: [f64; 4],
        device: &Device,
    ) -> Self {
        Self {
            model,
            driver,
            optimizer,
            history,
            tally: Tally::resume(unfinished, device),
            terms: Vec::new(),
        }
    }

    pub(crate) fn unfinished(&self) -> [f64; 4] {
        self.tally.sums()
    }

    /// How sparse the weights (parameters of rank 2 or more) are, as the forward pass sees them. Reads the
    /// device once.
    #[must_use]
    pub fn sparsity(&self) -> Share {
        let weights = WeightReport::of(&self.driver.seen(&self.model));
        weights.iter().map(|weight| weight.share).sum()
    }
}

impl<M> std::fmt::Debug for Run<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run")
            .field("driver", &self.driver)
            .finish_non_exhaustive()
    }
}

/// Where batches come from. An epoch's batches must depend on nothing but the epoch, so that a run
/// resumed in its middle sees the same.
pub trait Data<X> {
    /// Batches of an epoch.
    fn steps_per_epoch(&self) -> u64;

    /// The training batches of an epoch from `first_step` on.
    fn epoch(&self, epoch: u64, first_step: u64) -> Box<dyn Iterator<Item = Labelled<X>> + '_>;

    /// The validation split; empty if there is none.
    fn validation(&self) -> Box<dyn Iterator<Item = Labelled<X>> + '_>;
}

/// How [`fit`] goes about it.
#[derive(Debug, Clone)]
pub struct FitSettings {
    /// Epochs in all, those of a resumed run included.
    pub epochs: u64,
    /// Hands the run back before this epoch, if it comes to it: [`Outcome::Paused`].
    pub pause: Option<u64>,
    /// Steps between two reports: only then is the loss read from the device. An epoch ends with one
    /// anyway; 0 makes it the only one.
    pub report_every: u64,
    /// Steps between two checkpoints within an epoch; each epoch ends with one anyway.
    pub checkpoint_every: Option<u64>,
    /// Where checkpoints go; `None` writes none.
    pub checkpoints: Option<PathBuf>,
    /// Which epoch's weights are kept beside the checkpoints.
    pub criterion: Criterion,
    /// Saved with every checkpoint.
    pub context: serde_json::Value,
    /// Asked after every step.
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
            context: serde_json::Value::Null,
            stop: StopFlag::default(),
        }
    }
}

/// Asks a run to save and stop after the step it is in. Clones share the flag.
#[derive(Debug, Clone, Default)]
pub struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// Raises the flag.
    pub fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it is raised.
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
    /// It came to the epoch before which it was to pause. Its last checkpoint was saved.
    Paused(Run<M>),
    /// The stop flag was raised; a checkpoint was saved if there is a place for it.
    Stopped(Run<M>),
}

/// A run that cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FitError {
    /// The loss is not a number or infinite.
    #[error(
        "the loss is {loss} in epoch {epoch}, at or before step {step}: the run diverged \
         (try a smaller learning rate){}",
        kept.as_ref().map(|path| format!("; the last good checkpoint is {}", path.display()))
            .unwrap_or_default()
    )]
    Diverged {
        /// The mean loss of the epoch so far, or of the validation at its end.
        loss: f64,
        /// The epoch, from 0.
        epoch: u64,
        /// Steps since the run began.
        step: u64,
        /// The last checkpoint after which the loss was still finite.
        kept: Option<PathBuf>,
    },
    /// The data ran dry.
    #[error("epoch {epoch} ended after {found} batches, expected {expected}")]
    ShortEpoch {
        /// The epoch, from 0.
        epoch: u64,
        /// Batches that came.
        found: u64,
        /// Batches announced.
        expected: u64,
    },
    /// A parameter or a running statistic is not finite, though the loss may be.
    #[error(
        "{source}, in epoch {epoch}, at or before step {step}: the run diverged (try a smaller learning \
         rate){}",
        kept.as_ref().map(|path| format!("; the last good checkpoint is {}", path.display()))
            .unwrap_or_default()
    )]
    NotFinite {
        /// Which.
        source: NotFinite,
        /// The epoch, from 0.
        epoch: u64,
        /// Steps since the run began.
        step: u64,
        /// The last checkpoint of which all was seen to be finite.
        kept: Option<PathBuf>,
    },
    /// The driver's epochs are not the data's.
    #[error(
        "the data has {data} batches an epoch, and the driver was made for {driver} steps an epoch: `fit` \
         takes a step for each batch"
    )]
    Steps {
        /// Batches an epoch of the data.
        data: u64,
        /// Steps an epoch of the driver.
        driver: u64,
    },
    /// A checkpoint failed.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A policy looks at activations that nothing shows it.
    #[error(transparent)]
    Unwatched(#[from] UnwatchedError),
}

/// Trains a classifier: epochs of steps, each epoch followed by validation and a checkpoint.
///
/// `forward` gives logits `[n, classes]`; the loss is the mean cross-entropy, or what a [lesson](Labelled::lesson)
/// makes of it. The step itself reads nothing; every [`FitSettings::report_every`]
/// steps the loss is read and reported, and the run stops if it, a parameter or a running statistic is not finite.
///
/// # Errors
///
/// If the loss or a parameter is no longer finite, the data has other epochs than the driver or runs dry, or a
/// checkpoint cannot be written.
pub fn fit<M: Module, X>(
    mut run: Run<M>,
    data: &dyn Data<X>,
    forward: impl Fn(&M, X) -> Tensor<2>,
    settings: &FitSettings,
    observer: &mut dyn Observer,
) -> Result<Outcome<M>, FitError> {
    run.driver.check_watch()?;
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
        (run, epoch) = train_epoch(run, data, &forward, &mut saver, observer)?;
        let Epoch::Whole { rate } = epoch else {
            saver.save(&run, observer)?;
            return Ok(Outcome::Stopped(run));
        };
        let seen = run.driver.seen(&run.model);
        let weights = if observer.wants_values() {
            WeightReport::with_values(&seen)
        } else {
            WeightReport::of(&seen)
        };
        drop(seen);
        let row = run.close_epoch(data, &forward, rate, &weights);
        let (epoch, step) = (row.epoch, row.steps);
        if let Some(loss) = row
            .validation
            .map(|v| v.loss)
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
        // Before the checkpoint: a run killed between the two does the epoch again, and this with it.
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

impl<M: Module> Run<M> {
    /// Validates, tells the learning rate, and adds the epoch to the history.
    fn close_epoch<X>(
        &mut self,
        data: &dyn Data<X>,
        forward: &impl Fn(&M, X) -> Tensor<2>,
        rate: f64,
        weights: &[WeightReport],
    ) -> EpochRow {
        let model = self.driver.seen(&self.model).valid();
        let validation = evaluate(data.validation(), |input| forward(&model, input));
        let validation = (validation.count > 0).then_some(validation);
        let train = self.tally.read();
        self.tally = Tally::default();
        self.driver.observe(validation.unwrap_or(train).loss);
        let share: Share = weights.iter().map(|weight| weight.share).sum();
        let row = EpochRow {
            // The clock stands at the next one already.
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

    /// What policies added to the last step's loss. Reads the device if there is anything.
    fn read_terms(&self) -> Vec<(String, f64)> {
        let read = |(name, term): &(String, Tensor<1>)| {
            (name.clone(), term.clone().into_scalar::<f32>().into())
        };
        self.terms.iter().map(read).collect()
    }

    /// One step, with its loss and hits added to the epoch's. The model moves through it, so that the
    /// optimizer can update it in place.
    fn step<X>(mut self, batch: Labelled<X>, forward: &impl Fn(&M, X) -> Tensor<2>) -> Self {
        let labels = batch.labels.clone();
        let pass = self
            .driver
            .forward_backward(&self.model, batch, |model, batch| {
                let logits = forward(model, batch.input);
                (
                    loss(logits.clone(), batch.labels, batch.lesson),
                    logits.without_autodiff(),
                )
            });
        self.tally.add(pass.loss, pass.output, labels);
        self.terms = pass.terms;
        self.model = self
            .driver
            .step(self.model, &mut self.optimizer, pass.gradients);
        self
    }
}

/// How an epoch's training ended.
enum Epoch {
    /// All its steps are done; the last one's learning rate.
    Whole { rate: f64 },
    /// The stop flag was raised in its middle.
    Stopped,
}

fn train_epoch<M: Module, X>(
    mut run: Run<M>,
    data: &dyn Data<X>,
    forward: &impl Fn(&M, X) -> Tensor<2>,
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
    for batch in data.epoch(epoch, first) {
        let clock = *run.driver.clock();
        let rate = run.driver.rate();
        run = run.step(batch, forward);
        let done = clock.step + 1;
        let last = done == steps_per_epoch;
        let stop = settings.stop.is_raised() && !last;
        let save = settings
            .checkpoint_every
            .is_some_and(|every| done.is_multiple_of(every))
            && !last;
        if last || stop || save || done.is_multiple_of(settings.report_every) {
            let train = run.tally.read();
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
            let (images, per_second) = meter.lap(train.count);
            let (epochs, sparsity) = (settings.epochs, run.sparsity());
            observer.step(&StepReport {
                clock,
                epochs,
                rate,
                train,
                terms: run.read_terms(),
                sparsity,
                images,
                per_second,
            });
            meter = Meter::start(train.count);
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
    let found = run.driver.clock().step;
    Err(FitError::ShortEpoch {
        epoch,
        found,
        expected: steps_per_epoch,
    })
}

/// Images a second between two laps.
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

    /// Images since the start, and how many a second.
    fn lap(&self, count: u64) -> (u64, f64) {
        let elapsed = self.since.elapsed().max(Duration::from_micros(1));
        let images = count - self.count;
        (images, images as f64 / elapsed.as_secs_f64())
    }
}

/// Where checkpoints go.
struct Saver<'a> {
    settings: &'a FitSettings,
    /// The last checkpoint; its weights may be the first ones that are not finite.
    last: Option<PathBuf>,
    /// The last one whose weights have been seen to give a finite loss.
    good: Option<PathBuf>,
}

impl<'a> Saver<'a> {
    /// Refuses a directory whose run is further on than `step`.
    fn open(settings: &'a FitSettings, step: u64) -> Result<Self, CheckpointError> {
        let there = match &settings.checkpoints {
            Some(directory) => checkpoint::all(directory)?.pop(),
            None => None,
        };
        match there {
            Some((ahead, checkpoint)) if ahead > step => {
                Err(CheckpointError::Ahead { checkpoint, step })
            }
            there => Ok(Self {
                settings,
                last: None,
                good: there.map(|(_, path)| path),
            }),
        }
    }

    fn save<M: Module>(
        &mut self,
        run: &Run<M>,
        observer: &mut dyn Observer,
    ) -> Result<(), CheckpointError> {
        let Some(directory) = &self.settings.checkpoints else {
            return Ok(());
        };
        let saved = checkpoint::save(run, &self.settings.context, directory)?;
        observer.saved(&saved);
        self.last = Some(saved);
        Ok(())
    }

    /// A finite loss has been seen: the weights of the last checkpoint are good.
    fn confirm(&mut self) {
        self.good = self.last.take().or(self.good.take());
    }

    /// The weights of the epoch to keep, beside the checkpoints.
    fn save_best<M: Module>(&self, run: &Run<M>) -> Result<(), CheckpointError> {
        let Some(directory) = &self.settings.checkpoints else {
            return Ok(());
        };
        checkpoint::save_best(&run.driver.seen(&run.model), directory)
    }
}
