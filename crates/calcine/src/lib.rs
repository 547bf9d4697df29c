//! Make trained neural networks smaller and faster, for any [Burn](https://burn.dev) model.
//!
//! # Should I use this crate?
//!
//! This is the façade crate: it re-exports Calcine's crates by feature and finds a device by name. Depend on it
//! to have everything at one version; depend on a single crate if that is all you need.
//!
//! | module | crate | feature |
//! |---|---|---|
//! | [`criteria`] | scores for units, and which to keep | |
//! | [`fold`] | a weight as rows of units | |
//! | [`graph`] | a network as data: shapes, MACs, channels that go together, drawings | |
//! | [`mask`] | masks keyed by parameter | |
//! | [`metric`] | named metrics with a direction, and evaluations | |
//! | [`names`] | patterns of names, and the nearest names | |
//! | [`params`] | find, read and edit parameters | |
//! | [`regularize`] | regularizers as value, gradient and proximal step | |
//! | [`quant`] | the mathematics of quantization: quantizers, ranges, fake quantization | |
//! | [`schedule`] | curves, windows, learning rates | |
//! | [`sparsity`] | sparsity metrics | |
//! | [`device`] | a device by name | backends: `flex` (default), `ndarray`, `wgpu`, `vulkan`, `metal`, `cuda`, `rocm` |
//! | `train` | the step, policies, checkpoints, logs | `train`; with `recipe` |
//! | | TensorBoard event files | `tensorboard` |
//! | | the adapter for Burn's `SupervisedTraining` | `supervised` |
//! | `recipe` | recipe files | `recipe` (default) |
//! | `distiller` | Distiller's YAML schedules as recipes | `distiller`; brings `recipe` |
//! | `engine` | runs saved networks on CPUs, float or in real integers | `engine` |
//! | `summary` | tables of a model | `summary` (default) |
//! | `plot` | line charts, SVG and PNG | `sensitivity` |
//! | `sensitivity` | how much each layer can lose | `sensitivity` |
//! | `trace` | any Burn model as a network that computes and trains | `trace` |
//! | `observe` | statistics of activations | `observe`; brings `trace` |
//! | `thin` | removes pruned channels physically | `thin`; brings `trace` |
//! | `quantize` | quantizes traced networks, after training and in it | `quantize`; brings `trace` |
//! | `onnx` | ONNX files as networks, and networks as ONNX files | `onnx`; brings `quantize` |
//! | `run` | recipes carried out whole, on any network, objective and data | `run` |
//! | `data` | data sets as batches | `data` |
//! | `weights` | weights of any module from safetensors and PyTorch files | `weights` |
//! | `zoo` | reference models and their weights | `zoo`; brings `data`, `weights` |
//!
//! # Examples
//!
//! Prune half of a layer's weights, by magnitude:
//!
//! ```
//! use burn::nn::{Linear, LinearConfig};
//! use calcine::prelude::*;
//!
//! let device = calcine::device::by_name("flex").unwrap();
//! let layer: Linear = LinearConfig::new(8, 4).init(&device);
//!
//! let weight = Inventory::from_module(&layer).get("weight").unwrap().clone();
//! let fold = Fold::new(Granularity::Element, &weight.shape, Layout::LINEAR).unwrap();
//! let scores = Magnitude.score(&Evidence::new(fold.rows(layer.weight.val())));
//! let keep = Level::default().keep(&[Candidate::new(scores)], 0.5).remove(0);
//!
//! let mut masks = Masks::default();
//! masks.insert(&weight, fold.spread::<2>(keep));
//! let layer = masks.apply(layer);
//! assert_eq!(calcine::summary::sparsity(&layer).total().nonzero, 16);
//! ```

pub mod device;

pub use calcine_criteria as criteria;
#[cfg(feature = "data")]
pub use calcine_data as data;
#[cfg(feature = "distiller")]
pub use calcine_distiller as distiller;
#[cfg(feature = "engine")]
pub use calcine_engine as engine;
pub use calcine_fold as fold;
pub use calcine_graph as graph;
pub use calcine_mask as mask;
pub use calcine_metric as metric;
pub use calcine_names as names;
#[cfg(feature = "observe")]
pub use calcine_observe as observe;
#[cfg(feature = "onnx")]
pub use calcine_onnx as onnx;
pub use calcine_params as params;
#[cfg(feature = "sensitivity")]
pub use calcine_plot as plot;
pub use calcine_quant as quant;
#[cfg(feature = "quantize")]
pub use calcine_quantize as quantize;
#[cfg(feature = "recipe")]
pub use calcine_recipe as recipe;
pub use calcine_regularize as regularize;
#[cfg(feature = "run")]
pub use calcine_run as run;
pub use calcine_schedule as schedule;
#[cfg(feature = "sensitivity")]
pub use calcine_sensitivity as sensitivity;
pub use calcine_sparsity as sparsity;
#[cfg(feature = "summary")]
pub use calcine_summary as summary;
#[cfg(feature = "thin")]
pub use calcine_thin as thin;
#[cfg(feature = "trace")]
pub use calcine_trace as trace;
#[cfg(feature = "train")]
pub use calcine_train as train;
#[cfg(feature = "weights")]
pub use calcine_weights as weights;
#[cfg(feature = "zoo")]
pub use calcine_zoo as zoo;

/// The names that nearly every use needs.
pub mod prelude {
    pub use calcine_criteria::{Candidate, Evidence, Level, Magnitude, Norm, Score, Select};
    pub use calcine_fold::{Fold, Granularity, Layout};
    pub use calcine_mask::Masks;
    pub use calcine_params::Inventory;
    #[cfg(feature = "recipe")]
    pub use calcine_recipe::Recipe;
    pub use calcine_schedule::{Clock, Curve, LearningRate, Window};
    #[cfg(feature = "train")]
    pub use calcine_train::{
        Batch, Classification, Data, Driver, FitSettings, Objective, Outcome, Run, fit,
    };
}
