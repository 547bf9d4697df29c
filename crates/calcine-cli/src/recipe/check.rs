//! `calcine recipe check`: checks recipes against their models.

use std::path::{Path, PathBuf};

use calcine::recipe::Recipe;
use calcine::run::steps_per_epoch;
use calcine::trace::Network;

use crate::failure::{Failure, bad};
use crate::model::load_structure;
use crate::terminal::stderr;

/// Check recipes against the models that they name, without training.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The recipe files.
    #[arg(required = true, value_name = "FILE.toml")]
    files: Vec<PathBuf>,
    /// The model to check them against: a network of the zoo or a network file [default: that of the recipe, otherwise
    /// resnet20].
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
}

impl Args {
    #[cfg(test)]
    pub(super) fn new(file: &Path) -> Self {
        Self {
            files: vec![file.to_path_buf()],
            model: None,
        }
    }
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    check_all(&args.files, args.model.as_deref())
}

/// Checks every file before it reports the first failure.
fn check_all(files: &[PathBuf], model: Option<&str>) -> Result<(), Failure> {
    let mut failed = Vec::new();
    for file in files {
        match check(file, model) {
            Ok((architecture, warnings)) => {
                let name = file.display();
                for warning in &warnings {
                    stderr(&format!("{name}: warning: {warning}"));
                }
                stderr(&format!("{name}: valid, and fits {architecture}"));
            }
            Err(error) => failed.push(error),
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(bad(failed.join("\n")))
    }
}

/// Returns the model that a valid recipe fits, and warnings about requests that have no effect.
fn check(file: &Path, model: Option<&str>) -> Result<(String, Vec<String>), String> {
    let recipe = Recipe::from_file(file).map_err(|error| error.to_string())?;
    let teacher = recipe
        .distillation()
        .and_then(|asked| asked.weights.as_deref());
    for weights in [recipe.train().weights.as_deref(), teacher]
        .into_iter()
        .flatten()
    {
        let is_file = weights != "default" && weights != "none";
        if is_file && !Path::new(weights).is_file() {
            return Err(format!(
                "{}: `weights`: there is no file {weights}",
                file.display()
            ));
        }
    }
    check_recipe(&recipe, model)
}

/// Why a quantized network is refused.
pub(super) const FOR_FLOAT: &str = "a recipe is for a network in float";

/// Binds the recipe to its model, or to another one. Returns the name of the model, and warnings.
pub(crate) fn check_recipe(
    recipe: &Recipe,
    model: Option<&str>,
) -> Result<(String, Vec<String>), String> {
    let file = recipe.file().unwrap_or("recipe");
    let refused = |error: &dyn std::fmt::Display| format!("{file}: {error}");
    let named = model.or(recipe.train().model.as_deref());
    // The values of the weights do not matter.
    let loaded = load_structure(named.unwrap_or("resnet20"));
    let loaded = loaded.map_err(|error| refused(&error))?;
    let name = loaded.name.clone();
    let network = loaded.into_float(FOR_FLOAT);
    let warnings = fits(recipe, &network.map_err(|error| refused(&error))?)?;
    Ok((name, warnings))
}

/// Checks that the recipe fits the network; returns warnings.
pub(super) fn fits(recipe: &Recipe, network: &Network) -> Result<Vec<String>, String> {
    let file = recipe.file().unwrap_or("recipe");
    let steps = steps_per_epoch(recipe.train(), TRAINING_IMAGES);
    let steps = steps.map_err(|error| format!("{file}: {error}"))?;
    calcine::run::check_recipe(recipe, network, steps).map_err(|error| error.to_string())
}

/// The number of training images of CIFAR-10, from which a check computes the steps per epoch.
const TRAINING_IMAGES: usize = 50_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn recipes() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes")
    }

    #[test]
    fn every_recipe_fits_its_model() {
        let mut files: Vec<PathBuf> = std::fs::read_dir(recipes())
            .expect("there are recipes")
            .map(|file| file.expect("it can be listed").path())
            .filter(|path| path.extension().is_some_and(|end| end == "toml"))
            .collect();
        files.sort();
        assert!(files.len() > 20, "{files:?}");
        if let Err(failure) = check_all(&files, None) {
            panic!("{failure}");
        }
    }

    #[test]
    fn a_recipe_is_named_for_its_model() {
        for file in std::fs::read_dir(recipes()).expect("there are recipes") {
            let path = file.expect("it can be listed").path();
            if path.is_dir() {
                continue;
            }
            let recipe = Recipe::from_file(&path).expect("it is checked by another test");
            let model = recipe.train().model.clone().expect("it names its model");
            let name = path
                .file_name()
                .expect("a file has a name")
                .to_string_lossy();
            assert!(
                name.starts_with(&format!("{model}-")),
                "{name} is for {model}"
            );
        }
    }
}
