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
//! | [`Policy`], [`Prune`] | what acts in a step; the pruner, score × grain × select × amount |
//! | [`RatePlan`] | the learning rate over the run |
//! | [`fit`], [`Run`], [`Observer`] | train, validate, checkpoint, report, stop cleanly |
//! | [`evaluate`], [`Evaluation`] | loss, top-1 and top-5 of a classifier |
//! | [`checkpoint`] | a directory that is complete or absent |
//! | [`stream`] | named random streams of a run |

pub mod checkpoint;
mod driver;
mod evaluate;
mod fit;
mod history;
mod policy;
mod rate;
mod stream;
#[cfg(feature = "supervised")]
mod supervised;

pub use driver::{Driver, Forward};
pub use evaluate::{Evaluation, Labelled, evaluate};
pub use fit::{
    Data, FitError, FitSettings, NoObserver, Observer, Outcome, Run, StepReport, StopFlag, fit,
};
pub use history::{EpochRow, History};
pub use policy::{
    Changed, GradientMasks, Policy, PolicyRecord, Prune, Target, UnfitRecord, Unit, WindowUnit,
};
pub use rate::{RateEntry, RatePlan};
pub use stream::stream;
#[cfg(feature = "supervised")]
pub use supervised::{Compressed, Objective};
