//! Distiller's YAML schedules as recipes.
//!
//! # Should I use this crate?
//!
//! Use it to carry a schedule of Distiller's over, once: the recipe that comes of it is yours to read and
//! change. `calcine recipe convert FILE.yaml` is this crate on the command line.
//!
//! ```
//! use calcine_distiller::{Options, convert};
//! use calcine_recipe::Recipe;
//!
//! let schedule = "
//! version: 1
//! pruners:
//!   fine:
//!     class: AutomatedGradualPruner
//!     initial_sparsity: 0.05
//!     final_sparsity: 0.70
//!     weights: [module.layer3.1.conv1.weight]
//! policies:
//!   - pruner: {instance_name: fine}
//!     starting_epoch: 0
//!     ending_epoch: 20
//!     frequency: 2
//! ";
//! let converted = convert(None, schedule, &Options::default())?;
//! assert!(converted.recipe.contains(r#"level = { curve = "cubic", from = 0.05, to = 0.7 }"#));
//! assert!(converted.warnings[1].to_string().contains("exactly ⌊level·N⌋ units"));
//! let recipe = Recipe::parse(&converted.recipe)?;
//! # let _ = recipe;
//! # Ok::<(), calcine_recipe::RecipeError>(())
//! ```
//!
//! # What becomes of what
//!
//! | Distiller | recipe |
//! |---|---|
//! | `MagnitudeParameterPruner`, `StructureParameterPruner`, `BaiduRNNPruner` | `threshold` |
//! | `SensitivityPruner`, `SplicingPruner` | `sensitivity`, `hysteresis` |
//! | `SparsityLevelParameterPruner`, `…RankedStructureParameterPruner`, `…RankedFilterPruner` | `level` |
//! | `AutomatedGradualPruner`, `…_AGP` | `level` on a `cubic` curve |
//! | `BernoulliFilterPruner` | `bernoulli` |
//! | `L1Regularizer`, `GroupLassoRegularizer`, `GroupVarianceRegularizer` | `l1`, `group_lasso`, `group_variance` |
//! | the schedulers of PyTorch, `PolynomialLR`, `MultiStepMultiGammaLR` | `[lr.NAME]` |
//! | `mini_batch_pruning_frequency` | `again_every` |
//! | `mask_on_forward_only`, `use_double_copies` | `hold = "forward"`, `"shadow"` |
//! | `discard_masks_at_minibatch_end`, `skip_first_minibatch` | `lifetime = "step"`, `first = "next_step"` |
//! | `keep_mask`, `fold_batchnorm`, `mask_gradients` | `after = "hold"`, `fold_norm`, `mask_gradients` |
//!
//! Quantizers and thinning are left out, with a comment in their place that says what to write.
//! A schedule does not say how the model is trained; what was on the command line has Distiller's defaults.
//!
//! A regularizer's gradient is added to the loss's, so the loss that is printed is the data's alone;
//! `apply = "loss"` prints both. A learning rate's window begins an epoch later than Distiller's, whose
//! schedulers step at an epoch's end.
//!
//! One instance becomes several tables where it treats parameters differently (groups of several kinds,
//! `"*"` beside names) or policies use it with other arguments.
//!
//! # Warnings
//!
//! Each construct that means something else in a recipe has a [`Warning`], and the recipe's head lists them
//! all. What has none trains as it did in Distiller, as far as is known.

mod convert;
mod fields;
mod group;
mod node;
mod notes;
mod options;
mod plan;
mod policy;
mod pruner;
mod rate;
mod regularizer;
mod scalar;
mod schedule;
mod text;

pub use convert::{Converted, convert};
pub use notes::Warning;
pub use options::Options;
