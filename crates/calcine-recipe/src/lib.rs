//! Compression recipes: one TOML file, checked before the first batch.
//!
//! # Should I use this crate?
//!
//! Use it to keep *what is done to a model* in a file beside the code: which parameters are pruned, by
//! which criterion, how far and when, and the learning rate. The same recipe runs on every device; it
//! names none. [`Pruner`] builds a pruner in code, whose serialized form is such a file.
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
//! let driver = recipe.bind(&model, 100)?;   // 100 steps an epoch
//! # let _ = driver;
//! # Ok::<(), calcine_recipe::RecipeError>(())
//! ```
//!
//! # The file
//!
//! `format = 1`, then:
//!
//! | table | keys |
//! |---|---|
//! | `[train]` | `epochs`; `model`, `weights`, `batch_size`, `images_per_epoch`, `validation`, `lr`, `optimizer` (`sgd`, `adam`, `adamw`), `weight_decay`, `momentum` and `nesterov` or `beta_1`, `beta_2` and `epsilon`, `seed` |
//! | `[pruner.NAME]` | `params`, `score`, `granularity`, and how much: one of `level`, `threshold`, `sensitivity`, `hysteresis`, `bernoulli`, `n_of_m`; and those below |
//! | `[regularizer.NAME]` | `type`, `params`, `granularity`, `strength`; `scale`, `smoothing`, `share`, `apply`, `threshold`, `threshold_at`, `weakest` |
//! | `[lr.NAME]` | `type` and its numbers |
//! | `[rewind]` | `at`, `to`, `restore` |
//! | `[thin]` | `at`, `padding_effect`, `inexact` |
//! | `[quantize]` | tables `[quantize.prepare]`, `[quantize.weights]`, `[quantize.activations]`, `[quantize.accumulator]`, `[quantize.first_last]` and `[[quantize.layer]]`, whose keys are the fields of [`QuantizationSettings`](calcine_quantize::QuantizationSettings); `[quantize.training]` with `method`, `decay`, `images`, `start`, `freeze_ranges`, `freeze_norms` |
//! | `[[policy]]` | `pruner`, `regularizer` or `lr`; `start`, `end`, `every` and `unit`, or a list `epochs` or `steps`; `again_every`, `hold`, `mask_gradients`, `lifetime`, `first`, `after` |
//!
//! An *amount* is a number, a curve (`{ curve = "cubic", from = 0.05, to = 0.8 }`; also `linear`, `cosine`,
//! `exponential`, and `steps` with `from` and `steps = [[0.5, 0.3], …]`), or a table of parameter patterns
//! with a number or a curve each, which then stands for `params` too.
//!
//! ## Pruners
//!
//! * `params`: names and globs, `!` in front takes away (see `calcine_params::Inventory::select`). With
//!   `aggregate = "sum"`, `"mean"`, `"max"` or `"first"` they share one decision, by their aggregated scores or those
//!   of the list's first; `groups = [[…], […]]` are several such groups.
//! * `dependency = "auto"` prunes filters (or outputs of linear layers) with all that makes the same channels: the
//!   layers that are added to one another, biases, scales and shifts, depthwise filters. The traced network tells
//!   which ([`Recipe::bind_traced`]); `aggregate` says how scores of several layers are aggregated, `"sum"` unless said.
//! * `score`: of weights `magnitude`, `l1`, `l2`, `mean_l2`, `max`, `lamp`, `geometric_median`, `random`; of
//!   the batch-norm that follows `norm_scale`; of gradients `taylor`, `taylor_signed`, `taylor_square`,
//!   `gradient`, `snip`, `movement`, `second_order`, averaged over `batches` (1; a number, or `"all"`, which
//!   is the default of `movement`); of activations `apoz`, `mean_activation` (of what filters or outputs of linear
//!   layers come to) and `wanda` (of what weights multiply), over 8 `batches`, which need a driver that is
//!   [shown them](calcine_train::Driver::with_activation_source). Larger stays. `noise` is how often a ranking is disturbed; `fold_norm`
//!   ranks weights with their batch-norm folded in.
//! * `reconstruct = true` refits what is left of the weights after each selection to what their layers gave right
//!   before it, over 8 `batches` and 10 `positions` of each (`{ batches = …, positions = … }`), for the granularities
//!   `channel` and `fc_input`. It too needs a driver that is shown activations.
//! * `granularity`: `element` (default), `kernel`, `filter`, `channel`, `fc_output`, `fc_input`, `layer`,
//!   `block(RxDxHxW)`, `group(M)`.
//! * `level` drops exactly ⌊level·N⌋ units of each parameter, or with `scope = "global"` of all together,
//!   where `cost` (`"units"`, `"bytes"`, or a table of whole numbers by parameter) says what the level is a
//!   share of. `{ range = [a, b] }` draws it anew each time. `at_least` (a number of units or a share of
//!   them), `multiple` and `rounding` (`floor`, `ceil`, `round`) bound and round it.
//! * `n_of_m = "2:4"` keeps 2 of every 4 elements along the input axis; a `level` curve over
//!   `granularity = "group(4)"` gets there step by step.
//! * `regrow = "gradient"` or `"random"` holds the `level` while a share `drop`, an amount, of what is alive
//!   changes places.
//! * `threshold` keeps scores above it; its curve may be `{ curve = "two_slopes", q = …, ramp_offset = … }`.
//!   `sensitivity` keeps scores above s·σ, σ of the first firing, or with `refresh = true` of each.
//! * `hysteresis` drops below `low`·t and takes back above `high`·t, t = μ + s·σ, where s, the amount, may grow by a
//!   share `growth` an epoch. `bernoulli` drops each unit with a probability.
//!
//! ## Regularizers
//!
//! * `type`: `l1`, `l2`, `elastic_net` (with `share`), `group_lasso` (with `scale = "sqrt_size"` and
//!   `smoothing`), `sparse_group_lasso`, `group_variance`; λ is the `strength`, an amount.
//! * `apply = "gradient"` (default) adds the penalty's gradient, `"loss"` the penalty itself, `"proximal"` takes
//!   its proximal step after the optimizer's.
//! * `threshold` (`mean_abs`, `l1`, `mean_l2`, `l2`, `max`) zeroes groups after each step whose norm is at most
//!   the strength, or `threshold_at`. A policy's `after = "hold"` keeps the last step's zeros.
//! * `weakest = { score = …, level = … }` penalizes only what that level would drop when the window opens.
//!
//! ## Policies
//!
//! * A window is `start` (inclusive), `end` (exclusive), `every` (1), counted in `unit`: `"epochs"`
//!   (default), `"steps"`, or `"percent"` of the whole run, which scales with its length.
//! * A pruner's masks hold stored weights at zero (`hold = "always"`), or during updates only (`"forward"`), or
//!   are seen by the forward pass only (`"shadow"`, over dense weights). `mask_gradients` covers gradients too.
//!   They live until the window is over, or one step (`lifetime = "step"`); then they are held for good
//!   (`after = "hold"`, the default of hard ones) or forgotten (`"release"`). `again_every = N` fires again at
//!   every N-th step of the run inside the window's epochs, `first = "next_step"` lets the first firing wait for
//!   a batch.
//! * A regularizer acts in every step of the moments at which its window fires.
//! * `[rewind]` puts back the weights of the beginning of epoch `to` (0), the learning rate's position, or
//!   `"both"` (`restore`), before each of the epochs `at`, under the masks that there are then.
//! * `[thin]` removes what is pruned away whole, before each of the epochs `at` (the run's end unless said),
//!   and training goes on with what is left. `padding_effect = "keep_border"` keeps channels whose constants zero padding
//!   would distort; `inexact = true` lets features of layer norms and RMS norms go. Whoever runs the recipe carries it out ([`Recipe::thinning`]). While it does, nothing but
//!   element-wise pruners with hard masks may be at work.
//! * `[quantize]` says how the network is quantized: bits, schemes, range estimators, and what is other for some layers, as
//!   [`QuantizationSettings`](calcine_quantize::QuantizationSettings) has them. In a recipe without `[train]` that is quantization after training,
//!   and nothing else is in the recipe. In one with `[train]` the network trains quantized, as `[quantize.training]` says: by a
//!   [`method`](calcine_quantize::Method) `lsq` (default), `linear` with a `decay` (0.99), `dorefa`, `pact` or `wrpn`, from ranges that
//!   are calibrated with `images` (1,000). Activations are quantized from epoch `start` on (0), ranges stay from
//!   `freeze_ranges` on, statistics of batch norms from `freeze_norms` on. Whoever runs the recipe carries it out
//!   ([`Recipe::quantization`]).
//! * `[distill]` lets a teacher's answers count beside the labels, softened by a `temperature` (1), by the weights
//!   `student` (0.5) and `teacher` (0.5): see [`Distillation`](calcine_train::Distillation). The teacher is the
//!   network of `model` and `weights`; unless said, the one that the run begins with. Whoever runs the recipe
//!   asks it ([`Recipe::distillation`]).
//! * `lr` types: `constant`, `step`, `multi_step`, `multi_step_multi_gamma`, `exponential`, `cosine`
//!   (with `warm_up`), `cosine_warm_restarts`, `polynomial`, `one_cycle`, `plateau`. A policy of `lr`
//!   without a window lasts the whole run, step by step; one in epochs moves at epochs. Lengths that a
//!   schedule leaves out are the run's.
//!
//! Epochs and steps are counted from 0, here and in all that a run writes and says: the first epoch of a run is epoch
//! 0, its last one `epochs` − 1. A step is an optimizer step.
//!
//! `lr` is needed to bind a recipe. `[thin]`, `[quantize]` and `[distill]` are carried out around the driver's
//! steps: [`Recipe::bind`] refuses a recipe with one of them, and [`Recipe::bind_carrying_out`] is for who does it.
//!
//! File order is execution order. Everything that is wrong is reported at once, with its place.
//! Unknown keys, keys that have no effect beside the others, instances that no policy uses, policies that never
//! fire, moments that a run does not come to, pruners that can drop nothing and names that match nothing are errors;
//! what a run comes to only in part is a [warning](Recipe::warnings).

mod amount;
mod bind;
mod builder;
mod data;
mod distillation;
mod duty;
mod error;
mod length;
mod policy;
mod pruner;
mod quantization;
mod rate;
mod recipe;
mod regularizer;
mod rewind;
mod score;
mod section;
mod selection;
mod thinning;
mod train;

pub use builder::{Level, Pruner};
pub use data::ImageData;
pub use distillation::DistillationSettings;
pub use duty::Duty;
pub use error::{Problem, RecipeError};
pub use quantization::{QuantizationSchedule, RecipeQuantization};
pub use recipe::Recipe;
pub use thinning::Thinning;
pub use train::{Betas, Optimizer, Train, UpdateRule};
