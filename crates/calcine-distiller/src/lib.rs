//! Converts Distiller's YAML schedules to recipes.
//!
//! # Should I use this crate?
//!
//! Use it to convert a schedule of Distiller once; you then read and change the resulting recipe.
//! `calcine recipe convert FILE.yaml` is this crate on the command line.
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
//! # Classes and arguments
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
//! Quantizers and thinning are not converted; a comment in their place says what to write. A schedule does not say how the
//! model is trained, so `[train]` has the defaults of Distiller's command line.
//!
//! The gradient of a regularizer is added to that of the loss, so the reported loss does not include the penalty; with
//! `apply = "loss"` it does. The window of a learning-rate schedule begins an epoch later than in Distiller, whose schedulers
//! step at the end of an epoch.
//!
//! One instance becomes several tables if it treats parameters differently (groups of several kinds, `"*"` in addition to
//! names), or if policies use it with different arguments.
//!
//! # Quantization
//!
//! The quantizers of Distiller and Calcine have the same formulas, except for ties. Distiller's linear quantizer
//! **subtracts its zero point before it rounds**, `q = clamp(round(scale · x − zero_point))`, with ties to even `q`. Calcine,
//! like ONNX, rounds first and then adds the zero point, `q = clamp(round(x / scale) + zero_point)`, with ties to even
//! `q − zero_point`. (Distiller's `scale` is the reciprocal, and its `zero_point` has the opposite sign.) If the zero point is
//! odd, every exact tie is therefore rounded to the other neighbour; if it is even, there is no difference. This affects
//! asymmetric (affine) quantization only, and single numbers at or next to a tie.
//!
//! `calcine_quant::DistillerQuantizer` computes Distiller's integers exactly, and converts its scale and zero point to a
//! `Quantizer` whose integers represent the same numbers. Tensors that Distiller has quantized keep their integers.
//!
//! # Warnings
//!
//! Each construct that behaves differently in a recipe has a [`Warning`], and comments at the top of the recipe repeat all of
//! them. Constructs without a warning train as in Distiller, as far as we know.

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
