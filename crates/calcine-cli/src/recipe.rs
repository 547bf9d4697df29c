//! `calcine recipe`: works with recipe files, without training.

mod check;
mod new;

use std::path::{Path, PathBuf};

use calcine::distiller::{self, Options};
use calcine::zoo::ZooModel;

use crate::failure::Failure;
use crate::options::positive;
use crate::terminal::{print_line, stderr};
use crate::whole;

#[cfg(test)]
pub(crate) use self::check::check_recipe;

/// Check, convert or create recipe files.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Check recipes against the models that they name, without training.
    Check(check::Args),
    /// Convert a YAML schedule of Distiller; differences in meaning are printed to stderr.
    Convert {
        /// The schedule.
        #[arg(value_name = "FILE.yaml")]
        file: PathBuf,
        /// The file to write [default: stdout].
        #[arg(long, value_name = "FILE.toml")]
        out: Option<PathBuf>,
        /// Number of epochs of the run, which a schedule does not contain [default: 90, or as many as the schedule
        /// needs].
        #[arg(long, value_parser = positive::<u64>, value_name = "N")]
        epochs: Option<u64>,
        /// The network of the zoo that the recipe names [default: none].
        #[arg(long)]
        model: Option<ZooModel>,
    },
    New(new::Args),
}

/// Runs the subcommand.
pub(crate) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Check(args) => check::run(args),
        Command::New(args) => new::run(args),
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

#[cfg(test)]
mod tests {
    use super::*;

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
                model: "simplenet".parse().ok(),
            })
        };
        let sound = "pruners:\n  it: {class: SensitivityPruner, sensitivities: {fc1.weight: 0.5}}\n\
                     policies:\n  - {pruner: {instance_name: it}, epochs: [0]}\n";
        convert(sound).expect("it is sound");
        check::run(&check::Args::new(&recipe)).expect("it fits the model");
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
