//! `calcine recipe`: recipe files, without training.

use std::path::{Path, PathBuf};

use burn::module::Module;
use calcine::distiller::{self, Options};
use calcine::graph::Graph;
use calcine::quantize::{Calibration, QatNetwork};
use calcine::recipe::{Recipe, RecipeQuantization, Train};
use calcine::trace::{Network, trace};
use calcine::zoo::reference::{Weights, quantization_settings};
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
            Ok((architecture, warnings)) => {
                let name = file.display();
                for warning in &warnings {
                    stderr(&format!("{name}: warning: {warning}"));
                }
                stderr(&format!("{name}: sound, and fits {architecture}"));
            }
            Err(error) => failed.push(error),
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::new(failed.join("\n")).with_exit_code(2))
    }
}

/// The model that a sound recipe fits, and what will not happen though the recipe says so.
fn check(file: &Path, model: Option<Architecture>) -> Result<(Architecture, Vec<String>), String> {
    let recipe = Recipe::from_file(file).map_err(|error| error.to_string())?;
    let teacher = recipe
        .distillation()
        .and_then(|asked| asked.weights.as_deref());
    for weights in [recipe.train().weights.as_deref(), teacher]
        .into_iter()
        .flatten()
    {
        if let Ok(Weights::File(path)) = weights.parse()
            && !path.is_file()
        {
            let path = path.display();
            return Err(format!(
                "{}: `weights`: there is no file {path}",
                file.display()
            ));
        }
    }
    check_recipe(&recipe, model)
}

/// Binds the recipe to its model, or to another; says to which, and what will not happen.
pub(crate) fn check_recipe(
    recipe: &Recipe,
    model: Option<Architecture>,
) -> Result<(Architecture, Vec<String>), String> {
    let file = recipe.file().unwrap_or("recipe");
    let refused = |error: &dyn std::fmt::Display| format!("{file}: {error}");
    let named = recipe.train().model.as_deref().unwrap_or("resnet20");
    let architecture = match model {
        Some(model) => model,
        None => named.parse().map_err(|error| refused(&error))?,
    };
    let steps = steps_per_epoch(recipe.train()).map_err(|error| refused(&error))?;
    let device = burn::tensor::Device::flex().autodiff();
    let bind = Bind { recipe, steps };
    let mut warnings = recipe.warnings(steps);
    warnings.extend(architecture.build(0, &device, bind)?);
    Ok((architecture, warnings))
}

/// The official training images, from which a check counts the steps of an epoch.
const TRAINING_IMAGES: f64 = 50_000.0;

/// What the reference networks take.
const IMAGE: [usize; 4] = [1, 3, 32, 32];

/// Whole batches of an epoch.
fn steps_per_epoch(train: &Train) -> Result<u64, String> {
    let images = (TRAINING_IMAGES * (1.0 - train.validation)) as usize;
    let images = train
        .images_per_epoch
        .map_or(images, |limit| images.min(limit));
    match images / train.batch_size {
        0 => Err(format!(
            "`batch_size`: {images} training images make no batch of {}",
            train.batch_size
        )),
        steps => Ok(steps as u64),
    }
}

struct Bind<'a> {
    recipe: &'a Recipe,
    steps: u64,
}

impl Bind<'_> {
    /// What the driver warns of.
    fn bind<M: Module>(&self, model: &M, graph: Option<&Graph>) -> Result<Vec<String>, String> {
        // The reference run carries out all that a recipe has.
        let duties = self.recipe.duties();
        let bound = self
            .recipe
            .bind_carrying_out(&duties, model, graph, self.steps);
        let driver = bound.map_err(|error| error.to_string())?;
        Ok(driver.warnings())
    }

    /// Quantizers have parameters of their own, which pruners and regularizers may name; where they begin does not matter.
    fn bind_quantized(
        &self,
        asked: &RecipeQuantization,
        network: Network,
    ) -> Result<Vec<String>, String> {
        let said = |error: &dyn std::error::Error| error.to_string();
        let images = burn::tensor::Tensor::<4>::ones(IMAGE, &burn::tensor::Device::flex());
        let calibration = Calibration::of(&network, &[images]).map_err(|error| said(&error))?;
        let qat = QatNetwork::new(
            network,
            &calibration,
            &quantization_settings(asked),
            asked.method,
        );
        let qat = qat.map_err(|error| said(&error))?;
        self.bind(&qat, Some(qat.network().graph()))
    }
}

impl ModelTask for Bind<'_> {
    type Output = Result<Vec<String>, String>;

    fn run<M: Classifier + Module + 'static>(self, model: M) -> Self::Output {
        if !self.recipe.needs_network() {
            return self.bind(&model, None);
        }
        let images = burn::tensor::Tensor::zeros(IMAGE, &burn::tensor::Device::flex());
        let network = trace(&model.valid(), images, |model, images| {
            model.forward(images)
        })
        .map_err(|error| error.to_string())?;
        match self.recipe.quantization() {
            Some(asked) => self.bind_quantized(asked, network),
            None => self.bind(&model, Some(network.graph())),
        }
    }
}

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
