//! `calcine recipe new`: writes a recipe as a starting point.

use std::path::PathBuf;

use calcine::graph::{Graph, Source, ValueId};
use calcine::recipe::Recipe;
use clap::ValueEnum;

use super::check::fits;
use crate::failure::{Failure, bad};
use crate::model::{AnyNetwork, Loaded, Model, load_structure};
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

/// The epoch before which the network is thinned.
const THIN_AT: &str = "4";

/// Returns the recipe, and warnings.
fn recipe(
    goal: Goal,
    model: Option<&str>,
    loaded: Option<Loaded>,
) -> Result<(String, Vec<String>), Failure> {
    let network = match loaded {
        None => None,
        Some(Loaded {
            network: AnyNetwork::Float(network),
            ..
        }) => Some(*network),
        Some(Loaded { name, .. }) => {
            return Err(bad(format!(
                "{name} is quantized: a recipe is for a network in float"
            )));
        }
    };
    let params = params(network.as_ref().map(calcine::trace::Network::graph));
    let body = match goal {
        Goal::Prune => include_str!("new/prune.toml"),
        Goal::Filters => include_str!("new/filters.toml"),
        Goal::Thin => include_str!("new/thin.toml"),
        Goal::Qat => include_str!("new/qat.toml"),
        Goal::Distill => include_str!("new/distill.toml"),
        Goal::Ptq => {
            let text = include_str!("new/ptq.toml").to_owned();
            let recipe = Recipe::parse_as("the new recipe", &text).map_err(bad)?;
            let warnings = match network {
                Some(network) => fits(&recipe, network).map_err(bad)?,
                None => Vec::new(),
            };
            return Ok((text, warnings));
        }
    };
    let body = body.replace("PARAMS", &params).replace("AT", THIN_AT);
    let (head, body) = body.split_once("\n\n").unwrap_or(("", &body));
    let named = match model.map(Model::parse).transpose()? {
        Some(Model::Zoo(architecture)) => format!("model = \"{architecture}\"\n"),
        Some(Model::Task(task)) => format!("model = \"{task}\"\n"),
        // A file is named on the command line.
        _ => String::new(),
    };
    let train = include_str!("new/train.toml").replace("MODEL", &named);
    let rate = include_str!("new/rate.toml");
    let text = format!("{head}\nformat = 1\n\n{train}\n{body}\n{rate}");
    let recipe = Recipe::parse_as("the new recipe", &text).map_err(bad)?;
    let warnings = match network {
        Some(network) => fits(&recipe, network).map_err(bad)?,
        None => Vec::new(),
    };
    Ok((text, warnings))
}

/// The list of weights whose outputs may lose channels: all except those of the last layers.
fn params(graph: Option<&Graph>) -> String {
    let Some(graph) = graph else {
        return "[\"**.weight\", \"!fc.weight\"]        # all but the last layer, whose outputs are the classes".to_owned();
    };
    let last = last_weights(graph)
        .into_iter()
        .map(|name| format!(", \"!{name}\""));
    let last: String = last.collect();
    let why = if last.is_empty() {
        ""
    } else {
        "        # the outputs of the last layer are the network's"
    };
    format!("[\"**.weight\"{last}]{why}")
}

/// The weights of the layers that no other layer follows.
fn last_weights(graph: &Graph) -> Vec<&str> {
    let mut found = Vec::new();
    let mut seen = vec![false; graph.values.len()];
    let mut open: Vec<ValueId> = graph.outputs.clone();
    while let Some(id) = open.pop() {
        if std::mem::replace(&mut seen[id.0], true) {
            continue;
        }
        let Some(node) = graph.producer(id) else {
            continue;
        };
        let weights = node.inputs.iter().map(|input| graph.value(*input));
        let weights = weights.filter(|value| {
            value.source == Source::Parameter
                && value.shape.len() > 1
                && value.name.ends_with("weight")
        });
        let before = found.len();
        found.extend(weights.map(|value| value.name.as_str()));
        if found.len() == before {
            open.extend(&node.inputs);
        }
    }
    found.sort_unstable();
    found
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
