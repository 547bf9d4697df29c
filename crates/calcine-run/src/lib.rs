//! Executes whole compression recipes on any network, objective and data.
//!
//! # Should I use this crate?
//!
//! Use it to prune, thin, quantize or distill your own model according to a recipe, with checkpoints, exact resumption,
//! logs and a report. `calcine_train::fit` with `calcine_recipe::Recipe::bind` is enough for a recipe without `[thin]`,
//! `[quantize]` and `[distill]`, and for models that cannot be traced.
//!
//! There are five concepts: a [`Network`](calcine_trace::Network), traced from any Burn module; an [`Objective`], which
//! defines the loss and the metrics; [`Data`], which provides the batches; a [`Recipe`](calcine_recipe::Recipe); and
//! the [`Experiment`], which combines the first three and executes the fourth.
//!
//! | job | call |
//! |---|---|
//! | train according to a recipe | [`Experiment::train`], or [`Experiment::train_in`] with [`TrainSettings`] |
//! | measure | [`Experiment::evaluate`] |
//! | prune channels in one shot, and remove them | [`Experiment::thin`] |
//! | quantize after training | [`Experiment::quantize`], with [`SearchSettings`] to search for better settings |
//! | measure how much each layer can be pruned | [`Experiment::scan`] |
//! | statistics of activations | [`Experiment::activations`] |
//! | list the integer weights of a quantized network | [`integers`] |
//! | check a recipe without data | [`check_recipe`] |
//! | load the network of a file: float, quantized or ONNX | [`Model::load`] |
//! | compare runs in a chart | [`compare_epochs`], [`compare_results`] |
//!
//! # The directory of a run
//!
//! ```text
//! out/
//!   .lock                    locked by the process that writes here
//!   run.json                 the settings that determine the run and with which it is resumed; version, command
//!                            line, SHA-256 of the recipe, seed and machine
//!   recipe.toml              the recipe as it was used
//!   checkpoints/             see `calcine_train::checkpoint`
//!   metrics.csv              one row per epoch
//!   sparsity.csv             one row per weight
//!   model.safetensors        the kept weights, with PyTorch's names and layouts
//!   thinned-N.safetensors    the network that was thinned before epoch N, if the recipe thins then
//!   thinned.safetensors      the whole thinned network, with the kept weights
//!   quantized.safetensors    the integer network, if the recipe has quantization-aware training
//!   report.json              the results; what each part requested and what was reached; warnings
//! ```
//!
//! Epochs are counted from 0, as in recipes: the first is epoch 0, in every file and message.
//!
//! The metadata of a network that a run makes contain the recipe ([`RECIPE_METADATA`]), the settings of a quantization
//! ([`QUANTIZATION_METADATA`]) and the evaluation ([`MEASURED_METADATA`]), and `calcine_onnx` writes them into ONNX files.
//!
//! Weights are chosen by the validation split; the test split is only reported. Apart from the times in `report.json`,
//! equal runs produce equal files, whether they were stopped and resumed or not.
//!
//! [`Experiment::scan`] writes `scan.json` (the settings that determine the scan), `sensitivity.csv` (one row per
//! point, complete after every evaluation) and the charts `sensitivity.{svg,png}` and `panels.{svg,png}`.

mod activations;
mod check;
mod comparison;
mod directory;
mod error;
mod experiment;
mod inference;
mod inputs;
mod integers;
mod metadata;
mod model;
mod names;
mod origin;
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
pub use check::{check_recipe, steps_per_epoch};
pub use comparison::{compare_epochs, compare_results};
pub use directory::RunDirectory;
pub use error::RunError;
pub use experiment::{Evaluated, Experiment, Split, sparsity_of_integers};
pub use inputs::filled_inputs;
pub use integers::{IntegerRow, IntegerTable, integers};
pub use metadata::{MEASURED_METADATA, QUANTIZATION_METADATA, RECIPE_METADATA};
pub use model::{Model, ModelFileError, ModelFileProblem};
pub use names::Names;
pub use origin::Origin;
pub use quantize::{QuantizeRun, QuantizeSettings, Search, SearchSettings};
pub use report::{QuantizedReport, Report, ThinnedReport};
pub use run_file::RunFile;
pub use scan::{ScanSettings, Scanned, Suggestions};
pub use speed::{Runtime, Speed};
pub use thin::{GroupPruning, ThinRun, ThinSettings};
pub use train::{Finished, Teacher, TrainSettings};
