//! `cargo xtask recipe`: recipe files, without training.

use std::path::PathBuf;

use burn::module::Module;
use calcine::recipe::Recipe;
use calcine::zoo::{Architecture, Classifier, ModelTask};

use crate::failure::Failure;

/// Work with recipe files.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Check recipes against the model they are for, without training.
    Check {
        /// The recipe files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// The model, where a recipe names none or another is meant.
        #[arg(long)]
        model: Option<Architecture>,
    },
}

/// Runs the subcommand; every file is checked before the first failure is reported.
pub(crate) fn run(command: &Command) -> Result<(), Failure> {
    let Command::Check { files, model } = command;
    let mut failed = Vec::new();
    for file in files {
        match check(file, *model) {
            Ok(said) => eprintln!("{}: {said}", file.display()),
            Err(error) => failed.push(error),
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::new(failed.join("\n")).with_exit_code(2))
    }
}

fn check(file: &PathBuf, model: Option<Architecture>) -> Result<String, String> {
    let recipe = Recipe::from_file(file).map_err(|error| error.to_string())?;
    let named = recipe.train().model.as_deref().unwrap_or("resnet20");
    let architecture = match model {
        Some(model) => model,
        None => named
            .parse()
            .map_err(|error| format!("{}: {error}", file.display()))?,
    };
    let device = burn::tensor::Device::flex().autodiff();
    architecture.build(0, &device, Bind { recipe: &recipe })?;
    Ok(format!("sound, and fits {architecture}"))
}

/// Steps an epoch that a check assumes: the official training images at the recipe's batch size.
const TRAINING_IMAGES: f64 = 50_000.0;

struct Bind<'a> {
    recipe: &'a Recipe,
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
        self.recipe
            .bind(&model, steps)
            .map(drop)
            .map_err(|error| error.to_string())
    }
}
