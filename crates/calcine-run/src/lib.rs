//! Compression recipes carried out whole: on any network, objective and data.
//!
//! # Should I use this crate?
//!
//! Use it to prune, thin, quantize or distill a model of your own as a recipe says, with checkpoints, exact resume, logs and
//! a report. `calcine_train::fit` with `calcine_recipe::Recipe::bind` is enough for a recipe without `[thin]`, `[quantize]`
//! and `[distill]`, and for models that cannot be traced.
//!
//! Five concepts: a [`Network`](calcine_trace::Network), traced from any Burn module; an [`Objective`], which has the loss
//! and the metrics; [`Data`], which has the batches; a [`Recipe`](calcine_recipe::Recipe); and the [`Experiment`], which has
//! the first three and carries out the fourth.
//!
//! | job | call |
//! |---|---|
//! | train as a recipe says | [`Experiment::train`], or [`Experiment::train_in`] with [`TrainSettings`] |
//! | measure | [`Experiment::evaluate`] |
//! | prune channels at once, and remove them | [`Experiment::thin`] |
//! | quantize after training | [`Experiment::quantize`], with [`SearchSettings`] if better settings are to be searched for |
//! | how much each layer can lose | [`Experiment::scan`] |
//! | statistics of activations | [`Experiment::activations`] |
//!
//! # A run's directory
//!
//! ```text
//! out/
//!   .lock                    locked by the process that writes here
//!   run.json                 what decides the run, by which it can be resumed; version, command line, SHA-256 of
//!                            the recipe, seed and machine
//!   recipe.toml              the recipe as it was used
//!   checkpoints/             see `calcine_train::checkpoint`
//!   metrics.csv              a row for each epoch
//!   sparsity.csv             a row for each weight
//!   model.safetensors        the weights that were kept, in PyTorch's names and layouts
//!   thinned-N.safetensors    the network as it was thinned before epoch N, if the recipe says so
//!   thinned.safetensors      the thinned network that was kept, whole, with its weights
//!   quantized.safetensors    the integer network, if the recipe has quantization-aware training
//!   report.json              the results; what each part was asked to do and has reached, with warnings
//! ```
//!
//! Epochs are counted from 0, as in recipes: the first is epoch 0, in every file and message.
//!
//! Weights are chosen by the validation split; the test split is only reported. Except for `report.json`, which has times,
//! equal runs give equal files, whether they were stopped and resumed or not.
//!
//! [`Experiment::scan`] writes `scan.json` (what decides the scan), `sensitivity.csv` (a row for each point, complete after
//! every evaluation) and the charts `sensitivity.{svg,png}` and `panels.{svg,png}`.

mod activations;
mod directory;
mod error;
mod experiment;
mod names;
mod quantize;
mod report;
mod run_file;
mod scan;
mod speed;
mod stages;
mod thin;
mod train;

pub use activations::{ActivationSettings, ActivationStatistics, Activations};
pub use calcine_train::{Data, Draw, Objective};
pub use directory::RunDirectory;
pub use error::RunError;
pub use experiment::{Evaluated, Experiment, Model, Split, sparsity_of_integers};
pub use names::Names;
pub use quantize::{QuantizeRun, QuantizeSettings, Search, SearchSettings};
pub use report::{QuantizedReport, Report, ThinnedReport};
pub use run_file::RunFile;
pub use scan::{ScanSettings, Scanned};
pub use speed::Speed;
pub use thin::{GroupPruning, ThinRun, ThinSettings};
pub use train::{Finished, Teacher, TrainSettings};
