//! The training step with pruning policies, and checkpoints with exact resumption.
//!
//! # Should I use this crate?
//!
//! Use it to train any Burn model while policies (pruners, penalties, your own) act on its weights on a schedule.
//! `calcine-recipe` creates the [`Driver`] from a file. If you only need masks in your own loop, `calcine-criteria` and
//! `calcine-mask` are enough.
//!
//! The [`Driver`] defines the order of the operations in a step, and everything that acts in a step is a [`Policy`].
//! [`fit`] is a complete training loop; with the feature `supervised`, the same driver runs inside Burn's
//! `SupervisedTraining`.
//!
//! | item | what |
//! |---|---|
//!  [`Driver`] | the training step: policies, masked forward pass, optimizer, masks, clock |
//!  [`Policy`] | the trait for everything that acts in a step |
//!  [`Prune`] | the pruner: score × granularity × selection × amount |
//!  [`Penalty`] | regularizers, and thresholds for groups |
//!  [`Rewind`] | lottery tickets: returns to an earlier epoch while the masks stay |
//!  [`Driver::with_activation_source`] | sets the source of activations for scores that need them |
//! | [`RatePlan`] | the learning rate over the run |
//!  [`fit`], [`Run`], [`Observer`] | training with validation, checkpoints, reports and a clean stop |
//!  [`Log`], [`CsvLog`], [`ConsoleLog`], `TensorBoard` | scalars and histograms by step; [`Logged`] writes the reports of a run to them |
//!  [`Run::thinned`], [`KeptIndices`] | continues a run with a thinned model |
//!  [`History`], [`Criterion`] | the results of all epochs, the epoch to keep, the Pareto front |
//!  [`Driver::outcomes`], [`PolicyOutcome`] | the requested and the reached state of each policy |
//!  [`check_finite`] | checks that all parameters and running statistics are finite |
//!  [`Objective`], [`Metric`] | the loss of a batch, and named metrics with a direction |
//!  [`Classification`], [`Segmentation`], [`Regression`] | objectives for common tasks |
//! | [`evaluate`], [`Evaluation`] | the loss and the metrics of a model on batches |
//!  [`DistillationObjective`], [`DistillationData`] | the outputs of a teacher in addition to the targets |
//!  [`checkpoint`] | directories that are either complete or absent |
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
mod run;
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
pub use fit::{
    FitError, FitSettings, ForwardPass, ForwardPasses, Outcome, StopFlag, fit, fit_with,
};
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
pub use run::Run;
pub use source_error::ActivationSourceError;
#[cfg(feature = "supervised")]
pub use supervised::{Compressed, LossStep};
pub use thinned::{KeptIndices, ThinnedError};
