//! `calcine activations`: statistics of the outputs of a network's layers.

use std::path::{Path, PathBuf};

use calcine::observe::Places;
use calcine::run::{ActivationSettings, Activations, Experiment};
use calcine::trace::{AnyTensor, Tensors};
use calcine::train::{Draw, Objective};

use crate::events::log;
use crate::failure::{Failure, bad};
use crate::logs;
use crate::options::{ModelOptions, positive};
use crate::settings::Settings;
use crate::setup::{Job, Setup};
use crate::terminal::width;
use crate::whole;

/// Measure the activations of a network over validation samples, in one pass: zeros, means, deviations, ranges, norms.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelOptions,
    /// Names or glob patterns of layers and operations; `**` selects all [default: activation functions].
    #[arg(long, num_args = 1.., value_name = "GLOB")]
    at: Vec<String>,
    /// Use at most this number of validation samples, the first ones [default: all].
    #[arg(long, alias = "validation-images", value_parser = positive::<usize>, value_name = "N", help_heading = "Data")]
    validation_limit: Option<usize>,
    /// Also write layers.csv, channels.csv and the requested logs to this directory [default: write nothing].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Also log the values per layer as scalars.
    #[arg(long, value_enum, value_delimiter = ',', requires = "out")]
    log: Vec<logs::Kind>,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if args.model.job.device.lists() {
        return Ok(());
    }
    let settings = args
        .model
        .settings(Settings::without_recipe("the activations"))?;
    let device = args.model.job.device.device()?;
    log(None)?;
    if let Some(out) = &args.out {
        whole::create(out)?;
        whole::announce(out);
    }
    let job = |setup: &Setup| setup.run("measuring activations of", Observe { args, setup });
    let result = Setup::new(&settings, &device).and_then(|setup| job(&setup));
    match &args.out {
        Some(out) => whole::or_none(out, result),
        None => result,
    }
}

struct Observe<'a> {
    args: &'a Args,
    setup: &'a Setup,
}

impl Job for Observe<'_> {
    type Output = ();

    fn run<O>(self, experiment: &Experiment<'_, Vec<AnyTensor>, O>) -> Result<(), Failure>
    where
        O: Objective,
        O::Output: Tensors,
    {
        let Self { args, setup } = self;
        let settings = ActivationSettings {
            places: if args.at.is_empty() {
                Places::activations()
            } else {
                Places::matching(args.at.iter().cloned())
            },
            draw: args.validation_limit.map_or(Draw::All, Draw::First),
            seed: setup.recipe.train().seed,
            ..ActivationSettings::default()
        };
        let found = experiment.activations(&settings).map_err(bad)?;
        let report = &args.model.job.report;
        setup.say_caveat(report);
        report.say(&found.sheet().fitted(width()));
        report.say(&found.to_string());
        if let Some(out) = &args.out {
            found.save(out).map_err(bad)?;
            log_scalars(args, &found, out)?;
            report.say(&whole::wrote(out));
        }
        let mut json = serde_json::to_value(&found).map_err(bad)?;
        json["out"] = serde_json::json!(args.out);
        report.finish(&json);
        Ok(())
    }
}

/// Writes the requested logs.
fn log_scalars(args: &Args, found: &Activations, out: &Path) -> Result<(), Failure> {
    let tag = |(tag, value): (String, f64)| (format!("Activations/{tag}"), value);
    let scalars: Vec<(String, f64)> = found.observed.scalars().into_iter().map(tag).collect();
    let scalars: Vec<(&str, f64)> = scalars.iter().map(|(tag, v)| (tag.as_str(), *v)).collect();
    for kind in &args.log {
        let mut log = kind.open(out);
        log.scalars(0, &scalars).map_err(bad)?;
        log.flush().map_err(bad)?;
    }
    Ok(())
}
