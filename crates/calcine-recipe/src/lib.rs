//! Compression recipes: one TOML file, checked before the first batch.
//!
//! # Should I use this crate?
//!
//! Use it to keep *what is done to a model* in a file beside the code: which parameters are pruned, by
//! which criterion, how far and when, and the learning rate. The same recipe runs on every device; it
//! names none. To build a pruner in code, use `calcine-train` directly.
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
//! | `[train]` | `epochs`; `model`, `weights`, `batch_size`, `images_per_epoch`, `validation`, `lr`, `momentum`, `nesterov`, `weight_decay`, `seed` |
//! | `[pruner.NAME]` | `params`, `score`, `grain`, `scope`, and one of `level`, `threshold`, `sensitivity` |
//! | `[lr.NAME]` | `type` and its numbers |
//! | `[[policy]]` | `pruner` or `lr`; `start`, `end`, `every` and `unit`, or a list `epochs` or `steps`; `mask_gradients` |
//!
//! * `params`: names and globs, `!` in front takes away (see `calcine_params::Inventory::select`).
//! * `score`: `magnitude`, `l1`, `l2`, `max`; larger stays.
//! * `grain`: `element` (default), `kernel`, `filter`, `channel`, `fc_output`, `fc_input`, `layer`,
//!   `block(RxDxHxW)`.
//! * `level` drops exactly ⌊level·N⌋ units, of each parameter, or with `scope = "global"` of all
//!   together; `threshold` keeps scores above it; `sensitivity` keeps scores above s·σ, σ frozen at the
//!   first firing. Each is a number, a curve (`{ curve = "cubic", from = 0.05, to = 0.8 }`; also
//!   `linear`, `cosine`, `exponential`, and `steps` with `from` and `steps = [[0.5, 0.3], …]`), or a
//!   table of parameter patterns with a number or a curve each (then without `params`).
//! * A window is `start` (inclusive), `end` (exclusive), `every` (1), counted in `unit`: `"epochs"`
//!   (default), `"steps"`, or `"percent"` of the whole run, which scales with its length.
//! * `lr` types: `constant`, `step`, `multi_step`, `multi_step_multi_gamma`, `exponential`, `cosine`
//!   (with `warm_up`), `cosine_warm_restarts`, `polynomial`, `one_cycle`, `plateau`. A policy of `lr`
//!   without a window lasts the whole run, step by step; one in epochs moves at epochs. Lengths that a
//!   schedule leaves out are the run's.
//!
//! File order is execution order. Everything that is wrong is reported at once, with its place.
//! Unknown keys, instances that no policy uses, policies that never fire and names that match nothing
//! are errors.

mod amount;
mod bind;
mod error;
mod policy;
mod pruner;
mod rate;
mod recipe;
mod section;
mod train;

pub use error::{Problem, RecipeError};
pub use recipe::Recipe;
pub use train::{Optimizer, Train};
