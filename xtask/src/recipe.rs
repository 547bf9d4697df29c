//! `cargo xtask recipe`: recipe files, without training.

use std::path::{Path, PathBuf};

use burn::module::Module;
use calcine::quantize::{AwareNetwork, Calibration};
use calcine::recipe::distiller::{self, Options};
use calcine::recipe::{Quantization, Recipe};
use calcine::trace::{Network, trace};
use calcine::zoo::reference::grids;
use calcine::zoo::{Architecture, Classifier, ModelTask};

use crate::failure::Failure;
use crate::network::positive;
use crate::terminal::{print_line, stderr};
use crate::whole;

/// Work with recipe files.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Check recipes against the model they are for, without training.
    Check {
        /// The recipe files.
        #[arg(required = true, value_name = "FILE.toml")]
        files: Vec<PathBuf>,
        /// The model to check them with [default: the recipe's, else resnet20].
        #[arg(long)]
        model: Option<Architecture>,
    },
    /// Convert one of Distiller's YAML schedules; what means something else is said on stderr.
    Convert {
        /// The schedule.
        #[arg(value_name = "FILE.yaml")]
        file: PathBuf,
        /// Where to write the recipe [default: stdout].
        #[arg(long, value_name = "FILE.toml")]
        out: Option<PathBuf>,
        /// Epochs of the run, which a schedule does not say [default: 90, or as many as it
        /// needs].
        #[arg(long, value_parser = positive::<u64>, value_name = "N")]
        epochs: Option<u64>,
        /// The model that the recipe is for [default: none is named, which means resnet20].
        #[arg(long)]
        model: Option<Architecture>,
    },
}

/// Runs the subcommand.
pub(crate) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Check { files, model } => check_all(files, *model),
        Command::Convert {
            file,
            out,
            epochs,
            model,
        } => {
            let options = Options {
                epochs: *epochs,
                model: model.map(|model| model.to_string()),
            };
            convert(file, out.as_deref(), &options)
        }
    }
}

fn convert(file: &Path, out: Option<&Path>, options: &Options) -> Result<(), Failure> {
    let name = file.display();
    let refuse = |message: String| Failure::new(message).with_exit_code(2);
    let yaml = std::fs::read_to_string(file)
        .map_err(|error| refuse(format!("{name}: the schedule cannot be read: {error}")))?;
    let converted = distiller::convert(Some(&name.to_string()), &yaml, options)
        .map_err(|error| refuse(error.to_string()))?;
    for warning in &converted.warnings {
        stderr(&format!(
            "{name}:{}: warning: {}",
            warning.line, warning.text
        ));
    }
    match out {
        None => print_line(converted.recipe.trim_end()),
        Some(out) => whole::write(out, &converted.recipe)?,
    }
    Ok(())
}

/// Every file is checked before the first failure is reported.
fn check_all(files: &[PathBuf], model: Option<Architecture>) -> Result<(), Failure> {
    let mut failed = Vec::new();
    for file in files {
        match check(file, model) {
            Ok(said) => stderr(&format!("{}: {said}", file.display())),
            Err(error) => failed.push(error),
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::new(failed.join("\n")).with_exit_code(2))
    }
}

fn check(file: &Path, model: Option<Architecture>) -> Result<String, String> {
    let recipe = Recipe::from_file(file).map_err(|error| error.to_string())?;
    check_recipe(&recipe, model)
}

/// Binds the recipe to its model, or to another, and says to which.
pub(crate) fn check_recipe(recipe: &Recipe, model: Option<Architecture>) -> Result<String, String> {
    let named = recipe.train().model.as_deref().unwrap_or("resnet20");
    let architecture = match model {
        Some(model) => model,
        None => named
            .parse()
            .map_err(|error| format!("{}: {error}", recipe.file().unwrap_or_default()))?,
    };
    let device = burn::tensor::Device::flex().autodiff();
    architecture.build(0, &device, Bind { recipe })?;
    Ok(format!("sound, and fits {architecture}"))
}

/// Steps an epoch that a check assumes: the official training images at the recipe's batch size.
const TRAINING_IMAGES: f64 = 50_000.0;

/// What the reference networks take.
const IMAGE: [usize; 4] = [1, 3, 32, 32];

struct Bind<'a> {
    recipe: &'a Recipe,
}

impl Bind<'_> {
    /// Grids have parameters of their own, which pruners and regularizers may name; where they begin does not matter.
    fn bind_on_grids(
        &self,
        asked: &Quantization,
        network: Network,
        steps: u64,
    ) -> Result<(), String> {
        let said = |error: &dyn std::error::Error| error.to_string();
        let images = burn::tensor::Tensor::<4>::ones(IMAGE, &burn::tensor::Device::flex());
        let seen = Calibration::of(&network, &[images]).map_err(|error| said(&error))?;
        let aware = AwareNetwork::new(network, &seen, &grids(asked), asked.method);
        let aware = aware.map_err(|error| said(&error))?;
        let graph = aware.network().graph();
        let bound = self.recipe.bind_traced(&aware, graph, steps);
        bound.map(drop).map_err(|error| said(&error))
    }
}

impl ModelTask for Bind<'_> {
    type Output = Result<(), String>;

    fn run<M: Classifier + Module + 'static>(self, model: M) -> Self::Output {
        let train = self.recipe.train();
        let images = TRAINING_IMAGES * (1.0 - train.validation);
        let images = train
            .images_per_epoch
            .map_or(images, |limit| images.min(limit as f64));
        let steps = (images as u64 / train.batch_size as u64).max(1);
        let bound = if self.recipe.needs_network() {
            let images = burn::tensor::Tensor::zeros(IMAGE, &burn::tensor::Device::flex());
            let network = trace(&model.valid(), images, |model, images| {
                model.forward(images)
            })
            .map_err(|error| error.to_string())?;
            match self.recipe.quantization() {
                Some(asked) => return self.bind_on_grids(asked, network, steps),
                None => self
                    .recipe
                    .bind_traced(&model, network.graph(), steps)
                    .map(drop),
            }
        } else {
            self.recipe.bind(&model, steps).map(drop)
        };
        bound.map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipes() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../recipes")
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

    #[test]
    fn a_schedule_is_converted_to_a_file_or_refused_with_its_place() {
        let directory = tempfile::tempdir().expect("there is a place for it");
        let (schedule, recipe) = (
            directory.path().join("s.yaml"),
            directory.path().join("r.toml"),
        );
        let convert = |yaml: &str| {
            std::fs::write(&schedule, yaml).expect("it can be written");
            run(&Command::Convert {
                file: schedule.clone(),
                out: Some(recipe.clone()),
                epochs: Some(4),
                model: Some(Architecture::SimpleNet),
            })
        };
        let sound = "pruners:\n  it: {class: SensitivityPruner, sensitivities: {fc1.weight: 0.5}}\n\
                     policies:\n  - {pruner: {instance_name: it}, epochs: [0]}\n";
        convert(sound).expect("it is sound");
        check_all(std::slice::from_ref(&recipe), None).expect("it fits the model");
        let failure = convert("policies: 3").expect_err("it is no list");
        assert_eq!(failure.exit_code(), 2);
        assert!(
            failure
                .to_string()
                .ends_with("s.yaml:1:11: `policies` is a list"),
            "{failure}"
        );
    }
}
