use calcine_recipe::{Recipe, RecipeError};

use crate::node;
use crate::notes::{Found, Notes, Warning};
use crate::options::Options;
use crate::plan::{Piece, Plan, RATE};
use crate::scalar;
use crate::schedule::Schedule;
use crate::text::{Text, float, quoted};

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
    let refuse = |found: Vec<Found>| {
        let problems = found.into_iter().map(|found| (found.span, found.message));
        RecipeError::new(file.map(str::to_owned), yaml, problems.collect())
    };
    let mut root = node::read(yaml).map_err(|found| refuse(vec![found]))?;
    let notes = Notes::default();
    scalar::reread(&mut root, yaml, &notes);
    let schedule = Schedule::read(&root, &notes);
    let plan = Plan::new(&schedule, options, &notes);
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
