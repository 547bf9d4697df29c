//! The compressed training step, pruning policies, and checkpoints that resume exactly.
//!
//! # Should I use this crate?
//!
//! Use it to train any Burn model while something (a pruner, a penalty) acts on its weights on a
//! schedule. `calcine-recipe` builds the [`Driver`] from a file. If you only want masks in a loop of
//! your own, `calcine-criteria` and `calcine-mask` are enough.
//!
//! The order of a step is written in one place, the [`Driver`]; everything else plugs into it as a
//! [`Policy`]. [`fit`] is the library's own loop; with the feature `supervised` the same driver runs
//! inside Burn's `SupervisedTraining`.
//!
//! | item | what |
//! |---|---|
//! | [`Driver`] | the step: policies, masked forward, optimizer, masks, clock |
//! | [`Policy`] | what acts in a step |
//! | [`Prune`] | the pruner, score × granularity × select × amount |
//! | [`Penalty`] | regularizers and group thresholds |
//! | [`Rewind`] | lottery tickets: back to an epoch, under the masks |
//! | [`Driver::with_activation_source`] | takes what shows pruners the activations that their scores look at |
//! | [`RatePlan`] | the learning rate over the run |
//! | [`fit`], [`Run`], [`Observer`] | train, validate, checkpoint, report, stop cleanly |
//! | [`Log`], [`CsvLog`], [`ConsoleLog`], `TensorBoard` | scalars and histograms over the steps; [`Logged`] feeds them |
//! | [`Run::thinned`], [`KeptIndices`] | the run goes on with a model from which something was removed |
//! | [`History`], [`Criterion`] | the epochs so far, the one to keep, the Pareto front |
//! | [`Driver::outcomes`], [`PolicyOutcome`] | what each policy was asked to do, and what it has reached |
//! | [`check_finite`] | whether all parameters and running statistics are finite |
//! | [`Objective`], [`Metric`] | what is trained for: the loss of a batch, and named metrics with a direction |
//! | [`Classification`], [`Segmentation`], [`Regression`] | ready-made objectives |
//! | [`evaluate`], [`Evaluation`] | the loss and the metrics of a model on batches |
//! | [`DistillationObjective`], [`DistillationData`] | a teacher's outputs beside the targets |
//! | [`checkpoint`] | a directory that is complete or absent |
//! | [`stream`] | named random streams of a run |

pub mod checkpoint;
mod data;
mod distill;
mod driver;
mod evaluate;
mod finite;
mod fit;
mod history;
mod log;
mod objective;
mod observer;
mod outcome;
mod policy;
mod rate;
mod source_error;
#[cfg(feature = "supervised")]
mod supervised;
mod thinned;

pub use calcine_criteria::stream;
pub use calcine_metric::{Direction, Evaluation, Metric, MetricValue};

pub use data::{BatchIter, Data, DataFailure, Draw};
pub use distill::{Distillation, DistillationData, DistillationObjective, DistillationTarget};
pub use driver::{Driver, Forward, PolicyError};
pub use evaluate::{Batch, evaluate};
pub use finite::{NotFinite, check_finite};
pub use fit::{FitError, FitSettings, Outcome, Run, StopFlag, fit};
pub use history::{Criterion, EpochRow, History, MetricError};
#[cfg(feature = "tensorboard")]
pub use log::TensorBoard;
pub use log::{ConsoleLog, CsvLog, Log, LogError, Logged};
pub use objective::{Classification, MetricSums, Objective, Regression, Segmentation, Totals};
pub use observer::{EpochReport, NoObserver, Observer, StepReport, WeightReport};
pub use outcome::PolicyOutcome;
pub use policy::{
    After, Apply, Batches, Changed, First, GradientMasks, Group, Hold, Lifetime, Penalized,
    Penalty, Policy, PolicyRecord, Prune, Reconstruct, Restore, Rewind, RewindError, Target,
    UnfitRecord, Unit, UnitNorm, Values, When, WindowUnit,
};
pub use rate::{RateEntry, RatePlan};
pub use source_error::ActivationSourceError;
#[cfg(feature = "supervised")]
pub use supervised::{Compressed, LossStep};
pub use thinned::{KeptIndices, ThinnedError};
