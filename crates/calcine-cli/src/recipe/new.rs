//! `calcine recipe new`: writes a recipe as a starting point.

use std::path::PathBuf;

use calcine::recipe::{Recipe, Template};
use calcine::trace::Network;
use clap::ValueEnum;

use super::check::{FOR_FLOAT, fits};
use crate::failure::{Failure, bad};
use crate::model::{Loaded, Named, load_structure};
use crate::terminal::{print_line, stderr};
use crate::whole;

/// Write a commented recipe as a starting point.
///
/// With MODEL, the recipe is written for this network and checked against it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A network of the zoo, such as resnet20, or a network file [default: none; the recipe fits most networks].
    #[arg(value_name = "MODEL")]
    model: Option<String>,
    /// The goal of the recipe.
    #[arg(long, value_enum, value_name = "GOAL", default_value = "prune")]
    goal: Goal,
    /// The file to write [default: stdout].
    #[arg(long, value_name = "FILE.toml")]
    out: Option<PathBuf>,
}

/// The goal of a recipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Goal {
    /// Gradual pruning of single weights.
    Prune,
    /// Gradual pruning of whole channels.
    Filters,
    /// Pruning and removal of whole channels; the smaller network is trained further.
    Thin,
    /// 8-bit integers after training, for `calcine quantize`.
    Ptq,
    /// Few bits, with quantization-aware training.
    Qat,
    /// Distillation: the outputs of a teacher are used in addition to the labels.
    Distill,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let loaded = match &args.model {
        Some(model) => Some(load_structure(model)?),
        None => None,
    };
    let (text, warnings) = recipe(args.goal, args.model.as_deref(), loaded)?;
    for warning in warnings {
        stderr(&format!("warning: {warning}"));
    }
    match &args.out {
        None => print_line(text.trim_end()),
        Some(file) if file.exists() => {
            return Err(bad(format!(
                "{} already exists: name another file",
                file.display()
            )));
        }
        Some(file) => {
            whole::write(file, &text)?;
            stderr(&format!("wrote {}", file.display()));
        }
    }
    Ok(())
}

impl Goal {
    fn template(self) -> Template {
        match self {
            Self::Prune => Template::Prune,
            Self::Filters => Template::Filters,
            Self::Thin => Template::Thin,
            Self::Ptq => Template::Ptq,
            Self::Qat => Template::Qat,
            Self::Distill => Template::Distill,
        }
    }
}

/// Returns the recipe, and warnings.
fn recipe(
    goal: Goal,
    model: Option<&str>,
    loaded: Option<Loaded>,
) -> Result<(String, Vec<String>), Failure> {
    let network = loaded.map(|loaded| loaded.into_float(FOR_FLOAT));
    let network = network.transpose()?;
    let named = match model.map(Named::parse).transpose()? {
        Some(Named::Zoo(model)) => Some(model.name()),
        // A file is named on the command line.
        _ => None,
    };
    let text = goal
        .template()
        .text(network.as_ref().map(Network::graph), named);
    let recipe = Recipe::parse_as("the new recipe", &text).map_err(bad)?;
    let warnings = match &network {
        Some(network) => fits(&recipe, network).map_err(bad)?,
        None => Vec::new(),
    };
    Ok((text, warnings))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_goal_is_a_sound_recipe_and_fits_every_network_of_the_zoo() {
        for &goal in Goal::value_variants() {
            for model in [None, Some("simplenet"), Some("resnet20"), Some("plain20")] {
                let loaded = model.map(load_structure);
                let loaded = loaded.transpose().unwrap_or_else(|error| panic!("{error}"));
                match recipe(goal, model, loaded) {
                    Ok((text, warnings)) => {
                        assert!(text.starts_with("# "), "{text}");
                        assert!(warnings.is_empty(), "{goal:?} {model:?}: {warnings:?}");
                    }
                    Err(error) => panic!("{goal:?} {model:?}: {error}"),
                }
            }
        }
    }
}
