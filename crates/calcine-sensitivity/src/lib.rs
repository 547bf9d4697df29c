//! Sensitivity analysis: measures how much each layer of a model can be pruned, suggests levels, and writes a recipe.
//!
//! # Should I use this crate?
//!
//! Use it before you prune a network for the first time: it prunes **one parameter at a time** to each of several
//! levels, without fine-tuning, evaluates the network, and restores the weights. The result shows which layers are
//! sensitive, and suggests a level for each of them. It does not measure the effect of pruning all layers at once, nor
//! how much fine-tuning recovers.
//!
//! ```
//! use std::ops::ControlFlow;
//!
//! use burn::nn::{Linear, LinearConfig};
//! use burn::tensor::{Device, Distribution, Tensor};
//! use calcine_fold::Granularity;
//! use calcine_sensitivity::{Evaluation, Measurement, Metric, Scan, scan, suggest};
//!
//! # fn main() -> Result<(), calcine_sensitivity::ScanError> {
//! let device = Device::flex();
//! let model: Linear = LinearConfig::new(8, 4).init(&device);
//! let inputs = Tensor::<2>::random([32, 8], Distribution::Default, &device);
//! let right = model.forward(inputs.clone());
//!
//! // Any way to measure will do; a classifier would be run on its validation split, never its test set.
//! let evaluate = |model: &Linear| {
//!     let loss = (model.forward(inputs.clone()) - right.clone()).square().mean().into_scalar::<f64>();
//!     Measurement::from(Evaluation::new(loss, 32).with_metric("mse", loss))
//! };
//! let plan = Scan::new(Granularity::Element).with_levels([0.25, 0.5, 0.75]);
//! let found = scan(&model, &plan, evaluate, None, |_| ControlFlow::Continue(()))?.sensitivity;
//! print!("{}", found.to_csv());
//! for suggestion in suggest(&found, &Metric::lower("mse", ""), 0.1) {
//!     println!("{}: {}", suggestion.parameter, suggestion.level);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! | item | purpose |
//! |---|---|
//! | [`Scan`], [`levels`] | the settings of a scan: parameters, granularity, levels, score, selection |
//! | [`scan`], [`Progress`], [`Outcome`] | runs, reports, stops and resumes a scan |
//! | [`Measurement`], [`Interval`] | one evaluation: loss and named metrics; the confidence interval of a difference in loss |
//! | [`Sensitivity`], [`Point`] | the results: CSV, [charts](Sensitivity::panels) |
//! | [`suggest`], [`recipe`] | a level for each parameter, and a recipe with these levels |
//!
//! # A cheaper scan
//!
//! Accuracy on few images has a coarse resolution, the loss has not. If the evaluation also returns the loss of every
//! image ([`Measurement::losses`]), the loss is compared with that of the unpruned model image by image, and a few
//! hundred images give a [narrow interval](Interval). Draw the images at random, once, and evaluate every point on the
//! same ones.

mod chart;
mod error;
mod measure;
mod plan;
mod prune;
mod recipe;
mod scan;
mod suggest;
mod table;
mod trial;

pub use calcine_metric::{Direction, Evaluation, Metric, MetricValue};
pub use error::{ScanError, UnknownFile};
pub use measure::{Interval, Measurement};
pub use plan::{Scan, levels};
pub use recipe::recipe;
pub use scan::{Outcome, Progress, scan};
pub use suggest::{Suggestion, suggest};
pub use table::{Point, Sensitivity};
