//! The reference run: take a network and CIFAR-10, do what a recipe says, report what it came to.
//!
//! ```text
//! out/
//!   .lock                    locked by the process that writes here
//!   run.json                 the settings, from which the run can be resumed; version, command line, SHA-256 of
//!                            the recipe, seed and machine
//!   recipe.toml              the recipe as it was used
//!   checkpoints/             see `calcine_train::checkpoint`
//!   metrics.csv              a row an epoch
//!   sparsity.csv             a row a weight
//!   model.safetensors        the weights that were kept, PyTorch's names and layouts
//!   thinned-N.safetensors    the network as it was thinned before epoch N, if the recipe says so
//!   thinned.safetensors      the thinned network that was kept, whole, with its weights
//!   quantized.safetensors    the network in integers, if the recipe is quantization-aware
//!   report.json              what it came to; what each part was asked to do and has reached, with warnings
//! ```
//!
//! Epochs are counted from 0, as in recipes: the first is epoch 0, in every file and message.
//!
//! Weights are chosen by the validation split; the test set is only reported. But for `report.json`,
//! which has times, equal runs give equal files, whether they were stopped and resumed or not. Anything
//! else that is to be logged, an observer logs: `calcine_train::Logged`.
//!
//! [`scan`] takes the same network and images, and asks how much each layer can lose:
//!
//! ```text
//! out/
//!   scan.json                the settings, from which the scan can be resumed
//!   sensitivity.csv          a row a point, complete after every evaluation
//!   sensitivity.{svg,png}    all layers in one chart, when it is done
//!   panels.{svg,png}         a small chart for each
//! ```

mod activations;
mod data;
mod directory;
mod error;
mod quantizing;
mod report;
mod run;
mod run_file;
mod scan;
mod seen;
mod settings;
mod setup;
mod shape;
mod speed;
mod teacher;
mod thinning;
mod validation;

pub use activations::{Activations, Looked, activations};
pub use directory::RunDirectory;
pub use error::ReferenceError;
pub use quantizing::{QuantizeRun, QuantizeSettings, Search, SearchSettings, quantize_network};
pub use report::{QuantizedReport, Report, ThinnedReport};
pub use run::{Finished, evaluate, sparsity_of_integers, train};
pub use scan::{ScanRunError, ScanSettings, Scanned, scan};
pub use settings::{Settings, Weights};
pub use shape::quantization_settings;
pub use speed::Speed;
pub use thinning::{GroupPruning, ThinRun, ThinSettings, thin_network};
