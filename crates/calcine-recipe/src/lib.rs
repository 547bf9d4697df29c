//! Compression recipes: a TOML file that is checked against the model before the first batch.
//!
//! # Should I use this crate?
//!
//! Use it to keep *what is done to a model* in a file: which parameters are pruned, by which criterion, how far and
//! when, and the learning rate. A recipe names no device, so it runs on every device. [`Pruner`] builds a pruner in
//! code; its serialized form is such a file.
//!
//! ```
//! use calcine_recipe::Recipe;
//! # use calcine_testkit::{ConvNet, device};
//!
//! let recipe = Recipe::parse(
//!     r#"
//!     format = 1
//!     [train]
//!     epochs = 10
//!     lr = 0.1
//!     [pruner.all]
//!     params = ["**.weight"]
//!     score = "magnitude"
//!     level = { curve = "cubic", from = 0.0, to = 0.8 }
//!     [[policy]]
//!     pruner = "all"
//!     start = 0
//!     end = 8
//!     "#,
//! )?;
//! let model = ConvNet::new(&device());
//! let driver = recipe.bind(&model, 100)?;   // 100 steps per epoch
//! # let _ = driver;
//! # Ok::<(), calcine_recipe::RecipeError>(())
//! ```
//!
//! # The file
//!
//! A recipe begins with `format = 1`, and contains these tables:
//!
//! | table | keys |
//! |---|---|
//! | `[train]` | `epochs`; `model`, `weights`, `batch_size`, `images_per_epoch`, `validation`, `lr`, `optimizer` (`sgd`, `adam`, `adamw`), `weight_decay`, `momentum` and `nesterov` or `beta_1`, `beta_2` and `epsilon`, `seed` |
//! | `[pruner.NAME]` | `params`, `score`, `granularity`, and the amount: one of `level`, `threshold`, `sensitivity`, `hysteresis`, `bernoulli`, `n_of_m`; and the keys below |
//! | `[regularizer.NAME]` | `type`, `params`, `granularity`, `strength`; `scale`, `smoothing`, `share`, `apply`, `threshold`, `threshold_at`, `weakest` |
//! | `[lr.NAME]` | `type` and its parameters |
//! | `[rewind]` | `at`, `to`, `restore` |
//! | `[thin]` | `at`, `padding_effect`, `inexact` |
//! | `[quantize]` | tables `[quantize.prepare]`, `[quantize.weights]`, `[quantize.activations]`, `[quantize.accumulator]`, `[quantize.first_last]` and `[[quantize.layer]]`, whose keys are the fields of [`QuantizationSettings`](calcine_quantize::QuantizationSettings); `[quantize.training]` with `method`, `decay`, `images`, `start`, `freeze_ranges`, `freeze_norms` |
//! | `[[policy]]` | `pruner`, `regularizer` or `lr`; `start`, `end`, `every` and `unit`, or a list `epochs` or `steps`; `again_every`, `hold`, `mask_gradients`, `lifetime`, `first`, `after` |
//!
//! An *amount* is a number, a curve (`{ curve = "cubic", from = 0.05, to = 0.8 }`; also `linear`, `cosine`,
//! `exponential`, and `steps` with `from` and `steps = [[0.5, 0.3], …]`), or a table that assigns a number or a curve
//! to each of several parameter patterns. Such a table replaces `params`.
//!
//! ## Pruners
//!
//! * `params`: names and patterns; a leading `!` excludes matches (see `calcine_params::Inventory::select`). With
//!   `aggregate = "sum"`, `"mean"`, `"max"` or `"first"`, the parameters share one decision, by their aggregated scores
//!   or those of the first parameter of the list; `groups = [[…], […]]` defines several such groups.
//! * `dependency = "auto"` prunes filters (or outputs of linear layers) together with everything that produces the same
//!   channels: layers whose outputs are added, biases, scales and shifts, depthwise filters. This requires the graph of
//!   the traced network ([`Recipe::bind_traced`]); `aggregate` defines how the scores of several layers are aggregated,
//!   by default `"sum"`.
//! * `score`: of weights `magnitude`, `l1`, `l2`, `mean_l2`, `max`, `lamp`, `geometric_median`, `random`; of the
//!   following batch norm `norm_scale`; of gradients `taylor`, `taylor_signed`, `taylor_square`, `gradient`, `snip`,
//!   `movement`, `second_order`, averaged over `batches` (default 1; a number, or `"all"`, which is the default of
//!   `movement`); of activations `apoz`, `mean_activation` (of the outputs of filters or linear layers) and `wanda` (of
//!   the inputs of weights), over `batches` (default 8), which require a driver with an [activation
//!   source](calcine_train::Driver::with_activation_source). Units with larger scores are kept. `noise` is the
//!   probability that a ranking is perturbed; `fold_norm` ranks weights with their batch norm folded in.
//! * `reconstruct = true` refits the remaining weights after each selection to the outputs of their layers right before
//!   it, over 8 `batches` and 10 `positions` of each (`{ batches = …, positions = … }`), for the granularities
//!   `channel` and `fc_input`. It requires a driver with an activation source, too.
//! * `granularity`: `element` (default), `kernel`, `filter`, `channel`, `fc_output`, `fc_input`, `layer`,
//!   `block(RxDxHxW)`, `group(M)`.
//! * `level` drops exactly ⌊level·N⌋ units of each parameter, or with `scope = "global"` of all parameters together.
//!   With `cost` (`"units"`, `"bytes"`, or a table of whole numbers by parameter), a global level is a share of the
//!   total cost. `{ range = [a, b] }` draws a random level for each selection. `at_least` (a number of units or a share
//!   of them), `multiple` and `rounding` (`floor`, `ceil`, `round`) limit and round the number of units.
//! * `n_of_m = "2:4"` keeps 2 of every 4 elements along the input axis; a `level` curve with `granularity = "group(4)"`
//!   reaches this gradually.
//! * `regrow = "gradient"` or `"random"` keeps the `level` constant, while a share `drop` (an amount) of the active
//!   units is exchanged.
//! * `threshold` keeps units with scores above it; its curve can be `{ curve = "two_slopes", q = …, ramp_offset = … }`.
//!   `sensitivity` keeps units with scores above s·σ, where σ is that of the first selection, or with `refresh = true`
//!   that of each selection.
//! * `hysteresis` drops units below `low`·t and restores units above `high`·t, where t = μ + s·σ; s, the amount, can
//!   grow by a share `growth` per epoch. `bernoulli` drops each unit with a probability.
//!
//! ## Regularizers
//!
//! * `type`: `l1`, `l2`, `elastic_net` (with `share`), `group_lasso` (with `scale = "sqrt_size"` and `smoothing`),
//!   `sparse_group_lasso`, `group_variance`. The `strength` λ is an amount.
//! * `apply = "gradient"` (default) adds the gradient of the penalty, `"loss"` the penalty itself, and `"proximal"`
//!   executes its proximal step after that of the optimizer.
//! * `threshold` (`mean_abs`, `l1`, `mean_l2`, `l2`, `max`) sets groups to zero after each step if their norm is at
//!   most the strength, or at most `threshold_at`. With `after = "hold"` in the policy, the zeros of the last step are
//!   kept.
//! * `weakest = { score = …, level = … }` penalizes only the units that this level would drop when the window opens.
//!
//! ## Policies
//!
//! * A window is `start` (inclusive), `end` (exclusive) and `every` (1), in the `unit` `"epochs"` (default), `"steps"`,
//!   or `"percent"` of the whole run, which scales with its length.
//! * The masks of a pruner keep stored weights at zero (`hold = "always"`), only during updates (`"forward"`), or are
//!   used only by the forward pass (`"shadow"`, with dense stored weights). `mask_gradients` applies them to gradients,
//!   too. They last until the window is over, or one step (`lifetime = "step"`); then they are kept for good (`after =
//!   "hold"`, the default of hard masks) or discarded (`"release"`). `again_every = N` fires again at every N-th step
//!   of the run within the epochs of the window, and `first = "next_step"` delays the first selection until there has
//!   been a batch.
//! * A regularizer acts in every step of the moments at which its window fires.
//! * `[rewind]` restores the weights of the beginning of epoch `to` (0), the position of the learning rate, or `"both"`
//!   (`restore`), before each of the epochs `at`, while the masks stay.
//! * `[thin]` removes channels that are completely zero, before each of the epochs `at` (by default at the end of the
//!   run), and training continues with the smaller network. `padding_effect = "keep_border"` keeps channels whose
//!   constant outputs zero padding would distort; `inexact = true` also removes features of layer norms and RMS norms.
//!   The runner executes it ([`Recipe::thinning`]). Only element-wise pruners with hard masks may be active at that
//!   time.
//! * `[quantize]` defines how the network is quantized: bits, schemes, range estimators, and exceptions for some
//!   layers, as in [`QuantizationSettings`](calcine_quantize::QuantizationSettings). A recipe without `[train]`
//!   quantizes after training, and contains nothing else. In a recipe with `[train]`, the network is trained with
//!   quantization as `[quantize.training]` defines: by a [`method`](calcine_quantize::Method) `lsq` (default), `linear`
//!   with a `decay` (0.99), `dorefa`, `pact` or `wrpn`, with initial ranges that are calibrated on `images` (1,000).
//!   Activations are quantized from epoch `start` on (0), ranges are fixed from `freeze_ranges` on, and statistics of
//!   batch norms from `freeze_norms` on. The runner executes it ([`Recipe::quantization`]).
//! * `[distill]` adds the outputs of a teacher as targets, softened by a `temperature` (1), with the weights `student`
//!   (0.5) and `teacher` (0.5): see [`Distillation`](calcine_train::Distillation). The teacher is the network of
//!   `model` and `weights`; by default, the initial network of the run. The runner executes it
//!   ([`Recipe::distillation`]).
//! * `lr` types: `constant`, `step`, `multi_step`, `multi_step_multi_gamma`, `exponential`, `cosine` (with `warm_up`),
//!   `cosine_warm_restarts`, `polynomial`, `one_cycle`, `plateau`. A policy with an `lr` and without a window acts in
//!   every step of the whole run; with a window in epochs, the rate changes at the beginning of epochs. A schedule
//!   without a length has that of the run.
//!
//! Epochs and steps are counted from 0, in recipes and in everything that a run reports: the first epoch of a run is
//! epoch 0, and the last one is `epochs` − 1. A step is an optimizer step.
//!
//! `lr` is required to bind a recipe. `[thin]`, `[quantize]` and `[distill]` are executed outside of the steps of a
//! driver: [`Recipe::bind`] rejects a recipe with one of them, and [`Recipe::bind_for_runner`] is for callers that
//! execute them, such as `calcine-run`.
//!
//! Policies act in the order of the file. All problems are reported at once, with their positions. Unknown keys, keys
//! that have no effect in combination with others, pruners that no policy uses, policies that never fire, moments that
//! a run does not reach, pruners that cannot drop anything, and names that match nothing are errors. What a run reaches
//! only in part is a [warning](Recipe::warnings).

mod amount;
mod bind;
mod builder;
mod data;
mod distillation;
mod error;
mod length;
mod policy;
mod pruner;
mod quantization;
mod rate;
mod recipe;
mod regularizer;
mod rewind;
mod runner_table;
mod score;
mod section;
mod selection;
mod template;
mod thinning;
mod train;

pub use builder::{Level, Pruner};
pub use data::ImageData;
pub use distillation::DistillationSettings;
pub use error::{Problem, RecipeError};
pub use quantization::{QuantizationSchedule, RecipeQuantization};
pub use recipe::Recipe;
pub use runner_table::RunnerTable;
pub use template::Template;
pub use thinning::Thinning;
pub use train::{Betas, Optimizer, Train, UpdateRule};
