//! Distiller's YAML schedules as recipes.
//!
//! # Should I use this module?
//!
//! Use it to carry a schedule of Distiller's over, once: the recipe that comes of it is yours to read and
//! change. `calcine recipe convert FILE.yaml` is this module on the command line.
//!
//! ```
//! use calcine_recipe::distiller::{Options, convert};
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
//! | `SensitivityPruner`, `SplicingPruner` | `sensitivity`, `splicing` |
//! | `SparsityLevelParameterPruner`, `…RankedStructureParameterPruner`, `…RankedFilterPruner` | `level` |
//! | `AutomatedGradualPruner`, `…_AGP` | `level` on a `cubic` curve |
//! | `BernoulliFilterPruner` | `coin` |
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

mod fields;
mod group;
mod node;
mod notes;
mod plan;
mod policy;
mod pruner;
mod rate;
mod regularizer;
mod scalar;
mod schedule;
mod text;

pub use self::notes::Warning;

use self::notes::Notes;
use self::plan::{Piece, Plan, RATE};
use self::schedule::Schedule;
use self::text::{Text, float, quoted};
use crate::error::{Found, RecipeError};
use crate::recipe::Recipe;

/// What a schedule does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Epochs of the run. If absent, the end of the last pruner's or regularizer's policy, and Distiller's
    /// default of 90 at least.
    pub epochs: Option<u64>,
    /// The reference model that the recipe is for.
    pub model: Option<String>,
}

/// A recipe, and what it does otherwise than the schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Converted {
    /// The recipe's text. [`Recipe::parse`] reads it.
    pub recipe: String,
    /// In the order of the schedule.
    pub warnings: Vec<Warning>,
}

/// Converts a schedule; errors call it by the file's name.
///
/// # Errors
///
/// If the text is no YAML, is not what Distiller reads, or asks for what a recipe cannot mean (a level of
/// 1.5, say); with every problem and its place.
pub fn convert(
    file: Option<&str>,
    yaml: &str,
    options: &Options,
) -> Result<Converted, RecipeError> {
    let refuse = |found: Vec<Found>| RecipeError::new(file.map(str::to_owned), yaml, found);
    let mut root = node::read(yaml).map_err(|found| refuse(vec![found]))?;
    let notes = Notes::default();
    scalar::reread(&mut root, yaml, &notes);
    let schedule = Schedule::read(&root, &notes);
    let plan = Plan::of(&schedule, options, &notes);
    drop(schedule);
    let (problems, warnings) = notes.finish(yaml);
    if !problems.is_empty() {
        return Err(refuse(problems));
    }
    let text = write(file, &plan, options, &warnings);
    let recipe = text.to_string();
    match Recipe::parse(&recipe) {
        Ok(_) => Ok(Converted { recipe, warnings }),
        // What a recipe refuses stands somewhere in the schedule.
        Err(error) => Err(refuse(
            error
                .problems()
                .iter()
                .map(|problem| Found {
                    span: text.origin(problem.line),
                    message: format!("in the recipe: {}", problem.message),
                })
                .collect(),
        )),
    }
}

fn write(file: Option<&str>, plan: &Plan, options: &Options, warnings: &[Warning]) -> Text {
    let mut text = Text::default();
    let of = file.map_or_else(String::new, |file| format!(" `{file}`"));
    text.comment(&format!("Converted from Distiller's schedule{of}."), "");
    if !warnings.is_empty() {
        text.comment("", "");
        text.comment(
            "What is different here; numbers are lines of the schedule:",
            "",
        );
    }
    for warning in warnings {
        text.comment(&format!("* {}: {}", warning.line, warning.text), "  ");
    }
    let here = 0..0;
    text.line("format = 1", &here);
    text.blank();
    let about = "Not of the schedule: Distiller's command line had it, and these are its defaults.";
    text.comment(about, "");
    text.line("[train]", &here);
    if let Some(model) = &options.model {
        text.line(&format!("model = {}", quoted(model)), &here);
    }
    text.line(&format!("epochs = {}", plan.epochs), &here);
    text.line("batch_size = 256", &here);
    text.line("validation = 0.1", &here);
    text.line(&format!("lr = {}", float(RATE)), &here);
    text.line("momentum = 0.9", &here);
    text.line("weight_decay = 1e-4", &here);
    let kinds = [
        ("pruner", &plan.pruners),
        ("regularizer", &plan.regularizers),
        ("lr", &plan.rates),
    ];
    for (kind, tables) in kinds {
        for table in tables {
            text.table(kind, table);
        }
    }
    for piece in &plan.policies {
        text.blank();
        match piece {
            Piece::Left(why) => text.comment(why, ""),
            Piece::Policy {
                about,
                entries,
                span,
            } => {
                if let Some(about) = about {
                    text.comment(about, "");
                }
                text.line("[[policy]]", span);
                text.entries(entries);
            }
        }
    }
    text
}
